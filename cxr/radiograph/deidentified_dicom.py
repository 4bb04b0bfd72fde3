"""A DICOM film that says no more whose it is: every attribute is written anew, or not at all.

What Table E.1-1 of PS3.15 does not name is kept only where it can't hold a name: numbers, code strings, codes of public
coding schemes, and the pixels. So what the standard adds later, and what a manufacturer made up, is left out.

What an attribute is, the standard says and not the file: a value whose declared representation is another one than
that of pydicom's dictionary (PS3.6) is not kept, or words could pass for a code. Nor is any value of an attribute that
stands in no dictionary, nor a code string that is none (PS3.5 6.2: at most 16 capital letters, digits, spaces and
underscores).
"""

import io
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cxr.radiograph.box import Box
from cxr.radiograph.codestream import without_comments
from cxr.radiograph.confidentiality import (
    CLEAN_PIXELS,
    CODE,
    CODE_STRING,
    DUMMIES,
    EDITION,
    NUMBERS,
    REMOVED,
    TEXT,
    action,
    other_uid,
)
from cxr.radiograph.dicom import DECODERS, read_dicom
from cxr.radiograph.film import UnreadableFilm

SUFFIXES: Final = (".dcm", ".png", ".jpg")
DAMAGED: Final = "damaged"
"""In place of the value representation of an element that can't be read; no attribute has it."""
DEEPEST: Final = 8
"""Sequences within sequences that are followed; what lies deeper is left out."""
MOST_LUT_BYTES: Final = 2 * 65536
IMPLEMENTATION: Final = UID("2.25.163471298342709180265412097314082763105")
"""Of this software as a writer of DICOM files."""
PUBLIC_SCHEMES: Final = frozenset({"DCM", "SCT", "SRT", "SNM3", "99SDM", "UCUM", "LN", "RADLEX", "FMA"})
KEPT_TEXT: Final = frozenset({"Manufacturer", "ManufacturerModelName"})
"""What the profile leaves and a film needs, or is of use without it saying anything of a person."""
OF_A_CODE: Final = frozenset({"CodeValue", "CodingSchemeDesignator", "CodeMeaning"})
TYPE_2: Final = frozenset({"Manufacturer", "AccessionNumber", "BodyPartExamined", "ViewPosition", "InstanceNumber"})
"""What has to be there, if only empty, though its value was not taken over."""
PICTURE: Final = frozenset(
    {
        *("SOPClassUID", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
        *("PixelPaddingRangeLimit", "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence"),
        *("VOILUTFunction", "WindowCenter", "WindowWidth"),
    }
)
"""Without the value of one of these the copy would be no film, or another picture."""


@dataclass(frozen=True)
class Cleaned:
    """A de-identified file.

    Attributes:
        data: the file.
        suffix: of its name, ".dcm", ".png" or ".jpg".
        burned_in: what the source says of text in its pixels, "YES" or "NO"; None where it does not say.
        recognisable: the source says that the patient can be recognised in the image.
    """

    data: bytes
    suffix: str
    burned_in: str | None = None
    recognisable: bool = False


def deidentified_dicom(data: bytes, key: bytes, blank: tuple[Box, ...], max_pixels: int) -> Cleaned:
    """De-identify a film after the basic profile of PS3.15 Annex E.

    Args:
        data: the whole file.
        key: for the new UIDs; that of a whole export, so that a study's films stay together.
        blank: parts of the image that are made black; with any, the pixels are written uncompressed.
        max_pixels: as of `read_dicom`.

    Raises:
        UnreadableFilm: as of `read_dicom`, or a part to be blanked lies outside of the image, or one of `PICTURE` has
            another value representation than the standard's.
    """
    read_dicom(data, max_pixels)  # what is no film is refused as it always is
    try:
        source = dcmread(io.BytesIO(data))
        film = _cleaned(source, key, 0)
    except UnreadableFilm:
        raise
    except Exception as error:
        raise UnreadableFilm("The DICOM file is truncated or damaged.") from error
    syntax = source.file_meta.TransferSyntaxUID
    if blank:
        _blank(film, source, blank)
        syntax = ExplicitVRLittleEndian
    else:
        _keep_pixels(film, source)
    if not UID(str(film.get("SOPInstanceUID", ""))).is_valid:
        # Without one that holds to the rules a film can be read, but not written.
        film.SOPInstanceUID = other_uid(sha256(data).hexdigest(), key)
    _say(film, bool(blank))
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = film.SOPClassUID
    meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION
    film.file_meta = meta
    film.preamble = b"\0" * 128
    stream = io.BytesIO()
    little = syntax.is_little_endian
    dcmwrite(stream, film, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little, enforce_file_format=True)
    said = str(source.get("BurnedInAnnotation") or "").strip().upper()
    recognisable = str(source.get("RecognizableVisualFeatures") or "").strip().upper() == "YES"
    return Cleaned(stream.getvalue(), ".dcm", said or None, recognisable)


def _cleaned(source: Dataset, key: bytes, depth: int) -> Dataset:
    """Of a data set what may stay."""
    kept = Dataset()
    for tag in sorted(source.keys()):
        if _never(tag):
            continue
        wanted = action(tag, depth == 0)
        if wanted == "remove":
            continue
        try:
            element = source[tag]
            vr, value = element.VR, element.value
        except Exception:  # noqa: BLE001 - pydicom raises many things for a damaged value, which may stay away
            vr, value = DAMAGED, None
        new = _treated(tag, vr, value, wanted, key, depth)
        if new is not None:
            kept.add(new)
    return kept


def _never(tag: BaseTag) -> bool:
    """Private, a group's length, of a command or the file's head, a curve, an overlay, pixels, or after them."""
    group = tag.group
    return (
        tag.is_private
        or tag.element == 0
        or group < 8
        or 0x5000 <= group <= 0x50FF
        or 0x6000 <= group <= 0x60FF
        or group >= 0x7F00
    )


def _standard(tag: BaseTag) -> tuple[str, ...]:
    """The value representations that an attribute may have; none where it stands in no dictionary."""
    try:
        return tuple(dictionary_VR(tag).split(" or "))
    except KeyError:
        return ()


def _treated(tag: BaseTag, vr: str, value: Any, wanted: str | None, key: bytes, depth: int) -> DataElement | None:
    """The element in its place; None: nothing."""
    standard = _standard(tag)
    if not standard:
        return None
    keyword = dictionary_keyword(tag)
    if vr not in standard:
        if vr != DAMAGED and depth == 0 and keyword in PICTURE:
            raise UnreadableFilm(f"The DICOM file declares '{keyword}' as another kind of value than {standard[0]}.")
        # Its place is kept where it has to be there; its value is not.
        if wanted is None and keyword not in TYPE_2:
            return None
        vr, value, wanted = standard[0], None, "dummy" if wanted == "dummy" else "empty"
    if vr == "UI" and wanted != "empty":
        uids = [other_uid(str(one), key) for one in _several(value) if UID(str(one)).is_valid]
        return DataElement(tag, "UI", uids) if uids else None
    if wanted in ("empty", "uid"):
        return DataElement(tag, vr, Sequence([]) if vr == "SQ" else None)
    if wanted == "dummy":
        # A sequence for which the profile wants one is in no film.
        known = vr in TEXT or vr in ("CS", "IS", "DS")
        return DataElement(tag, vr, DUMMIES.get(vr, REMOVED)) if known else None
    plain = _plain(vr, keyword, value, key, depth)
    if plain is None:
        return DataElement(tag, vr, None) if keyword in TYPE_2 else None
    return DataElement(tag, vr, plain)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, MultiValue | list | tuple) else [] if value is None else [value]


