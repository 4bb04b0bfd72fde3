"""Operating points: chosen on the calibration patients, then measured on the test patients."""

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from cxr.evaluation.metrics import MIN_PATIENTS, Resamples, rate_estimate, resample_patients
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING_INDEX
from cxr.model.card import Estimate, FindingPoint, OperatingPoint, PointName

RULE_OUT_SENSITIVITY: Final = 0.98
RULE_IN_SPECIFICITY: Final = 0.95
# A finding with positives of too few patients to see a sensitivity is cut by specificity alone.
FALLBACK_SPECIFICITY: Final[dict[PointName, float]] = {"rule-out": 0.50, "balanced": 0.80, "rule-in": 0.95}
UNCERTAIN_SHARE: Final = 0.10
"""Share of the calibration films, those nearest in rank to the threshold, whose verdict is "uncertain"."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Films with their truth and their score.

    Attributes:
        labels: (n, 15) 0 or 1; probabilities: float (n, 15), calibrated; patients: (n,).
    """

    labels: np.ndarray
    probabilities: np.ndarray
    patients: np.ndarray


def at_sensitivity(labels: np.ndarray, scores: np.ndarray, sensitivity: float) -> float:
    """The highest threshold that flags at least this share of the positives (flagged: score >= threshold)."""
    positives = np.sort(scores[labels == 1])
    return float(positives[int(np.floor((1 - sensitivity) * len(positives) + 1e-9))])


def at_specificity(labels: np.ndarray, scores: np.ndarray, specificity: float) -> float:
    """The lowest threshold that leaves at least this share of the negatives unflagged; at most 1, as a probability."""
    negatives = np.sort(scores[labels == 0])
    kept = int(np.ceil(specificity * len(negatives) - 1e-9))
    return min(float(np.nextafter(negatives[kept - 1], np.inf)), 1.0) if kept else 0.0


def at_youden(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950), halfway to the next lower score."""
    levels = np.unique(scores)
    sensitivity = (scores[labels == 1][None] >= levels[:, None]).mean(1)
    specificity = (scores[labels == 0][None] < levels[:, None]).mean(1)
    best = int(np.argmax(sensitivity + specificity))
    return float((levels[best] + levels[max(best - 1, 0)]) / 2)


def choose(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> dict[PointName, tuple[float, str]]:
    """The thresholds of the operating points on one binary task (all (n,)), and in words how each was chosen.

    They never fall from rule-out over balanced to rule-in: what a stricter point flags, a laxer one flags too.
    The outer two keep what they promise on these films, for they only move outwards.
    """
    chosen = {name: _choose(name, labels, scores, patients) for name in get_args(PointName)}
    ordered = sorted(threshold for threshold, _ in chosen.values())
    return {
        name: (threshold, basis)
        for name, threshold, (_, basis) in zip(get_args(PointName), ordered, chosen.values(), strict=True)
    }


def _choose(name: PointName, labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> tuple[float, str]:
    positives, negatives = (len(np.unique(patients[labels == value])) for value in (1, 0))
    if negatives < MIN_PATIENTS:
        raise ValueError(f"Negative calibration films of {negatives} patients are too few to choose a threshold.")
    if positives < MIN_PATIENTS:
        share = FALLBACK_SPECIFICITY[name]
        return at_specificity(labels, scores, share), f"specificity {share:.0%}; too few positives for more"
    if name == "rule-out":
        return at_sensitivity(labels, scores, RULE_OUT_SENSITIVITY), f"sensitivity {RULE_OUT_SENSITIVITY:.0%}"
    if name == "rule-in":
        return at_specificity(labels, scores, RULE_IN_SPECIFICITY), f"specificity {RULE_IN_SPECIFICITY:.0%}"
    return at_youden(labels, scores), "largest sensitivity + specificity"


def uncertain_band(scores: np.ndarray, threshold: float) -> tuple[float, float]:
    """The scores between which `UNCERTAIN_SHARE` of the films lie, half of them on either side of the threshold."""
    rank = float((scores < threshold).mean())
    low, high = np.quantile(scores, np.clip([rank - UNCERTAIN_SHARE / 2, rank + UNCERTAIN_SHARE / 2], 0, 1))
    return min(float(low), threshold), max(float(high), threshold)


def operating_points(calibration: Scored, test: Scored) -> tuple[OperatingPoint, ...]:
    """The three operating points, each chosen on `calibration` and measured on `test`.

    Args:
        calibration, test: films of different patients.

    Raises:
        ValueError: too few calibration films without a finding to choose a threshold.
    """
    resamples = resample_patients(test.patients)
    thresholds = choose(
        1 - calibration.labels[:, NO_FINDING_INDEX],
        1 - calibration.probabilities[:, NO_FINDING_INDEX],
        calibration.patients,
    )
    findings = {finding: _finding_points(finding, calibration, test, resamples) for finding in FINDINGS}
    return tuple(
        _operating_point(
            name,
            *thresholds[name],
            {finding: points[name] for finding, points in findings.items()},
            calibration,
            test,
            resamples,
        )
        for name in get_args(PointName)
    )


def _operating_point(
    name: PointName,
    threshold: float,
    basis: str,
    findings: dict[str, FindingPoint],
    calibration: Scored,
    test: Scored,
    resamples: Resamples,
) -> OperatingPoint:
    scores = 1 - calibration.probabilities[:, NO_FINDING_INDEX]
    low, high = uncertain_band(scores, threshold)
    abnormal, tested = test.labels[:, NO_FINDING_INDEX] == 0, 1 - test.probabilities[:, NO_FINDING_INDEX]
    flagged = tested >= threshold
    sensitivity, specificity = _rates(abnormal, flagged, resamples)
    uncertain = (low < tested) & (tested < high)
    everything = np.ones(len(tested), bool)
    return OperatingPoint(
        name=name,
        threshold=threshold,
        uncertain_low=low,
        uncertain_high=high,
        basis=basis,
        sensitivity=sensitivity,
        specificity=specificity,
        uncertain_share=rate_estimate(uncertain, everything, resamples),
        accuracy=rate_estimate(flagged == abnormal, everything, resamples),
        accuracy_outside=rate_estimate(flagged == abnormal, ~uncertain, resamples),
        findings=findings,
    )


def _finding_points(
    finding: str, calibration: Scored, test: Scored, resamples: Resamples
) -> dict[PointName, FindingPoint]:
    k = CATEGORIES.index(finding)
    labels, positive = calibration.labels[:, k], test.labels[:, k] == 1
    points: dict[PointName, FindingPoint] = {}
    for name, (threshold, basis) in choose(labels, calibration.probabilities[:, k], calibration.patients).items():
        sensitivity, specificity = _rates(positive, test.probabilities[:, k] >= threshold, resamples)
        points[name] = FindingPoint(
            threshold=threshold,
            basis=basis,
            positives=int(labels.sum()),
            sensitivity=sensitivity,
            specificity=specificity,
        )
    return points


def _rates(positive: np.ndarray, flagged: np.ndarray, resamples: Resamples) -> tuple[Estimate | None, Estimate | None]:
    """Sensitivity and specificity."""
    return rate_estimate(flagged, positive, resamples), rate_estimate(~flagged, ~positive, resamples)
