"""What a model could take off the worklist: films set aside as "no finding", and the abnormal ones lost with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr.evaluation.metrics import CONFIDENCE, MIN_PATIENTS, Resamples, enough, estimate, unseen
from cxr.model.card import Estimate

SENSITIVITIES: Final = (0.99, 0.98, 0.95)
"""The sensitivities at which `set_aside_at` is asked."""
MIN_MISSED: Final = 2
"""`set_aside_at` needs so many abnormal patients that at least this many of them may be missed.

Measured on normally distributed scores, the classes 1.5 standard deviations apart, 200 draws each: with one the 95%
interval holds the truth in 82 to 90% of the draws and the value is on average 1.3 times too high; with two or more in
91 to 99%, the value up to 1.15 times.
"""
CHUNK: Final = 100


@dataclass(frozen=True, eq=False)
class WorkloadCurve:
    """What setting aside ever more films costs; all arrays are float64 (points,) of shares in 0..1.

    Attributes:
        share: of all films, set aside as "no finding": those with the lowest scores.
        missed: of the abnormal films, the share that is among them.
        missed_low, missed_high: 95% interval of `missed`.
        predictive_value: negative predictive value, the share of the films set aside that are not abnormal;
            NaN where fewer than `MIN_PATIENTS` patients have films among them.
        predictive_low, predictive_high: 95% interval of `predictive_value`; NaN where that is.
    """

    share: np.ndarray
    missed: np.ndarray
    missed_low: np.ndarray
    missed_high: np.ndarray
    predictive_value: np.ndarray
    predictive_low: np.ndarray
    predictive_high: np.ndarray


@dataclass(frozen=True)
class Cost:
    """What is lost when one share of the films is set aside.

    Attributes:
        share: of all films, set aside; above 0, at most 1.
        missed: share of the abnormal films that is among them, 0..1.
        abnormal_per_100: of each 100 films set aside, how many are abnormal, 0..100; None where fewer than
            `MIN_PATIENTS` patients have films among them.
    """

    share: float
    missed: Estimate
    abnormal_per_100: Estimate | None


def workload_curve(
    abnormal: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    points: int = 101,
    prevalence: float | None = None,
) -> WorkloadCurve | None:
    """The curve of what is missed over the share of films set aside; None where too few patients to say.

    Films with the same score are set aside in proportion, as if drawn by lot, so their order does not matter.
    Where no abnormal film is missed, the interval still reaches up to what as many patients could hide.

    Args:
        abnormal: (n,) 0 or 1.
        scores: (n,) abnormal probability; only their order counts.
        resamples: of these films.
        points: number of shares, evenly spaced from 0 to 1; at least 2.
        prevalence: share of abnormal films to re-weight both classes to, in each resample; above 0, below 1. None
            leaves the films as they are, and each resample its own prevalence.

    Raises:
        ValueError: labels, scores and patients of different lengths, scores that are not finite, or a prevalence out of
            range.
    """
    _check(abnormal, scores, resamples, prevalence)
    if not enough(abnormal, resamples.patients):
        return None
    share = np.linspace(0, 1, points)
    missed, among = _at_shares(abnormal, scores, resamples, share, prevalence)
    known = share > _first_share_of_enough(abnormal, scores, resamples.patients, prevalence)
    among = np.where(known, among, np.nan)
    return WorkloadCurve(
        share=share,
        missed=missed[0],
        missed_low=missed[1],
        missed_high=missed[2],
        predictive_value=1 - among[0],
        predictive_low=1 - among[2],
        predictive_high=1 - among[1],
    )


def set_aside_at(
    abnormal: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    sensitivity: float,
    prevalence: float | None = None,
) -> Estimate | None:
    """Share of all films that can be set aside when at most 1 - `sensitivity` of the abnormal films may be among them.

    These are the films below the highest threshold that flags the other abnormal films (flagged: score >= threshold,
    as in `thresholds.at_sensitivity`), so films with the same score are all set aside or none. The threshold is chosen
    on these very films, and again in each resample: it says what the scores could do, not what a threshold fixed
    before will do.

    Args:
        abnormal, scores, resamples, prevalence: as in `workload_curve`.
        sensitivity: above 0, below 1.

    Returns:
        None where too few patients to say, and also where 1 - `sensitivity` of the abnormal patients is fewer than
        `MIN_MISSED`: then the answer hangs on the single lowest abnormal film, of which a bootstrap says too little.

    Raises:
        ValueError: as `workload_curve`, or a sensitivity out of range.
    """
    _check(abnormal, scores, resamples, prevalence)
    if not 0 < sensitivity < 1:
        raise ValueError(f"The sensitivity must be above 0 and below 1, not {sensitivity}.")
    abnormal_patients = len(np.unique(resamples.patients[abnormal == 1]))
    if not enough(abnormal, resamples.patients) or (1 - sensitivity) * abnormal_patients < MIN_MISSED - 1e-9:
        return None

    def share(w: np.ndarray | None) -> np.ndarray:
        rows = []
        for aside, missed, _ in _cumulated(abnormal, scores, w, prevalence):
            allowed = (missed <= 1 - sensitivity + 1e-9).sum(1) - 1
            rows.append(np.take_along_axis(aside, np.maximum(allowed, 0)[:, None], 1)[:, 0])
        return np.concatenate(rows)

    return estimate(share, resamples)


def cost_of(
    abnormal: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    share: float = 0.7,
    prevalence: float | None = None,
) -> Cost | None:
    """What is lost when this share of the films, those with the lowest scores, is set aside.

    One point of `workload_curve`, with the same intervals; None where too few patients to say.

    Args:
        abnormal, scores, resamples, prevalence: as in `workload_curve`.
        share: of all films; above 0, at most 1.

    Raises:
        ValueError: as `workload_curve`, or a share out of range.
    """
    _check(abnormal, scores, resamples, prevalence)
    if not 0 < share <= 1:
        raise ValueError(f"The share of films to set aside must be above 0 and at most 1, not {share}.")
    if not enough(abnormal, resamples.patients):
        return None
    missed, among = _at_shares(abnormal, scores, resamples, np.array([share]), prevalence)[..., 0]
    known = share > _first_share_of_enough(abnormal, scores, resamples.patients, prevalence)
    return Cost(share, _estimate(missed), _estimate(100 * among) if known else None)


def _cumulated(
    abnormal: np.ndarray, scores: np.ndarray, weights: np.ndarray | None, prevalence: float | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Shares of all films, and of the abnormal ones, at and below each score that occurs, for chunks of the weights.

    Yields:
        Two float64 (chunk, levels + 1) from 0 to 1, never falling, NaN in rows in which one class has no weight; and
        the prevalences (chunk, 1).
    """
    weights = np.ones((1, len(scores)), np.float32) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positive = abnormal[order].astype(bool)
    for first in range(0, len(weights), CHUNK):
        rows = weights[first : first + CHUNK][:, order].astype(np.float64)
        counts = [np.add.reduceat(np.where(kind, rows, 0), starts, axis=1) for kind in (positive, ~positive)]
        ill, well = (np.cumsum(np.pad(count, ((0, 0), (1, 0))), axis=1) for count in counts)
        with np.errstate(invalid="ignore"):
            missed, cleared = ill / ill[:, -1:], well / well[:, -1:]
            rate = ill[:, -1:] / (ill[:, -1:] + well[:, -1:])
        if prevalence is not None:
            rate = np.full_like(rate, prevalence)
        aside = rate * missed + (1 - rate) * cleared
        yield aside, np.where(np.isnan(aside), np.nan, missed), rate


