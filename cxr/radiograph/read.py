"""From bytes to a film. The kind is told by the content; a file's name is never looked at."""

from dataclasses import replace
from typing import Final

import numpy as np

from cxr.radiograph.decoded import Decoded
from cxr.radiograph.dicom import read_dicom
from cxr.radiograph.film import Radiograph, UnreadableFilm
from cxr.radiograph.raster import read_raster
from cxr.settings import settings

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
DICOM_PREAMBLE: Final = 128
DICOM_PREFIX: Final = b"DICM"
# The originals of ChestX-ray14 have proportions up to about 1.25; the model has seen nothing narrower.
UNUSUAL_PROPORTIONS: Final = 1.4


def read_radiograph(data: bytes) -> Radiograph:
    """Read one PNG, JPEG or DICOM film.

    Args:
        data: the whole file.

    Returns:
        The film: float32 pixels in 0..1, bright = dense, with the file's facts and warnings for the reader.

    Raises:
        UnreadableFilm: for anything else, with one sentence that says why.
    """
    return _checked(decoded(data).film())


def decoded(data: bytes) -> Decoded:
    """The values of one PNG, JPEG or DICOM film, and how they are shown; arguments and errors as of `read_radiograph`,
    which also refuses blank images."""
    limit = int(settings().max_megapixels * 1e6)
    if not data:
        raise UnreadableFilm("The file is empty.")
    # DICOM first: the 128 bytes before its prefix are free, and some writers put the header of a TIFF there.
    if data[DICOM_PREAMBLE : DICOM_PREAMBLE + 4] == DICOM_PREFIX:
        return read_dicom(data, limit)
    if data.startswith(PNG_SIGNATURE):
        return read_raster(data, "PNG", limit)
    if data.startswith(JPEG_SIGNATURE):
        return read_raster(data, "JPEG", limit)
    raise UnreadableFilm("This is not a PNG, JPEG or DICOM file.")


def _checked(film: Radiograph) -> Radiograph:
    if not np.isfinite(film.pixels).all():
        raise UnreadableFilm("The image holds pixels that are not numbers.")
    if film.pixels.min() == film.pixels.max():
        raise UnreadableFilm("The image is blank: all its pixels have the same value.")
    width, height = film.facts.width, film.facts.height
    if max(width, height) > UNUSUAL_PROPORTIONS * min(width, height):
        shape = "wide" if width > height else "tall"
        warning = (
            f"The film is unusually {shape} ({width} x {height} pixels); the model sees it squeezed into a square."
        )
        return replace(film, warnings=(*film.warnings, warning))
    return film
