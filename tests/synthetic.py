"""Films made on the spot: noise, with a bright square where a "Mass" is wanted."""

import io

import numpy as np
from PIL import Image

SIDE = 64
BLOB = 14
"""Side of the synthetic films, and of the bright square that is their "Mass", in pixels."""


def synthetic_film(rng: np.random.Generator, blob: tuple[int, int] | None) -> np.ndarray:
    """A grey film of noise, uint8 (SIDE, SIDE), with a bright square at (row, column) if one is asked for."""
    film = rng.normal(90, 12, (SIDE, SIDE)) + rng.normal(0, 15)
    if blob is not None:
        film[blob[0] : blob[0] + BLOB, blob[1] : blob[1] + BLOB] += 90
    return np.clip(film, 0, 255).astype(np.uint8)


def encoded(film: np.ndarray, kind: str = "PNG") -> bytes:
    """The film as the bytes of a PNG or JPEG."""
    file = io.BytesIO()
    Image.fromarray(film).save(file, kind)
    return file.getvalue()
