"""A job as anybody sees it. What its process could not write down any more is found out here; nothing is written."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr.jobs.backends import backend
from cxr.jobs.folder import (
    LOG_FILE,
    RUN_LOCK,
    SPEC_FILE,
    STATE_LOCK,
    STOP_FILE,
    StoredJob,
    folder_of,
    lost,
    stop_request,
    stored_job,
    stored_jobs,
)
from cxr.jobs.history import Curves, Samples, read_curves, read_samples
from cxr.jobs.progress import Live, read_live
from cxr.jobs.spec import Event, JobRefused, JobSpec, NoSuchJob, State
from cxr.jobs.words import seconds_in_words
from cxr.lock import held

SILENT_SECONDS = 60.0
"""From then on it is said that a running job, which speaks every 2 s, says nothing."""


@dataclass(frozen=True)
class Job:
    """A job at one moment.

    Attributes:
        folder: of the job.
        created: when.
        spec: what it is to do.
        events: the oldest first; the last one says how it is now.
        live: the last word of its process.
        stopping: somebody wants it to stop, and it has not yet.
        remark: what is to be said of it while it is alive, in sentences: what its backend says, and that there was no
            sign of life for longer than `SILENT_SECONDS`; None if nothing.
    """

    folder: Path
    created: datetime
    spec: JobSpec
    events: tuple[Event, ...]
    live: Live | None
    stopping: bool
    remark: str | None = None

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def state(self) -> State:
        return self.events[-1].state

    @property
    def cause(self) -> str:
        """Why it is in this state, one sentence."""
        return self.events[-1].cause

    @property
    def who(self) -> str:
        return self.events[-1].who

    @property
    def since(self) -> datetime:
        return self.events[-1].time

    @property
    def resumable(self) -> bool:
        """Whether it can be gone on with."""
        return self.state.resumable

    @property
    def running_seconds(self) -> float:
        """For how long it has run, its earlier processes included, by the clocks of their machines."""
        ends = [event.time for event in self.events[1:]] + [datetime.now(UTC)]
        spans = zip(self.events, ends, strict=True)
        # A clock may have been set back.
        return sum(max(0.0, (end - event.time).total_seconds()) for event, end in spans if event.state is State.RUNNING)

    @property
    def silent_seconds(self) -> float | None:
        """Since the last sign of life of a living process; None without one."""
        return self.live.silent_seconds if self.live is not None and self.state.alive else None


def jobs() -> list[Job]:
    """All jobs, the newest first."""
    found = []
    for stored in stored_jobs():
        try:
            found.append(seen(stored))
        except NoSuchJob:
            # Deleted at this moment.
            continue
    return found


def job(job_id: str) -> Job:
    """A job as it is now. Raises `NoSuchJob`."""
    return seen(stored_job(folder_of(job_id)))


def seen(stored: StoredJob, starting: bool = False) -> Job:
    """A job of which its folder says this.

    Args:
        stored: what it says.
        starting: the caller holds the lock of its state, so that nobody is starting it.

    Raises:
        NoSuchJob: it was deleted meanwhile.
    """
    end = _end(stored, starting)
    if end is not None and not starting:
        # Between the two looks the process may have said how it ended.
        stored = stored_job(stored.folder)
        end = _end(stored, starting)
    events = stored.state.events if stored.state is not None else (lost(stored),)
    if end is not None:
        events = (*events, end)
    state, live = events[-1].state, read_live(stored.folder)
    return Job(
        folder=stored.folder,
        created=stored.stored.created,
        spec=stored.spec,
        events=events,
        live=live,
        stopping=state.alive and stop_request(stored.folder) is not None,
        remark=_remark(stored, state, live) if state.alive else None,
    )


def queue_place(found: Job) -> int | None:
    """How many jobs have the devices of a queued job before it; None if it is not queued, or nobody knows."""
    if found.state is not State.QUEUED:
        return None
    try:
        return backend(found.spec.backend).ahead(stored_job(found.folder))
    except (JobRefused, NoSuchJob):
        return None


def log_tail(found: Job, lines: int = 200, most_bytes: int = 2**17) -> list[str]:
    """The last lines of a job's log, of its last `most_bytes`; where it says nothing, what its backend has."""
    try:
        with (found.folder / LOG_FILE).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        text = ""
    return (text or _log_elsewhere(found.folder)).splitlines()[-lines:]


def curves(found: Job) -> Curves:
    """The curves of a job so far."""
    return read_curves(found.folder)


def samples(found: Job) -> Samples | None:
    """What its model said so far of a few validation films; None before the first epoch."""
    return read_samples(found.folder)


def _end(stored: StoredJob, starting: bool) -> Event | None:
    """What has happened to a job that its own file says nothing of; None if it says all.

    That is so where its process has ended without a word, or where the file can't be read.
    """
    state = stored.state
    if state is None:
        return _torn(stored)
    last = state.events[-1]
    if not last.state.alive:
        return None
    if state.handle is None:
        if not starting and held(stored.folder / STATE_LOCK):
            return None
        why: str | None = "It was never started: whoever wanted to was ended before."
    else:
        try:
            why = backend(stored.spec.backend).dead(stored, state.handle)
        except JobRefused as error:
            why = str(error)
    # Where processes have other numbers, as in a container, the lock still tells that it lives.
    if why is None or held(stored.folder / RUN_LOCK):
        return None
    live = read_live(stored.folder)
    time = max(last.time, live.time) if live is not None else last.time
    stop = stop_request(stored.folder)
    if stop is None:
        return Event(state=State.INTERRUPTED, time=time, cause=why, who="nobody")
    cause = "It was asked to stop and ended before it could say so; what its last checkpoint holds is kept."
    if last.state is State.QUEUED:
        cause = "It was stopped before its turn came."
    return Event(state=State.CANCELLED, time=max(time, _written(stored, STOP_FILE)), cause=cause, who=stop.who)


def _remark(stored: StoredJob, state: State, live: Live | None) -> str | None:
    silent = live.silent_seconds if live is not None and state is State.RUNNING else None
    said = [_of_backend(stored)]
    if silent is not None and silent > SILENT_SECONDS:
        said.append(f"No sign of life for {seconds_in_words(silent)}.")
    return " ".join(filter(None, said)) or None


def _of_backend(stored: StoredJob) -> str | None:
    if stored.state is None or stored.state.handle is None:
        return None
    try:
        return backend(stored.spec.backend).remark(stored, stored.state.handle)
    except JobRefused as error:
        return str(error)


def _log_elsewhere(folder: Path) -> str:
    try:
        stored = stored_job(folder)
        if stored.state is None or stored.state.handle is None:
            return ""
        return backend(stored.spec.backend).log(stored, stored.state.handle)
    except (JobRefused, NoSuchJob):
        return ""


def _torn(stored: StoredJob) -> Event | None:
    if not held(stored.folder / RUN_LOCK):
        return None
    cause = "Its state can't be read, but its process is at work."
    return Event(state=State.RUNNING, time=_written(stored, SPEC_FILE), cause=cause, who="nobody")


def _written(stored: StoredJob, name: str) -> datetime:
    """When a file of a job was written; if it has vanished meanwhile, when the job was made."""
    try:
        seconds = (stored.folder / name).stat().st_mtime
    except OSError:
        return stored.stored.created
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)
