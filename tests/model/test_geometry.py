"""The shift of a map is measured on models whose shift is known."""

import numpy as np
import pytest

from cxr.model.geometry import measure_map_shift
from cxr.model.heatmap import upsample

SIDE, CELLS = 80, 10


def looking_off(rows: int, columns: int):
    """A "model" of one map: the mean grey level of each cell of the film moved by whole pixels."""

    def run(films: np.ndarray) -> np.ndarray:
        moved = np.roll(films, (rows, columns), axis=(1, 2))
        side = SIDE // CELLS
        return moved.reshape(len(films), CELLS, side, CELLS, side).mean(axis=(2, 4))[..., None]

    return run


@pytest.fixture(scope="module")
def films():
    return np.random.default_rng(0).normal(120, 30, (4, SIDE, SIDE)).astype(np.float32)


@pytest.mark.parametrize("shift", [(0, 0), (4, 0), (0, -6), (-5, 3)])
def test_known_shift_is_found(films, shift):
    rows, columns = measure_map_shift(looking_off(*shift), films, CELLS)
    assert rows * SIDE == pytest.approx(shift[0], abs=0.8)
    assert columns * SIDE == pytest.approx(shift[1], abs=0.8)


def test_heatmap_moved_back_lies_over_what_the_model_saw(films):
    run = looking_off(-5, 3)
    film = np.full((1, SIDE, SIDE), 50, np.float32)
    film[0, 30:46, 40:56] = 200
    grid = (run(film) - 50)[0, ..., 0] / 150
    heat = upsample(grid, SIDE, SIDE, measure_map_shift(run, films, CELLS))
    rows, columns = np.nonzero(heat > 0.5)
    assert rows.mean() == pytest.approx(37.5, abs=1)
    assert columns.mean() == pytest.approx(47.5, abs=1)
