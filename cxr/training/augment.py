"""Variation that two films of the same chest could show. Never a flip: a heart on the right is a finding."""

from typing import Any

import numpy as np
from PIL import Image

from cxr.training.config import TrainingConfig


def augment(film: np.ndarray, config: TrainingConfig, rng: np.random.Generator) -> np.ndarray:
    """Rotate, scale, shift, re-expose and add noise.

    Args:
        film: uint8 (size, size), grey levels 0..255.
        config: the largest change of each kind; the changes are uniform up to it, in both directions.
        rng: source of randomness.

    Returns:
        float32 (size, size), grey levels 0..255.
    """
    moved = _move(film, config, rng)
    gamma, contrast = np.exp(rng.uniform(-config.exposure, config.exposure, size=2))
    exposed = (moved / 255) ** gamma
    centre = exposed.mean()
    exposed = 255 * ((exposed - centre) * contrast + centre)
    noise = rng.standard_normal(film.shape, np.float32) * rng.uniform(0, config.noise)
    return np.clip(exposed + noise, 0, 255).astype(np.float32)


def _move(film: np.ndarray, config: TrainingConfig, rng: np.random.Generator) -> np.ndarray:
    size = film.shape[0]
    angle = np.deg2rad(rng.uniform(-config.rotation, config.rotation))
    scale = np.exp(rng.uniform(-config.scaling, config.scaling))
    dx, dy = rng.uniform(-config.shift, config.shift, size=2) * size
    matrix = tuple(affine(np.cos(angle) / scale, np.sin(angle) / scale, dx, dy, size))
    moved = Image.fromarray(film).transform(
        (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=0
    )
    return np.asarray(moved, np.float32)


def affine(cos: Any, sin: Any, dx: Any, dy: Any, size: int) -> list[Any]:
    """The map from output to input pixels by which the middle of a film moves and the film turns about its middle.

    Args:
        cos, sin: of the angle, each divided by the scale: numbers, or scalars of any array library.
        dx, dy: where the middle moves, pixels.
        size: side of the film, pixels.

    Returns:
        The two rows of a 2 x 3 matrix, one after the other, as Pillow wants them: a pixel's middle lies half a pixel
        from its corner.
    """
    middle = size / 2
    return [
        cos, sin, middle - cos * (middle + dx) - sin * (middle + dy),
        -sin, cos, middle + sin * (middle + dx) - cos * (middle + dy),
    ]  # fmt: skip
