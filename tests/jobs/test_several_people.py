"""Several processes do the same at once: one job each, never two."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest
import starter
from conftest import FAKE, ended, pid_of, until

from cxr import jobs
from cxr.jobs import State

PROCESSES = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def _quick() -> None:
    """Processes are made from one that has imported what they need."""
    PROCESSES.set_forkserver_preload(["starter"])


def at_once(*given: tuple[str, ...]) -> list[str]:
    """What processes return that each do one thing at the same moment."""
    with PROCESSES.Manager() as manager, ProcessPoolExecutor(len(given), PROCESSES) as pool:
        together = manager.Barrier(len(given))
        waiting = [pool.submit(starter.act, dict(os.environ), str(FAKE), together, one) for one in given]
        return [one.result(60) for one in waiting]


def workers_of(folder: Path) -> list[int]:
    """All processes that work on the job of a folder, or would like to; other tests have jobs of the same name."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or [""]
        if command[-1] == str(folder) and str(FAKE) in command:
            found.append(process.pid)
    return found


def test_a_double_click_is_one_job_and_two_administrators_are_two(place):
    ada, grace = place.spec("ada", by="Ada"), place.spec("grace", by="Grace")
    first, second, again, once_more = at_once(
        *((spec.model_dump_json(), spec.model) for spec in (ada, grace, ada, grace))
    )
    assert first == again != second == once_more
    assert {job.id for job in jobs.jobs()} == {first, second}
    assert {job.spec.by for job in jobs.jobs()} == {"Ada", "Grace"}
    for job_id in (first, second):
        until(lambda job_id=job_id: len(workers_of(place.runs / job_id)) == 1)
        (place.runs / job_id / "enough").touch()
    assert [ended(job_id).state for job_id in (first, second)] == [State.FINISHED] * 2


def test_of_two_who_want_the_same_name_at_once_one_is_refused(place):
    spec = place.spec("lung").model_dump_json()
    started, refused = sorted(at_once((spec, "one"), (spec, "two")))
    assert started == "0001-lung"
    assert refused == "refused: The job 0001-lung makes the model lung; choose another name, or delete that job."
    assert len(jobs.jobs()) == 1


def test_of_two_resumes_at_once_there_is_one_process(place):
    job = place.start("lung")
    jobs.cancel(job.id, "Ada")
    ended(job.id)
    until(lambda: not workers_of(job.folder))
    assert at_once((job.id,), (job.id,)) == [job.id, job.id]
    until(lambda: jobs.job(job.id).state is State.RUNNING)
    assert workers_of(job.folder) == [pid_of(job.id)]
    assert [event.state.value for event in jobs.job(job.id).events] == ["queued", "cancelled", "queued", "running"]


def test_a_second_worker_on_the_same_folder_goes_away(place):
    job = place.start("lung")
    until(lambda: jobs.job(job.id).state is State.RUNNING)
    second = subprocess.run([sys.executable, str(FAKE), str(job.folder)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert second.stderr == f"Another process is at work on the job {job.id}.\n"
    assert jobs.job(job.id).state is State.RUNNING
    assert len(jobs.job(job.id).events) == 2


def test_the_job_goes_on_when_who_started_it_is_killed_and_is_found_when_it_is_killed_too(place):
    spec = place.spec("lung").model_dump_json()
    app = PROCESSES.Process(target=starter.start_and_stay, args=(dict(os.environ), str(FAKE), spec))
    app.start()
    until(lambda: [job.state for job in jobs.jobs()] == [State.RUNNING])
    app.kill()
    app.join()
    (job,) = jobs.jobs()
    until(lambda: jobs.job(job.id).live.beat > job.live.beat + 0.3)
    assert jobs.job(job.id).state is State.RUNNING
    psutil.Process(pid_of(job.id)).kill()
    assert ended(job.id, 5).state is State.INTERRUPTED
    jobs.resume(job.id, "Ada")
    (job.folder / "enough").touch()
    assert ended(job.id).state is State.FINISHED
