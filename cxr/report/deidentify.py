"""A study's films for somebody who must not know whose they are: de-identified, looked through for text, in a zip.

A film in whose pixels text was seen, or whose file says that there is some, does not leave. Text that was seen can be
made black; then the film is looked through again.
"""

import io
import secrets
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cxr.radiograph.box import Box, merged
from cxr.radiograph.burned_text import burned_text
from cxr.radiograph.film import Radiograph, UnreadableFilm
from cxr.radiograph.isolated import decoder
from cxr.worklist.audit import Event, audited
from cxr.worklist.film_folder import FilmFolder, FilmLost
from cxr.worklist.studies import StudyRow

Turn = Callable[[int], AbstractContextManager[object]]

KIND: Final = "de-identified films"
"""In the audit trail."""
LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip, so that it tells nothing of when the film was taken or exported."""
ABOUT: Final = "about.txt"
HOW: Final = """\
De-identified films: DICOM files after PS3.15 Annex E, Basic Application Level Confidentiality Profile (table of
edition 2026c), without options, or with the Clean Pixel Data option where text was made black; PNG and JPEG files
without metadata. Unique identifiers were replaced with a key that was not kept; they agree within this export only.
Text in the pixels was looked for by a program that overlooks some. Look at each film before you pass it on.

"""
ROUNDS: Final = 3
"""Times that text is looked for and made black, before a film in which some is still seen is held back."""
SAID_YES: Final = "The file says that text is burned into its pixels."
RECOGNISABLE: Final = "The file says that the patient can be recognised in the image."
UNSAID: Final = "The file does not say whether text is in its pixels; none was seen. Look at the film yourself."


@dataclass(frozen=True, eq=False)
class FilmCopy:
    """What became of a film.

    Attributes:
        name: of its file in the export, such as "film-1.dcm"; without a suffix where there is none.
        data: the de-identified file; None: it does not leave.
        blocked: why, in one sentence; None: it leaves.
        note: what who passes it on should know.
        seen: where text was seen in its pixels, before any was made black.
        blanked: what was made black.
        grey: uint8 (height, width), the film as it leaves or would; None where it can't be read.
    """

    name: str
    data: bytes | None
    blocked: str | None
    note: str | None = None
    seen: tuple[Box, ...] = ()
    blanked: tuple[Box, ...] = ()
    grey: np.ndarray | None = None


def new_key() -> bytes:
    """The key of an export, for its new identifiers. It is not kept, so nobody can go back, nor join two exports."""
    return secrets.token_bytes(32)


def copy_of(data: bytes, name: str, key: bytes, black_out: bool = False) -> FilmCopy:
    """De-identify one film.

    Args:
        data: the whole file: DICOM, PNG or JPEG.
        name: of the new file, without a suffix.
        key: of `new_key`, one for all films of an export.
        black_out: make black where text is seen, instead of holding the film back.
    """
    grey = None
    try:
        film = decoder().read(data)
        grey = film.grey
        seen = left = _seen(data, film)
        blank: tuple[Box, ...] = ()
        cleaned = decoder().deidentified(data, key)
        for _ in range(ROUNDS if black_out else 0):
            if not left:
                break
            # What was made black may have hidden the rest of a line from being seen as one.
            blank += left
            cleaned = decoder().deidentified(data, key, blank)
            after = decoder().read(cleaned.data)
            grey, left = after.grey, _seen(cleaned.data, after)
    except UnreadableFilm as error:
        return FilmCopy(name, None, f"It can't be read, so nobody knows what it shows. {error}", grey=grey)
    blocked = None
    if cleaned.recognisable:
        blocked = RECOGNISABLE
    elif left:
        again = " still" if blank else ""
        blocked = f"Text is{again} seen in its pixels, at {_places(len(left))}."
    elif cleaned.burned_in not in (None, "NO") and not blank:
        blocked = f"{SAID_YES} None was seen, so nothing can be made black."
    if blocked is not None:
        return FilmCopy(name, None, blocked, None, seen, blank, grey)
    note = UNSAID if cleaned.burned_in is None and not blank else None
    return FilmCopy(f"{name}{cleaned.suffix}", cleaned.data, None, note, seen, blank, grey)


def _seen(data: bytes, film: Radiograph) -> tuple[Box, ...]:
    """Text in a film as it is shown, and over its whole range: a window may hide text that is there."""
    depth = decoder().full_depth(data)
    whole = depth.picture(float(depth.levels.min()), float(depth.levels.max()) or 1.0)
    return merged((*burned_text(film.pixels), *burned_text(whole)))


def _places(count: int) -> str:
    return "one place" if count == 1 else f"{count} places"


def copies_of(
    films: FilmFolder, study: StudyRow, key: bytes, black_out: bool = False, turn: Turn = nullcontext
) -> tuple[FilmCopy, ...]:
    """All films of a study, numbered as they stand in it.

    Args:
        films: where they lie.
        study: whose films.
        key, black_out: as of `copy_of`.
        turn: called with each film's number, from 1; in the context that it gives the film is looked through. For where
            others wait for the same processors.

    Raises:
        OSError: the films can't be read.
    """
    copies = []
    for number, film in enumerate(study.films, 1):
        name = f"film-{number}"
        with turn(number):
            try:
                copies.append(copy_of(films.bytes(film.sha256), name, key, black_out))
            except FilmLost as error:
                copies.append(FilmCopy(name, None, str(error)))
    return tuple(copies)


def zipped(copies: Sequence[FilmCopy]) -> bytes:
    """A zip of the films that may leave, and a text of how they were made and which do not."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files_of(copies):
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def files_of(copies: Sequence[FilmCopy]) -> list[tuple[str, bytes]]:
    """What `zipped` puts into the zip, as names and contents."""
    files = [(copy.name, copy.data) for copy in copies if copy.data is not None]
    return [*files, (ABOUT, (HOW + "".join(f"{said(copy)}\n" for copy in copies)).encode())]


def said(copy: FilmCopy) -> str:
    """What became of a film, in one line."""
    if copy.blocked is not None:
        return f"{copy.name}: held back. {copy.blocked}"
    black = f" Text was made black at {_places(len(copy.blanked))}." if copy.blanked else ""
    return f"{copy.name}: de-identified.{black}{f' {copy.note}' if copy.note else ''}"


def export_zip(study: StudyRow, copies: Sequence[FilmCopy], who: str) -> bytes:
    """`zipped`, after the audit trail has who takes it. Raises `NotRecorded`."""
    with _audited(study, copies, who):
        return zipped(copies)


def export_folder(study: StudyRow, copies: Sequence[FilmCopy], who: str, folder: Path) -> None:
    """Write what `zipped` has into a folder that must not be there, after the audit trail has who does it.

    Raises:
        NotRecorded: the audit trail can't be written.
        OSError: the folder is there, or can't be written.
    """
    with _audited(study, copies, who):
        folder.mkdir(parents=True)
        for name, data in files_of(copies):
            (folder / name).write_bytes(data)


def _audited(study: StudyRow, copies: Sequence[FilmCopy], who: str) -> AbstractContextManager[None]:
    leave = sum(copy.data is not None for copy in copies)
    return audited(
        who=who, event=Event.EXPORT, what=f"study {study.id}", kind=KIND, films=leave, left_out=len(copies) - leave
    )
