"""Why a job failed, in one sentence for the person who has to act. The traceback is for the log."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cxr.jobs import machine
from cxr.jobs.folder import LOG_FILE
from cxr.settings import ROOT

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
FULL_TEXT: Final = "No space left on device"
NEARLY_FULL: Final = 16 * 2**20
"""Bytes; a disk with less left is the one that was full."""
OUT_OF_MEMORY: Final = ("MemoryError", "ResourceExhaustedError", "OutOfMemoryError")
"""Exceptions of Python, TensorFlow and PyTorch."""


def cause_of(error: BaseException, folders: Sequence[Path]) -> str:
    """Why an exception ended a job.

    Args:
        error: with its traceback.
        folders: that the job writes to.
    """
    for link in _chain(error):
        if _disk_full(link):
            return f"The disk of {_full_folder(link, folders)} is full; make room there, then resume the job."
    name = type(error).__name__
    if name in OUT_OF_MEMORY:
        return f"The memory did not suffice ({name}); start again with a smaller batch_size or input_size."
    if _ours(error):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"The system refused: {error.strerror}{where}."
    return f"An error that was not foreseen ({name}) ended it; {LOG_FILE} says where."


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _disk_full(error: BaseException) -> bool:
    # HDF5 gives its own number and the system's text.
    return isinstance(error, OSError) and (error.errno in FULL or FULL_TEXT in str(error))


def _full_folder(error: BaseException, folders: Sequence[Path]) -> Path:
    for folder in folders:
        if machine.disk(folder).free < NEARLY_FULL:
            return folder
    named = getattr(error, "filename", None)
    return Path(named).parent if isinstance(named, str) else folders[0]


def _ours(error: BaseException) -> bool:
    """Whether it was raised on purpose, by this software: then its message is a sentence for people."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised = trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(ROOT / "cxr")
    return raised and isinstance(error, ValueError | RuntimeError | FileExistsError)