def _lost(
    abnormal: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None,
    shares: np.ndarray,
    prevalence: float | None,
) -> np.ndarray:
    """For each of the `shares` (k,) set aside: share of the abnormal films missed, and of those set aside the abnormal.

    Returns:
        float64 (2, r, k); NaN in rows in which one class has no weight, and in the second where the share is 0.
    """
    missed, rates = [], []
    for aside, among, rate in _cumulated(abnormal, scores, weights, prevalence):
        missed += [np.interp(shares, *row) for row in zip(aside, among, strict=True)]
        rates.append(rate)
    with np.errstate(invalid="ignore"):
        return np.stack([missed, missed * np.concatenate(rates) / shares])


def _at_shares(
    abnormal: np.ndarray,
    scores: np.ndarray,
    resamples: Resamples,
    shares: np.ndarray,
    prevalence: float | None,
) -> np.ndarray:
    """The two of `_lost`, each as value, low and high: (2, 3, k).

    A bootstrap of films of which none is missed says "none, for sure". The high end is therefore never below the exact
    bound for an event that none of the abnormal patients had (Clopper and Pearson 1934): about 3.7 in their number.
    """
    values = _lost(abnormal, scores, None, shares, prevalence)[:, 0]
    rows = _lost(abnormal, scores, resamples.weights, shares, prevalence)
    rate = float(abnormal.mean()) if prevalence is None else prevalence
    bound = unseen(len(np.unique(resamples.patients[abnormal == 1])))
    missed = np.minimum(bound, shares / rate)  # no more can be missed than is set aside
    among = np.divide(missed * rate, shares, out=np.full(len(shares), np.nan), where=shares > 0)
    return np.stack([_bounds(*part) for part in zip(values, rows, (missed, among), strict=True)])


def _bounds(value: np.ndarray, rows: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Value (k,), low and high percentile of its resamples (r, k), the high not below `bound` (k,): (3, k)."""
    tail = 100 * (1 - CONFIDENCE) / 2
    known = ~np.isnan(value)
    low, high = np.full((2, len(value)), np.nan)
    low[known], high[known] = np.nanpercentile(rows[:, known], [tail, 100 - tail], axis=0)
    return np.stack([value, low, np.maximum(high, bound)])


def _estimate(bounds: np.ndarray) -> Estimate:
    value, low, high = bounds.tolist()
    return Estimate(value=value, low=low, high=high)


def _first_share_of_enough(
    abnormal: np.ndarray, scores: np.ndarray, patients: np.ndarray, prevalence: float | None
) -> float:
    """The share of films set aside above which films of at least `MIN_PATIENTS` patients are among them."""
    ((aside, _, _),) = _cumulated(abnormal, scores, None, prevalence)
    entry = aside[0, np.unique(scores, return_inverse=True)[1]]
    _, patient = np.unique(patients, return_inverse=True)
    first = np.ones(patient.max() + 1)
    np.minimum.at(first, patient, entry)
    return float(np.sort(first)[MIN_PATIENTS - 1])


def _check(abnormal: np.ndarray, scores: np.ndarray, resamples: Resamples, prevalence: float | None) -> None:
    if not len(abnormal) == len(scores) == len(resamples.patients):
        counts = f"{len(abnormal)} labels, {len(scores)} scores and {len(resamples.patients)} patients"
        raise ValueError(f"Each film needs a label, a score and a patient, but there are {counts}.")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite numbers.")
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"The prevalence must be above 0 and below 1, not {prevalence}.")
