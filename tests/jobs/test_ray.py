"""Jobs of a real Ray cluster of several nodes on this machine."""

from collections.abc import Iterator
from contextlib import suppress

import pandas as pd
import psutil
import pytest
from conftest import FAKE, TINY, Place, ended, log_of, start_on_ray, until, use_cluster, why_not_on_ray
from ray_cluster import TOKEN, RayCluster, command

from cxr import jobs
from cxr.jobs import State, actions, cluster
from cxr.jobs.backends import BACKENDS
from cxr.jobs.cluster import NoAnswer
from cxr.jobs.folder import stored_job, write_part
from cxr.lock import locked
from cxr.model.bundle import load_bundle
from cxr.settings import settings

PATIENCE = 300
"""Seconds for a job that trains, on a machine that has other things to do."""


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[RayCluster]:
    """A head and two nodes."""
    pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
    with RayCluster() as found:
        found.add("a")
        found.add("b")
        yield found


@pytest.fixture
def place_on_ray(alone: Place, ray_cluster: RayCluster, changed_settings: pytest.MonkeyPatch) -> Iterator[Place]:
    """The same with a cluster, on which nothing is left to do afterwards."""
    use_cluster(changed_settings, ray_cluster.address)
    yield alone
    use_cluster(changed_settings, ray_cluster.address)
    changed_settings.setenv("RAY_AUTH_TOKEN", TOKEN)
    client = cluster.cluster()
    for folder in alone.runs.glob("[!.]*/"):
        if (handle := stored_job(folder).state.handle) is not None:
            with suppress(NoAnswer):
                client.stop(handle)
            until(lambda handle=handle: client.look(handle).status != cluster.RUNNING)


def running(job: jobs.Job) -> jobs.Job:
    until(lambda: jobs.job(job.id).state is State.RUNNING or not jobs.job(job.id).state.alive, PATIENCE)
    assert jobs.job(job.id).state is State.RUNNING, jobs.job(job.id)
    return jobs.job(job.id)


def test_a_job_runs_on_the_cluster_and_can_be_cancelled(place_on_ray, ray_cluster):
    job = running(start_on_ray(place_on_ray, "m"))
    assert job.cause.startswith("It runs on cpu of ")
    assert job.remark is None
    until(lambda: "still here" in log_of(job))
    node = ray_cluster.node_of(str(job.folder))
    assert node in ("a", "b")
    jobs.cancel(job.id, "Grace")
    job = ended(job.id)
    assert (job.state, job.who) == (State.CANCELLED, "Grace")
    until(lambda: not [p for p in ray_cluster.processes(node) if str(FAKE) in command(p)])
    # Another process of the cluster goes on with it.
    assert jobs.resume(job.id, "Ada").state is State.QUEUED
    (running(job).folder / "enough").touch()
    assert ended(job.id).state is State.FINISHED


def test_a_job_that_does_not_hear_is_ended_after_the_grace_period(place_on_ray, ray_cluster):
    BACKENDS["ray"]().command = (str(FAKE), "--deaf")
    job = running(start_on_ray(place_on_ray, "m"))
    # Nor does its own clock end it.
    node = ray_cluster.node_of(str(job.folder))
    (worker,) = [p for p in ray_cluster.processes(node) if str(FAKE) in command(p) and "python" in command(p)[0]]
    worker.suspend()
    jobs.cancel(job.id, "Grace")
    job = ended(job.id)
    assert (job.state, job.who) == (State.CANCELLED, "Grace")
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def without_room(place: Place, patch: pytest.MonkeyPatch) -> jobs.Job:
    """A job that no node can take."""
    patch.setenv("CXR_RAY_RESOURCES", '{"films": 2}')
    settings.cache_clear()
    job = start_on_ray(place, "m")
    until(lambda: jobs.job(job.id).remark is not None)
    return jobs.job(job.id)


def test_a_job_without_room_waits_and_can_be_cancelled(place_on_ray, changed_settings):
    job = without_room(place_on_ray, changed_settings)
    assert job.state is State.QUEUED
    assert job.remark == "It waits until a node of the cluster has this free: 1 CPU, 2 films."
    jobs.cancel(job.id, "Grace")
    assert (ended(job.id).state, ended(job.id).who) == (State.CANCELLED, "Grace")


