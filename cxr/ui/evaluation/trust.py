"""Where the maps point, for whom the model fails, what worse films do, its most confident mistakes, two models."""

import numpy as np
import pandas as pd
import streamlit as st

from cxr.evaluation.compare import delong, paired_auroc
from cxr.evaluation.corruptions import CORRUPTIONS
from cxr.evaluation.localisation import IOBB, Localised, Measure
from cxr.evaluation.metrics import Resamples
from cxr.evaluation.report import Report
from cxr.evaluation.scored import ScoredFilms, film_key
from cxr.evaluation.words import TOO_FEW, interval
from cxr.findings import display_name
from cxr.model.bundle import BundleRejected
from cxr.ui.chart import show_chart
from cxr.ui.dataset.film_detail import open_film
from cxr.ui.dataset.film_grid import film_grid, thumbs
from cxr.ui.dataset.source import current_store, current_table
from cxr.ui.evaluation.boxed import show_boxed_films
from cxr.ui.evaluation.curves import forest_chart, groups_of
from cxr.ui.evaluation.source import command, evaluated
from cxr.ui.evaluation.triage_charts import robustness_chart
from cxr.ui.words import plain

MISTAKES = 12


def show_groups(report: Report) -> None:
    """For whom it fails."""
    groups = groups_of(report)
    missed = {f"{name} ({group.abnormal_films})": group.false_no_finding for name, group in groups.items()}
    auroc = {f"{name} ({group.films})": group.abnormal_auroc for name, group in groups.items()}
    left, right = st.columns(2, gap="medium")
    with left:
        title = "Abnormal films below the balanced threshold"
        show_chart(forest_chart("missed-by-group", title, missed, None, "Share missed (films with a finding)"))
    with right:
        title = "AUROC for abnormal"
        show_chart(forest_chart("auroc-by-group", title, auroc, 0.5, "AUROC, 95% interval (films)", 0.2))
    rows = [
        {
            "Group": name,
            "Films": group.films,
            "Patients": group.patients,
            "Abnormal": group.abnormal_films,
            "AUROC abnormal": interval(group.abnormal_auroc),
            "by the view alone": interval(group.view_only_abnormal_auroc),
            "Macro-AUROC": interval(group.macro_auroc),
            "Findings in it": group.macro_findings,
            "Missed": interval(group.false_no_finding),
        }
        for name, group in groups.items()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Every group with its films and metrics")


def show_places(report: Report, films: ScoredFilms, name: str) -> None:
    """Where it looks."""
    if report.localisation is None:
        st.info("None of these films has a box that a radiologist drew.", icon=":material/select:")
    else:
        found = report.localisation
        st.markdown(
            "A map hits if its hottest point lies in a box (pointing game). Beside it stand what a random map scores, "
            "and one that only knows the usual place of the finding: a map that is no better may have seen nothing."
        )
        parts = {"All boxes": found.measured.pooled, "Mean over findings": found.measured.mean}
        parts |= {display_name(name): part for name, part in found.measured.by_finding.items()}
        st.dataframe(
            pd.DataFrame([_place_row(name, part) for name, part in parts.items()]),
            hide_index=True,
            alt="Pointing game and boxes for each finding, with what chance scores",
        )
        published = ", ".join(f"{value:.3f} at {t}" for t, value in found.published_iobb.items())
        st.caption(
            f"Published T(IoBB), mean over eight findings and all 984 boxes: {published} (Wang et al. 2017, table 4). "
            "These here are few films."
        )
        show_boxed_films(films, name)
    st.subheader("Do the maps depend on the weights?", anchor=False)
    if report.randomisation is None:
        st.info(f"Not measured: `{command(name, '--randomisation')}`.", icon=":material/info:")
        return
    answer = {True: "Yes: with all weights new the maps are others.", False: "Not shown.", None: TOO_FEW.capitalize()}
    st.markdown(f"**{answer[report.randomisation.depends_on_weights]}**")
    rows = {f"{k}. {stage.name}": stage.absolute for k, stage in enumerate(report.randomisation.stages)}
    title = "Likeness to the model's own maps as weights are made new from the head down"
    show_chart(forest_chart("randomisation", title, rows, None, "Size of Spearman's correlation, 95% interval"))


def _place_row(name: str, part: Localised) -> dict[str, object]:
    row: dict[str, object] = {"Finding": name, "Boxed films": part.cases, "Patients": part.patients}
    row |= _measured("Pointing", part.pointing)
    row["Better than chance"] = {True: "yes", False: "not shown", None: TOO_FEW}[part.better_than_chance]
    for k, level in enumerate(IOBB):
        row |= _measured(f"IoBB > {level}", None if part.iobb is None else part.iobb[k])
    return row


def _measured(name: str, measure: Measure | None) -> dict[str, object]:
    if measure is None:
        return {name: TOO_FEW, f"{name}: random, usual place": ""}
    return {
        name: interval(measure.model),
        f"{name}: random, usual place": f"{measure.random_map:.2f}, {measure.usual_place:.2f}",
    }


def show_robustness(report: Report, name: str) -> None:
    """What films that are worse do to it."""
    if report.robustness is None:
        st.info(f"Not measured: `{command(name, '--robustness')}`.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(robustness_chart(report.robustness, "abnormal_auroc"))
    with right:
        show_chart(robustness_chart(report.robustness, "calibration_error"))
    worst = [row for row in report.robustness if row.auroc_change is not None and row.auroc_change.high < 0]
    said = ", ".join(f"{row.corruption.lower()} {row.severity}" for row in worst) or "none"
    st.markdown(
        f"AUROC falls by more than chance (paired, 95%) under: {said}. Of 40 such tests one may say so by chance."
    )
    st.caption(
        "What each is, at five severities: "
        + " ".join(f"{name}: {corruption.description}" for name, corruption in CORRUPTIONS.items())
        + " Over sources that are mostly of one class, a model can keep its AUROC by telling the sources apart."
    )


def show_mistakes(films: ScoredFilms, threshold: float) -> None:
    """The most confident mistakes, as pictures where the films are at hand."""
    p, abnormal = films.abnormal_probability, films.abnormal == 1
    table = current_table()
    store = current_store(table)
    if store is None:
        st.info("Start the app with the films (`CXR_DATA=/path`) to see them.", icon=":material/image:")
        return
    rows = {film_key(str(table.films.index[row])): int(row) for row in np.flatnonzero(store.available)}
    for title, order in (
        (
            "Below the balanced threshold, labelled abnormal",
            [k for k in np.argsort(p) if abnormal[k] and p[k] < threshold],
        ),
        (
            "Above the balanced threshold, labelled without finding",
            [k for k in np.argsort(-p) if not abnormal[k] and p[k] >= threshold],
        ),
    ):
        found = [rows[key] for key in films.metadata.index[order] if key in rows][:MISTAKES]
        st.subheader(title, anchor=False)
        if found:
            film_grid(thumbs(table, store, found), f"mistakes-{title}", _open)
        else:
            st.caption("None of these films is in the shards.")


def _open(image_id: str) -> None:
    open_film(image_id)
    st.toast(f"{image_id} is open on the page Dataset, under Films.", icon=":material/open_in_new:")
    st.session_state["section-open"] = "Films"


def show_comparison(name: str, others: list[str], report: Report, films: ScoredFilms, resamples: Resamples) -> None:
    """This model and another on the same films."""
    if not others:
        st.info("There is no other model in the models folder.", icon=":material/info:")
        return
    other = st.selectbox("Compare with", others, key="compare-with")
    try:
        stored = evaluated(other)[1]
    except BundleRejected as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if stored is None or not films.metadata.index.equals(stored.films.metadata.index):
        st.info(
            f"{other} was not evaluated on the same films. Compare them on the command line: "
            f"`python -m cxr evaluate --tfrecords GLOB --model {name} --compare {other}`.",
            icon=":material/info:",
        )
        return
    reports = {name: report, other: stored.report}
    st.dataframe(
        pd.DataFrame([_summary_row(label, found) for label, found in reports.items()]),
        hide_index=True,
        alt="Both models beside each other",
    )
    a, b = films.abnormal_probability, stored.films.abnormal_probability
    difference, test = paired_auroc(films.abnormal, a, b, resamples), delong(films.abnormal, a, b)
    st.markdown(
        f"AUROC for abnormal, {name} less {other}: **{interval(difference)}** (paired bootstrap over patients)."
    )
    if test is not None:
        st.markdown(f"{name} {test.auroc_a:.3f}, {other} {test.auroc_b:.3f}; DeLong's test p = {test.p:.3f}.")


def _summary_row(name: str, report: Report) -> dict[str, object]:
    task = report.abnormal
    return {
        "Model": name,
        "AUROC abnormal": interval(task.auroc),
        "AUPRC": interval(task.auprc),
        "Macro-AUROC": interval(report.macro_auroc),
        "Sensitivity": interval(task.sensitivity),
        "Specificity": interval(task.specificity),
        "Calibration error": interval(report.calibration.ece),
    }
