"""Heatmaps: nothing is shown where nothing speaks for a finding, and what is shown lies where it belongs."""

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from cxr.model.heatmap import RED, overlay, supporting_map, upsample


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_map_that_supports_nothing_is_no_map(value: float) -> None:
    assert supporting_map(np.full((4, 5), value)) is None


def test_the_strongest_support_is_one_and_what_speaks_against_is_zero() -> None:
    found = supporting_map(np.array([[-3.0, 0.5], [2.0, 0.0]]))
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 0.25], [1, 0]])


def test_the_scale_of_a_map_does_not_matter() -> None:
    evidence = np.random.default_rng(0).normal(size=(6, 6))
    np.testing.assert_allclose(supporting_map(evidence * 1e-6), supporting_map(evidence), rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(21, 45), (63, 15), (33, 35)])
def test_every_cell_keeps_its_value_at_its_centre(height: int, width: int) -> None:
    grid = np.random.default_rng(0).random((3, 5))
    heat = upsample(grid, height, width)
    assert (heat.shape, heat.dtype) == ((height, width), np.float32)
    # With an odd number of pixels a cell, its centre is the centre of a pixel.
    rows = np.arange(3) * height // 3 + height // 6
    columns = np.arange(5) * width // 5 + width // 10
    np.testing.assert_allclose(heat[np.ix_(rows, columns)], grid, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(700, 500), (480, 640), (97, 203)])
@pytest.mark.parametrize("cell", [(0, 0), (2, 6), (5, 1), (6, 6)])
def test_a_peak_stays_at_the_centre_of_its_cell(height: int, width: int, cell: tuple[int, int]) -> None:
    grid = np.zeros((7, 7))
    grid[cell] = 1
    heat = upsample(grid, height, width)
    expected = (np.array(cell) + 0.5) * [height / 7, width / 7] - 0.5
    # At the border the interpolation is flat up to the edge, so the maximum may be anywhere between it and the centre.
    top = np.array(np.unravel_index(heat.argmax(), heat.shape))
    assert (np.abs(top - expected) <= [height / 14, width / 14]).all()
    if all(0 < k < 6 for k in cell):
        np.testing.assert_allclose(center_of_mass(heat * (heat > 0.5)), expected, atol=0.6)


def test_a_map_is_not_turned_or_mirrored() -> None:
    heat = upsample(np.array([[0.2, 0.4], [0.6, 0.9]]), 42, 62)
    np.testing.assert_allclose(heat[np.ix_([10, 31], [15, 46])], [[0.2, 0.4], [0.6, 0.9]], atol=0.02)


def test_a_constant_map_stays_constant() -> None:
    np.testing.assert_allclose(upsample(np.full((7, 7), 0.3), 111, 50), 0.3, atol=1e-6)


def test_interpolation_never_leaves_0_to_1() -> None:
    heat = upsample(np.indices((6, 6)).sum(0) % 2, 100, 130)
    assert heat.min() == 0
    assert heat.max() == 1


def test_a_map_is_smooth() -> None:
    heat = upsample(np.random.default_rng(0).random((7, 7)), 280, 420)
    assert max(np.abs(np.diff(heat, axis=axis)).max() for axis in (0, 1)) < 0.05


@pytest.mark.parametrize("shift", [(0.1, -0.05), (-0.2, 0.0), (0.0, 0.3)])
def test_a_map_that_lies_off_its_film_is_moved_back(shift: tuple[float, float]) -> None:
    grid = np.zeros((7, 7))
    grid[3, 3] = 1
    heat = upsample(grid, 480, 640, shift)
    expected = (0.5 - np.array(shift)) * [480, 640] - 0.5
    np.testing.assert_allclose(center_of_mass(heat * (heat > 0.5)), expected, atol=0.6)


@pytest.mark.parametrize("shift", [(0.5, 0.5), (-0.5, -0.3)])
def test_what_is_not_known_beyond_the_border_is_taken_from_the_border(shift: tuple[float, float]) -> None:
    rows = np.linspace(0, 1, 8)[:, None].repeat(5, axis=1)
    heat = upsample(rows, 80, 50, shift)
    edge, kept = (heat[60:], 1) if shift[0] > 0 else (heat[:20], 0)
    np.testing.assert_allclose(edge, kept, atol=1e-6)
    assert heat.std() > 0.1


@pytest.fixture
def film() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)


def test_without_opacity_or_without_a_map_the_film_is_shown_as_it_is(film: np.ndarray) -> None:
    for picture in (overlay(film, np.ones(film.shape), 0), overlay(film, None, 1)):
        assert (picture.mode, picture.size) == ("RGB", (40, 30))
        np.testing.assert_array_equal(np.asarray(picture), np.repeat(film[..., None], 3, axis=2))


def test_the_film_changes_only_where_there_is_heat(film: np.ndarray) -> None:
    heat = np.zeros(film.shape, np.float32)
    heat[4:9, 20:30] = 0.7
    picture = np.asarray(overlay(film, heat, 0.6))
    bare = np.repeat(film[..., None], 3, axis=2)
    changed = (picture != bare).any(axis=2)
    np.testing.assert_array_equal(changed, heat > 0)


def test_the_strongest_support_is_red_and_lets_the_film_through_by_the_opacity() -> None:
    grey = np.array([[100]], np.uint8)
    assert overlay(grey, np.ones((1, 1)), 1).getpixel((0, 0)) == tuple(RED)
    half = overlay(grey, np.ones((1, 1)), 0.5).getpixel((0, 0))
    np.testing.assert_allclose(half, (100 + RED) / 2, atol=0.5)


def test_more_support_hides_more_of_the_film_and_is_redder() -> None:
    heat = np.linspace(0, 1, 11)[None]
    dark, light = (np.asarray(overlay(np.full((1, 11), g, np.uint8), heat, 1.0), float)[0] for g in (0, 200))
    film_left = light[:, 0] - dark[:, 0]
    np.testing.assert_allclose(film_left, 200 * (1 - heat[0]), atol=1)
    assert (np.diff(dark[1:, 1] / dark[1:, 0]) < 0).all()
