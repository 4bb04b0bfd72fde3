"""What jobs of a Ray cluster need, and what is said where it is missing: nobody is at the cluster's address here."""

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import timedelta

import pytest
from conftest import FAKE, start_on_ray, until, use_cluster, why_not_on_ray

from cxr import jobs
from cxr.jobs import State, cluster, ray_backend
from cxr.jobs.cluster import NoAnswer, Submission
from cxr.jobs.folder import stored_job, write_part
from cxr.jobs.ray_backend import NO_FOLDER, NO_PYTHON, RayBackend
from cxr.settings import ROOT, settings


def test_a_cluster_that_can_t_be_reached_says_nothing_of_jobs(alone, changed_settings):
    address = settings().ray_address
    sentence = f"The Ray cluster {address} can't be reached, so nobody knows how its jobs are."
    assert why_not_on_ray(alone) == sentence
    job = start_on_ray(alone, "m")
    assert (job.state, job.cause) == (State.FAILED, f"Its process could not be started: {sentence}")
    # As if it had been taken before the network failed.
    stored = stored_job(job.folder)
    state = stored.state.model_copy(update={"events": stored.state.events[:1], "handle": "cxr-0001-0"})
    write_part(job.folder / "state.json", state)
    assert (jobs.job(job.id).state, jobs.job(job.id).remark) == (State.QUEUED, sentence)
    assert jobs.log_tail(job) == [sentence]
    with pytest.raises(jobs.JobRefused, match="cancel it first"):
        jobs.delete(job.id, "Ada")
    # Much later somebody may give it up.
    changed_settings.setattr(ray_backend, "LOST_AFTER", timedelta(0))
    job = jobs.job(job.id)
    assert (job.state, job.cause) == (State.INTERRUPTED, f"It has said nothing for 0 hour. {sentence}")
    jobs.delete(job.id, "Ada")


def test_a_server_that_never_answers_is_given_up(alone, changed_settings):
    changed_settings.setattr(cluster, "TIMEOUT_SECONDS", (0.2, 0.2))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        use_cluster(changed_settings, f"http://127.0.0.1:{server.getsockname()[1]}")
        assert "can't be reached" in why_not_on_ray(alone)


def test_a_cluster_elsewhere_is_not_asked_without_a_token(alone, changed_settings):
    use_cluster(changed_settings, "http://ray.example:8265")
    changed_settings.delenv("RAY_AUTH_TOKEN")
    changed_settings.setenv("HOME", str(alone.runs))
    assert why_not_on_ray(alone) == (
        "The Ray cluster http://ray.example:8265 is not asked without a token; start it with RAY_AUTH_MODE=token, and "
        "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to its token here."
    )


def test_without_an_address_there_is_no_cluster(alone, changed_settings):
    changed_settings.delenv("CXR_RAY_ADDRESS")
    settings.cache_clear()
    assert why_not_on_ray(alone).startswith("There is no Ray cluster; set CXR_RAY_ADDRESS")


def test_ray_s_own_address_is_not_taken_instead(alone, changed_settings):
    changed_settings.setenv("RAY_ADDRESS", "http://other:8265")
    assert why_not_on_ray(alone) == "The variable RAY_ADDRESS names another Ray cluster than CXR_RAY_ADDRESS; unset it."


def test_without_the_package_a_sentence_names_it(alone, changed_settings):
    changed_settings.setitem(sys.modules, "ray.exceptions", None)
    assert why_not_on_ray(alone).endswith("pip install -r requirements-ray.txt.")


def test_jobs_do_not_import_ray():
    program = "import cxr.jobs, sys; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("missing", "code"), [("folder", NO_FOLDER), ("python", NO_PYTHON)])
def test_the_entrypoint_says_what_the_node_lacks(alone, changed_settings, missing, code):
    job = stored_job(start_on_ray(alone, "m").folder)
    if missing == "python":
        changed_settings.setenv("CXR_RAY_PYTHON", "/nowhere/python")
        settings.cache_clear()
    entrypoint = RayBackend()._entrypoint(job, "cxr-0001-0")
    if missing == "folder":
        shutil.rmtree(job.folder)
    assert subprocess.run(entrypoint, shell=True, check=False).returncode == code  # noqa: S602


def test_what_the_worker_finds_around_it(alone, changed_settings, tmp_path):
    changed_settings.setenv("KERAS_BACKEND", "jax")
    job = stored_job(start_on_ray(alone, "m").folder)
    script = tmp_path / "a folder" / "tell.py"
    script.parent.mkdir()
    script.write_text("import json, os, sys; print(json.dumps([sys.argv, dict(os.environ)]))")
    entrypoint = RayBackend((str(script),))._entrypoint(job, "cxr-0001-0")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/before"}
    subprocess.run(entrypoint, shell=True, check=True, env=environment)  # noqa: S602
    arguments, found = json.loads((job.folder / "log.txt").read_text())
    assert arguments == [str(script), str(job.folder)]
    assert found["PYTHONPATH"].endswith(":/before")
    assert (found["CXR_RUNS_DIR"], found["CXR_MODELS_DIR"]) == (str(alone.runs), str(alone.models))
    assert found["CXR_CACHE_DIR"] == str(settings().cache_dir)
    assert (found["CUDA_VISIBLE_DEVICES"], found["KERAS_BACKEND"]) == ("-1", "jax")
    assert found["CXR_RAY_SUBMISSION"] == "cxr-0001-0"
    assert not [name for name in found if "TOKEN" in name]


