"""Memory that films took goes back to the system, so that a process stays as large as it was."""

import ctypes
import sys
import threading
import time
from typing import Final

EVERY_SECONDS: Final = 2.0
_lock = threading.Lock()
_last = -EVERY_SECONDS


def give_memory_back() -> bool:
    """Return free memory to the system, every two seconds at most; returns whether it was tried.

    glibc keeps what films leave in the heaps of whichever threads read them. To give all large blocks pages of their
    own (`M_MMAP_THRESHOLD`) does as well, but cost a third more processor time for a film; this costs some milliseconds
    each time.
    """
    global _last
    with _lock:
        if time.monotonic() - _last < EVERY_SECONDS:
            return False
        _last = time.monotonic()
    if sys.platform != "linux":
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        # Another C library, such as musl, which gives large blocks back by itself.
        return False
    trim(0)
    return True