def test_a_wrong_token_is_refused_and_says_nothing_of_jobs(place_on_ray, ray_cluster, changed_settings):
    assert why_not_on_ray(place_on_ray) is None
    job = without_room(place_on_ray, changed_settings)
    changed_settings.setenv("RAY_AUTH_TOKEN", "b" * 64)
    cluster._seen.clear()
    sentence = (
        f"The Ray cluster {ray_cluster.address} refuses the token; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the "
        "cluster's."
    )
    assert why_not_on_ray(place_on_ray) == sentence
    other = start_on_ray(place_on_ray, "n")
    assert (other.state, other.cause) == (State.FAILED, f"Its process could not be started: {sentence}")
    assert (jobs.job(job.id).state, jobs.job(job.id).remark) == (State.QUEUED, sentence)
    changed_settings.delenv("RAY_AUTH_TOKEN")
    changed_settings.setenv("HOME", str(place_on_ray.runs))
    assert "wants a token" in why_not_on_ray(place_on_ray)
    token = place_on_ray.runs / "token"
    token.write_text(f"{TOKEN}\n")
    changed_settings.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    assert why_not_on_ray(place_on_ray) is None


def test_a_node_without_the_python_is_told_of(place_on_ray, changed_settings):
    changed_settings.setenv("CXR_RAY_PYTHON", "/nowhere/python")
    settings.cache_clear()
    job = ended(start_on_ray(place_on_ray, "m").id)
    assert job.state is State.INTERRUPTED
    assert job.cause == "There is no /nowhere/python on the node; set CXR_RAY_PYTHON to its Python."
    # The job's own log was never written.
    assert "Running entrypoint for job cxr-0001-" in log_of(job)


def test_a_job_that_the_cluster_does_not_know_is_interrupted(place_on_ray, changed_settings):
    job = without_room(place_on_ray, changed_settings)
    stored = stored_job(job.folder)
    write_part(job.folder / "state.json", stored.state.model_copy(update={"handle": "cxr-0001-0"}))
    job = jobs.job(job.id)
    assert job.state is State.INTERRUPTED
    assert job.cause.endswith("does not know it any more, as after a restart of the cluster.")
    # As long as somebody holds the run, it is not dead, whatever the cluster says.
    with locked(job.folder / "run.lock"):
        assert jobs.job(job.id).state is State.QUEUED


def test_a_job_whose_node_dies_goes_on_from_its_checkpoint_on_another(
    place_on_ray, ray_cluster, synthetic_data, changed_settings
):
    changed_settings.setattr(actions, "preflight", jobs.preflight)
    place = Place(place_on_ray.runs, place_on_ray.models, synthetic_data, place_on_ray.backend)
    BACKENDS["ray"]().command = (str(TINY), "--slow", "0.2")
    job = start_on_ray(place, "m", checkpoint_minutes=1e-9, ema=0.9)
    checkpoint = job.folder / "checkpoint.npz"
    until(lambda: checkpoint.exists() and (live := jobs.job(job.id).live) and live.epoch is not None, PATIENCE)
    first = ray_cluster.node_of(str(job.folder))
    handle = stored_job(job.folder).state.handle
    ray_cluster.kill(first)
    made = pd.read_csv(job.folder / "metrics.csv")
    job = ended(job.id, PATIENCE)
    assert (job.state, job.cause) == (State.INTERRUPTED, "Its node of the Ray cluster died.")

    BACKENDS["ray"]().command = (str(TINY),)
    assert jobs.resume(job.id, "Grace").state is State.QUEUED
    running(job)
    assert ray_cluster.node_of(str(job.folder)) not in (first, "head")
    assert stored_job(job.folder).state.handle != handle
    job = ended(job.id, PATIENCE)
    assert job.state is State.FINISHED, jobs.log_tail(job)
    load_bundle(place.models / "m")
    states = [event.state for event in job.events]
    q, r = State.QUEUED, State.RUNNING
    assert states == [q, r, State.INTERRUPTED, q, r, State.FINISHED]
    # What the first node had made was not made again.
    metrics = pd.read_csv(job.folder / "metrics.csv")
    assert list(metrics["number"]) == [1, 2, 3]
    pd.testing.assert_frame_equal(metrics.head(len(made)), made)
