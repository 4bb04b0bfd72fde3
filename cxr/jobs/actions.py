"""What may be done with jobs. Each may be done by two people at once, or twice: the second time changes nothing."""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

from cxr.files import replace_file
from cxr.jobs.backends import backend
from cxr.jobs.checks import name_problem, preflight
from cxr.jobs.folder import (
    SPEC_FILE,
    STATE_FILE,
    STATE_LOCK,
    STOP_FILE,
    StoredJob,
    changing,
    drop_ballast,
    folder_of,
    highest_number,
    now,
    stored_job,
    stored_jobs,
    write_ballast,
    write_event,
    write_part,
)
from cxr.jobs.local import devices_of
from cxr.jobs.reading import Job, job, seen
from cxr.jobs.spec import Event, JobRefused, JobSpec, NoSuchJob, State, StopRequest, StoredSpec, StoredState
from cxr.lock import locked
from cxr.settings import settings
from cxr.training.run import CONFIG_FILE
from cxr.worklist.audit_events import Event as Audited

LOCK_FILE = ".lock"
NUMBER_FILE = ".number"
DELETED_FILE = "deleted.jsonl"
"""Who deleted which job when, a JSON object a line."""
DRAFT, DELETED = ".draft-", ".deleted-"
"""How the names begin of folders that are not a job yet, or any more."""
LOOK_SECONDS = 0.25
MARGIN_SECONDS = 2.0
"""By which the process may be later than the grace period with ending itself."""


def start(spec: JobSpec, token: str) -> Job:
    """Queue a new job.

    Args:
        spec: what it is to do.
        token: any text that is new for each job that is wanted, made before it is asked for: asked for a second time
            with the same token, the first job is returned.

    Raises:
        JobRefused: with the sentences of the preflight checks that failed, or one on what else stands against it; as in
            all that follows, also if it can't be written to the audit trail.
    """
    spec = spec.model_copy(update={"data": spec.data.absolute()})
    if (found := _of_token(token)) is not None:
        return found
    problems = [check.sentence for check in preflight(spec) if not check.ok]
    with _numbering() as number:
        # Meanwhile somebody may have made the same job, or one with the same name.
        if (found := _of_token(token)) is not None:
            return found
        if problems or (problem := name_problem(spec.model)):
            raise JobRefused(" ".join(problems or [str(problem)]))
        folder = settings().runs_dir / f"{number:04d}-{spec.model}"
        with _audited(Audited.JOB_STARTED, folder.name, spec.by, spec):
            _use(number)
            draft = _draft(spec, token, number)
            # Whoever sees the folder waits until the job in it is started.
            with locked(draft / STATE_LOCK):
                draft.rename(folder)
                _launch(stored_job(folder))
    return job(folder.name)


def resume(job_id: str, who: str) -> Job:
    """Queue a job again that was interrupted or cancelled or failed; it goes on from its checkpoint.

    A job that is queued or running already is left as it is.

    Raises:
        NoSuchJob: there is none.
        JobRefused: it is finished, or the disk is full.
    """
    folder = folder_of(job_id)
    with _numbering() as number, changing(folder) as stored:
        found = seen(stored, starting=True)
        if found.state.alive:
            return found
        if not found.state.resumable:
            raise JobRefused(f"The job {job_id} is {found.state}; there is nothing to go on with.")
        try:
            with _audited(Audited.JOB_RESUMED, job_id, who, stored.spec):
                _use(number)
                write_ballast(folder)
                (folder / STOP_FILE).unlink(missing_ok=True)
                event = Event(state=State.QUEUED, time=now(), cause="It was resumed.", who=who)
                state = StoredState(events=(*found.events, event), ticket=number, devices=_devices(stored.spec))
                write_part(folder / STATE_FILE, state)
        except OSError as error:
            raise JobRefused(f"The job {job_id} can't be resumed: {folder}: {error.strerror}.") from error
        _launch(StoredJob(folder, stored.stored, state))
    return job(job_id)


def cancel(job_id: str, who: str) -> Job:
    """Ask a job to stop: it saves a checkpoint first, and is ended after `job_grace_seconds` if it has not by then.

    Returns at once; whoever is told so later finds the state cancelled.

    Raises:
        NoSuchJob: there is none.
        JobRefused: it is neither queued nor running, or the disk is full; then it is told to stop all the same.
    """
    folder, unwritten = folder_of(job_id), None
    with changing(folder) as stored:
        found = seen(stored, starting=True)
        if not found.state.alive:
            raise JobRefused(f"The job {job_id} is {found.state}; it does not run.")
        if not found.stopping:
            with _audited(Audited.JOB_CANCELLED, job_id, who, stored.spec):
                try:
                    write_part(folder / STOP_FILE, StopRequest(who=who, time=now()))
                except OSError as error:
                    # Its process can still be told.
                    unwritten = error
    handle = stored.state.handle if stored.state is not None else None
    if handle is not None:
        backend(stored.spec.backend).stop(stored, handle)
        # The process ends itself in time; this is for one that hangs.
        Thread(target=_end_in_time, args=(stored, handle), daemon=True).start()
    if unwritten is not None:
        raise JobRefused(
            f"The job {job_id} was told to stop, but who wants that can't be written down: {unwritten.strerror}."
        ) from unwritten
    return job(job_id)


