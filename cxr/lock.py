"""Locks that vanish with the process that holds them, however it ends: `flock` on a file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Held(RuntimeError):
    """Somebody else holds the lock."""


@contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which is made if it is missing; other threads and processes then don't.

    Args:
        file: in a folder that exists.
        wait: until it is free; else `Held` is raised.

    Raises:
        Held: as said.
        OSError: the file can't be made.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Held(file.name) from error
        yield
    finally:
        # Closing gives the lock back.
        os.close(descriptor)


def held(file: Path) -> bool:
    """Whether somebody holds the lock of a file, this process included."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
