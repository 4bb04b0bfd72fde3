"""What a model would score that looks at no film: the numbers that any real score must be compared with."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr.dataset.summary import Summary
from cxr.evaluation.metrics import auroc
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX

MACRO_OF_NOTHING: Final = 0.5
"""AUROC of one and the same score for every film, for each finding and so for their mean: ties count one half."""


@dataclass(frozen=True)
class Baselines:
    """AUROC on all films of a selection; NaN where a class is missing.

    Attributes:
        pooled_15, pooled_14: the categories' shares as scores, pooled over the 15 columns, or over the 14 findings.
        view_macro: the share of each finding among the films of the same view as score, mean over the findings that
            some films have and some do not.
        view_abnormal: the same for any finding.
        view_pooled_14: the same shares, pooled over the 14 findings.
    """

    pooled_15: float
    pooled_14: float
    view_macro: float
    view_abnormal: float
    view_pooled_14: float


def baselines(summary: Summary) -> Baselines:
    """Measure what needs no film. In-sample: the shares are those of the films that they are measured on."""
    by_view = summary.counts.sum(axis=(2, 3))
    films = by_view.sum(axis=0).astype(float)
    positives = (summary.kinds.T.astype(np.int64) @ by_view).astype(float)
    shares = positives.sum(axis=1, keepdims=True) / max(films.sum(), 1)
    view_shares = positives / np.maximum(films, 1)
    findings = list(FINDING_INDICES)
    each = [_auroc(positives[[k]], films, view_shares[[k]]) for k in findings]
    return Baselines(
        pooled_15=_auroc(positives, films, np.broadcast_to(shares, positives.shape)),
        pooled_14=_auroc(positives[findings], films, np.broadcast_to(shares, positives.shape)[findings]),
        view_macro=float(np.nanmean(each)) if not np.isnan(each).all() else float("nan"),
        view_abnormal=1 - _auroc(positives[[NO_FINDING_INDEX]], films, -view_shares[[NO_FINDING_INDEX]]),
        view_pooled_14=_auroc(positives[findings], films, view_shares[findings]),
    )


def _auroc(positives: np.ndarray, films: np.ndarray, scores: np.ndarray) -> float:
    """AUROC from counts: positives (k, g) among films (g,) in each of g groups that share the scores (k, g)."""
    negatives = films - positives
    labels = np.repeat([1, 0], positives.size)
    weights = np.r_[positives.ravel(), negatives.ravel()][None]
    return float(auroc(labels, np.tile(scores.ravel(), 2), weights)[0])
