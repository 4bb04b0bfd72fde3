"""The eight ways in which a film can lie, with the grey scale either way round."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from cxr.radiograph import full_depth, read_radiograph
from cxr.radiograph.placement import UNTOUCHED, WORDS, Placement, Step, placement_of

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
HAND = {
    "left": lambda a: np.array([[row[-1 - i] for row in a] for i in range(a.shape[1])]),
    "right": lambda a: np.array([[row[i] for row in a[::-1]] for i in range(a.shape[1])]),
    "half": lambda a: a[::-1, ::-1],
    "mirror": lambda a: a[:, ::-1],
    "invert": lambda a: 255 - a,
}
"""Each turn by hand: left brings the right edge to the top, right brings the left edge to the top."""


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("step", get_args(Step))
def test_a_further_turn_is_one_of_what_is_seen(words: str, step: Step) -> None:
    before = placement_of(words)
    assert before.words == words
    film = read_radiograph(png(PIXELS))
    seen, after = before.film(film), before.then(step).film(film)
    np.testing.assert_array_equal(after.grey, HAND[step](seen.grey))
    assert (after.facts.height, after.facts.width) == after.pixels.shape


def test_words_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'upside down'"):
        placement_of("upside down")
    assert placement_of(None) == UNTOUCHED


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("inverted", [False, True])
def test_the_viewer_shows_what_the_model_saw(words: str, inverted: bool) -> None:
    lies = placement_of(words)
    seen = Placement(lies.quarters, lies.mirrored, inverted)
    picture = png(PIXELS)
    depth = seen.depth(full_depth(picture))
    np.testing.assert_array_equal(depth.picture(), seen.film(read_radiograph(picture)).grey)
    # What a value of the file is, is the same wherever it is seen.
    values = depth.zero + depth.step * depth.levels.astype(float)
    np.testing.assert_allclose(values, Placement(lies.quarters, lies.mirrored)._laid(PIXELS))
    assert (depth.facts.height, depth.facts.width) == depth.levels.shape


def test_a_curved_window_and_padding_of_an_inverted_dicom(dicom: Callable[..., bytes], ramp: np.ndarray) -> None:
    stored = ramp.copy()
    stored[:5] = 0
    more = {"PixelPaddingValue": 0, "PixelSpacing": [0.2, 0.1]}
    # A curve that is not its own mirror image, as a sigmoid is.
    uneven = np.array([0, 0.1, 0.2, 0.9, 1], np.float32)
    depth = replace(full_depth(dicom(stored, **more)), curve=uneven, reach=(-0.2, 1.1))
    inverted = Placement(inverted=True).depth(depth)
    shown = inverted.picture()
    seen = depth.levels > 0
    assert depth.padded and not shown[~seen].any()
    np.testing.assert_allclose(shown[seen], 255 - depth.picture()[seen].astype(int), atol=1)
    assert inverted.facts.pixel_spacing == (0.2, 0.1)
    assert Placement(1).depth(depth).facts.pixel_spacing == (0.1, 0.2)
    assert Placement(2).depth(depth).facts.pixel_spacing == (0.2, 0.1)
