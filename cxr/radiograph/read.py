"""From bytes to a film. The kind is told by the content; a file's name is never looked at."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from cxr.radiograph.decoded import Decoded
from cxr.radiograph.dicom import read_dicom
from cxr.radiograph.film import Radiograph, UnreadableFilm, most_pixels
from cxr.radiograph.raster import read_raster

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
DICOM_PREAMBLE: Final = 128
DICOM_PREFIX: Final = b"DICM"
# The originals of ChestX-ray14 have proportions up to about 1.25; the model has seen nothing narrower.
UNUSUAL_PROPORTIONS: Final = 1.4


def read_radiograph(
    data: bytes, max_pixels: int | None = None, room: Callable[[tuple[int, int]], np.ndarray] | None = None
) -> Radiograph:
    """Read one PNG, JPEG or DICOM film, in this process. The app reads films by `decoder()`.

    Args:
        data: the whole file.
        max_pixels: larger films are refused from their header; None: as the settings say.
        room: gives the float32 array of a shape (height, width) that becomes the film's pixels; None: a new one.

    Returns:
        The film: float32 pixels in 0..1, bright = dense, with the file's facts and warnings for the reader.

    Raises:
        UnreadableFilm: for anything else, with one sentence that says why.
    """
    return _checked(decoded(data, max_pixels).film(room))


def decoded(data: bytes, max_pixels: int | None = None) -> Decoded:
    """The values of one PNG, JPEG or DICOM film, and how they are shown; arguments and errors as of `read_radiograph`,
    which also refuses blank images."""
    limit = most_pixels() if max_pixels is None else max_pixels
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
    # One pixel that is no number makes both of them none.
    least, most = film.pixels.min(), film.pixels.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        raise UnreadableFilm("The image holds pixels that are not numbers.")
    if least == most:
        raise UnreadableFilm("The image is blank: all its pixels have the same value.")
    width, height = film.facts.width, film.facts.height
    if max(width, height) > UNUSUAL_PROPORTIONS * min(width, height):
        shape = "wide" if width > height else "tall"
        warning = (
            f"The film is unusually {shape} ({width} x {height} pixels); the model sees it squeezed into a square."
        )
        return replace(film, warnings=(*film.warnings, warning))
    return film
