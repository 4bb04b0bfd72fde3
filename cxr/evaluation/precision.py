"""Average precision with its interval, and the points of ROC and precision-recall curves."""

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr.evaluation.metrics import CHUNK, Resamples, enough, estimate
from cxr.model.card import Estimate

CURVE_POINTS: Final = 200
"""At most so many points of a curve are drawn. On 10,000 films no point left out is 0.004 of an axis off the line."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve to draw with straight lines between its points.

    Attributes:
        x, y: float64 (k,) in 0..1, k at most `CURVE_POINTS`; x never falls.
    """

    x: np.ndarray
    y: np.ndarray


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Average precision for each row of weights: the mean, over the positives, of the precision where each is found.

    The sum over the falling distinct scores of (recall gained there) x (precision there), without interpolation;
    equal scores are found together (as `sklearn.metrics.average_precision_score`). Random scores reach about the
    share of positives, not 0.5, so it compares only between models on the same films.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) any real numbers, higher = more likely positive.
        weights: (r, n) weight of each film, none below 0; None is one row of ones.

    Returns:
        float64 (r,) in 0..1, NaN in rows in which no positive has weight.

    Raises:
        ValueError: there are no films, or labels or scores are not what they must be.
    """
    check_scored(labels, scores)
    weights = np.ones((1, len(scores)), np.float32) if weights is None else weights
    order = np.argsort(scores, kind="stable")[::-1]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    positive = labels[order].astype(bool)
    values = np.empty(len(weights))
    for first in range(0, len(weights), CHUNK):
        rows = weights[first : first + CHUNK][:, order].astype(np.float64)
        flagged = np.cumsum(np.add.reduceat(rows, starts, axis=1), axis=1)
        gained = np.add.reduceat(np.where(positive, rows, 0), starts, axis=1)
        found = np.cumsum(gained, axis=1)
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        with np.errstate(invalid="ignore"):
            values[first : first + CHUNK] = (gained * precision).sum(1) / found[:, -1]
    return values


def average_precision_estimate(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Estimate | None:
    """Average precision with its interval; None where there are too few patients to say.

    Args:
        labels, scores: (n,) as for `average_precision`.
        resamples: of the n films.
    """
    check_scored(labels, scores)
    if not enough(labels, resamples.patients):
        return None
    return estimate(lambda w: average_precision(labels, scores, w), resamples)


def roc_points(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """The ROC curve: share of negatives flagged (x) and of positives flagged (y), from (0, 0) to (1, 1).

    The area under the points is the AUROC, up to what the thinning takes (below 0.001 on 10,000 films).

    Args:
        labels: (n,) 0 or 1; scores: (n,), higher = more likely positive.

    Raises:
        ValueError: a class has no film, or labels or scores are not what they must be.
    """
    found, passed = _counts(labels, scores)
    if not passed[-1]:
        raise ValueError("There is no negative film, so there is no ROC curve.")
    return _thinned(np.r_[0, passed / passed[-1]], np.r_[0, found / found[-1]])


def pr_points(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """The precision-recall curve: recall (x, from 0 to 1) and precision (y), in steps.

    Between two recalls that thresholds reach, the precision is that of the higher one, for a straight line between
    them would promise too much (Davis & Goadrich 2006). So the area under the points is the average precision, up to
    what the thinning takes (below 0.001 on 10,000 films). Thresholds that find no further positive are not on it.

    Args:
        labels: (n,) 0 or 1; scores: (n,), higher = more likely positive.

    Raises:
        ValueError: there is no positive film, or labels or scores are not what they must be.
    """
    found, passed = _counts(labels, scores)
    gains = np.diff(found, prepend=0) > 0
    recall, precision = (found / found[-1])[gains], (found / (found + passed))[gains]
    return _thinned(np.r_[0, np.repeat(recall, 2)[:-1]], np.repeat(precision, 2))


def check_scored(labels: np.ndarray, scores: np.ndarray) -> None:
    """Raise `ValueError` unless there are films, each with a label 0 or 1 and a score that is a finite number."""
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(f"Labels {labels.shape} and scores {scores.shape} must be one list each, of equal length.")
    if not len(labels):
        raise ValueError("There are no films to measure on.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"Labels must be 0 or 1; {int((~np.isin(labels, (0, 1))).sum())} films have another.")
    if not np.isfinite(scores).all():
        raise ValueError(f"The scores of {int((~np.isfinite(scores)).sum())} films are not finite numbers.")


def _counts(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives flagged at each distinct score, from the highest down: int (k,) each."""
    check_scored(labels, scores)
    if not labels.any():
        raise ValueError("There is no positive film, so there is no curve.")
    order = np.argsort(scores, kind="stable")[::-1]
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    found = np.cumsum(labels[order].astype(int))[ends]
    return found, ends + 1 - found


def _thinned(x: np.ndarray, y: np.ndarray) -> Curve:
    """The ends and, one after the other, the point farthest off the line so far (Douglas & Peucker 1973, best first).

    Points on the line are left out, and all that are left at `CURVE_POINTS`.
    """
    points = np.c_[x, y].astype(np.float64)
    kept = {0, len(points) - 1}
    waiting = [_farthest(points, 0, len(points) - 1)]
    while waiting and len(kept) < CURVE_POINTS:
        distance, middle, first, last = heapq.heappop(waiting)
        if distance > -1e-9:
            break
        kept.add(middle)
        for part in ((first, middle), (middle, last)):
            heapq.heappush(waiting, _farthest(points, *part))
    chosen = points[sorted(kept)]
    return Curve(chosen[:, 0], chosen[:, 1])


def _farthest(points: np.ndarray, first: int, last: int) -> tuple[float, int, int, int]:
    """Minus the distance of the point between two that is farthest off the line from one to the other, and which."""
    between = points[first + 1 : last] - points[first]
    if not len(between):
        return 0.0, first, first, last
    line = points[last] - points[first]
    along = np.clip(between @ line / max(float(line @ line), 1e-300), 0, 1)
    distances = np.hypot(*(between - along[:, None] * line).T)
    middle = int(np.argmax(distances))
    return -float(distances[middle]), first + 1 + middle, first, last