def _plain(vr: str, keyword: str, value: Any, key: bytes, depth: int) -> Any:
    """A value of which the profile says nothing, made anew; None where it could hold what somebody wrote."""
    if vr == "SQ":
        if depth >= DEEPEST:
            return None
        items = [_cleaned(item, key, depth + 1) for item in value or () if _public(item)]
        return Sequence([item for item in items if len(item)])
    values = _several(value)
    if vr == "CS":
        texts = [str(one) for one in values]
        return texts if all(CODE_STRING.fullmatch(text) for text in texts) else None
    if vr in NUMBERS:
        try:
            # Whatever text a damaged number holds is not taken over.
            numbers = [int(one) if vr not in ("DS", "FL", "FD") else float(one) for one in values]
        except (TypeError, ValueError, OverflowError):
            return None
        return [_decimal(number) for number in numbers] if vr == "DS" else numbers
    if keyword in KEPT_TEXT or keyword in OF_A_CODE:
        text = str(value or "")
        return text if text.isascii() and text.isprintable() and len(text) <= 64 else None
    if keyword == "LUTData" and isinstance(value, bytes | list | MultiValue):
        return value if not isinstance(value, bytes) or len(value) <= MOST_LUT_BYTES else None
    return None


def _decimal(number: float) -> str:
    """A number in at most 16 characters, PS3.5 6.2."""
    whole = repr(int(number)) if number == int(number) else repr(number)
    return whole if len(whole) <= 16 else f"{number:.9e}" if number >= 0 else f"{number:.8e}"


