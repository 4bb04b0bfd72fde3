"""What the scope check is computed from: numbers of the network's features, and of the picture itself."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import Image

GRID: Final = 16
"""Side of the small picture in which it is seen how a film lies and which way round its grey scale is."""
DARK, BRIGHT = 8.0, 247.0
"""Grey levels (0..255) beyond which a pixel counts as black or white."""
CLIP: Final = 5.0
"""Standard deviations beyond which no number of a vector counts any further."""


def prepared(features: np.ndarray, pictures: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The vectors that a scope check weighs.

    Args:
        features: float32 (n, d) of `cxr.model.features`.
        pictures: float32 (n, GRID² + 8), each of `picture`.
        channels: int (stages,), of each stage of the features; d is twice their sum.

    Returns:
        float32 (n, d + GRID² + 8): the mean and the standard deviation of every channel, then the picture.

    Raises:
        ValueError: the features are not of these stages.
    """
    return np.concatenate([spread(features, channels), pictures], axis=1)


def spread(features: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """float32 (n, d): means, and standard deviations for mean squares."""
    if features.shape[1] != 2 * channels.sum():
        raise ValueError(f"There are {features.shape[1]} features, not {2 * channels.sum()}.")
    parts, start = [], 0
    for count in channels:
        mean, mean_square = features[:, start : start + count], features[:, start + count : start + 2 * count]
        parts += [mean, np.sqrt(np.maximum(mean_square - mean**2, 0))]
        start += 2 * count
    return np.concatenate(parts, axis=1).astype(np.float32)


def distance(vectors: np.ndarray, near: Mapping[str, np.ndarray]) -> np.ndarray:
    """How far pictures are from the films of a scope check, in the directions in which these vary and out of them.

    Args:
        vectors: float32 (n, d), of `spread`.
        near: arrays of a scope check whose names begin with "near".

    Returns:
        float (n,): root of half the mean squared deviation along the directions, in units of their variance
        (Mahalanobis 1936), and half the squared distance out of them, in units of that of the films.
    """
    standard = np.clip((vectors - near["near_mean"]) / near["near_scale"], -CLIP, CLIP) - near["near_centre"]
    along = standard @ near["near_axes"]
    rest = np.maximum((standard**2).sum(1) - (along**2).sum(1), 0)
    return np.sqrt(((along**2 / near["near_variance"]).mean(1) + rest / near["near_rest"]) / 2)


def picture(square: np.ndarray) -> np.ndarray:
    """float32 (GRID² + 8,): a small picture without its brightness and contrast, and a few numbers of the whole.

    Args:
        square: (size, size) in 0..255, what the model sees.
    """
    grey = np.asarray(square, np.float32)
    small = np.asarray(Image.fromarray(grey).resize((GRID, GRID), Image.Resampling.BOX))
    mean, contrast = small.mean(), small.std() + 4
    small = (small - mean) / contrast
    numbers = (
        mean / 64,
        contrast / 32,
        4 * (grey <= DARK).mean(),
        4 * (grey >= BRIGHT).mean(),
        np.abs(np.diff(grey, axis=0)).mean() / 8,
        np.abs(np.diff(grey, axis=1)).mean() / 8,
        2 * (small * small[:, ::-1]).mean(),
        2 * (small * small[::-1]).mean(),
    )
    return np.append(small.ravel(), numbers).astype(np.float32)
