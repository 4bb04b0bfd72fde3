"""The model against baselines on the same test films: where it is better, by how much, and where that is not shown."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxr.evaluation.compare import Statistic
from cxr.evaluation.metrics import Resamples, enough, estimate, macro_auroc, resample_patients, telling
from cxr.findings import CATEGORIES, FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.attach import attach
from cxr.model.bundle import Bundle
from cxr.model.card import BaselineComparison, ComparedGroup, Paired


def compare_with_baselines(
    labels: np.ndarray, probabilities: np.ndarray, metadata: pd.DataFrame, baselines: Mapping[str, np.ndarray]
) -> tuple[BaselineComparison, ...]:
    """Measure the model and each baseline on the same films: AUROC for abnormal and macro-AUROC, all and by source.

    Intervals, those of the differences too, are of one bootstrap over patients, the same resamples for both.

    Args:
        labels: (n, 15) 0 or 1.
        probabilities: float (n, 15), of the model.
        metadata: n rows with `patient` and `source`.
        baselines: name in words -> scores (n, 15) of any scale, higher = more likely; a film counts as the more
            abnormal the lower its score of "No Finding".

    Returns:
        One comparison for each baseline, in their order.

    Raises:
        ValueError: scores that are not finite numbers, or not 15 for each film.
    """
    for name, scores in {"the model": probabilities, **baselines}.items():
        if scores.shape != labels.shape or labels.shape[1:] != (len(CATEGORIES),):
            raise ValueError(f"The scores of {name} are {scores.shape}, not {len(CATEGORIES)} for each film.")
        if not np.isfinite(scores).all():
            films = int((~np.isfinite(scores)).any(axis=1).sum())
            raise ValueError(f"The scores of {name} are not finite numbers on {films} films.")
    resamples = resample_patients(metadata["patient"].to_numpy())
    source = metadata["source"]
    sources = {str(value): (source == value).to_numpy() for value in source.value_counts().index}

    def group(mask: np.ndarray, scores: np.ndarray) -> ComparedGroup:
        return _group(labels[mask], probabilities[mask], scores[mask], resamples.subset(mask))

    return tuple(
        BaselineComparison(
            name=name,
            overall=group(np.ones(len(labels), bool), scores),
            by_source={value: group(mask, scores) for value, mask in sources.items()},
        )
        for name, scores in baselines.items()
    )


def attach_comparison(bundle: Bundle, comparison: tuple[BaselineComparison, ...]) -> Bundle:
    """Write the comparison into the bundle's card, in place of any it has; returns the bundle as it then is.

    Raises:
        BundleRejected: the card can't be loaded with it; the bundle is then as it was.
    """
    return attach(bundle, (), lambda folder: None, {"comparison": comparison})


def _group(labels: np.ndarray, model: np.ndarray, baseline: np.ndarray, resamples: Resamples) -> ComparedGroup:
    abnormal = 1 - labels[:, [NO_FINDING_INDEX]]
    columns = telling(labels, resamples.patients, FINDING_INDICES)
    return ComparedGroup(
        films=len(labels),
        patients=len(np.unique(resamples.patients)),
        abnormal_auroc=_paired(abnormal, -model[:, [NO_FINDING_INDEX]], -baseline[:, [NO_FINDING_INDEX]], resamples)
        if enough(abnormal[:, 0], resamples.patients)
        else None,
        macro_auroc=_paired(labels[:, columns], model[:, columns], baseline[:, columns], resamples)
        if columns
        else None,
        macro_findings=len(columns),
    )


def _paired(labels: np.ndarray, model: np.ndarray, baseline: np.ndarray, resamples: Resamples) -> Paired:
    """Mean AUROC over the columns, all (n, k)."""
    of_model, of_baseline = _measured(labels, model, resamples), _measured(labels, baseline, resamples)
    return Paired(
        model=estimate(of_model, resamples),
        baseline=estimate(of_baseline, resamples),
        difference=estimate(lambda w: of_model(w) - of_baseline(w), resamples),
    )


def _measured(labels: np.ndarray, scores: np.ndarray, resamples: Resamples) -> Statistic:
    """Mean AUROC over the columns, computed once: three estimates are made of it."""
    value, rows = macro_auroc(labels, scores), macro_auroc(labels, scores, resamples.weights)
    return lambda w: value if w is None else rows
