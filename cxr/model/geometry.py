"""Where in the film the cells of a map really look.

One would think that cell i of a map with 32-pixel cells answers to pixels 32 i to 32 (i + 1). It need not: a strided
convolution that pads an even image to "same" puts all padding at the end, which moves what a cell sees down and right,
by up to 15.5 pixels over the five of EfficientNet or MobileNet; and training moves it back by as much as it likes (the
effective receptive field of Luo et al. 2016, arXiv:1701.04128). So it is measured on the trained model.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

PLACES: Final = 48
"""Places per film. They are random within cells, so that the coarseness of the map averages out."""
AMPLITUDE: Final = 40.0
"""Height of a planted bump, grey levels."""


def measure_map_shift(
    run: Callable[[np.ndarray], np.ndarray], films: np.ndarray, cells: int, seed: int = 0
) -> tuple[float, float]:
    """Plant faint bumps in films and see where the maps change.

    Args:
        run: float32 films (n, size, size), grey levels 0..255 -> maps float32 (n, h, h, k).
        films: (n, size, size), on which the bumps are planted.
        cells: h.
        seed: of the places.

    Returns:
        (rows, columns): how far from the bump the middle of the change lies, on average, as a share of the film's
        side; positive is down and right. A heatmap is true to its film once it is moved back by this.
    """
    size = films.shape[1]
    rng = np.random.default_rng(seed)
    grid = (np.arange(size) + 0.5) / size
    centres = (np.arange(cells) + 0.5) / cells
    width = 0.5 / cells
    shifts = []
    for film in films.astype(np.float32):
        # Well inside: at the border half of what a bump does would be cut off.
        places = rng.uniform(0.3, 0.7, (PLACES, 2))
        bumps = [np.exp(-((grid[:, None] - y) ** 2 + (grid - x) ** 2) / (2 * width**2)) for y, x in places]
        changed = run((film + AMPLITUDE * np.stack(bumps)).astype(np.float32)) - run(film[None])
        energy = (changed.astype(np.float64) ** 2).sum(axis=-1)
        energy /= energy.sum(axis=(1, 2), keepdims=True)
        shifts.append(np.stack([energy.sum(2) @ centres, energy.sum(1) @ centres], axis=1) - places)
    rows, columns = np.median(np.concatenate(shifts), axis=0)
    return float(rows), float(columns)
