"""An engine whose scope check says what a test wants, and a film that shows how it lies."""

import io
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
from PIL import Image

from cxr.findings import CATEGORIES
from cxr.model.engine import Prediction
from cxr.radiograph import Radiograph, model_input
from cxr.radiograph.scope import Scope

SIDE = 8
Says = Callable[[Radiograph], Scope]


def film(height: int = 240, width: int = 300) -> bytes:
    """A PNG that is dark at the left and the top, with a white corner at the top left: no two of its eight ways to lie
    look the same."""
    pixels = np.add.outer(np.arange(height) / height, 2 * np.arange(width) / width) * 60
    pixels[:40, :60] = 255
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


class ScopedEngine:
    """In place of an engine: its maps are the film itself, and its scope check is a function.

    Args:
        says: what the check says of a film as it was seen; None: the bundle has no check.
    """

    def __init__(self, says: Says | None):
        self.bundle = SimpleNamespace(name="scoped", sha256="5" * 64)
        self.asked: list[np.ndarray] = []
        self.scope = None if says is None else SimpleNamespace(check=lambda film, features, square: says(film))

    def predict(self, films: Sequence[Radiograph]) -> list[Prediction]:
        return [self._of(film) for film in films]

    def _of(self, film: Radiograph) -> Prediction:
        self.asked.append(film.grey)
        square = model_input(film, SIDE)
        k = len(CATEGORIES)
        maps = np.repeat(square[..., None], k, -1)
        level = float(film.pixels.mean())
        return Prediction(
            maps.mean((0, 1)),
            np.full(k, level),
            maps,
            np.zeros(k, np.float32),
            square,
            CATEGORIES,
            np.zeros(4, np.float32),
        )
