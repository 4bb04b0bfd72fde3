"""Whose film a file is and of which study, as far as it says so. A patient's name is never read."""

import hashlib
import hmac
import io
import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from cxr.radiograph.dicom import DECODERS
from cxr.radiograph.grey_levels import text_of
from cxr.radiograph.read import DICOM_PREAMBLE, DICOM_PREFIX, JPEG_SIGNATURE, PNG_SIGNATURE

SECRET_FILE: Final = "secret"  # noqa: S105 - its name
SECRET_BYTES: Final = 32
KEYWORDS: Final = ["StudyInstanceUID", "PatientID", "AccessionNumber", "StudyDate"]
LONGEST_VALUE: Final = 64
"""Characters of a UID or a long string, PS3.5 6.2; what is longer has a damaged length and goes on into others."""
LONGEST_NAME: Final = 200
NIH_NAME: Final = re.compile(r"(\d{8})_(\d{3})\.(png|jpe?g)", re.IGNORECASE)
NIH_PATIENTS: Final = 30_805
"""Numbers of ChestX-ray14 go up to this. A name that begins with a date looks the same, and its number is far above."""


class NotAFilm(ValueError):
    """A file that is no film of any kind; the message is one sentence for the reader."""


@dataclass(frozen=True)
class Identity:
    """What a file says of whose it is.

    Attributes:
        key: of its study: "dicom:" and a salted hash of the Study Instance UID, or "film:" and the film's SHA-256.
        patient, accession: as the file has them; None where it does not say.
        acquired: Study Date, YYYY-MM-DD; None where the file does not say.
    """

    key: str
    patient: str | None = None
    accession: str | None = None
    acquired: str | None = None


def check_kind(data: bytes | memoryview) -> None:
    """Raise `NotAFilm` for what is no PNG, JPEG or DICOM file. A damaged one is a film that could not be read."""
    if not len(data):
        raise NotAFilm("The file is empty.")
    start = bytes(data[: DICOM_PREAMBLE + 4])
    if not (_is_dicom(start) or start.startswith((PNG_SIGNATURE, JPEG_SIGNATURE))):
        raise NotAFilm("This is not a PNG, JPEG or DICOM file.")


def identify(name: str, data: bytes, sha256: str, secret: bytes) -> Identity:
    """Tell whose film a file is.

    Args:
        name: of the file; only a name of ChestX-ray14 says whose film it is.
        data: the whole file.
        sha256: of `data`.
        secret: of `secret_of`.

    Raises:
        NotAFilm: it is a DICOM file that lists others (DICOMDIR).
    """
    own = f"film:{sha256}"
    if not _is_dicom(data):
        patient = NIH_NAME.fullmatch(name)
        return Identity(own, patient[1] if patient and int(patient[1]) <= NIH_PATIENTS else None)
    header = _header(data)
    uid, patient_id, accession, date = (_value(header, keyword) for keyword in KEYWORDS)
    if uid is not None:
        # A UID can be looked up at the hospital that gave it; its keyed hash can't, and tells one study from another.
        own = f"dicom:{hmac.new(secret, uid.encode(), hashlib.sha256).hexdigest()}"
    return Identity(own, patient_id, accession, None if date is None else _date(date))


def clean_name(name: str) -> str:
    """The last part of a path as a name that any database and terminal takes, at most 200 characters."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    whole = last.encode("utf-8", "backslashreplace").decode()
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in whole)
    if len(printable) > LONGEST_NAME:
        # The end often tells files apart.
        printable = f"{printable[: LONGEST_NAME // 2]}…{printable[1 - LONGEST_NAME // 2 :]}"
    return printable or "film"


def secret_of(folder: Path) -> bytes:
    """The secret with which a worklist's study identifiers are hashed, 32 bytes; made at the first call.

    Raises:
        OSError: it can't be made or read.
        ValueError: the file holds something else.
    """
    file = folder / SECRET_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{SECRET_FILE}.{uuid.uuid4().hex}.draft"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(os.urandom(SECRET_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Unlike a rename this leaves alone what another process made in the meantime.
            with suppress(FileExistsError):
                file.hardlink_to(draft)
        finally:
            draft.unlink()
    secret = file.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"The file {file} does not hold the {SECRET_BYTES} bytes that were put there.")
    return secret


def is_whole(data: bytes) -> bool:
    """Whether a PNG, JPEG or DICOM file has its end. One that has not may still be on its way."""
    if not _is_dicom(data):
        return b"IEND" in data[-64:] if data.startswith(PNG_SIGNATURE) else b"\xff\xd9" in data[-4096:]
    try:
        if _syntax(data) not in DECODERS:
            return True
        found = dcmread(io.BytesIO(data), specific_tags=["Rows", "Columns", "BitsAllocated", "PixelData"])
        if "PixelData" not in found:
            return "Rows" not in found and len(found) > 0
        encoded = found.file_meta.TransferSyntaxUID.is_encapsulated
        return encoded or len(found.PixelData) >= found.Rows * found.Columns * found.BitsAllocated // 8
    except Exception:  # noqa: BLE001 - pydicom raises many things for what ends too early
        return False


def _is_dicom(data: bytes) -> bool:
    return data[DICOM_PREAMBLE : DICOM_PREAMBLE + 4] == DICOM_PREFIX


def _syntax(data: bytes) -> str:
    """The transfer syntax; "" where the file does not say. Raises `NotAFilm` for a DICOMDIR."""
    stream = io.BytesIO(data)
    stream.seek(DICOM_PREAMBLE + 4)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise NotAFilm("This DICOM file is the table of contents of a disc (DICOMDIR), not a film.")
    return UID(str(meta.get("TransferSyntaxUID", "")))


def _header(data: bytes) -> Dataset:
    """The few elements that are looked at; none where the file is damaged, or would have to be inflated."""
    try:
        if _syntax(data) not in DECODERS:
            return Dataset()
        found = dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(KEYWORDS))
        list(found)  # pydicom decodes an element when it is first asked for it
    except NotAFilm:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises many things; that the file is damaged is said when it is scored
        return Dataset()
    return found


def _value(header: Dataset, keyword: str) -> str | None:
    value = text_of(header, keyword)
    return value if value is not None and len(value) <= LONGEST_VALUE else None


def _date(value: str) -> str | None:
    try:
        return datetime.strptime(value, "%Y%m%d").date().isoformat()
    except ValueError:
        return None
