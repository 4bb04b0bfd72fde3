"""AUROC and rates with bootstrap intervals over patients, vectorised over the resamples."""

from collections.abc import Callable
from typing import Final

import numpy as np

from cxr.model.card import Estimate

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
MIN_FILMS: Final = 5
"""A rate or an AUROC needs at least this many films of each class it is about; below, there is too little to say."""
CHUNK: Final = 250


def patient_weights(patients: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each film occurs in each bootstrap resample of the patients.

    Args:
        patients: (n,) patient id of each film.
        resamples: number of resamples.
        seed: of the resampling; the same seed gives the same resamples.

    Returns:
        float32 (resamples, n): all films of a patient share one weight; the patients' weights sum to their number.
    """
    unique, inverse = np.unique(patients, return_inverse=True)
    count = len(unique)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return draws.astype(np.float32)[:, inverse]


def auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve for each row of weights; ties count one half (Mann-Whitney U).

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) any real numbers, higher = more likely positive.
        weights: (r, n) weight of each film; None is one row of ones.

    Returns:
        float64 (r,), NaN in rows in which one class has no weight.
    """
    weights = np.ones((1, len(scores)), np.float32) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positive = labels[order].astype(bool)
    values = np.empty(len(weights))
    for first in range(0, len(weights), CHUNK):
        rows = weights[first : first + CHUNK][:, order].astype(np.float64)
        gained = np.add.reduceat(np.where(positive, rows, 0), starts, axis=1)
        passed = np.add.reduceat(np.where(positive, 0, rows), starts, axis=1)
        below = np.cumsum(passed, axis=1) - passed / 2
        with np.errstate(invalid="ignore"):
            values[first : first + CHUNK] = (gained * below).sum(1) / (gained.sum(1) * passed.sum(1))
    return values


def enough(labels: np.ndarray) -> bool:
    """Whether both classes have at least `MIN_FILMS` films."""
    positives = int(np.sum(labels))
    return min(positives, len(labels) - positives) >= MIN_FILMS


def estimate(statistic: Callable[[np.ndarray | None], np.ndarray], weights: np.ndarray) -> Estimate:
    """A statistic of the films, with the interval that the resamples give it.

    Args:
        statistic: takes weights (r, n) or None for none, returns (r,) values; NaN where a resample can't say.
        weights: of `patient_weights`.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(statistic(weights), [tail, 100 - tail])
    return Estimate(value=float(statistic(None)[0]), low=float(low), high=float(high))


def auroc_estimate(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Estimate | None:
    """AUROC with its interval; None where there are too few films to say."""
    return estimate(lambda w: auroc(labels, scores, w), weights) if enough(labels) else None


def macro_auroc_estimate(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[Estimate | None, int]:
    """Mean AUROC of the columns that have enough films of both classes, and how many columns these are.

    Args:
        labels, scores: (n, k).
        weights: of `patient_weights`.
    """
    columns = [k for k in range(labels.shape[1]) if enough(labels[:, k])]
    if not columns:
        return None, 0

    def macro(w: np.ndarray | None) -> np.ndarray:
        return np.nanmean([auroc(labels[:, k], scores[:, k], w) for k in columns], axis=0)

    return estimate(macro, weights), len(columns)


def rate_estimate(hits: np.ndarray, among: np.ndarray, weights: np.ndarray) -> Estimate | None:
    """Share of the films in `among` (n, bool) that are `hits` (n, bool), with its interval; None where too few.

    Sensitivity is the rate of flagged films among the abnormal ones, specificity that of unflagged among the others.
    """
    if int(among.sum()) < MIN_FILMS:
        return None

    def rate(w: np.ndarray | None) -> np.ndarray:
        rows = np.ones((1, len(hits)), np.float32) if w is None else w
        with np.errstate(invalid="ignore"):
            return (rows @ (hits & among)) / (rows @ among)

    return estimate(rate, weights)
