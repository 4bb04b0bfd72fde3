"""Two models on the same films: is one better, and by how much?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from cxr.evaluation.metrics import CHUNK, CONFIDENCE, MIN_PATIENTS, Resamples, auroc, enough, estimate
from cxr.evaluation.precision import check_scored
from cxr.evaluation.ranks import midranks
from cxr.model.card import Estimate

Statistic = Callable[[np.ndarray | None], np.ndarray]
"""Takes weights (r, n) or None for none, returns (r,) values; NaN where a resample can't say."""


@dataclass(frozen=True)
class DeLong:
    """Two AUROCs on the same films.

    Attributes:
        auroc_a, auroc_b: of the two models, 0..1.
        difference: auroc_a - auroc_b.
        low, high: its 95% interval, within -1..1.
        p: two-sided, of a difference at least as large if the models were equally good.
    """

    auroc_a: float
    auroc_b: float
    difference: float
    low: float
    high: float
    p: float


def delong(labels: np.ndarray, scores_a: np.ndarray, scores_b: np.ndarray) -> DeLong | None:
    """DeLong's test for the AUROCs of two models on the same films (DeLong et al. 1988, Biometrics 44:837).

    By midranks as Sun & Xu 2014 (IEEE Signal Processing Letters 21:1389); ties count one half.

    It takes the films as independent of each other. Where patients have several films its interval is too narrow and
    its p too small: then use `paired_auroc`.

    Args:
        labels: (n,) 0 or 1.
        scores_a, scores_b: (n,) any real numbers, higher = more likely positive; the scales may differ.

    Returns:
        None where a class has fewer than `MIN_PATIENTS` films, or where the AUROCs differ but no film says by how much
        that may vary (say, one model perfect and the other constant).

    Raises:
        ValueError: there are no films, or labels or scores are not what they must be.
    """
    check_scored(labels, scores_a)
    check_scored(labels, scores_b)
    positive = labels.astype(bool)
    if min(positive.sum(), (~positive).sum()) < MIN_PATIENTS:
        return None
    (beaten_a, beating_a), (beaten_b, beating_b) = (_placements(positive, scores) for scores in (scores_a, scores_b))
    positives, negatives = len(beaten_a), len(beating_a)
    # Counts of pairs are multiples of 1/2, so models that rank alike differ by exactly nothing.
    by_positive, by_negative = beaten_a - beaten_b, beating_a - beating_b
    difference = float(by_positive.sum()) / (positives * negatives)
    variance = float(by_positive.var(ddof=1)) / (positives * negatives**2)
    variance += float(by_negative.var(ddof=1)) / (negatives * positives**2)
    if variance == 0 and difference != 0:
        return None
    deviation = variance**0.5
    reach = float(ndtri((1 + CONFIDENCE) / 2)) * deviation
    return DeLong(
        auroc_a=float(beaten_a.sum()) / (positives * negatives),
        auroc_b=float(beaten_b.sum()) / (positives * negatives),
        difference=difference,
        low=max(difference - reach, -1.0),
        high=min(difference + reach, 1.0),
        p=2 * float(ndtr(-abs(difference) / deviation)) if difference else 1.0,
    )


def paired_difference(statistic_a: Statistic, statistic_b: Statistic, resamples: Resamples) -> Estimate | None:
    """How much more one statistic is than another on the same films: a - b, with a paired interval over patients.

    Both are taken on the same resamples, so what makes films hard for both models cancels.

    Args:
        statistic_a, statistic_b: of the same films.
        resamples: of these films.

    Returns:
        None where the films are of fewer than `MIN_PATIENTS` patients or a statistic can't say.
    """

    def difference(w: np.ndarray | None) -> np.ndarray:
        return statistic_a(w) - statistic_b(w)

    if len(np.unique(resamples.patients)) < MIN_PATIENTS or not np.isfinite(difference(None)).all():
        return None
    return estimate(difference, resamples)


def paired_auroc(
    labels: np.ndarray, scores_a: np.ndarray, scores_b: np.ndarray, resamples: Resamples
) -> Estimate | None:
    """AUROC of a less AUROC of b, with a paired interval over patients.

    Args:
        labels: (n,) 0 or 1.
        scores_a, scores_b: (n,) any real numbers, higher = more likely positive; the scales may differ.
        resamples: of the n films.

    Returns:
        None where a class has films of too few patients to say.

    Raises:
        ValueError: there are no films, or labels or scores are not what they must be.
    """
    check_scored(labels, scores_a)
    check_scored(labels, scores_b)
    if not enough(labels, resamples.patients):
        return None
    return paired_difference(lambda w: auroc(labels, scores_a, w), lambda w: auroc(labels, scores_b, w), resamples)


def matched_sensitivities(
    labels: np.ndarray, scores_a: np.ndarray, scores_b: np.ndarray, threshold_b: float
) -> tuple[Statistic, Statistic]:
    """Sensitivity of two models, both where they flag as few negatives as the second does at its threshold.

    In each resample the specificity is the one that the second has there. So the first is measured as if it were set to
    raise no more false alarms than the second does, whatever the scales of the two.

    Args:
        labels: (n,) 0 or 1.
        scores_a, scores_b: (n,) any finite numbers, higher = more likely positive.
        threshold_b: the second flags scores at it and above.
    """
    negative = labels == 0
    rests = negative & (scores_b < threshold_b)

    def at(scores: np.ndarray) -> Statistic:
        def sensitivity(w: np.ndarray | None) -> np.ndarray:
            rows = np.ones((1, len(labels)), np.float32) if w is None else w
            with np.errstate(invalid="ignore"):
                specificity = (rows @ rests).astype(np.float64) / (rows @ negative)
            return sensitivity_at_specificity(labels, scores, specificity, rows)

        return sensitivity

    return at(scores_a), at(scores_b)


def sensitivity_at_specificity(
    labels: np.ndarray, scores: np.ndarray, specificity: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The largest sensitivity of all thresholds that leave at least such a share of the negatives unflagged.

    Args:
        labels: (n,) 0 or 1; scores: (n,), higher = more likely positive; weights: (r, n) weight of each film.
        specificity: (r,) in 0..1, for each row of weights.

    Returns:
        float64 (r,), NaN in rows in which one class has no weight.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    # Equal scores are flagged together.
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    positive = labels[order].astype(bool)
    values = np.empty(len(weights))
    for first in range(0, len(weights), CHUNK):
        rows = weights[first : first + CHUNK][:, order].astype(np.float64)
        found = np.cumsum(np.where(positive, rows, 0), axis=1)[:, ends]
        alarms = np.cumsum(np.where(positive, 0, rows), axis=1)[:, ends]
        allowed = (1 - specificity[first : first + CHUNK]) * alarms[:, -1]
        # Weights are counts, so what rounding adds is far below what a film weighs.
        reached = (alarms <= allowed[:, None] + 1e-6).sum(1)
        at = np.where(reached > 0, found[np.arange(len(rows)), np.maximum(reached, 1) - 1], 0.0)
        with np.errstate(invalid="ignore"):
            values[first : first + CHUNK] = np.where(alarms[:, -1] > 0, at / found[:, -1], np.nan)
    return values


def _placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many negatives each positive is above (m,), and how many positives each negative is above (n,)."""
    ranks = midranks(scores)
    return (
        ranks[positive] - midranks(scores[positive]),
        ranks[~positive] - midranks(scores[~positive]),
    )
