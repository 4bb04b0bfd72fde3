"""What an app does for the worklist besides showing it: score films, watch the inbox, delete what is too old."""

import atexit
import logging
import os
import threading
from dataclasses import dataclass
from typing import Final

from cxr.worklist.database import DatabaseUnavailable, database
from cxr.worklist.deletion import delete_expired
from cxr.worklist.film_folder import film_folder
from cxr.worklist.inbox import Inbox, inbox
from cxr.worklist.scoring import Scorer, scorer

HOUR: Final = 3600.0
_log = logging.getLogger(__name__)
_starting = threading.Lock()


class Retention:
    """Deletes studies that are too old, once an hour, and what an earlier deletion could not clear."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self._ending = threading.Event()
        threading.Thread(target=self._run, name="retention", daemon=True).start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Delete no more."""
        self._ending.set()

    def _run(self) -> None:
        while True:
            try:
                delete_expired(database(), film_folder())
                self.problem = None
            except (DatabaseUnavailable, OSError) as error:
                # Without what it says: that may hold a name.
                _log.error("Deleting old studies failed: %s", type(error).__name__)
                self.problem = "What is to be deleted could not be: it is tried again in an hour."
            if self._ending.wait(HOUR):
                return


@dataclass(frozen=True)
class _Work:
    """Who works for the worklist in this process."""

    scorer: Scorer
    inbox: Inbox | None
    retention: Retention


_working: dict[int, _Work] = {}


def work() -> None:
    """Begin, once a process; the next calls do nothing.

    Raises:
        DatabaseUnavailable, OSError: it can't at present; the next call tries again.
    """
    with _starting:
        if os.getpid() not in _working:
            scores, watches = scorer(), inbox()
            _working[os.getpid()] = _Work(scores, watches, Retention())


def scoring_here() -> Scorer | None:
    """Who scores films in this process; None before it began to."""
    working = _working.get(os.getpid())
    return None if working is None else working.scorer


def problems() -> tuple[str, ...]:
    """What stands in the way of it at present, one sentence each; empty where this process does none of it."""
    working = _working.get(os.getpid())
    if working is None:
        return ()
    late = working.retention.problem
    files = () if working.inbox is None else working.inbox.problems
    return (
        *working.scorer.problems,
        *(() if late is None else (late,)),
        *(f"Inbox, {problem.file}: {problem.sentence}" for problem in files),
    )
