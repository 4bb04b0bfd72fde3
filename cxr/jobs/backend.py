"""What a job needs of the place where it runs. Everything else about jobs is the same wherever that is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from cxr.jobs.folder import StoredJob
from cxr.jobs.spec import JobSpec


class Stopped(RuntimeError):
    """The job was asked to stop while it waited for its turn."""


class Backend(Protocol):
    """Starts, finds and ends the process of a job: the worker, `python -m cxr finetune --run FOLDER`.

    A handle is a text of the backend's own by which it knows the process again, kept in `state.json`.
    """

    def problem(self, spec: JobSpec) -> str | None:
        """Why such a job can't run here, one sentence; None if it can."""
        ...

    def launch(self, job: StoredJob) -> str:
        """Start the worker, which outlives the caller; returns its handle. Raises `OSError` if that is impossible."""
        ...

    def own_handle(self) -> str:
        """The handle of the worker that calls this."""
        ...

    def dead(self, job: StoredJob, handle: str) -> str | None:
        """Why the process is certainly no more, one sentence; None while it lives."""
        ...

    def remark(self, job: StoredJob, handle: str) -> str | None:
        """What is to be said of a process that is not known to be dead, one sentence: what it waits for, or why nobody
        knows how it is; None if nothing."""
        ...

    def log(self, job: StoredJob, handle: str) -> str:
        """What the process has written that is not in the job's log."""
        ...

    def stop(self, job: StoredJob, handle: str) -> None:
        """Make the process look into its folder, where `stop.json` says that it is to stop; it does so by itself, too,
        but later."""
        ...

    def kill(self, job: StoredJob, handle: str) -> None:
        """End the process at once."""
        ...

    def turn(self, job: StoredJob, should_stop: Callable[[], bool]) -> AbstractContextManager[str]:
        """In the worker: wait until its devices are free, and hold them; gives their names.

        Raises:
            Stopped: `should_stop` said so.
        """
        ...

    def ahead(self, job: StoredJob) -> int | None:
        """How many jobs have the devices of a queued job before it; None if nobody knows."""
        ...
