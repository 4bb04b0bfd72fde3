"""Work in blocks and in tables gives what plain NumPy over the whole image gives, to the last bit."""

import io

import numpy as np
import pytest
from PIL import Image

from cxr.radiograph.blocks import BLOCK, as_bytes, blocks
from cxr.radiograph.film import Facts, Radiograph, UnreadableFilm
from cxr.radiograph.grey_levels import GreyScale
from cxr.radiograph.raster import COLOUR_TOLERANCE
from cxr.radiograph.read import _checked, read_radiograph

SHAPE = (300, 401)
"""More than a block, and no multiple of one."""
CURVE = np.array([0, 0.1, 0.7, 1], np.float32)


def plainly(scale: GreyScale, values: np.ndarray) -> np.ndarray:
    """Grey by the definition, value by value in float64."""
    place = (values.astype(np.float64) - scale.black) / (scale.white - scale.black)
    if scale.curve is None:
        return np.clip(place, 0, 1).astype(np.float32)
    first, last = scale.reach
    steps = np.linspace(first, last, len(scale.curve))
    return np.interp(place, steps, scale.curve.astype(np.float64)).astype(np.float32)


@pytest.mark.parametrize("shape", [(1,), (5, 7), SHAPE, (3 * BLOCK, 1), (2, 3 * BLOCK)])
def test_blocks_cover_every_row_once(shape):
    rows = np.zeros(shape[0], int)
    for part in blocks(np.empty(shape)):
        rows[part] += 1
    assert (rows == 1).all()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        *(("uint16", 0, 65535), ("int16", -32768, 32767), ("int16", -1000, 3000), ("uint8", 0, 255)),
        *(("uint64", 5, 4000), ("int32", -200_000, 200_000), ("float32", -1e5, 1e5)),
    ],
)
@pytest.mark.parametrize("scale", [GreyScale(-900.0, 2900.0), GreyScale(2900.0, 12.0), GreyScale(0.0, 255.0)])
def test_grey_is_that_of_each_value(dtype, low, high, scale):
    values = np.random.default_rng(0).uniform(low, high, SHAPE).astype(dtype)
    values[0, :2] = low, high
    np.testing.assert_array_equal(scale.shown(values), plainly(scale, values))


def test_grey_of_a_curve_is_between_its_points():
    values = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)
    scale = GreyScale(100.0, 3000.0, CURVE, (-0.5, 1.2))
    np.testing.assert_allclose(scale.shown(values), plainly(scale, values), rtol=1e-6)


def test_grey_goes_where_it_is_told_to():
    values = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)
    room = np.full(SHAPE, 7, np.float32)
    assert GreyScale(0.0, 4000.0).shown(values, room) is room
    np.testing.assert_array_equal(room, plainly(GreyScale(0.0, 4000.0), values))


def test_bytes_are_the_rounded_levels():
    grey = np.random.default_rng(0).random(SHAPE, np.float32)
    grey[0, :4] = 0, 1, 0.5 / 255, 1.5 / 255
    np.testing.assert_array_equal(as_bytes(grey), np.rint(grey * 255).astype(np.uint8))
    turned = grey.T[:, ::-1]
    np.testing.assert_array_equal(as_bytes(turned), np.rint(turned * 255).astype(np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_pixel_that_is_no_number_is_enough(bad):
    pixels = np.random.default_rng(0).random(SHAPE, np.float32)
    film = Radiograph(pixels, Facts("PNG", SHAPE[1], SHAPE[0], 8, "L"))
    assert _checked(film) is film
    pixels[200, 300] = bad
    with pytest.raises(UnreadableFilm, match="not numbers"):
        _checked(film)


@pytest.mark.parametrize("beyond", [-0.05, 0.05])
def test_colour_is_told_from_a_tint(beyond):
    """The mean distance of a channel from the pixel's mean, in float64, decides."""
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 180, SHAPE)
    aim = COLOUR_TOLERANCE + beyond
    # Red and blue apart by d, green between: the distances are d, 0 and d. Whole, d is 12 on average at a mean of 8.
    apart = np.where(rng.random(SHAPE) < aim * 1.5 - np.floor(aim * 1.5), np.ceil(aim * 1.5), np.floor(aim * 1.5))
    channels = np.stack([grey + apart, grey, grey - apart], 2).astype(np.uint8)
    wide = channels.astype(np.float64)
    mean = np.abs(wide - wide.mean(2, keepdims=True)).mean()
    assert (mean > COLOUR_TOLERANCE) == (beyond > 0)
    file = io.BytesIO()
    Image.fromarray(channels).save(file, "PNG")
    warned = any("colour image" in warning for warning in read_radiograph(file.getvalue()).warnings)
    assert warned == (beyond > 0)
