"""Waiting for something to be so."""

import time
from collections.abc import Callable


def until(done: Callable[[], object], seconds: float = 60) -> None:
    """Return when it is so; it fails where that takes longer."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
