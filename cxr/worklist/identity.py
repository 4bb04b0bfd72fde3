"""Whose film a file is and of which study, as far as it says so. A patient's name is never read."""

import hashlib
import hmac
import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cxr.files import printable
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.header import Header
from cxr.radiograph.isolated import decoder
from cxr.radiograph.read import DICOM_PREAMBLE, DICOM_PREFIX, JPEG_SIGNATURE, PNG_SIGNATURE

SECRET_FILE: Final = "secret"  # noqa: S105 - its name
SECRET_BYTES: Final = 32
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
        OSError: it can't be looked at at present.
    """
    own = f"film:{sha256}"
    if not _is_dicom(data):
        patient = NIH_NAME.fullmatch(name)
        return Identity(own, patient[1] if patient and int(patient[1]) <= NIH_PATIENTS else None)
    header = _header(data)
    if header.directory:
        raise NotAFilm("This DICOM file is the table of contents of a disc (DICOMDIR), not a film.")
    if header.study is not None:
        # A UID can be looked up at the hospital that gave it; its keyed hash can't, and tells one study from another.
        own = f"dicom:{hmac.new(secret, header.study.encode(), hashlib.sha256).hexdigest()}"
    return Identity(own, header.patient, header.accession, None if header.date is None else _date(header.date))


def clean_name(name: str) -> str:
    """The last part of a path as a name that any database and terminal takes, at most 200 characters."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    name = printable(last)
    if len(name) > LONGEST_NAME:
        # The end often tells files apart.
        name = f"{name[: LONGEST_NAME // 2]}…{name[1 - LONGEST_NAME // 2 :]}"
    # A name of dots alone is a folder to every file system.
    return name if name.strip(". ") else "film"


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
    """Whether a PNG, JPEG or DICOM file has its end. One that has not may still be on its way.

    Raises:
        OSError: it can't be looked at at present.
    """
    if not _is_dicom(data):
        return b"IEND" in data[-64:] if data.startswith(PNG_SIGNATURE) else b"\xff\xd9" in data[-4096:]
    try:
        return decoder().is_whole(data)
    except UnreadableFilm:
        # It breaks what looks at it. That is said when it is scored.
        return True


def _is_dicom(data: bytes) -> bool:
    return data[DICOM_PREAMBLE : DICOM_PREAMBLE + 4] == DICOM_PREFIX


def _header(data: bytes) -> Header:
    """The few elements that are looked at. Even that is done elsewhere: a file can make it take forever."""
    try:
        return decoder().header(data)
    except UnreadableFilm:
        return Header()


def _date(value: str) -> str | None:
    try:
        return datetime.strptime(value, "%Y%m%d").date().isoformat()
    except ValueError:
        return None
