"""Who goes first on a device, how a job is stopped, and what is refused."""

import os
import signal

import pytest
from conftest import FAKE, ended, log_of, pid_of, until

from cxr import jobs
from cxr.jobs import State


def running(job: jobs.Job) -> bool:
    return jobs.job(job.id).state is State.RUNNING


def enough(job: jobs.Job) -> None:
    (job.folder / "enough").touch()


def test_three_jobs_on_one_device_run_in_the_order_of_their_start(place):
    first, second, third = (place.start(name) for name in ("first", "second", "third"))
    until(lambda: running(first))
    until(lambda: jobs.job(third.id).live is not None)
    places = [jobs.queue_place(jobs.job(job.id)) for job in (first, second, third)]
    assert places == [None, 1, 2]
    assert jobs.job(third.id).live.doing == "waiting for its turn"
    enough(third)
    enough(first)
    until(lambda: running(second))
    assert jobs.job(third.id).state is State.QUEUED
    assert jobs.queue_place(jobs.job(third.id)) == 1
    enough(second)
    assert ended(third.id).state is State.FINISHED
    assert [job.id for job in jobs.jobs()] == [third.id, second.id, first.id]
    assert [jobs.job(job.id).state for job in (first, second)] == [State.FINISHED] * 2


def test_a_queued_job_that_is_cancelled_never_runs_and_goes_behind_the_others_when_resumed(place):
    first, second, third = (place.start(name) for name in ("first", "second", "third"))
    until(lambda: running(first))
    jobs.cancel(second.id, "Grace")
    cancelled = ended(second.id)
    assert [event.state for event in cancelled.events] == [State.QUEUED, State.CANCELLED]
    assert (cancelled.who, cancelled.cause) == ("Grace", "It was stopped before its turn came.")
    assert jobs.queue_place(jobs.job(third.id)) == 1
    jobs.resume(second.id, "Grace")
    assert [jobs.queue_place(jobs.job(job.id)) for job in (second, third)] == [2, 1]


def test_a_job_that_dies_in_the_queue_holds_nobody_up(place):
    first, second, third = (place.start(name) for name in ("first", "second", "third"))
    until(lambda: running(first))
    os.kill(pid_of(second.id), signal.SIGKILL)
    enough(first)
    until(lambda: running(third))
    assert jobs.job(second.id).state is State.INTERRUPTED


def test_a_job_that_does_not_hear_is_killed_after_the_grace_period(place):
    place.worker(FAKE, "--deaf")
    job = place.start("deaf")
    until(lambda: running(job))
    jobs.cancel(job.id, "Grace")
    job = ended(job.id, 15)
    assert (job.state, job.who) == (State.CANCELLED, "Grace")
    assert job.cause.startswith("It was asked to stop and ended before it could say so")


def test_a_job_whose_process_is_frozen_is_killed_too(place):
    job = place.start("frozen")
    until(lambda: running(job))
    os.kill(pid_of(job.id), signal.SIGSTOP)
    jobs.cancel(job.id, "Grace")
    assert ended(job.id, 15).state is State.CANCELLED


def test_a_machine_that_shuts_down_interrupts_it_in_good_order(place):
    job = place.start("lung")
    until(lambda: running(job))
    os.kill(pid_of(job.id), signal.SIGTERM)
    job = ended(job.id)
    assert (job.state, job.who) == (State.INTERRUPTED, "the system")
    assert "The system asked its process to end." in job.cause
    assert f"interrupted: {job.cause}" in log_of(job)


def test_what_can_not_be_done_is_refused_in_a_sentence(place):
    job = place.start("lung")
    until(lambda: running(job))
    with pytest.raises(jobs.JobRefused, match=r"is queued or running; cancel it first\.$"):
        jobs.delete(job.id, "Ada")
    assert jobs.resume(job.id, "Ada").state is State.RUNNING
    enough(job)
    assert ended(job.id).state is State.FINISHED
    with pytest.raises(jobs.JobRefused, match="is finished; it does not run"):
        jobs.cancel(job.id, "Ada")
    with pytest.raises(jobs.JobRefused, match="is finished; there is nothing to go on with"):
        jobs.resume(job.id, "Ada")
    with pytest.raises(jobs.JobRefused, match="The job 0001-lung makes the model lung"):
        place.start("lung", "another")
    jobs.delete(job.id, "Ada")
    with pytest.raises(jobs.NoSuchJob, match="There is no job '0001-lung'"):
        jobs.job(job.id)
    assert '"who": "Ada"' in (place.runs / "deleted.jsonl").read_text()
    assert place.start("lung", "another").id == "0002-lung"


@pytest.mark.parametrize("job_id", ["../secrets", "", ".", "nobody"])
def test_an_id_is_the_name_of_a_job_and_no_path(place, job_id):
    (place.runs.parent / "secrets").mkdir()
    (place.runs.parent / "secrets" / "job.json").write_text("{}")
    with pytest.raises(jobs.NoSuchJob):
        jobs.job(job_id)


def test_a_job_can_be_started_again_with_changes(place):
    job = place.start("lung")
    spec = jobs.spec_of(job, model=jobs.free_name("lung"), by="Grace")
    again = jobs.start(spec, "again")
    assert (again.spec.model, again.spec.cloned_from, again.spec.by) == ("lung-2", job.id, "Grace")
    assert again.spec.config == job.spec.config
    assert again.cause == f"It was started as a variant of {job.id}."


def test_a_worker_that_can_not_be_started_is_a_failed_job(place):
    place.backend.command = ("/nowhere/python",)
    job = place.start("lung")
    assert job.state is State.FAILED
    assert "No such file" in job.cause
