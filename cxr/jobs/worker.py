"""The process of a job: waits for its turn, trains, and writes down how it ended. TensorFlow is loaded when its turn
has come, so that a waiting job takes no memory."""

import errno
import shutil
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.jobs.backend import Backend, Stopped
from cxr.jobs.backends import backend
from cxr.jobs.failure import cause_of
from cxr.jobs.folder import (
    MADE,
    MADE_FILE,
    RUN_LOCK,
    STATE_FILE,
    StoredJob,
    changing,
    drop_ballast,
    read_part,
    stored_job,
    write_ballast,
    write_event,
    write_part,
)
from cxr.jobs.local import GPU
from cxr.jobs.recorder import Recorder
from cxr.jobs.spec import ITSELF, JobRefused, JobSpec, MadeModel, NoSuchJob, State
from cxr.jobs.stop import Stop
from cxr.lock import Held, locked
from cxr.model.bundle import BundleRejected, load_bundle
from cxr.registry import serving_bundle
from cxr.settings import settings
from cxr.training.listener import TrainingStopped

if TYPE_CHECKING:
    from cxr.model.bundle import Bundle

TRIES = 20
"""Looks at a lock that somebody else may hold for a moment, to see whether it is held; a tenth of a second each."""


def run(folder: Path) -> int:
    """Do the job of a folder; returns 0 if it is finished, else 1, and the reason is in its state.

    Meant for a process of its own: signals are taken over, and it may end itself.
    """
    try:
        job = stored_job(folder.absolute())
        where = backend(job.spec.backend)
        with _alone(job.folder):
            return _do(_claimed(job, where), where)
    except (NoSuchJob, JobRefused) as error:
        print(error, file=sys.stderr)
    except Held:
        print(f"Another process is at work on the job {folder.name}.", file=sys.stderr)
    return 1


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process is at work on the job. Raises `Held` if one is."""
    with ExitStack() as lock:
        for tries in range(TRIES, 0, -1):
            try:
                lock.enter_context(locked(folder / RUN_LOCK, wait=False))
                break
            except Held:
                # Somebody who looks whether the lock is held, holds it for a moment.
                if tries == 1:
                    raise
                time.sleep(0.1)
        yield


def _claimed(job: StoredJob, where: Backend) -> StoredJob:
    """The job, with this process as its own. Raises `JobRefused` if it is not queued, or is another process's."""
    handle = where.own_handle()
    with changing(job.folder) as stored:
        last = None if stored.state is None else stored.state.events[-1].state
        given = None if stored.state is None else stored.state.handle
        # Where a backend has started two, the lock alone might not reach from one machine to the other.
        if last in (State.QUEUED, State.RUNNING) and given not in (None, handle) and not where.dead(stored, str(given)):
            raise JobRefused(f"The job {job.id} was given to another process than this one.")
        if stored.state is not None and last is State.QUEUED:
            state = stored.state.model_copy(update={"handle": handle})
            write_part(stored.folder / STATE_FILE, state)
        elif last is None or last is State.RUNNING:
            # A backend may start a job again by itself; nobody else has it, for the lock is ours.
            state = write_event(stored, State.INTERRUPTED, "Its process ended without a word.", "nobody")
            again = StoredJob(stored.folder, stored.stored, state)
            state = write_event(again, State.QUEUED, "It was started again.", ITSELF, handle=handle)
        else:
            raise JobRefused(f"The job {job.id} is {last}; `python -m cxr job resume {job.id}` goes on with it.")
    return StoredJob(job.folder, job.stored, state)


def _do(job: StoredJob, where: Backend) -> int:
    stop = Stop(job.folder, None if job.state is None else job.state.handle)
    recorder = Recorder(job.folder, stop)
    stop.look()
    try:
        with stop.listening(), stop.beating(recorder.write_progress):
            write_ballast(job.folder)
            with where.turn(job, stop) as devices:
                recorder.begin()
                _note(job, State.RUNNING, f"It runs on {devices}.")
                cause = _train(job, devices, recorder)
    except (Stopped, TrainingStopped) as stopped:
        return _stopped(job, stop, str(stopped))
    except Exception as error:  # noqa: BLE001 - whatever it was, the state has to say that it is over
        with suppress(OSError):
            traceback.print_exc()
        folders = (settings().runs_dir, settings().models_dir, settings().cache_dir)
        _last_word(job, State.FAILED, cause_of(error, folders))
        return 1
    _last_word(job, State.FINISHED, cause)
    return 0


