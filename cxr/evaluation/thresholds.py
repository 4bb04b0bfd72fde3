"""Operating points: chosen on the calibration patients, then measured on the test patients."""

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from cxr.evaluation.compare import Statistic, paired_difference
from cxr.evaluation.metrics import MIN_PATIENTS, Resamples, rate_estimate, resample_patients
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING_INDEX
from cxr.model.card import Estimate, FindingPoint, OperatingPoint, PointName

RULE_OUT_SENSITIVITY: Final = 0.98
RULE_IN_SPECIFICITY: Final = 0.95
# A finding with positives of too few patients to see a sensitivity is cut by specificity alone.
FALLBACK_SPECIFICITY: Final[dict[PointName, float]] = {"rule-out": 0.50, "balanced": 0.80, "rule-in": 0.95}
UNCERTAIN_GAIN: Final = 0.02
"""How much more often verdicts shall be right outside the uncertain band than over all, on the calibration films.

Measured on simulated calibration sets of 110 and 1,000 patients, two normal distributions 0.5 or 1.1 apart, and on
disjoint halves of the held-out patients of a real model: on other patients the gain was 0.019 to 0.032 on average and
above zero in 96% of the draws or more, with 6 to 12% of the films in the band. The tenth of the films nearest to the
threshold gained nothing at rule-in. Choosing the threshold anew in each of five folds by patient changed it little.
"""
UNCERTAIN_MOST: Final = 0.20
"""Most of the calibration films that the band may hold; also at most half of those on either side of the threshold."""
UNCERTAIN_STEP: Final = 0.01


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


@dataclass(frozen=True)
class Band:
    """Scores between which (ends excluded) a verdict is "uncertain"; they enclose the threshold. `basis`: in words."""

    low: float
    high: float
    basis: str


def uncertain_band(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Band:
    """The band around the threshold that holds fewest films and yet makes the verdicts outside it better.

    It holds the fewest of all bands outside which films are on the right side of the threshold `UNCERTAIN_GAIN` more
    often than all films are. Where no band within `UNCERTAIN_MOST` does that, it is the one that gains most, which may
    be empty. How many films it takes from below and from above is chosen freely: at a threshold that is made to flag
    too much, the films just above it are the doubtful ones.

    Args:
        labels: (n,) 0 or 1; scores: (n,) in 0..1; threshold: films at it and above count as 1.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    right = (ranked >= threshold) == (labels[order] == 1)
    total, below = len(ranked), int(np.searchsorted(ranked, threshold))
    steps = np.unique(np.rint(np.arange(0, UNCERTAIN_MOST, UNCERTAIN_STEP) * total).astype(int))
    # Equal scores can't be told apart, so a band ends between two that differ.
    ends = np.r_[True, np.diff(ranked) > 0, True]
    first = below - np.array([s for s in steps if 2 * s <= below and ends[below - s]])[:, None]
    last = below + np.array([s for s in steps if 2 * s <= total - below and ends[below + s]])
    inside = last - first
    passed = np.r_[0, np.cumsum(right)]
    gain = (passed[-1] - passed[last] + passed[first]) / (total - inside) - right.mean()
    gain[inside > UNCERTAIN_MOST * total] = -np.inf
    reached = gain >= UNCERTAIN_GAIN
    found = np.lexsort((-gain.ravel(), np.where(reached, inside, total).ravel()))[0]
    row, column = np.unravel_index(found, gain.shape)
    start, stop = int(first[row, 0]), int(last[column])
    points = f"{100 * UNCERTAIN_GAIN:.0f} percentage points"
    # The ends are outside. A band that takes nothing from below still holds films at the very threshold.
    at_threshold = threshold if stop == below else float(np.nextafter(threshold, 0))
    return Band(
        low=at_threshold if start == below else float(ranked[start - 1]),
        high=threshold if stop == below else float(ranked[stop]),
        basis=f"the narrowest band outside which verdicts on calibration films are right {points} more often"
        if reached.any()
        else f"the band of at most {UNCERTAIN_MOST:.0%} of the calibration films outside which verdicts are right most "
        f"often, though not {points} more often",
    )


def operating_points(calibration: Scored, test: Scored) -> tuple[OperatingPoint, ...]:
    """The three operating points, each chosen on `calibration` and measured on `test`.

    Args:
        calibration, test: films of different patients.

    Raises:
        ValueError: too few calibration films without a finding to choose a threshold.
    """
    resamples = resample_patients(test.patients)
    abnormal, scores = 1 - calibration.labels[:, NO_FINDING_INDEX], 1 - calibration.probabilities[:, NO_FINDING_INDEX]
    thresholds = choose(abnormal, scores, calibration.patients)
    findings = {finding: _finding_points(finding, calibration, test, resamples) for finding in FINDINGS}
    bands = _ordered([uncertain_band(abnormal, scores, threshold) for threshold, _ in thresholds.values()])
    return tuple(
        _operating_point(
            name,
            *thresholds[name],
            band,
            {finding: points[name] for finding, points in findings.items()},
            test,
            resamples,
        )
        for name, band in zip(get_args(PointName), bands, strict=True)
    )


def _ordered(bands: list[Band]) -> list[Band]:
    """The same ends in rising order: where thresholds never fall, each band still encloses its own."""
    lows, highs = sorted(band.low for band in bands), sorted(band.high for band in bands)
    return [Band(low, high, band.basis) for low, high, band in zip(lows, highs, bands, strict=True)]


def _operating_point(
    name: PointName,
    threshold: float,
    basis: str,
    band: Band,
    findings: dict[str, FindingPoint],
    test: Scored,
    resamples: Resamples,
) -> OperatingPoint:
    abnormal, tested = test.labels[:, NO_FINDING_INDEX] == 0, 1 - test.probabilities[:, NO_FINDING_INDEX]
    flagged = tested >= threshold
    sensitivity, specificity = _rates(abnormal, flagged, resamples)
    uncertain = (band.low < tested) & (tested < band.high)
    everything = np.ones(len(tested), bool)
    right = flagged == abnormal
    return OperatingPoint(
        name=name,
        threshold=threshold,
        uncertain_low=band.low,
        uncertain_high=band.high,
        basis=basis,
        uncertain_basis=band.basis,
        sensitivity=sensitivity,
        specificity=specificity,
        uncertain_share=rate_estimate(uncertain, everything, resamples),
        accuracy=rate_estimate(right, everything, resamples),
        accuracy_outside=rate_estimate(right, ~uncertain, resamples),
        accuracy_gain=_gain(right, ~uncertain, resamples),
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


def _gain(right: np.ndarray, outside: np.ndarray, resamples: Resamples) -> Estimate | None:
    """How much more often the films `outside` are `right` (both (n,) bool) than all films are, paired."""

    def accuracy(among: np.ndarray) -> Statistic:
        def share(w: np.ndarray | None) -> np.ndarray:
            rows = np.ones((1, len(right)), np.float32) if w is None else w
            with np.errstate(invalid="ignore"):
                return (rows @ (right & among)) / (rows @ among)

        return share

    if len(np.unique(resamples.patients[outside])) < MIN_PATIENTS:
        return None
    return paired_difference(accuracy(outside), accuracy(np.ones(len(right), bool)), resamples)
