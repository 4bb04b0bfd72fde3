"""Archives: a zip gives the files in it, anything else is one file."""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from cxr.radiograph.read import DICOM_PREAMBLE, DICOM_PREFIX

ZIP_SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""Of the first entry, and of an archive without any."""
MOST_ENTRIES: Final = 20_000
LARGEST_DIRECTORY: Final = 16 * 1024**2
"""Bytes of an archive's table of contents, which is read whole: 800 for each of so many entries."""
LARGEST_FILM: Final = 512 * 1024**2
"""Bytes of one file; 64 megapixels of 16 bits are a quarter of it."""
LARGEST_ARCHIVE: Final = 20 * 1024**3
"""Bytes of all files of an archive, unpacked. They are unpacked one at a time."""
HIGHEST_RATIO: Final = 200
"""Times that an entry may grow. Blank DICOM films reach about 100; a bomb 1000."""
ALWAYS_FINE: Final = 1024**2
"""Bytes up to which an entry may have grown by any factor."""
HIDDEN: Final = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""What other systems leave in archives and folders; nobody misses it."""


@dataclass(frozen=True)
class Refused:
    """A file that is not taken in: its name, and why in one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Unpacked:
    """A file: its name, within its archive with folders, and its bytes."""

    name: str
    data: bytes


def is_archive(start: bytes) -> bool:
    """Whether a file is a zip, by its first bytes (132 are enough). A DICOM file may begin with anything."""
    return start.startswith(ZIP_SIGNATURES) and start[DICOM_PREAMBLE : DICOM_PREAMBLE + 4] != DICOM_PREFIX


def expand(name: str, source: bytes | Path) -> Iterator[Unpacked | Refused]:
    """The files of an archive one after another, each with its bytes; of anything else itself.

    Args:
        name: of the file.
        source: the whole file, or where it is: then no more than one of its files is ever in memory.

    Raises:
        OSError: `source` can't be read.
    """
    if isinstance(source, bytes):
        start, size = source[: DICOM_PREAMBLE + 4], len(source)
    else:
        with source.open("rb") as stream:
            start = stream.read(DICOM_PREAMBLE + 4)
        size = source.stat().st_size
    if is_archive(start):
        yield from _entries(name, source)
    elif size > LARGEST_FILM:
        yield Refused(name, f"The file has {size / 1e6:.0f} MB; no film is that large.")
    else:
        yield Unpacked(name, source if isinstance(source, bytes) else source.read_bytes())


def _entries(name: str, source: bytes | Path) -> Iterator[Unpacked | Refused]:
    try:
        if _directory(source) > LARGEST_DIRECTORY:
            yield Refused(name, f"The zip archive holds more than the {MOST_ENTRIES} files that are unpacked.")
            return
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _hidden(entry.filename)]
            if refusal := _refusal_of_all(entries):
                yield Refused(name, refusal)
                return
            for entry in entries:
                inner = f"{name}/{entry.filename}"
                yield _entry(archive, entry, inner)
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError):
        # A table of contents that is not one makes `zipfile` raise any of these.
        yield Refused(name, "The zip archive is truncated or damaged.")


def _directory(source: bytes | Path) -> int:
    """Bytes of the table of contents as `zipfile` is going to read it."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        # Its own search for the end of the archive: another one could be led to another end.
        found = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if not found:
        raise zipfile.BadZipFile
    return int(found[zipfile._ECD_SIZE])  # type: ignore[attr-defined]


def _hidden(name: str) -> bool:
    return any(part in HIDDEN or part.startswith("._") or part == ".DS_Store" for part in PurePosixPath(name).parts)


def _refusal_of_all(entries: list[zipfile.ZipInfo]) -> str | None:
    if not entries:
        return "The zip archive holds no files."
    if len(entries) > MOST_ENTRIES:
        return f"The zip archive holds {len(entries)} files, more than the {MOST_ENTRIES} that are unpacked."
    if (total := sum(entry.file_size for entry in entries)) > LARGEST_ARCHIVE:
        return (
            f"The zip archive would unpack to {total / 1e9:.0f} GB, more than the {LARGEST_ARCHIVE / 1e9:.0f} GB that "
            "are unpacked."
        )
    # Entries that share their bytes are how 10 MB become a petabyte (D. Fifield, A better zip bomb, WOOT 2019).
    spans = sorted((entry.header_offset, entry.header_offset + entry.compress_size) for entry in entries)
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        return "The files in the zip archive overlap each other, which no honest archive does."
    return None


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Unpacked | Refused:
    parts = PurePosixPath(entry.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or PureWindowsPath(entry.filename).drive:
        return Refused(name, "Its name in the archive leads out of the archive.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Refused(name, "It is a link in the archive, and no file.")
    if entry.flag_bits & 0x1:
        return Refused(name, "It is encrypted in the archive; unpack it first.")
    most = min(LARGEST_FILM, max(ALWAYS_FINE, HIGHEST_RATIO * entry.compress_size))
    try:
        with archive.open(entry) as stream:
            # What the archive says of the size may be a lie.
            data = stream.read(most + 1) if entry.file_size <= most else None
    except NotImplementedError:
        return Refused(name, "It is packed in a way that is not supported; unpack it first.")
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            # The disk under the archive, not the archive.
            raise
        return Refused(name, "It is damaged in the archive.")
    if data is None or len(data) > most:
        return Refused(name, "It would grow far beyond its size in the archive, as no film does.")
    if is_archive(data[: DICOM_PREAMBLE + 4]):
        return Refused(name, "It is an archive in an archive; unpack it first.")
    return Unpacked(name, data)
