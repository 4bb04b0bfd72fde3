"""DICOM films, by pydicom's pixel chain: modality LUT, VOI LUT or window, then photometric interpretation.

DICOM PS3.3 C.7.6.3, C.11.1, C.11.2; PS3.4 N.2.
"""

import io
import math
import re
from typing import Final

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cxr.radiograph.blocks import blocks
from cxr.radiograph.codestream import START_OF_IMAGE, check_scans, encoded_size
from cxr.radiograph.decoded import Decoded
from cxr.radiograph.film import CHEST, FRONTAL_VIEWS, Facts, UnreadableFilm
from cxr.radiograph.grey_levels import FURTHEST, grey_scale, padding_of, text_of

# pydicom's warnings of odd values quote them into the log, and with a damaged length what follows: the patient's name.
config.settings.reading_validation_mode = config.IGNORE

DECODERS: Final = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    RLELossless: "pylibjpeg",
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",  # 8-bit images only; the licensed codecs here do not decode 12 bits
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
}
"""The pixel encodings that are read, and pydicom's plugin for each.

Left to itself pydicom tries GDCM first, which ends the whole process at some damaged images; it decodes here only what
nothing else does. Deflated data sets are not read: a small file can grow a thousandfold.
"""

FILM_MODALITIES: Final = frozenset({"CR", "DX", "RG", "OT", "SC", ""})
"""Modalities that can be a radiograph. OT, SC and none say nothing either way."""

ADULT_AGE: Final = 16

