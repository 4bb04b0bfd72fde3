"""AUROC and rates with bootstrap intervals over patients, vectorised over the resamples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr.model.card import Estimate

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
MIN_PATIENTS: Final = 5
"""A rate or an AUROC needs films of at least this many patients of each class it is about; below, too few to say."""
CHUNK: Final = 250


@dataclass(frozen=True, eq=False)
class Resamples:
    """Bootstrap resamples of the patients of some films.

    Attributes:
        patients: (n,) patient id of each film.
        weights: float32 (resamples, n), how often each film occurs in each; all films of a patient share one weight.
    """

    patients: np.ndarray
    weights: np.ndarray

    def subset(self, mask: np.ndarray) -> "Resamples":
        """The same resamples, seen on the films where the boolean `mask` (n,) is true."""
        return Resamples(self.patients[mask], self.weights[:, mask])


def resample_patients(patients: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Resamples:
    """Draw as many patients as there are, with replacement, again and again; a patient brings all films.

    Args:
        patients: (n,) patient id of each film.
        resamples: number of resamples.
        seed: of the resampling; the same seed gives the same resamples.
    """
    unique, inverse = np.unique(patients, return_inverse=True)
    count = len(unique)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return Resamples(np.asarray(patients), draws.astype(np.float32)[:, inverse])


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


def enough(labels: np.ndarray, patients: np.ndarray) -> bool:
    """Whether both classes have films of at least `MIN_PATIENTS` patients."""
    return all(len(np.unique(patients[labels == value])) >= MIN_PATIENTS for value in (0, 1))


def telling(labels: np.ndarray, patients: np.ndarray, columns: Iterable[int]) -> list[int]:
    """Those of some columns of labels (n, k) that have `enough` patients of both classes."""
    return [k for k in columns if enough(labels[:, k], patients)]


def estimate(statistic: Callable[[np.ndarray | None], np.ndarray], resamples: Resamples) -> Estimate:
    """A statistic of the films, with the interval that the resamples give it.

    Args:
        statistic: takes weights (r, n) or None for none, returns (r,) values; NaN where a resample can't say.
        resamples: of the films that the statistic is about.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(statistic(resamples.weights), [tail, 100 - tail])
    return Estimate(value=float(statistic(None)[0]), low=float(low), high=float(high))


def auroc_estimate(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Estimate | None:
    """AUROC with its interval; None where there are too few patients to say."""
    if not enough(labels, resamples.patients):
        return None
    return estimate(lambda w: auroc(labels, scores, w), resamples)


def macro_auroc_estimate(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> tuple[Estimate | None, int]:
    """Mean AUROC of the columns that have enough patients of both classes, and how many columns these are.

    Args:
        labels, scores: (n, k).
    """
    columns = telling(labels, resamples.patients, range(labels.shape[1]))
    if not columns:
        return None, 0
    return estimate(lambda w: macro_auroc(labels[:, columns], scores[:, columns], w), resamples), len(columns)


def macro_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean AUROC of the columns for each row of weights; where a column has one class only, over the others.

    Args:
        labels, scores: (n, k), k at least 1; weights: (r, n) or None for one row of ones.

    Returns:
        float64 (r,), NaN in rows in which no column has weight in both classes.
    """
    each = [auroc(labels[:, k], scores[:, k], weights) for k in range(labels.shape[1])]
    return np.ma.masked_invalid(each).mean(axis=0).filled(np.nan)


def rate_estimate(hits: np.ndarray, among: np.ndarray, resamples: Resamples) -> Estimate | None:
    """Share of the films in `among` (n, bool) that are `hits` (n, bool), with its interval; None where too few.

    Sensitivity is the rate of flagged films among the abnormal ones, specificity that of unflagged among the others.
    """
    if len(np.unique(resamples.patients[among])) < MIN_PATIENTS:
        return None

    def rate(w: np.ndarray | None) -> np.ndarray:
        rows = np.ones((1, len(hits)), np.float32) if w is None else w
        with np.errstate(invalid="ignore"):
            return (rows @ (hits & among)) / (rows @ among)

    return never_certain(estimate(rate, resamples), len(np.unique(resamples.patients[among])))


def never_certain(share: Estimate, patients: int) -> Estimate:
    """An interval for a share that was 0 or 1: no resample shows anything else, and yet the next patient may.

    The other end becomes `unseen` of so many patients, if it lies further out than the bootstrap's.

    Args:
        share: of films of so many `patients`, at least 1.
    """
    event = unseen(patients)
    if share.value == 0:
        return Estimate(value=0.0, low=0.0, high=max(share.high, event))
    if share.value == 1:
        return Estimate(value=1.0, low=min(share.low, 1 - event), high=1.0)
    return share


def unseen(patients: int) -> float:
    """How frequent an event can be that none of so many patients had: the end of the exact binomial interval (Clopper &
    Pearson 1934, doi:10.1093/biomet/26.4.404)."""
    return float(1 - ((1 - CONFIDENCE) / 2) ** (1 / patients))