@pytest.mark.parametrize(("devices", "gpus"), [("auto", 3), ("cpu", 0), ("gpu0", 1), ("gpu1,gpu0", 2)])
def test_the_cluster_is_asked_for_as_many_gpus(alone, changed_settings, devices, gpus):
    changed_settings.setenv("CXR_RAY_GPUS", "3")
    settings.cache_clear()
    assert ray_backend.needs_of(alone.spec("m", devices=devices)).gpus == gpus


def test_the_gpus_that_the_cluster_gave_are_named(alone, changed_settings):
    job = stored_job(start_on_ray(alone, "m").folder)
    changed_settings.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5e1f")
    with RayBackend().turn(job, lambda: False) as devices:
        assert devices.startswith("gpu0, gpu1 of ")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Submission("STOPPED"), "Somebody stopped it in the Ray cluster."),
        (Submission("SUCCEEDED"), "Its process ended without a word."),
        (Submission("FAILED", "exit code -9"), "Its process was killed on its node, as for lack of memory."),
        (Submission("FAILED", "with exit code 1, x"), "Its process ended with the exit code 1; its log may say why."),
        (Submission("FAILED", "No luck.\nTrace"), "The Ray cluster ended it: No luck."),
        (
            Submission("FAILED", "It failed", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"),
            "No node had room for it before the cluster gave up; resume it, or start the cluster's head with a larger "
            "RAY_JOB_START_TIMEOUT_SECONDS.",
        ),
    ],
)
def test_why_a_job_of_the_cluster_is_no_more(alone, found, sentence):
    job = stored_job(start_on_ray(alone, "m").folder)
    assert ray_backend._why(job, found, cluster.cluster()) == sentence


def test_a_worker_whose_job_was_given_to_another_does_not_begin(alone, changed_settings):
    job = stored_job(start_on_ray(alone, "m").folder)
    state = job.state.model_copy(update={"events": job.state.events[:1], "handle": "cxr-0001-1"})
    write_part(job.folder / "state.json", state)
    command = RayBackend((str(FAKE),))._entrypoint(job, "cxr-0001-0")
    assert subprocess.run(command, shell=True, check=False).returncode == 1  # noqa: S602
    assert "was given to another process than this one" in (job.folder / "log.txt").read_text()
    assert stored_job(job.folder).state == state


def test_a_worker_whose_job_is_given_to_another_ends_itself(alone):
    job = stored_job(start_on_ray(alone, "m").folder)
    write_part(job.folder / "state.json", job.state.model_copy(update={"events": job.state.events[:1]}))
    command = RayBackend((str(FAKE),))._entrypoint(job, "cxr-0001-0")
    worker = subprocess.Popen(command, shell=True)  # noqa: S602
    try:
        until(lambda: stored_job(job.folder).state.events[-1].state is State.RUNNING)
        other = stored_job(job.folder).state.model_copy(update={"handle": "cxr-0001-1"})
        write_part(job.folder / "state.json", other)
        assert worker.wait(20) == -9
        assert stored_job(job.folder).state == other
    finally:
        worker.kill()


def test_an_answer_is_kept_for_a_moment(alone, changed_settings):
    asked = []
    found = cluster.cluster()

    def ask(self: object, question: object) -> Submission:
        asked.append(question)
        return Submission("RUNNING")

    changed_settings.setattr(cluster.Cluster, "_ask", ask)
    assert found.look("a") == found.look("a") == Submission("RUNNING")
    assert len(asked) == 1
    changed_settings.setattr(cluster, "FRESH_SECONDS", 0)
    found.look("a")
    assert len(asked) == 2


def test_a_page_that_is_no_cluster_is_told_of(alone, changed_settings):
    def question(client: object) -> None:
        raise RuntimeError("Version check returned 404.\nmore")

    changed_settings.setattr(cluster, "_client", lambda address, token: None)
    with pytest.raises(NoAnswer, match=r"gives no answer that is one: Version check returned 404\.$"):
        cluster.cluster()._ask(question)


def test_the_worker_of_a_cluster_s_job_is_not_started_by_hand(alone):
    folder = start_on_ray(alone, "m").folder
    done = subprocess.run(
        [sys.executable, str(FAKE), str(folder)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.stderr.strip() == "This job is for the Ray cluster, which starts its process; resume it instead."


def test_addresses_are_urls(changed_settings):
    changed_settings.setenv("CXR_RAY_ADDRESS", "head:8265")
    with pytest.raises(ValueError, match="ray_address"):
        settings()


def test_the_requirements_of_ray_are_ray():
    lines = (ROOT / "requirements-ray.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["ray[default]~=2.60"]
