"""Files of the cache that are made once: written under another name, of which a killed process leaves nothing for long.

Whoever writes a draft holds its lock (`flock`), which vanishes with the process; a draft without one is nobody's.
"""

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

DRAFTS: Final = "*.draft"
ZEROS: Final = 2**20
"""Bytes that are written at a time to keep room on the disk."""


@contextmanager
def draft_of(file: Path) -> Iterator[Path]:
    """An empty file, locked, that becomes that one in one step at the end of the block, unless the block fails.

    Raises:
        OSError: it can't be made.
    """
    draft, lock = _locked_draft(file)
    try:
        yield draft
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
        # Closing gives the lock back.
        os.close(lock)


def clear_drafts(folder: Path) -> None:
    """Remove the drafts of a folder whose process is no more."""
    for draft in folder.glob(DRAFTS):
        # One that is gone by now, or can't be locked or removed, is left to the next who looks.
        with suppress(OSError):
            descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink()
            finally:
                os.close(descriptor)


def kept_array(file: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """An array that a file keeps: uint8 of a shape, filled once, read from the disk as it is needed.

    Args:
        file: where it is kept; taken as it is if it is there.
        shape: of the array.
        fill: gets the array and writes into it.

    Raises:
        OSError: the disk has no room for it.
    """
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        clear_drafts(file.parent)
        with draft_of(file) as draft:
            array = np.lib.format.open_memmap(draft, "w+", np.uint8, shape)
            # Writing into a hole of a file on a full disk would end the process instead of raising.
            with draft.open("r+b") as reserved:
                _reserve(reserved, array.offset, draft.stat().st_size)
            fill(array)
            array.flush()
    return np.load(file, mmap_mode="r")


def _reserve(file: BinaryIO, start: int, end: int) -> None:
    """Have the disk keep room for the bytes of a file from `start`, which are zeros, to `end`. Raises `OSError`."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, end)
        return
    # macOS has no such call.
    file.seek(start)
    for place in range(start, end, ZEROS):
        file.write(bytes(min(ZEROS, end - place)))


def _locked_draft(file: Path) -> tuple[Path, int]:
    """A new draft of a file, and the descriptor that holds its lock."""
    while True:
        draft = file.with_name(f"{file.stem}-{uuid.uuid4().hex}.draft")
        lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if draft.exists():
            return draft, lock
        # Somebody who cleared the folder was quicker than the lock.
        os.close(lock)
