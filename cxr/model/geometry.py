"""Where in the film the cells of a map really look.

One would think that cell i of a map with 32-pixel cells answers to pixels 32 i to 32 (i + 1). It need not: a strided
convolution that pads an even image to "same" puts all padding at the end, which moves what a cell sees down and right,
by up to 15.5 pixels over the five of EfficientNet or MobileNet; and training moves it back by as much as it likes (the
effective receptive field of Luo et al. 2016, arXiv:1701.04128). So it is measured on the trained model.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

PLACES: Final = 24
"""Places per film. They are random within cells, so that the coarseness of the map averages out."""
AMPLITUDE: Final = 40.0
"""Height of a planted bump, grey levels."""
RADIUS: Final = 1.5
"""Cells around the response that count. A network also answers far from the bump, and that is no shift of the map."""
STEPS: Final = 4


def measure_map_shift(
    run: Callable[[np.ndarray], np.ndarray], films: np.ndarray, cells: int, seed: int = 0
) -> tuple[float, float]:
    """Plant faint bumps in films and see where the maps change nearby.

    Args:
        run: float32 films (n, size, size), grey levels 0..255 -> maps float32 (n, h, h, k).
        films: (n, size, size), on which the bumps are planted.
        cells: h.
        seed: of the places.

    Returns:
        (rows, columns): how far from the bump the middle of the change lies, as a share of the film's side; positive is
        down and right. 0 for an axis on which it is no larger than it varies from film to film.
    """
    size = films.shape[1]
    rng = np.random.default_rng(seed)
    grid = (np.arange(size) + 0.5) / size
    width = 0.5 / cells
    shifts = []
    for film in films.astype(np.float32):
        # Well inside: at the border half of what a bump does would be cut off.
        places = rng.uniform(0.25, 0.75, (PLACES, 2))
        bumps = [np.exp(-((grid[:, None] - y) ** 2 + (grid - x) ** 2) / (2 * width**2)) for y, x in places]
        changed = run((film + AMPLITUDE * np.stack(bumps)).astype(np.float32)) - run(film[None])
        energy = (changed.astype(np.float64) ** 2).sum(axis=-1)
        shifts.append(np.median(_middle(energy, places) - places, axis=0))
    shift, spread = np.median(shifts, axis=0), np.std(shifts, axis=0)
    rows, columns = np.where(np.abs(shift) > spread, shift, 0.0)
    return float(rows), float(columns)


def _middle(energy: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Centres of the change near each place, (n, 2) in 0..1, by mean shift (Fukunaga and Hostetler 1975)."""
    cells = energy.shape[1]
    centres = (np.arange(cells) + 0.5) / cells
    middle = places.copy()
    for _ in range(STEPS):
        off = (centres[:, None] - middle[:, 0, None, None]) ** 2 + (centres - middle[:, 1, None, None]) ** 2
        near = energy * (off < (RADIUS / cells) ** 2)
        near /= near.sum(axis=(1, 2), keepdims=True)
        middle = np.stack([near.sum(2) @ centres, near.sum(1) @ centres], axis=1)
    return middle
