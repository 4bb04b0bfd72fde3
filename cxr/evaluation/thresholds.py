"""Operating points: chosen on the calibration patients, then measured on the test patients."""

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from cxr.evaluation.metrics import MIN_FILMS, rate_estimate
from cxr.findings import CATEGORIES, FINDINGS
from cxr.model.card import Estimate, FindingPoint, OperatingPoint, PointName

RULE_OUT_SENSITIVITY: Final = 0.98
RULE_IN_SPECIFICITY: Final = 0.95
# A finding with too few positives to see a sensitivity is cut by specificity alone.
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
    """The lowest threshold that leaves at least this share of the negatives unflagged."""
    negatives = np.sort(scores[labels == 0])
    kept = int(np.ceil(specificity * len(negatives) - 1e-9))
    return float(np.nextafter(negatives[kept - 1], np.inf)) if kept else 0.0


def at_youden(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950), halfway to the next lower score."""
    levels = np.unique(scores)
    sensitivity = (scores[labels == 1][None] >= levels[:, None]).mean(1)
    specificity = (scores[labels == 0][None] < levels[:, None]).mean(1)
    best = int(np.argmax(sensitivity + specificity))
    return float((levels[best] + levels[max(best - 1, 0)]) / 2)


def choose(name: PointName, labels: np.ndarray, scores: np.ndarray) -> tuple[float, str]:
    """The threshold of an operating point on one binary task, and in words how it was chosen."""
    positives, negatives = int(labels.sum()), int((1 - labels).sum())
    if negatives < MIN_FILMS:
        raise ValueError(f"{negatives} negative calibration films are too few to choose a threshold.")
    if positives < MIN_FILMS:
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


def operating_points(calibration: Scored, test: Scored, weights: np.ndarray) -> tuple[OperatingPoint, ...]:
    """The three operating points, each chosen on `calibration` and measured on `test`.

    Args:
        calibration, test: films of different patients.
        weights: of `patient_weights` for the test films.

    Raises:
        ValueError: too few calibration films without a finding to choose a threshold.
    """
    return tuple(_operating_point(name, calibration, test, weights) for name in get_args(PointName))


def _operating_point(name: PointName, calibration: Scored, test: Scored, weights: np.ndarray) -> OperatingPoint:
    scores = 1 - calibration.probabilities[:, 0]
    threshold, basis = choose(name, 1 - calibration.labels[:, 0], scores)
    low, high = uncertain_band(scores, threshold)
    abnormal, tested = test.labels[:, 0] == 0, 1 - test.probabilities[:, 0]
    flagged = tested >= threshold
    sensitivity, specificity = _rates(abnormal, flagged, weights)
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
        uncertain_share=rate_estimate(uncertain, everything, weights),
        accuracy=rate_estimate(flagged == abnormal, everything, weights),
        accuracy_outside=rate_estimate(flagged == abnormal, ~uncertain, weights),
        findings={finding: _finding_point(name, finding, calibration, test, weights) for finding in FINDINGS},
    )


def _finding_point(
    name: PointName, finding: str, calibration: Scored, test: Scored, weights: np.ndarray
) -> FindingPoint:
    k = CATEGORIES.index(finding)
    threshold, basis = choose(name, calibration.labels[:, k], calibration.probabilities[:, k])
    sensitivity, specificity = _rates(test.labels[:, k] == 1, test.probabilities[:, k] >= threshold, weights)
    return FindingPoint(
        threshold=threshold,
        basis=basis,
        positives=int(calibration.labels[:, k].sum()),
        sensitivity=sensitivity,
        specificity=specificity,
    )


def _rates(positive: np.ndarray, flagged: np.ndarray, weights: np.ndarray) -> tuple[Estimate | None, Estimate | None]:
    """Sensitivity and specificity."""
    return rate_estimate(flagged, positive, weights), rate_estimate(~flagged, ~positive, weights)
