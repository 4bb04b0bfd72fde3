"""How a job hears that it is to stop, and that it lives: a thread beside the training."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from cxr.jobs.folder import STATE_FILE, STOP_FILE, read_part, stop_request
from cxr.jobs.spec import StoredState
from cxr.settings import settings

BEAT_SECONDS = 2.0


class Stop:
    """Whether a job is to stop: because of its stop file, or because its process was asked to end by a signal.

    Args:
        folder: of the job.
        handle: of this process; with another one in the job's state, the job has been given to another process.
    """

    def __init__(self, folder: Path, handle: str | None):
        self.folder = folder
        self.handle = handle
        self._asked = Event()
        self._wake = Event()
        self._since: float | None = None

    def __call__(self) -> bool:
        return self._asked.is_set()

    def look(self) -> None:
        """Look for the stop file; end this process at once if it is there for longer than the grace period, or if
        another process has the job."""
        state = read_part(self.folder / STATE_FILE, StoredState)
        if state is not None and state.handle != self.handle:
            # Not a word and no checkpoint more: the folder is the other's.
            os.kill(os.getpid(), signal.SIGKILL)
        if not (self.folder / STOP_FILE).exists():
            return
        if self._since is None:
            self._since = monotonic()
        self._asked.set()
        if monotonic() - self._since > settings().job_grace_seconds:
            os.kill(os.getpid(), signal.SIGKILL)

    def who(self) -> str | None:
        """Who asked for it; None if it was a signal."""
        request = stop_request(self.folder)
        return None if request is None else request.who

    def wait(self, seconds: float) -> None:
        """Let time pass, until a signal comes at the latest."""
        self._wake.wait(seconds)
        self._wake.clear()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C ask the job to stop, instead of ending the process."""

        def asked(*_: object) -> None:
            self._asked.set()
            self._wake.set()

        before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def beating(self, write: Callable[[], None]) -> Iterator[None]:
        """A thread that looks for the stop file and calls `write` every `BEAT_SECONDS`, and a last time at the end."""
        over = Event()

        def beat() -> None:
            while not over.is_set():
                self.look()
                with suppress(OSError):
                    # A full disk is for the training to notice, where there is more to lose.
                    write()
                self.wait(BEAT_SECONDS)
            with suppress(OSError):
                write()

        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            self._wake.set()
            thread.join()
