"""What all kinds have in common: how the kind is told, what comes back, what is refused."""

import numpy as np
import pytest
from PIL import Image

from cxr.radiograph import read_radiograph


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "DICOM"])
def test_kind_is_told_by_the_content(kind, encoded, dicom, grey, ramp):
    film = read_radiograph(dicom(ramp) if kind == "DICOM" else encoded(grey, kind))
    assert film.facts.kind == kind
    assert (film.facts.height, film.facts.width) == film.pixels.shape == (48, 64)
    assert film.pixels.dtype == np.float32
    assert film.pixels.min() == pytest.approx(0, abs=0.01) and film.pixels.max() == pytest.approx(1, abs=0.01)
    assert film.warnings == ()


@pytest.mark.parametrize("header", [b"II*\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_dicom_with_the_header_of_another_kind_in_its_preamble_is_dicom(header, dicom, ramp):
    data = dicom(ramp)
    film = read_radiograph(header.ljust(128, b"\0") + data[128:])
    assert film.facts.kind == "DICOM"
    np.testing.assert_array_equal(film.pixels, read_radiograph(data).pixels)


def test_empty_file_is_refused(refusal):
    assert refusal(b"") == "The file is empty."


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "EPS", "BMP", "WEBP"])
def test_other_image_formats_are_refused(kind, encoded, grey, refusal):
    assert refusal(encoded(grey, kind)) == "This is not a PNG, JPEG or DICOM file."


@pytest.mark.parametrize(
    "data",
    [
        b"A letter about a film",
        b"<!DOCTYPE HTML>\n<html><head><title>film.dcm</title></head></html>".ljust(400),
        b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        b"%PDF-1.7\n",
        bytes(400),
    ],
    ids=["text", "html", "svg", "pdf", "zeros"],
)
def test_files_that_are_no_image_are_refused(data, refusal):
    assert refusal(data) == "This is not a PNG, JPEG or DICOM file."


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "DICOM"])
def test_blank_film_is_refused(kind, encoded, dicom, refusal):
    stored = np.full((48, 64), 100, np.uint16)
    data = dicom(stored) if kind == "DICOM" else encoded(stored.astype(np.uint8), kind)
    assert refusal(data) == "The image is blank: all its pixels have the same value."


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "DICOM"])
def test_megapixel_limit_of_the_settings_is_checked_before_decoding(
    kind, encoded, dicom, grey, ramp, refusal, changed_settings, no_decoding
):
    changed_settings.setenv("CXR_MAX_MEGAPIXELS", "0.003")
    data = dicom(ramp) if kind == "DICOM" else encoded(grey, kind)
    assert refusal(data) == "The image has 64 x 48 pixels, more than the 0.003 megapixels that are read."


@pytest.mark.parametrize(
    ("size", "word"), [((70, 50), None), ((71, 50), "wide (71 x 50 pixels)"), ((50, 71), "tall (50 x 71 pixels)")]
)
def test_unusual_proportions_warn(size, word, encoded):
    warnings = read_radiograph(encoded(Image.linear_gradient("L").resize(size), "PNG")).warnings
    if word is None:
        assert warnings == ()
    else:
        assert len(warnings) == 1 and f"unusually {word}" in warnings[0]
