"""Fitting a scope check: a linear classifier of kinds of pictures, and the distance from the training films."""

from typing import Final

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from cxr.radiograph.scope_vector import CLIP, distance, prepared, spread
from cxr.training.scope_data import ScopeData
from cxr.training.scope_pictures import FRONTAL

COMPONENTS: Final = 160
"""Principal components that the classifier weighs."""
SAMPLE: Final = 1000
"""Pictures that these are found on; of more it would take long and say the same."""
STRENGTH: Final = 700.0
"""Of what the pictures say, against the ridge penalty on the weights."""
NEAR: Final = 48
"""Directions in which training films vary, of the distance."""
REACH: Final = 1.03
"""A film may lie farther than the farthest frontal film of the fit, in each of its versions, by so much."""
SHRINKAGE: Final = 0.1
"""Share of the mean variance that every one of them gets."""


def fit_scope(data: ScopeData, trained: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
    """Fit on pictures of all kinds.

    Args:
        data: the pictures.
        trained: bool (n,), films as the model was trained on: what the distance is measured from.
        channels: int (stages,), of each stage of the features.

    Returns:
        Arrays of a `cxr.radiograph.scope.ScopeModel`.
    """
    vectors = prepared(data.features, data.pictures, channels)
    kinds = labels(data.kinds)
    films = spread(data.features, channels)
    near = distances(films[trained], channels)
    upright = films[kinds == FRONTAL]
    far = REACH * distance(upright, near).max() / near["near_unit"]
    return classifier(vectors, kinds, data.sources) | near | {"farthest": np.array(far, np.float32)}


def labels(kinds: np.ndarray) -> np.ndarray:
    """Kinds as the classifier knows them: a mirrored film is a frontal film to it."""
    return np.where(kinds == "mirror", FRONTAL, kinds)


def classifier(vectors: np.ndarray, kinds: np.ndarray, sources: np.ndarray) -> dict[str, np.ndarray]:
    """Multinomial logistic regression with a ridge penalty on principal components, as weights on the vectors.

    Args:
        vectors: float32 (n, d).
        kinds, sources: text (n,).
    """
    mean = vectors.mean(0)
    scale = vectors.std(0) + 1e-3 * vectors.std() + 1e-6
    standard = np.clip((vectors - mean) / scale, -CLIP, CLIP)
    share = _weights(kinds, sources)
    rng, count = np.random.default_rng(0), len(kinds)
    some = rng.choice(count, SAMPLE, replace=False, p=share / share.sum()) if count > SAMPLE else np.arange(count)
    pca = PCA(min(COMPONENTS, len(some) - 1, standard.shape[1]), svd_solver="randomized", random_state=0)
    pca.fit(standard[some])
    unit = np.sqrt(pca.explained_variance_[0])
    weighed = (standard @ pca.components_.T - pca.mean_ @ pca.components_.T) / unit
    model = LogisticRegression(C=STRENGTH / count, max_iter=200, tol=1e-3).fit(weighed, kinds, sample_weight=share)
    weights, bias = model.coef_.T, model.intercept_
    if weights.shape[1] == 1:
        weights, bias = np.c_[np.zeros_like(weights), weights], np.r_[0.0, bias]
    whole = (pca.components_.T @ weights) / unit
    return {
        "kinds": model.classes_.astype(str),
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "weights": whole.astype(np.float32),
        "bias": (bias - pca.mean_ @ whole).astype(np.float32),
    }


def distances(films: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
    """The distance from training films: in the directions in which they vary (Mahalanobis 1936), and out of these.

    Its unit is set on films that the directions were not fitted on, two halves in turn.

    Args:
        films: float32 (n, d), of `cxr.radiograph.scope_vector.spread`.
        channels: int (stages,).
    """
    order = np.random.default_rng(0).permutation(len(films))
    halves = [order[::2], order[1::2]]
    held_out = np.concatenate(
        [distance(films[a], _near(films[b])) for a, b in (halves, halves[::-1])] if len(films) >= 8 else [[1.0]]
    )
    near = _near(films)
    return near | {
        "channels": channels.astype(np.int64),
        "near_unit": np.array(np.quantile(held_out, 0.99), np.float32),
    }


def _near(films: np.ndarray) -> dict[str, np.ndarray]:
    mean, scale = films.mean(0), films.std(0) + 0.05 * films.std() + 1e-6
    standard = np.clip((films - mean) / scale, -CLIP, CLIP)
    count = max(1, min(NEAR, len(films) // 4, films.shape[1]))
    pca = PCA(count, svd_solver="randomized", random_state=0).fit(standard)
    variance = (1 - SHRINKAGE) * pca.explained_variance_ + SHRINKAGE * pca.explained_variance_.mean()
    rest = standard - pca.inverse_transform(pca.transform(standard))
    return {
        "near_mean": mean.astype(np.float32),
        "near_scale": scale.astype(np.float32),
        "near_centre": pca.mean_.astype(np.float32),
        "near_axes": pca.components_.T.astype(np.float32),
        "near_variance": variance.astype(np.float32),
        "near_rest": np.array((rest**2).sum(1).mean() + 1e-6, np.float32),
    }


def _weights(kinds: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Each kind counts alike, frontal films as much as four; in a kind each source by the root of its size."""
    weights = np.zeros(len(kinds))
    for kind in np.unique(kinds):
        of_kind = kinds == kind
        for source in np.unique(sources[of_kind]):
            of_source = of_kind & (sources == source)
            weights[of_source] = of_source.sum() ** -0.5
        weights[of_kind] *= (4.0 if kind == FRONTAL else 1.0) / weights[of_kind].sum()
    return weights * len(kinds) / weights.sum()
