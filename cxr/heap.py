"""Memory that films took goes back to the system; what the program consists of is not searched for garbage."""

import ctypes
import gc
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


def spare_what_is_there() -> None:
    """Leave all objects that there are now out of later searches for garbage.

    Streamlit searches after each run of a page, and halts all others meanwhile. Of the objects that the program itself
    consists of, some 300,000, that takes a tenth of a second, several times as long as the run. For the start, when
    there are no films yet: what becomes garbage of what is spared is freed only if nothing in it refers in a circle.
    """
    gc.collect()
    gc.freeze()
