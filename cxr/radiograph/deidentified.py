"""A film without what says whose it is, from bytes to bytes. The app does this through `decoder()` alone."""

from cxr.radiograph.box import Box
from cxr.radiograph.deidentified_dicom import Cleaned, deidentified_dicom
from cxr.radiograph.deidentified_raster import deidentified_raster
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.read import DICOM_PREAMBLE, DICOM_PREFIX, JPEG_SIGNATURE, PNG_SIGNATURE


def deidentified(data: bytes, key: bytes, blank: tuple[Box, ...], max_pixels: int) -> Cleaned:
    """De-identify a PNG, JPEG or DICOM film; arguments and errors as of `deidentified_dicom`."""
    if data[DICOM_PREAMBLE : DICOM_PREAMBLE + 4] == DICOM_PREFIX:
        return deidentified_dicom(data, key, blank, max_pixels)
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        return deidentified_raster(data, blank, max_pixels)
    raise UnreadableFilm("This is not a PNG, JPEG or DICOM file.")