def _public(item: Dataset) -> bool:
    """Whether an item of a sequence is none of codes, or one of a scheme that no hospital makes up."""
    if "CodeValue" not in item and "CodeMeaning" not in item:
        return True
    return str(item.get("CodingSchemeDesignator", "")) in PUBLIC_SCHEMES


def _keep_pixels(film: Dataset, source: Dataset) -> None:
    """The pixels as they are; what else lies in the same bytes goes."""
    if source.file_meta.TransferSyntaxUID.is_encapsulated:
        frames = [without_comments(frame) for frame in generate_frames(source.PixelData, number_of_frames=1)]
        film.add(DataElement(0x7FE00010, "OB", encapsulate(frames)))
        film["PixelData"].is_undefined_length = True
        return
    size = source.Rows * source.Columns * source.BitsAllocated // 8
    # Bits beside those of the pixel may hold an overlay (PS3.5 8.1.2), bytes after the image anything.
    raw = np.frombuffer(source.PixelData[:size], _type(source, signed=False))
    used = (2**source.BitsStored - 1) << (source.HighBit + 1 - source.BitsStored)
    every = 2**source.BitsAllocated - 1
    if used != every:
        raw = raw & np.array(used, raw.dtype)
        if source.PixelRepresentation:
            # Above a negative pixel its sign goes on.
            sign = 1 << source.HighBit
            raw[(raw & np.array(sign, raw.dtype)) != 0] |= np.array(every - (2 * sign - 1), raw.dtype)
    pixels = raw.tobytes()
    film.add(DataElement(0x7FE00010, "OW" if source.BitsAllocated > 8 else "OB", pixels + b"\0" * (len(pixels) % 2)))


def _type(source: Dataset, signed: bool) -> np.dtype[Any]:
    order = "<" if source.file_meta.TransferSyntaxUID.is_little_endian else ">"
    return np.dtype(f"{order}{'i' if signed else 'u'}{source.BitsAllocated // 8}")


def _blank(film: Dataset, source: Dataset, boxes: tuple[Box, ...]) -> None:
    """Make parts of the image black, and write it uncompressed."""
    source.pixel_array_options(decoding_plugin=DECODERS[source.file_meta.TransferSyntaxUID])
    pixels = np.array(source.pixel_array)
    black = pixels.max() if source.PhotometricInterpretation == "MONOCHROME1" else pixels.min()
    for box in boxes:
        inside(box, pixels.shape)
        pixels[box.top : box.bottom, box.left : box.right] = black
    film.BitsAllocated = 8 * pixels.dtype.itemsize
    film.HighBit = film.BitsStored - 1
    vr = "SS" if film.PixelRepresentation else "US"
    film.add(DataElement(0x00280106, vr, int(pixels.min())))
    film.add(DataElement(0x00280107, vr, int(pixels.max())))
    film.BurnedInAnnotation = "NO"
    film.ImageType = ["DERIVED", *list(film.get("ImageType", ["", "PRIMARY"]))[1:]]
    whole = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    film.add(DataElement(0x7FE00010, "OW" if film.BitsAllocated > 8 else "OB", whole + b"\0" * (len(whole) % 2)))


def inside(box: Box, shape: tuple[int, ...]) -> None:
    """Raise `UnreadableFilm` unless a box lies within an image of that shape."""
    if box.top < 0 or box.left < 0 or min(box.height, box.width) < 1 or box.bottom > shape[0] or box.right > shape[1]:
        raise UnreadableFilm("A part that is to be made black lies outside of the image.")


def _say(film: Dataset, blanked: bool) -> None:
    """That the film was de-identified, and how (PS3.15 E.1.1)."""
    film.PatientIdentityRemoved = "YES"
    film.DeidentificationMethod = f"DICOM PS3.15 {EDITION} Annex E basic profile"
    film.LongitudinalTemporalInformationModified = "REMOVED"
    codes = []
    for value, scheme, meaning in (CODE, CLEAN_PIXELS)[: 1 + blanked]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        codes.append(item)
    film.DeidentificationMethodCodeSequence = codes
