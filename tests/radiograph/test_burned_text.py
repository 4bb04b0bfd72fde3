"""Text in a film's pixels: found where it was drawn, and nowhere else."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cxr.dataset.shards import find_shards, read_records
from cxr.radiograph.box import Box
from cxr.radiograph.burned_text import burned_text
from cxr.radiograph.read import read_radiograph
from cxr.settings import ROOT

SAMPLES = ROOT / "cxr" / "samples"


def film(noise: float = 3.0) -> np.ndarray:
    """Like a film: soft shapes, ribs, noise; uint8 (500, 600)."""
    rows, columns = np.mgrid[0:500, 0:600].astype(float)
    lungs = np.exp(-(((columns - 180) / 90) ** 2 + ((rows - 250) / 160) ** 2))
    lungs += np.exp(-(((columns - 420) / 90) ** 2 + ((rows - 250) / 160) ** 2))
    ribs = 12 * np.sin(rows / 7 + columns / 60)
    grain = np.random.default_rng(0).normal(0, noise, rows.shape)
    return np.clip(170 - 130 * lungs + ribs + grain, 0, 235).astype(np.uint8)


def drawn(text: str, size: int, at: tuple[int, int] = (15, 12), fill: int = 255, box: int | None = None) -> np.ndarray:
    image = Image.fromarray(film())
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    if box is not None:
        left, top, right, bottom = draw.textbbox(at, text, font=font)
        draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill=box)
    draw.text(at, text, fill=fill, font=font)
    return np.asarray(image)


def changed(with_text: np.ndarray) -> np.ndarray:
    return np.abs(with_text.astype(int) - film()) > 40


def covered(boxes: tuple[Box, ...], where: np.ndarray) -> float:
    """The part of some pixels that lies in boxes."""
    inside = np.zeros(where.shape, bool)
    for box in boxes:
        inside[box.top : box.bottom, box.left : box.right] = True
    return float(inside[where].mean())


def test_film_without_text():
    assert burned_text(film()) == ()
    assert burned_text(film(noise=8)) == ()


@pytest.mark.parametrize("size", [10, 14, 20, 32, 48])
@pytest.mark.parametrize(("fill", "box"), [(255, None), (255, 0), (0, 250)])
def test_drawn_text_is_found_whole(size: int, fill: int, box: int | None):
    image = drawn("SMITH, JOHN 1956", size, fill=fill, box=box)
    # The ink, not the box that it stands on.
    ink = changed(image) & (np.abs(image.astype(int) - fill) < 60)
    found = burned_text(image)
    assert covered(found, ink) > 0.95
    assert sum(one.height * one.width for one in found) < 0.25 * image.size


def test_upright_and_upside_down_text_is_found():
    image = drawn("PORTABLE 14:32", 20)
    for turns in (1, 2, 3):
        found = burned_text(np.rot90(image, turns))
        assert covered(found, np.rot90(changed(image), turns)) > 0.95


def test_text_is_found_in_float_pixels():
    image = drawn("PORTABLE", 20)
    assert burned_text((image / 255).astype(np.float32)) == burned_text(image)


def test_letters_that_touch_are_found():
    """A small film, as in collections of films: the letters run into each other."""
    image = Image.fromarray(drawn("10:20:04  SMITH JOHN", 24)).resize((300, 250), Image.Resampling.BILINEAR)
    assert burned_text(np.asarray(image))


@pytest.mark.parametrize("marker", ["L", "R", "AP", "PA", "R2"])
@pytest.mark.parametrize("size", [16, 40, 80])
def test_side_marker_is_no_text(marker: str, size: int):
    assert burned_text(drawn(marker, size)) == ()


def test_boxes_lie_in_the_film():
    for at in ((0, 0), (470, 478)):
        for box in burned_text(drawn("SMITH, JOHN", 24, at=at)):
            assert 0 <= box.top < box.bottom <= 500
            assert 0 <= box.left < box.right <= 600


@pytest.mark.parametrize("shape", [(1, 1), (5, 2000), (16, 16), (17, 400)])
def test_any_size_is_taken(shape: tuple[int, int]):
    assert burned_text(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)) is not None


def test_colours_and_whole_numbers_are_refused():
    for pixels in (
        np.zeros((40, 40, 3), np.uint8),
        np.zeros((40, 40), np.uint16),
        np.full((40, 40), 2.0, np.float32),
        np.full((40, 40), np.nan, np.float32),
    ):
        with pytest.raises(ValueError, match="grey image"):
            burned_text(pixels)


def test_samples_have_no_text():
    """They were looked at: side markers only."""
    for name in ("adult_pa.dcm", "child_normal.jpeg", "child_pneumonia.jpeg"):
        assert burned_text(read_radiograph((SAMPLES / name).read_bytes()).pixels) == (), name


def test_word_that_machines_stamp_is_found_on_real_films(shared_data: Path):
    """These films of ChestX-ray14 say PORTABLE; the others have no letters, or a lone marker (looked at)."""
    stamped = {"00001613_004.png": True, "00000013_031.png": True, "00001629_001.png": True}
    stamped |= {"00028170_000.png": False, "00001362_004.png": False, "00002194_003.png": False}
    records = {record.image_id: record.image for record in read_records(find_shards(shared_data / "nih" / "data")[0])}
    for name, says in stamped.items():
        grey = np.asarray(Image.open(io.BytesIO(records[name])).convert("L"))
        assert bool(burned_text(grey)) is says, name
