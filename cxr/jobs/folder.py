"""A job's folder: which files it holds, and how they are read and changed.

| file | content |
|---|---|
| `job.json` | `StoredSpec`; never changes, and makes a folder a job |
| `config.json`, `metrics.csv`, `checkpoint.npz` | the training run, see `cxr.training.run` |
| `state.json`, `stop.json` | `StoredState`; `StopRequest`, if there is one |
| `progress.json`, `steps.csv`, `samples.json`, `tensorboard/`, `log.txt` | what it tells while it runs |
| `made/`, `made.json` | the model while it is not complete; `MadeModel` |
| `ballast` | room on the disk for a last word |
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from cxr.files import replace_file
from cxr.jobs.spec import Event, JobSpec, NoSuchJob, State, StopRequest, StoredSpec, StoredState
from cxr.lock import locked
from cxr.settings import settings

SPEC_FILE: Final = "job.json"
STATE_FILE: Final = "state.json"
STATE_LOCK: Final = "state.lock"
RUN_LOCK: Final = "run.lock"
"""Held by the process that trains, for as long as it lives: never two on one checkpoint."""
STOP_FILE: Final = "stop.json"
PROGRESS_FILE: Final = "progress.json"
STEPS_FILE: Final = "steps.csv"
SAMPLES_FILE: Final = "samples.json"
LOG_FILE: Final = "log.txt"
TENSORBOARD: Final = "tensorboard"
MADE: Final = "made"
MADE_FILE: Final = "made.json"
BALLAST_FILE: Final = "ballast"
BALLAST_BYTES: Final = 2**20

Part = TypeVar("Part", bound=BaseModel)


@dataclass(frozen=True)
class StoredJob:
    """A job as its folder has it.

    Attributes:
        folder: of the job.
        stored: its specification.
        state: None if the file can't be read.
    """

    folder: Path
    stored: StoredSpec
    state: StoredState | None

    @property
    def id(self) -> str:
        return self.stored.id

    @property
    def spec(self) -> JobSpec:
        return self.stored.spec


def stored_jobs() -> list[StoredJob]:
    """All jobs, the newest first. Folders without `job.json`, such as those of runs without a job, are passed over."""
    found = []
    for file in sorted(settings().runs_dir.glob(f"[!.]*/{SPEC_FILE}"), reverse=True):
        # One may be deleted at this moment, and one that can't be read must not hide the others.
        with suppress(NoSuchJob):
            found.append(stored_job(file.parent))
    return sorted(found, key=lambda job: _number(job.id), reverse=True)


def _number(job_id: str) -> int:
    """The number that an id begins with."""
    digits = job_id.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def highest_number() -> int:
    """The highest that a job's id or place in a queue has; 0 without jobs."""
    jobs = stored_jobs()
    tickets = [job.state.ticket for job in jobs if job.state is not None]
    return max((*tickets, *(_number(job.id) for job in jobs)), default=0)


def folder_of(job_id: str) -> Path:
    """The folder of a job. Raises `NoSuchJob` if there is none."""
    folder = settings().runs_dir / job_id
    if Path(job_id).name != job_id or not (folder / SPEC_FILE).is_file():
        raise NoSuchJob(f"There is no job {job_id!r} in {settings().runs_dir}.")
    return folder


def stored_job(folder: Path) -> StoredJob:
    """The job of a folder. Raises `NoSuchJob` if it holds none that can be read."""
    stored = read_part(folder / SPEC_FILE, StoredSpec)
    if stored is None:
        raise NoSuchJob(f"The folder {folder} holds no job, or its {SPEC_FILE} can't be read.")
    return StoredJob(folder, stored, read_part(folder / STATE_FILE, StoredState))


def read_part(file: Path, kind: type[Part]) -> Part | None:
    """What a JSON file holds; None if it is missing, torn or of another kind."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def write_part(file: Path, part: BaseModel) -> None:
    """Replace a JSON file in one step. Raises `OSError`."""
    replace_file(file, (part.model_dump_json(indent=1) + "\n").encode())


@contextmanager
def changing(folder: Path) -> Iterator[StoredJob]:
    """The job of a folder as it is now, which nobody else changes meanwhile.

    Raises:
        NoSuchJob: it was deleted.
        OSError: its lock can't be made.
    """
    if not folder.is_dir():
        raise NoSuchJob(f"There is no job {folder.name!r} in {folder.parent}.")
    with locked(folder / STATE_LOCK):
        yield stored_job(folder)


def write_event(job: StoredJob, state: State, cause: str, who: str, **changes: object) -> StoredState:
    """Add an event; only within `changing`.

    Args:
        job: as `changing` gave it, or with the state that the last call returned.
        state, cause, who: of the event, which happens now.
        changes: of the other fields of `StoredState`.
    """
    before = job.state or StoredState(events=(lost(job),), ticket=0)
    event = Event(state=state, time=now(), cause=cause, who=who)
    after = before.model_copy(update={"events": (*before.events, event), **changes})
    write_part(job.folder / STATE_FILE, after)
    return after


def lost(job: StoredJob) -> Event:
    """Stands for the events of a state that can't be read."""
    cause = f"{STATE_FILE} can't be read, so what happened before is not known."
    return Event(state=State.INTERRUPTED, time=job.stored.created, cause=cause, who="nobody")


def stop_request(folder: Path) -> StopRequest | None:
    """Who wants the job to stop, if anybody does."""
    return read_part(folder / STOP_FILE, StopRequest)


def write_ballast(folder: Path) -> None:
    """Take room on the disk that is given back for the last change of the state, should the disk be full by then.

    Raises:
        OSError: there is no such room now.
    """
    file = folder / BALLAST_FILE
    if file.is_file() and file.stat().st_size == BALLAST_BYTES:
        return
    # Random, or a file system that compresses would keep next to nothing.
    with file.open("wb") as stream:
        stream.write(os.urandom(BALLAST_BYTES))
        stream.flush()
        os.fsync(stream.fileno())


def drop_ballast(folder: Path) -> None:
    """Give that room back."""
    (folder / BALLAST_FILE).unlink(missing_ok=True)


def now() -> datetime:
    """The time, for people."""
    return datetime.now(UTC).replace(microsecond=0)
