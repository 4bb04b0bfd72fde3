"""What is done with jobs on a full disk, and after whoever did it before was killed."""

import errno
import json
import os
import subprocess

import pytest
from conftest import Place, until

from cxr import jobs
from cxr.jobs import State, actions, local, machine
from cxr.jobs.folder import STATE_FILE, STOP_FILE, stored_job
from cxr.jobs.local import devices_of_job
from cxr.jobs.machine import Gpu

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def idle(place: Place) -> Place:
    """A place whose jobs do nothing."""
    place.backend.command = ("sh", "-c", "exec sleep 600")
    return place


def no_room_for(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a file be impossible to write for the actions."""
    write = actions.write_part

    def full(file, part):  # type: ignore[no-untyped-def]
        if file.name == name:
            raise FULL
        write(file, part)

    monkeypatch.setattr(actions, "write_part", full)


def test_what_killed_processes_left_is_cleared_with_the_next_job(idle):
    for left in (".draft-0", ".deleted-0"):
        (idle.runs / left / "tensorboard").mkdir(parents=True)
    (idle.runs / ".locks").mkdir()
    idle.start("lung")
    assert {file.name for file in idle.runs.iterdir()} == {".locks", ".lock", ".number", "0001-lung"}


def test_auto_stays_what_it_was_when_the_job_was_queued(idle, monkeypatch):
    """A worker on the CPU sees no GPUs, and must not wait behind a job for one."""
    monkeypatch.setattr(machine, "gpus", lambda: (Gpu("gpu0", "H100", 80, 70, 0.0),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    first, second = idle.start("first", devices="auto"), idle.start("second", devices="cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices_of_job(stored_job(first.folder)) == ("gpu0",)
    assert jobs.queue_place(second) == 0
    # Resumed on another day, it gets what there is then.
    for job in (first, second):
        idle.backend.kill(stored_job(job.folder), stored_job(job.folder).state.handle)
    until(lambda: jobs.job(first.id).state is State.INTERRUPTED)
    jobs.resume(first.id, "Ada")
    assert devices_of_job(stored_job(first.folder)) == ("cpu",)


def test_a_process_that_runs_is_not_said_not_to(place, monkeypatch):
    """Its handle, which can't be written down by who started it, it writes itself."""
    no_room_for(monkeypatch, STATE_FILE)
    draft = actions._draft

    def drafted(*about):  # type: ignore[no-untyped-def]
        with monkeypatch.context() as patch:
            patch.setattr(actions, "write_part", write)
            return draft(*about)

    from cxr.jobs.folder import write_part as write

    monkeypatch.setattr(actions, "_draft", drafted)
    job = place.start("lung")
    until(lambda: jobs.job(job.id).state is State.RUNNING)


def test_a_process_that_can_not_be_told_from_others_is_ended(idle, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    monkeypatch.setattr(local, "process", lambda pid: None)
    job = idle.start("lung")
    assert job.state is State.FAILED
    until(lambda: started[0].poll() is not None, 10)


def test_who_cancels_on_a_full_disk_is_told_and_the_process_too(place, monkeypatch):
    job = place.start("lung")
    until(lambda: jobs.job(job.id).state is State.RUNNING)
    no_room_for(monkeypatch, STOP_FILE)
    with pytest.raises(jobs.JobRefused, match=r"0001-lung was told to stop, but .*: No space left on device\.$"):
        jobs.cancel(job.id, "Ada")
    until(lambda: jobs.job(job.id).state is State.INTERRUPTED)
    assert "The system asked its process to end." in jobs.job(job.id).cause


def test_a_job_that_can_not_be_deleted_is_not_noted_as_deleted(idle, monkeypatch):
    idle.backend.command = ("/nowhere/python",)
    job = idle.start("lung")
    with monkeypatch.context() as patch, pytest.raises(jobs.JobRefused, match="can't be deleted: No space left"):
        patch.setattr(type(job.folder), "replace", lambda self, target: (_ for _ in ()).throw(FULL))
        jobs.delete(job.id, "Ada")
    assert not (idle.runs / "deleted.jsonl").exists()
    # Where the note has room only once the job is gone.
    noted = actions._noted
    monkeypatch.setattr(actions, "_noted", lambda record: not list(idle.runs.glob(".deleted-*")) and noted(record))
    jobs.delete(job.id, "Ada")
    assert json.loads((idle.runs / "deleted.jsonl").read_text())["id"] == job.id
