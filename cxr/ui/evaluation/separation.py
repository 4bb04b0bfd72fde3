"""How well a model separates, what its thresholds do, and how honest its probabilities are."""

import numpy as np
import pandas as pd
import streamlit as st

from cxr.evaluation.metrics import Resamples
from cxr.evaluation.rates import rates, rates_at_prevalence
from cxr.evaluation.report import Report, Task
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.words import NOT_IN_MODEL, TOO_FEW, interval
from cxr.findings import CATEGORIES, display_name
from cxr.model.card import Card, Estimate
from cxr.ui.chart import show_chart
from cxr.ui.evaluation.curves import finding_rows, forest_chart, pr_chart, reliability_chart, roc_chart
from cxr.ui.words import estimate_words, percent, whole

ABNORMAL = "Abnormal"


def choose_task(report: Report) -> str:
    """ "Abnormal" or one of the findings that the model has."""
    return st.selectbox("Question", [ABNORMAL, *report.findings], format_func=display_name, key="question")


def labels_and_scores(films: ScoredFilms, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n,) and score (n,) of a question."""
    if task == ABNORMAL:
        return films.abnormal, films.abnormal_probability
    k = CATEGORIES.index(task)
    return films.labels[:, k], films.probabilities[:, k]


def thresholds_of(card: Card, task: str) -> dict[str, float]:
    """The operating points' thresholds of a question."""
    return {
        point.name: point.threshold if task == ABNORMAL else point.findings[task].threshold
        for point in card.operating_points
    }


def show_separation(report: Report, films: ScoredFilms, card: Card, task: str) -> None:
    """ROC and precision-recall with the operating points, and all findings beside each other."""
    found: Task = report.abnormal if task == ABNORMAL else report.findings[task]
    labels, scores = labels_and_scores(films, task)
    name = ABNORMAL if task == ABNORMAL else display_name(task)
    if found.auroc is None or found.auprc is None:
        st.info(f"{name}: films of {found.positive_patients} patients, {TOO_FEW}.", icon=":material/info:")
    else:
        left, right = st.columns(2, gap="medium")
        with left:
            show_chart(roc_chart(labels, scores, thresholds_of(card, task), name, estimate_words(found.auroc)))
        with right:
            show_chart(pr_chart(labels, scores, thresholds_of(card, task), name, estimate_words(found.auprc)))
    view, prior = report.baselines.view_only, report.baselines.constant_prior_pooled_auc
    st.markdown(
        f"One who sees only the projection scores {interval(view.abnormal_auroc)} for abnormal and "
        f"{interval(view.macro_auroc)} macro. Pooled over the findings the model scores {_auroc(report.pooled_auroc)}; "
        f"the findings' shares alone, without a film, {_auroc(prior)}. Both know the shares of these very films."
    )
    rows = {"Macro-AUROC": report.macro_auroc, **finding_rows(report, "auroc")}
    show_chart(forest_chart("auroc", "AUROC finding by finding", rows, 0.5, "AUROC with 95% interval", 0.2))
    st.dataframe(_table(report), hide_index=True, height="content", alt="Every finding with its metrics")


def _table(report: Report) -> pd.DataFrame:
    tasks = {ABNORMAL: report.abnormal} | {display_name(name): task for name, task in report.findings.items()}
    return pd.DataFrame(
        [
            {
                "Question": name,
                "Films with it": task.n_positive,
                "of patients": task.positive_patients,
                "AUROC": interval(task.auroc),
                "AUPRC": interval(task.auprc),
                "Sensitivity": interval(task.sensitivity),
                "Specificity": interval(task.specificity),
                "PPV": interval(task.ppv),
                "NPV": interval(task.npv),
                "Accuracy": interval(task.accuracy),
                "F1": interval(task.f1),
            }
            for name, task in tasks.items()
        ]
        + [{"Question": display_name(name), "AUROC": NOT_IN_MODEL} for name in report.absent]
    )


def show_threshold(report: Report, films: ScoredFilms, card: Card, task: str, resamples: Resamples) -> None:
    """A threshold to move, and everything that moves with it."""
    labels, scores = labels_and_scores(films, task)
    known = thresholds_of(card, task)
    left, right = st.columns(2, gap="medium")
    with left:
        threshold = st.slider(
            "Threshold", 0.0, 1.0, known["balanced"], 0.001, format="%.3f", key=f"threshold-{task}-{films.digest}"
        )
        st.caption("; ".join(f"{name} {value:.3f}" for name, value in known.items()))
    with right:
        share = st.slider("Share of films with it where you work", 1, 99, 30, format="%d%%", key="site") / 100
    flagged = scores >= threshold
    there = rates_at_prevalence(labels, flagged, resamples, share)
    here = rates(labels, flagged, resamples)
    st.table(_confusion(labels, flagged), border="horizontal", width="content")
    st.markdown(
        f"- Sensitivity {percent(here.sensitivity)}, specificity {percent(here.specificity)}.\n"
        f"- At a share of {share:.0%}: right when flagged (PPV) {percent(there.ppv)}, right when not (NPV) "
        f"{percent(there.npv)}.\n"
        f"- Per 100 films there: {whole(there.flagged_per_100)} flagged, {whole(there.missed_per_100)} missed.\n"
        + (f"- Worklist: {percent(_rest(here.flagged))} of these films would be set aside." if task == ABNORMAL else "")
    )
    st.caption("It supposes that films there are as hard as these: that only the share of positives differs.")
    calibration = report.calibration
    show_chart(reliability_chart(report))
    st.markdown(
        f"Expected calibration error {calibration.ece_before:.3f} before, {interval(calibration.ece)} after "
        f"calibration; on so few films it would be {interval(calibration.ece_if_honest)} if every probability were "
        f"true. Brier score {calibration.brier_before:.3f} before, {interval(calibration.brier)} after."
    )


def _confusion(labels: np.ndarray, flagged: np.ndarray) -> pd.DataFrame:
    counts = [[int(((labels == truth) & (flagged == verdict)).sum()) for verdict in (True, False)] for truth in (1, 0)]
    return pd.DataFrame(counts, index=["With", "Without"], columns=["Flagged", "Not flagged"])


def _rest(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    return Estimate(value=1 - estimate.value, low=1 - estimate.high, high=1 - estimate.low)


def _auroc(value: float | None) -> str:
    return TOO_FEW if value is None else f"{value:.3f}"
