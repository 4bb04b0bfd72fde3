"""The few elements of a DICOM file that say whose film it is, and whether all of it is there. No name is read."""

import io
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from cxr.radiograph.dicom import DECODERS
from cxr.radiograph.grey_levels import text_of
from cxr.radiograph.read import DICOM_PREAMBLE

KEYWORDS: Final = ("StudyInstanceUID", "PatientID", "AccessionNumber", "StudyDate")
LONGEST_VALUE: Final = 64
"""Characters of a UID or a long string, PS3.5 6.2; what is longer has a damaged length and goes on into others."""


@dataclass(frozen=True)
class Header:
    """What a DICOM file says of whose it is; all None where it is damaged, or would have to be inflated.

    Attributes:
        study: Study Instance UID.
        patient, accession: Patient ID and Accession Number.
        date: Study Date as it stands there.
        directory: it is the table of contents of a disc (DICOMDIR).
    """

    study: str | None = None
    patient: str | None = None
    accession: str | None = None
    date: str | None = None
    directory: bool = False


def header(data: bytes) -> Header:
    """The header of a DICOM file. Damage is no error here: it is told when the film is read."""
    try:
        meta = _meta(data)
        if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return Header(directory=True)
        if _syntax(meta) not in DECODERS:
            return Header()
        found = dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(KEYWORDS))
        list(found)  # pydicom decodes an element when it is first asked for it
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises many things for what is damaged
        return Header()
    study, patient, accession, date = (_value(found, keyword) for keyword in KEYWORDS)
    return Header(study, patient, accession, date)


def is_whole(data: bytes) -> bool:
    """Whether a DICOM file has its end. One that has not may still be on its way."""
    try:
        if _syntax(_meta(data)) not in DECODERS:
            return True
        found = dcmread(io.BytesIO(data), specific_tags=["Rows", "Columns", "BitsAllocated", "PixelData"])
        if "PixelData" not in found:
            return "Rows" not in found and len(found) > 0
        encoded = found.file_meta.TransferSyntaxUID.is_encapsulated
        return encoded or len(found.PixelData) >= found.Rows * found.Columns * found.BitsAllocated // 8
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises many things for what ends too early
        return False


def _meta(data: bytes) -> Dataset:
    stream = io.BytesIO(data)
    stream.seek(DICOM_PREAMBLE + 4)
    return read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)


def _syntax(meta: Dataset) -> UID:
    return UID(str(meta.get("TransferSyntaxUID", "")))


def _value(found: Dataset, keyword: str) -> str | None:
    value = text_of(found, keyword)
    return value if value is not None and len(value) <= LONGEST_VALUE else None