KEYWORDS: Final = (
    *("SOPClassUID", "PresentationIntentType", "PatientAge", "Modality", "ViewPosition", "BodyPartExamined"),
    *("PixelSpacing", "ImagerPixelSpacing", "PixelSpacingCalibrationType"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "VOILUTFunction"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
)
"""All that is read of a file; damage anywhere else does no harm, and no name of a patient is decoded."""


def read_dicom(data: bytes, max_pixels: int) -> Decoded:
    """Read a single-frame grey DICOM image (CR, DX).

    Args:
        data: the whole file, with its 128-byte preamble.
        max_pixels: a larger image is refused from its header, before it is decoded.

    Returns:
        Its values after the modality LUT, to be shown by the VOI LUT or first window (robust percentiles where there is
        none), with MONOCHROME1 inverted.

    Raises:
        UnreadableFilm: not an image, not a radiograph, several frames, colour, an encoding that is not supported,
            impossible or absurd dimensions, truncated or damaged.
    """
    dataset = _parse(data)
    _check(dataset, max_pixels)
    dataset.pixel_array_options(decoding_plugin=DECODERS[dataset.file_meta.TransferSyntaxUID])
    try:
        stored = dataset.pixel_array
        values = apply_modality_lut(stored, dataset)
    except BaseException as error:
        # Each codec has its own exceptions; those written in Rust panic with one that is no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UnreadableFilm(_undecodable(dataset)) from error
    if stored.ndim != 2:
        raise UnreadableFilm("This DICOM file holds several frames; a film is one image.")
    # Rescaled by no number, or by one that is too large. 1e30 squared still fits a float64.
    if values.dtype.kind == "f" and not all((np.abs(values[part]) < FURTHEST).all() for part in blocks(values)):
        raise UnreadableFilm("The image holds pixels that are not numbers.")
    warnings: list[str] = []
    padding = padding_of(stored, dataset)
    scale = grey_scale(np.asarray(values), padding, dataset, warnings)
    photometric = text_of(dataset, "PhotometricInterpretation") or ""
    if photometric == "MONOCHROME1":
        scale = scale.inverted()
    body_part = text_of(dataset, "BodyPartExamined")
    if body_part and body_part.upper() not in CHEST:
        warnings.append(f"The file says that it shows another body part: {body_part.lower()}.")
    view = text_of(dataset, "ViewPosition")
    if view and view.upper() not in FRONTAL_VIEWS:
        warnings.append(f"The file says that its view is {view}; the model knows frontal films (PA, AP) only.")
    if (text_of(dataset, "PresentationIntentType") or "").upper() == "FOR PROCESSING":
        warnings.append("The file is raw detector data (FOR PROCESSING), not a film as a reader would see it.")
    age = _years(dataset)
    if age is not None and age < ADULT_AGE:
        warnings.append("The file says that the patient is a child; the model was made for adults.")
    spacing, spacing_at = _spacing(dataset)
    facts = Facts(
        kind="DICOM",
        width=values.shape[1],
        height=values.shape[0],
        bits=int(dataset.BitsStored),
        photometric=photometric,
        modality=text_of(dataset, "Modality"),
        view=view,
        body_part=body_part,
        pixel_spacing=spacing,
        spacing_at=spacing_at,
        window=scale.words,
    )
    return Decoded(np.asarray(values), padding, scale, facts, tuple(warnings), _grain(dataset, values))


def _parse(data: bytes) -> Dataset:
    """The data set, after its file meta information showed that it is an encoding we read."""
    try:
        stream = io.BytesIO(data)
        stream.seek(132)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        syntax = UID(str(meta.get("TransferSyntaxUID", "")))
    except Exception as error:
        raise UnreadableFilm("The DICOM file is truncated or damaged.") from error
    if not syntax:
        raise UnreadableFilm("The DICOM file does not say how it is encoded (Transfer Syntax UID is missing).")
    if syntax not in DECODERS:
        # What is no UID may be the rest of the file, with the patient's name.
        name = syntax.name if syntax.is_valid else "something unknown"
        raise UnreadableFilm(f"The DICOM file is encoded as {name}, which is not supported.")
    try:
        dataset = dcmread(io.BytesIO(data), specific_tags=list(KEYWORDS))
        list(dataset)  # pydicom decodes an element when it is first asked for it
    except Exception as error:
        raise UnreadableFilm("The DICOM file is truncated or damaged.") from error
    # Where an element ends too early, pydicom gives back none at all.
    if not dataset:
        raise UnreadableFilm("The DICOM file is truncated or damaged.")
    # It may stand there as anything, such as a name; from here on it is the one that was looked at.
    dataset.file_meta.add_new("TransferSyntaxUID", "UI", syntax)
    return dataset


def _check(dataset: Dataset, max_pixels: int) -> None:
    modality = (text_of(dataset, "Modality") or "").upper()
    if modality == "SR":
        raise UnreadableFilm("This DICOM file is a structured report, not an image.")
    if "PixelData" not in dataset:
        sop_class = UID(text_of(dataset, "SOPClassUID") or "")
        name = sop_class.name if sop_class.is_valid else "of unknown class"
        raise UnreadableFilm(f"This DICOM file holds no image ({name}).")
    if modality not in FILM_MODALITIES:
        raise UnreadableFilm(f"This DICOM file has modality {modality}; only radiographs (CR, DX) are read.")
    frames = _integer(dataset, "NumberOfFrames", default=1)
    if frames != 1:
        raise UnreadableFilm(f"This DICOM file holds {frames} frames; a film is one image.")
    grey = text_of(dataset, "PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    if _integer(dataset, "SamplesPerPixel", default=1) != 1 or not grey:
        raise UnreadableFilm("This DICOM file holds a colour image; a radiograph is grey (MONOCHROME1 or MONOCHROME2).")
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    if rows < 1 or columns < 1:
        raise UnreadableFilm(f"This DICOM file says that its image has {columns} x {rows} pixels.")
    if rows * columns > max_pixels:
        raise UnreadableFilm(
            f"The image has {columns} x {rows} pixels, more than the {max_pixels / 1e6:g} megapixels that are read."
        )
    for keyword in ("BitsAllocated", "BitsStored", "PixelRepresentation"):
        _integer(dataset, keyword)
    _check_encoded_size(dataset, rows, columns)


def _check_encoded_size(dataset: Dataset, rows: int, columns: int) -> None:
    """Refuse a compressed image of another size than the header says: a codec would follow the image."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated or syntax == RLELossless:
        return
    try:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        size = encoded_size(frame)
    except Exception as error:
        raise UnreadableFilm(_undecodable(dataset)) from error
    if size is None:
        raise UnreadableFilm(_undecodable(dataset))
    if size != (rows, columns):
        raise UnreadableFilm(
            f"The image in the DICOM file has {size[1]} x {size[0]} pixels, but its header says {columns} x {rows}."
        )
    if frame.startswith(START_OF_IMAGE):
        check_scans(frame)


def _integer(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    try:
        value = dataset.get(keyword)
        if value is None and default is not None:
            return default
        return int(value)
    except Exception as error:
        raise UnreadableFilm(f"The DICOM file has no usable {keyword}.") from error


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, str | None]:
    """(row, column) spacing in mm, and whether that is in the patient or at the detector (PS3.3 10.7.1.3).

    At the detector where the file gives no other; "stated" where it does not say which. Zero means unknown.
    """
    found = {}
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(value) for value in dataset.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if 0 < row < math.inf and 0 < column < math.inf:
            found[keyword] = (row, column)
    at_detector = found.get("ImagerPixelSpacing")
    spacing = found.get("PixelSpacing")
    if spacing is None:
        return at_detector, None if at_detector is None else "detector"
    if text_of(dataset, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL"):
        return spacing, "patient"
    if at_detector is None:
        return spacing, "stated"
    return spacing, "detector" if spacing == at_detector else "patient"


def _grain(dataset: Dataset, values: np.ndarray) -> float:
    """What two neighbouring values lie apart."""
    if values.dtype.kind in "iu":
        return 1.0
    return abs(float(dataset.RescaleSlope)) or 1.0


def _years(dataset: Dataset) -> float | None:
    """The patient's age, of an age string such as "034Y" or "018M" (PS3.5 6.2); None where the file does not say."""
    age = re.fullmatch(r"(\d{3})([DWMY])", text_of(dataset, "PatientAge") or "")
    return int(age[1]) * {"D": 1 / 365, "W": 7 / 365, "M": 1 / 12, "Y": 1.0}[age[2]] if age else None


def _undecodable(dataset: Dataset) -> str:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == JPEGExtended12Bit and dataset.BitsStored > 8:
        return f"The DICOM file is encoded as {syntax.name} with 12 bits, which is not supported."
    return f"The image in the DICOM file is truncated or damaged (encoded as {syntax.name})."
