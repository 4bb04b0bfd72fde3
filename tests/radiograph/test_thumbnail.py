"""Small pictures of films."""

import io

import numpy as np
import pytest
from PIL import Image

from cxr.radiograph import UnreadableFilm, thumbnail
from cxr.settings import settings


def film(width: int, height: int, kind: str, mode: str = "L") -> bytes:
    """A ramp from black on the left to white on the right."""
    ramp = np.broadcast_to(np.linspace(0, 255, width), (height, width)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_thumbnail_is_a_small_grey_jpeg_of_the_same_film(kind: str, mode: str) -> None:
    small = Image.open(io.BytesIO(thumbnail(film(800, 600, kind, mode), 200)))
    assert (small.format, small.mode, small.size) == ("JPEG", "L", (200, 150))
    across = np.asarray(small, float).mean(axis=0)
    np.testing.assert_allclose(across, np.linspace(0, 255, 200), atol=4)


def test_small_film_is_not_enlarged() -> None:
    assert Image.open(io.BytesIO(thumbnail(film(60, 40, "PNG"), 200))).size == (60, 40)


@pytest.mark.parametrize(
    "data", [b"", b"nothing", film(80, 80, "JPEG")[:200], film(80, 80, "PNG")[:60], film(8, 8, "GIF")]
)
def test_what_is_no_film_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableFilm, match="truncated or damaged"):
        thumbnail(data, 100)


def test_film_with_too_many_pixels_is_refused(changed_settings: pytest.MonkeyPatch) -> None:
    changed_settings.setenv("CXR_MAX_MEGAPIXELS", "0.001")
    settings.cache_clear()
    with pytest.raises(UnreadableFilm, match="more pixels than are read"):
        thumbnail(film(40, 40, "PNG"), 100)
