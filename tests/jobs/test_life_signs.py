"""Whether a job's process lives is found out from what nobody can set or forge by chance."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ended, pid_of, until

from cxr import jobs
from cxr.jobs import State, process
from cxr.jobs.folder import RUN_LOCK, STATE_FILE, StoredState, changing, read_part, write_part
from cxr.jobs.process import Process
from cxr.jobs.recorder import Recorder
from cxr.lock import locked


def claim(job: jobs.Job, handle: str | None) -> None:
    """Let the state of a job say that its process is another one."""
    state = read_part(job.folder / STATE_FILE, StoredState)
    write_part(job.folder / STATE_FILE, state.model_copy(update={"handle": handle}))


def other(**changes: object) -> str:
    """This process, or another that is like it but for something."""
    own = process.process(os.getpid())
    return str(Process(**(vars(own) | changes)))


def test_the_handle_is_what_the_kernel_says(running):
    state = read_part(running.folder / STATE_FILE, StoredState)
    host, boot, pid, start = state.handle.split()
    assert host == platform.node()
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert int(start) == int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    # The shell takes a moment to become what it was told to.
    until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"), seconds=10)


def test_a_process_is_told_by_boot_number_and_start(running):
    for handle, state, cause in (
        (other(), State.RUNNING, ""),
        (other(start=process.process(os.getpid()).start + 1), State.INTERRUPTED, "it was killed"),
        (other(pid=2**22 + 1), State.INTERRUPTED, "it was killed"),
        (other(boot="another"), State.INTERRUPTED, "The machine was restarted."),
        ("nonsense", State.INTERRUPTED, "can't be told"),
    ):
        claim(running, handle)
        job = jobs.job(running.id)
        assert job.state is state
        assert cause in job.cause


def test_a_process_that_is_killed_is_missed_at_once_and_was_waited_for(running):
    pid = pid_of(running.id)
    os.kill(pid, signal.SIGKILL)
    until(lambda: jobs.job(running.id).state is State.INTERRUPTED, 5)
    # Not even a zombie is left of it.
    until(lambda: not Path(f"/proc/{pid}").exists(), 5)


def test_a_foreign_process_with_the_number_of_the_job_s_is_not_ended(running, place):
    with subprocess.Popen(["sleep", "600"]) as foreign:
        handle = other(pid=foreign.pid, start=process.process(foreign.pid).start + 1)
        claim(running, handle)
        assert jobs.job(running.id).state is State.INTERRUPTED
        with pytest.raises(jobs.JobRefused, match="does not run"):
            jobs.cancel(running.id, "Ada")
        with changing(running.folder) as stored:
            place.backend.kill(stored, handle)
        assert foreign.poll() is None
        foreign.kill()


def test_a_process_on_another_machine_lives_while_it_holds_its_lock(running):
    claim(running, other(host="elsewhere"))
    with locked(running.folder / RUN_LOCK):
        assert jobs.job(running.id).state is State.RUNNING
    job = jobs.job(running.id)
    assert (job.state, job.cause) == (State.INTERRUPTED, "Its process on the machine elsewhere is gone.")


def test_a_job_of_a_shared_folder_is_left_to_its_machine_where_there_is_no_linux(running, place, tmp_path, monkeypatch):
    handle = other(host="elsewhere")
    claim(running, handle)
    Recorder(running.folder, lambda: False).write_progress()
    with locked(running.folder / RUN_LOCK), monkeypatch.context() as patch:
        patch.setattr(process, "PROC", tmp_path)
        patch.setattr(process, "BOOT_ID", tmp_path / "boot_id")
        patch.delattr(os, "pidfd_open")
        job = jobs.job(running.id)
        assert (job.state, job.silent_seconds) == (State.RUNNING, None)
        with changing(running.folder) as stored:
            place.backend.kill(stored, handle)


def test_a_process_that_has_ended_but_was_not_waited_for_is_dead():
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    stat = Path(f"/proc/{child}/stat")
    until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
    assert process.process(child) is None
    os.waitpid(child, 0)


def test_the_name_of_a_process_does_not_confuse(tmp_path):
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as child:
        start = process.process(child.pid).start
        assert abs(start / os.sysconf("SC_CLK_TCK") - process.boot_seconds()) < 5
        child.kill()


@pytest.mark.parametrize("years", [-30, 30])
def test_the_wall_clock_may_jump(running, monkeypatch, years):
    """The job's process and this one have clocks that are as far apart as that."""
    moved = jobs.job(running.id).since.timestamp() + years * 365 * 86400
    event = jobs.Event(state=State.RUNNING, time=moved, cause="It runs on cpu.", who="the job itself")
    state = read_part(running.folder / STATE_FILE, StoredState)
    write_part(running.folder / STATE_FILE, state.model_copy(update={"events": (state.events[0], event)}))
    monkeypatch.setattr("cxr.jobs.recorder.now", lambda: event.time)
    Recorder(running.folder, lambda: False).write_progress()
    time.sleep(0.05)
    job = jobs.job(running.id)
    assert job.state is State.RUNNING
    assert 0.04 < job.silent_seconds < 5
    os.kill(pid_of(job.id), signal.SIGKILL)
    assert ended(job.id, 5).state is State.INTERRUPTED
    assert jobs.resume(job.id, "Ada").state is State.QUEUED
    claim(running, other(boot="another"))
    assert jobs.job(job.id).silent_seconds is None


