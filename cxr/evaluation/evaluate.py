"""The evaluation that goes into a card: discrimination and calibration on test patients, beside what needs no model."""

from typing import Final

import numpy as np
import pandas as pd

from cxr.evaluation.metrics import (
    Resamples,
    auroc,
    auroc_estimate,
    enough,
    estimate,
    macro_auroc_estimate,
    resample_patients,
)
from cxr.evaluation.precision import average_precision_estimate
from cxr.evaluation.scored import AGE_GROUPS, age_group
from cxr.findings import CATEGORIES, FINDING_INDICES, FINDINGS, NO_FINDING_INDEX
from cxr.model.card import Evaluation, FindingMetrics, GroupFinding, GroupMetrics, Reliability

BINS: Final = 10
FINDING_COLUMNS: Final = list(FINDING_INDICES)


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    uncalibrated: np.ndarray,
    metadata: pd.DataFrame,
    train_labels: np.ndarray,
    train_metadata: pd.DataFrame,
) -> Evaluation:
    """Measure a model on its test films.

    Args:
        labels: (n, 15) 0 or 1.
        probabilities, uncalibrated: float (n, 15), after and before calibration.
        metadata: n rows with `patient`, `source`, `view`, `sex` and `age` (years, NaN where not known).
        train_labels, train_metadata: of the training films, which the baselines learn from.

    Raises:
        ValueError: the test films are of too few patients of one class to measure calibration.
    """
    resamples = resample_patients(metadata["patient"].to_numpy())
    by_view_alone = view_only(train_labels, train_metadata["view"], metadata["view"])
    prior = np.broadcast_to(train_labels.mean(0), labels.shape)

    def group(mask: np.ndarray) -> GroupMetrics:
        return _group(labels[mask], probabilities[mask], by_view_alone[mask], resamples.subset(mask))

    def groups(column: pd.Series) -> dict[str, GroupMetrics]:
        return {str(value): group((column == value).to_numpy()) for value in column.value_counts().index}

    by_age = groups(age_group(metadata["age"]))
    reliability = _reliability(
        1 - labels[:, NO_FINDING_INDEX],
        1 - probabilities[:, NO_FINDING_INDEX],
        1 - uncalibrated[:, NO_FINDING_INDEX],
        resamples,
    )
    if reliability is None:
        raise ValueError("The test films have too few patients of one class to measure calibration.")
    return Evaluation(
        overall=group(np.ones(len(labels), bool)),
        by_source=groups(metadata["source"]),
        by_view=groups(metadata["view"]),
        by_sex=groups(metadata["sex"]),
        by_age={name: by_age[name] for name in (*AGE_GROUPS, "unknown") if name in by_age},
        by_view_and_sex=groups(metadata["view"].astype(str) + ", " + metadata["sex"].astype(str)),
        findings={
            name: FindingMetrics(
                **dict(_finding(labels[:, k], probabilities[:, k], resamples)),
                average_precision=average_precision_estimate(labels[:, k], probabilities[:, k], resamples),
                reliability=_reliability(labels[:, k], probabilities[:, k], uncalibrated[:, k], resamples),
            )
            for name, k in zip(FINDINGS, FINDING_COLUMNS, strict=True)
        },
        reliability=reliability,
        pooled_auroc=pooled_auroc(labels, probabilities),
        constant_prior_pooled_auroc=pooled_auroc(labels, prior),
    )


def view_only(train_labels: np.ndarray, train_views: pd.Series, views: pd.Series) -> np.ndarray:
    """What a model would say that sees only the projection: each category's rate among the training films of the view.

    Args:
        train_labels: (n, 15); train_views: n views such as "PA".
        views: m views.

    Returns:
        float (m, 15); for a view that the training films do not have, the overall rates.
    """
    rates = pd.DataFrame(train_labels, columns=list(CATEGORIES)).groupby(train_views.to_numpy()).mean()
    return rates.reindex(views).fillna(pd.Series(train_labels.mean(0), index=rates.columns)).to_numpy()