def delete(job_id: str, who: str) -> None:
    """Delete a job's folder with its checkpoints and curves; the model that it made stays.

    Raises:
        NoSuchJob: there is none.
        JobRefused: it is queued or running, or its folder can't be moved.
    """
    folder = folder_of(job_id)
    with changing(folder) as stored:
        if seen(stored, starting=True).state.alive:
            raise JobRefused(f"The job {job_id} is queued or running; cancel it first.")
        gone = folder.with_name(f"{DELETED}{uuid.uuid4().hex}")
        record = {"id": job_id, "model": stored.spec.model, "who": who, "time": now().isoformat()}
        # If the disk is full, the audit line may need the room that the job kept for a last word.
        drop_ballast(folder)
        try:
            with _audited(Audited.JOB_DELETED, job_id, who, stored.spec):
                folder.replace(gone)
        except OSError as error:
            raise JobRefused(f"The job {job_id} can't be deleted: {error.strerror}.") from error
    noted = _noted(record)
    shutil.rmtree(gone, ignore_errors=True)
    if not noted:
        # The disk was full, and has the room of the job now.
        _noted(record)


@contextmanager
def _audited(event: Audited, job_id: str, who: str, spec: JobSpec) -> Iterator[None]:
    """See `cxr.worklist.audit.audited`. Raises `JobRefused` if the line can't be written."""
    # The database's library is of no use to the process of a job, which imports this module as well.
    from cxr.worklist.audit import NotRecorded, audited

    try:
        with audited(who=who, event=event, what=f"job {job_id}", model_name=spec.model, backend=spec.backend):
            yield
    except NotRecorded as error:
        raise JobRefused(str(error)) from error


def _noted(record: Mapping[str, str]) -> bool:
    """Add a line to `DELETED_FILE`; whether that was possible."""
    try:
        with (settings().runs_dir / DELETED_FILE).open("a") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    except OSError:
        return False
    return True


def spec_of(found: Job, **changes: object) -> JobSpec:
    """The specification of a job with changes, for another one; it needs another `model`.

    Raises:
        pydantic.ValidationError: a change is out of range.
    """
    return JobSpec.model_validate(found.spec.model_dump() | {"cloned_from": found.id} | changes)


def free_name(name: str) -> str:
    """That name for a model, or with the first of the numbers from 2 on with which it is free."""
    number, tried = 1, name
    while name_problem(tried) is not None and number < 1000:
        number += 1
        tried = f"{name}-{number}"
    return tried


@contextmanager
def _numbering() -> Iterator[int]:
    """A new number, higher than all before; nobody else gets one or queues a job meanwhile.

    It comes again unless `_use` notes it.

    Raises:
        JobRefused: the folder of the runs can't be written to.
    """
    runs = settings().runs_dir
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with locked(runs / LOCK_FILE):
            _clear(runs)
            file = runs / NUMBER_FILE
            said = file.read_text() if file.is_file() else ""
            number = 1 + max(highest_number(), int(said) if said.isdigit() else 0)
            yield number
    except OSError as error:
        raise JobRefused(f"The folder {runs} can't be written to: {error.strerror or error}.") from error


def _clear(runs: Path) -> None:
    """Remove what processes that were killed have left while they made or deleted a job."""
    for pattern in (f"{DRAFT}*", f"{DELETED}*"):
        for left in runs.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def _use(number: int) -> None:
    """Note a number, so that it does not come again when its job is deleted. Raises `OSError`."""
    replace_file(settings().runs_dir / NUMBER_FILE, str(number).encode())


def _of_token(token: str) -> Job | None:
    for stored in stored_jobs():
        if stored.stored.token == token:
            with suppress(NoSuchJob):
                return seen(stored)
    return None


def _devices(spec: JobSpec) -> tuple[str, ...]:
    """See `StoredState.devices`."""
    return devices_of(spec) if spec.backend == "local" else ()


def _draft(spec: JobSpec, token: str, number: int) -> Path:
    """All that a new job's folder holds, under another name. Raises `OSError`, and leaves nothing behind then."""
    stored = StoredSpec(id=f"{number:04d}-{spec.model}", created=now(), token=token, spec=spec)
    cause = "It was started." if spec.cloned_from is None else f"It was started as a variant of {spec.cloned_from}."
    event = Event(state=State.QUEUED, time=stored.created, cause=cause, who=spec.by)
    draft = settings().runs_dir / f"{DRAFT}{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        write_part(draft / SPEC_FILE, stored)
        write_part(draft / CONFIG_FILE, spec.config)
        write_part(draft / STATE_FILE, StoredState(events=(event,), ticket=number, devices=_devices(spec)))
        write_ballast(draft)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return draft


def _launch(stored: StoredJob) -> None:
    """Start the worker of a queued job; only within `changing`, which keeps the worker waiting meanwhile."""
    try:
        handle = backend(stored.spec.backend).launch(stored)
    except (OSError, JobRefused) as error:
        write_event(stored, State.FAILED, f"Its process could not be started: {str(error).rstrip('.')}.", "the system")
        return
    if stored.state is not None:
        # Its process runs, and writes its handle there itself if this fails.
        with suppress(OSError):
            write_part(stored.folder / STATE_FILE, stored.state.model_copy(update={"handle": handle}))


def _end_in_time(stored: StoredJob, handle: str) -> None:
    """Kill the process of a job unless it ends within the grace period."""
    end = monotonic() + settings().job_grace_seconds + MARGIN_SECONDS
    where = backend(stored.spec.backend)
    while where.dead(stored, handle) is None:
        if monotonic() > end:
            where.kill(stored, handle)
            return
        sleep(LOOK_SECONDS)
