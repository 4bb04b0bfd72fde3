"""Heatmaps: where in the film a finding's logit comes from."""

from typing import Final

import numpy as np
from PIL import Image

METHODS: Final = ("Grad-CAM", "Grad-CAM++", "Score-CAM")
"""What a second opinion (`cxr.model.second_opinion`) can be had from."""

LONGEST_SIDE: Final = 1600
"""On the screen a film has at most this many pixels on a side; the model and the downloads use the film itself."""

AMBER: Final = np.array([255, 191, 0], np.float32)
RED: Final = np.array([255, 32, 0], np.float32)


def supporting_map(evidence: np.ndarray) -> np.ndarray | None:
    """The part of a class activation map that speaks for the finding, scaled to its own maximum.

    This is Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391, eq. 2) for a head that averages a 1x1 convolution.

    Args:
        evidence: float (h, w), map without the head's constant.

    Returns:
        float32 (h, w) in 0..1 with maximum 1, or None where nothing speaks for the finding: an all-zero map is no
        supporting region, not a picture of noise.
    """
    positive = np.maximum(np.asarray(evidence, np.float32), 0)
    peak = float(positive.max())
    return positive / peak if peak > 0 else None


def upsample(grid: np.ndarray, height: int, width: int, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A map at the size of its film, smooth, with every cell over the part of the film that it stands for.

    Cell (i, j) of an h x w map covers rows i/h to (i+1)/h and columns j/w to (j+1)/w of the film; its centre keeps
    its value (bicubic interpolation between cell centres, clipped to 0..1). No corner alignment: that would shift the
    map by up to half a cell. A map that is known to lie off its film is moved back; what has to be known beyond its
    border to do so is taken from the border.

    Args:
        grid: float (h, w) in 0..1.
        height, width: of the film, pixels.
        shift: (rows, columns) by which the map lies off the film, as shares of the film's sides (`Card.map_shift`).

    Returns:
        float32 (height, width) in 0..1.
    """
    rows, columns = grid.shape
    # Continued by what it is moved, and by the two cells that the bicubic filter looks ahead.
    border = 2 + int(np.ceil(max(abs(shift[0]) * rows, abs(shift[1]) * columns)))
    image = Image.fromarray(np.pad(np.asarray(grid, np.float32), border, mode="edge"))
    top, left = border + shift[0] * rows, border + shift[1] * columns
    box = (left, top, left + columns, top + rows)
    return np.clip(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box)), 0, 1)


def overlay(grey: np.ndarray, heat: np.ndarray | None, opacity: float) -> Image.Image:
    """A film with a heatmap over it: amber to red, the more opaque the stronger the support.

    Args:
        grey: uint8 (height, width).
        heat: float (height, width) in 0..1 as of `upsample`, or None for the bare film.
        opacity: of the strongest support, 0..1; at 0 the film is shown as it is.

    Returns:
        RGB image (width, height).
    """
    if heat is None or opacity <= 0:
        return Image.fromarray(grey).convert("RGB")
    alpha = (heat * opacity)[..., None]
    colour = AMBER + (RED - AMBER) * heat[..., None]
    return Image.fromarray(np.rint(grey[..., None] * (1 - alpha) + colour * alpha).astype(np.uint8))


def shrunk(grey: np.ndarray, longest: int = LONGEST_SIDE) -> np.ndarray:
    """A film uint8 (height, width) at most `longest` pixels on a side, in its own proportions."""
    image = Image.fromarray(grey)
    image.thumbnail((longest, longest), Image.Resampling.BILINEAR, reducing_gap=2)
    return np.asarray(image)