def _train(job: StoredJob, devices: str, recorder: Recorder) -> str:
    """Train and make the model; returns what to say of it."""
    spec, final = job.spec, settings().models_dir / job.spec.model
    if _made_before(job, final):
        return f"It made the model {spec.model}."
    recorder.say(f"{spec.model}: {spec.config.backbone} at {spec.config.input_size} px on {devices}")
    from cxr.training.devices import gpus
    from cxr.training.finetune import finetune

    if devices.startswith(GPU) and not gpus():
        raise RuntimeError(
            f"Keras can't compute on {devices}; install requirements-gpu.txt, or start again with the CPU as device."
        )
    shutil.rmtree(job.folder / MADE, ignore_errors=True)
    bundle = finetune(
        spec.data, job.folder / MADE / spec.model, spec.config, job.folder, recorder.say, listener=recorder
    )
    write_part(job.folder / MADE_FILE, MadeModel(sha256=bundle.sha256))
    _publish(bundle, final)
    shutil.rmtree(job.folder / MADE, ignore_errors=True)
    _compare(spec, final, recorder)
    said = f"It made the model {spec.model}"
    auroc = bundle.card.evaluation.overall.abnormal_auroc if bundle.card.evaluation is not None else None
    return f"{said}: abnormal AUROC {auroc.value:.3f} on its test patients." if auroc is not None else f"{said}."


def _compare(spec: JobSpec, final: Path, recorder: Recorder) -> None:
    """Score the new model and the one that serves on films that neither saw: with this the gate has an answer at once.

    Where they can't be compared, the log says why; the model is made all the same.
    """
    # What reads films and scores is slow to import, and as little of use to a waiting job as TensorFlow.
    from cxr.dataset.labelled import UnusableDataset
    from cxr.evaluation.neither import NotComparable, compare_films

    try:
        recorder.say("comparing it with the model that serves")
        compare_films(load_bundle(final), serving_bundle(), spec.data)
    except (NotComparable, BundleRejected, UnusableDataset) as error:
        recorder.say(str(error))


def _made_before(job: StoredJob, final: Path) -> bool:
    """Whether an earlier process of the job was ended after its model was in place and before it could say so."""
    made = read_part(job.folder / MADE_FILE, MadeModel)
    try:
        return made is not None and load_bundle(final).sha256 == made.sha256
    except BundleRejected:
        return False


def _publish(bundle: "Bundle", final: Path) -> None:
    """Move a complete bundle to the others, in one step.

    Raises:
        FileExistsError: something has its name.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        _move(bundle.path, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise FileExistsError(
            f"There is something named {final.name} in {final.parent} by now; move it away, then resume the job."
        ) from error


def _move(folder: Path, final: Path) -> None:
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # On another disk. Two folders deep, where nobody looks for models.
        scratch = final.with_name(f".{final.name}-{uuid.uuid4().hex}")
        try:
            shutil.copytree(folder, scratch / final.name)
            (scratch / final.name).rename(final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _stopped(job: StoredJob, stop: Stop, where: str) -> int:
    who = stop.who()
    if who is not None:
        _last_word(job, State.CANCELLED, where, who)
    else:
        _last_word(job, State.INTERRUPTED, f"{where} The system asked its process to end.", "the system")
    return 1


def _note(job: StoredJob, state: State, cause: str, who: str = ITSELF) -> None:
    with changing(job.folder) as stored:
        if job.state is not None and stored.state is not None and stored.state.handle != job.state.handle:
            raise JobRefused(f"The job {job.id} was given to another process meanwhile.")
        write_event(stored, state, cause, who)


def _last_word(job: StoredJob, state: State, cause: str, who: str = ITSELF) -> None:
    """Write how it ended, with the room on the disk that was kept for it."""
    with suppress(OSError):
        print(f"{state}: {cause}", flush=True)
    try:
        drop_ballast(job.folder)
        _note(job, state, cause, who)
    except (OSError, NoSuchJob, JobRefused) as error:
        # Then the state says that its process is gone.
        with suppress(OSError):
            print(f"This could not be written down: {error}", file=sys.stderr)