def pooled_auroc(labels: np.ndarray, scores: np.ndarray, columns: list[int] = FINDING_COLUMNS) -> float:
    """AUROC over the 14 findings pooled into one column. Prevalences alone score high here; never report it alone.

    Args:
        labels, scores: (n, 15).
        columns: those of the findings that the model has.
    """
    return float(auroc(labels[:, columns].ravel(), scores[:, columns].ravel())[0])


def equal_mass(ranked: np.ndarray, bins: int) -> np.ndarray:
    """The lowest value of each of at most so many bins of equal mass; equal values share a bin, so there can be fewer.

    Args:
        ranked: (n,) ascending, n at least 1.
        bins: at least 1.
    """
    return np.unique(ranked[np.linspace(0, len(ranked), bins + 1).astype(int)[:-1]])


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Expected calibration error over `BINS` bins of equal mass (Naeini et al. 2015), for each row of weights.

    The mass-weighted mean over the bins of |share of positives - mean probability|. Equal probabilities share a bin.

    Args:
        labels: (n,) 0 or 1; probabilities: (n,) in 0..1; weights: (r, n) or None for one row of ones.

    Returns:
        float (r,).
    """
    weights = np.ones((1, len(labels))) if weights is None else weights
    order = np.argsort(probabilities, kind="stable")
    ranked = probabilities[order]
    starts = np.searchsorted(ranked, equal_mass(ranked, BINS))
    gaps = weights[:, order] * (labels[order] - ranked)
    return np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(1) / weights.sum(1)


def brier_score(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean squared error of the probabilities (Brier 1950), for each row of weights (r, n): float (r,)."""
    weights = np.ones((1, len(labels))) if weights is None else weights
    return weights @ (probabilities - labels) ** 2 / weights.sum(1)


def _group(labels: np.ndarray, probabilities: np.ndarray, view_alone: np.ndarray, resamples: Resamples) -> GroupMetrics:
    abnormal = 1 - labels[:, NO_FINDING_INDEX]
    findings = labels[:, FINDING_COLUMNS]
    macro, count = macro_auroc_estimate(findings, probabilities[:, FINDING_COLUMNS], resamples)
    view_macro, _ = macro_auroc_estimate(findings, view_alone[:, FINDING_COLUMNS], resamples)
    return GroupMetrics(
        films=len(labels),
        patients=len(np.unique(resamples.patients)),
        abnormal_films=int(abnormal.sum()),
        abnormal_auroc=auroc_estimate(abnormal, 1 - probabilities[:, NO_FINDING_INDEX], resamples),
        macro_auroc=macro,
        macro_findings=count,
        view_only_abnormal_auroc=auroc_estimate(abnormal, 1 - view_alone[:, NO_FINDING_INDEX], resamples),
        view_only_macro_auroc=view_macro,
        findings={
            name: _finding(labels[:, k], probabilities[:, k], resamples)
            for name, k in zip(FINDINGS, FINDING_COLUMNS, strict=True)
        },
    )


def _finding(labels: np.ndarray, probability: np.ndarray, resamples: Resamples) -> GroupFinding:
    return GroupFinding(
        positives=int(labels.sum()),
        positive_patients=len(np.unique(resamples.patients[labels == 1])),
        auroc=auroc_estimate(labels, probability, resamples),
    )


def _reliability(
    labels: np.ndarray, probability: np.ndarray, uncalibrated: np.ndarray, resamples: Resamples
) -> Reliability | None:
    """None where there are too few patients to say."""
    if not enough(labels, resamples.patients):
        return None
    return Reliability(
        ece_before=float(calibration_error(labels, uncalibrated)[0]),
        ece_after=estimate(lambda w: calibration_error(labels, probability, w), resamples),
        brier_before=float(brier_score(labels, uncalibrated)[0]),
        brier_after=estimate(lambda w: brier_score(labels, probability, w), resamples),
    )