def test_a_job_that_was_never_started_can_be_resumed(running):
    """Whoever wanted to start it was ended between the two."""
    os.kill(pid_of(running.id), signal.SIGKILL)
    state = read_part(running.folder / STATE_FILE, StoredState)
    write_part(running.folder / STATE_FILE, StoredState(events=state.events[:1], ticket=1))
    job = jobs.job(running.id)
    never = "It was never started: whoever wanted to was ended before."
    assert (job.state, job.cause) == (State.INTERRUPTED, never)
    job = jobs.resume(job.id, "Ada")
    assert [event.state.value for event in job.events] == ["queued", "interrupted", "queued"]


def test_a_job_that_is_being_started_is_queued(running):
    with changing(running.folder) as stored:
        write_part(running.folder / STATE_FILE, StoredState(events=stored.state.events[:1], ticket=1))
        assert jobs.job(running.id).state is State.QUEUED
    assert jobs.job(running.id).state is State.INTERRUPTED


@pytest.mark.parametrize("content", [b"", b'{"events": [', b"[]", b"\xff\xfe", None])
def test_a_torn_state_is_no_end(running, content):
    file = running.folder / STATE_FILE
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with locked(running.folder / RUN_LOCK):
        job = jobs.job(running.id)
        assert (job.state, job.cause) == (State.RUNNING, "Its state can't be read, but its process is at work.")
        assert jobs.resume(job.id, "Ada").state is State.RUNNING
        with pytest.raises(jobs.JobRefused, match="cancel it first"):
            jobs.delete(job.id, "Ada")
    job = jobs.job(running.id)
    assert (job.state, job.resumable) == (State.INTERRUPTED, True)
    assert "state.json can't be read" in job.cause
    job = jobs.resume(job.id, "Ada")
    assert [event.state.value for event in job.events] == ["interrupted", "queued"]


def test_a_torn_state_heals_when_the_process_says_how_it_ended(place):
    job = place.start("lung")
    until(lambda: jobs.job(job.id).state is State.RUNNING)
    (job.folder / STATE_FILE).write_text("{")
    (job.folder / "enough").touch()
    until(lambda: jobs.job(job.id).state is State.FINISHED, 10)
    assert jobs.job(job.id).cause == "It had enough."


def test_torn_progress_is_no_progress(running):
    (running.folder / "progress.json").write_text('{"doing": "trai')
    job = jobs.job(running.id)
    assert (job.state, job.live, job.silent_seconds) == (State.RUNNING, None, None)


def test_a_job_whose_specification_can_not_be_read_hides_no_other(running, place):
    (place.runs / "0009-broken").mkdir()
    (place.runs / "0009-broken" / "job.json").write_text('{"id": "0009-bro')
    assert [job.id for job in jobs.jobs()] == [running.id]
    with pytest.raises(jobs.NoSuchJob, match=r"job\.json can't be read"):
        jobs.job("0009-broken")


def test_a_worker_that_its_backend_starts_again_goes_on(place):
    job = place.start("lung")
    until(lambda: jobs.job(job.id).state is State.RUNNING)
    os.kill(pid_of(job.id), signal.SIGKILL)
    ended(job.id, 5)
    with subprocess.Popen([*place.backend.command, str(job.folder)], stdout=subprocess.DEVNULL):
        until(lambda: len(jobs.job(job.id).events) == 5)
        states = [event.state.value for event in jobs.job(job.id).events]
        assert states == ["queued", "running", "interrupted", "queued", "running"]
        (job.folder / "enough").touch()
    assert jobs.job(job.id).state is State.FINISHED
