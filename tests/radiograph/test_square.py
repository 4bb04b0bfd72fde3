"""The square that the model sees keeps what is where, and how bright."""

import numpy as np
import pytest

from cxr.radiograph import Facts, Radiograph, model_input


def film_of(pixels: np.ndarray) -> Radiograph:
    height, width = pixels.shape
    return Radiograph(pixels.astype(np.float32), Facts("PNG", width, height, 8, "L"))


def centre_of_brightness(image: np.ndarray) -> tuple[float, float]:
    """(row, column) in shares of the image; pixel i covers i to i + 1."""
    rows, columns = (np.arange(side) + 0.5 for side in image.shape)
    total = image.sum()
    return (image.sum(1) @ rows / total / image.shape[0], image.sum(0) @ columns / total / image.shape[1])


@pytest.mark.parametrize("shape", [(64, 64), (90, 70), (20, 24)])
def test_shape_dtype_and_range(shape):
    pixels = np.zeros(shape)
    pixels[: shape[0] // 2] = 1
    square = model_input(film_of(pixels), 32)
    assert square.shape == (32, 32) and square.dtype == np.float32
    assert square.min() == 0 and square.max() == pytest.approx(255)


def test_film_of_the_models_size_is_left_as_it_is():
    pixels = np.random.default_rng(0).random((32, 32), np.float32)
    np.testing.assert_allclose(model_input(film_of(pixels), 32), pixels * 255, atol=1e-3)


def test_integer_reduction_of_a_smooth_film_equals_the_area_average():
    row, column = np.mgrid[0:640, 0:512]
    pixels = 0.5 + 0.25 * np.sin(row / 80) + 0.25 * np.cos(column / 60)
    blocks = pixels.reshape(32, 20, 32, 16).mean((1, 3)) * 255
    # At the border the filter has one side only.
    inside = slice(1, -1), slice(1, -1)
    np.testing.assert_allclose(model_input(film_of(pixels), 32)[inside], blocks[inside], atol=1)


def test_finest_pattern_averages_out_instead_of_aliasing():
    pixels = np.indices((256, 256)).sum(0) % 2
    np.testing.assert_allclose(model_input(film_of(pixels), 32), 127.5, atol=2)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (257, 129)])
@pytest.mark.parametrize("place", [(0.2, 0.3), (0.2, 0.7), (0.75, 0.4)])
def test_bright_patch_lands_at_the_proportionally_same_place(shape, place):
    top, left = (int(share * side) for share, side in zip(place, shape, strict=True))
    pixels = np.zeros(shape)
    pixels[top : top + 20, left : left + 20] = 1
    square = model_input(film_of(pixels), 50)
    # A tenth of a pixel of the square; half a pixel would be 0.01.
    np.testing.assert_allclose(centre_of_brightness(square), centre_of_brightness(pixels), atol=0.002)


def test_enlarging_matches_half_pixel_centres():
    pixels = np.array([[0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(model_input(film_of(pixels), 4)[0], [0, 63.75, 191.25, 255], atol=1e-3)


def test_corners_stay_corners():
    corners = np.zeros((100, 80))
    corners[:10, :10], corners[:10, -10:], corners[-10:, :10] = 0.25, 0.5, 0.75
    square = model_input(film_of(corners), 20)
    expected = [0.25 * 255, 0.5 * 255, 0.75 * 255, 0]
    assert [square[0, 0], square[0, -1], square[-1, 0], square[-1, -1]] == pytest.approx(expected, abs=1)
