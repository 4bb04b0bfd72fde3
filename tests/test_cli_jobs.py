"""`python -m cxr jobs`, `job …` and `finetune --run JOB`."""

import json
import subprocess
import sys

import pytest

from cxr import jobs
from cxr.cli import main
from cxr.jobs import State, actions
from cxr.jobs.backends import BACKENDS
from cxr.jobs.folder import changing, write_event
from cxr.jobs.local import LocalBackend
from cxr.settings import ROOT, settings

SHORT = ["--epochs", "2", "--backbone", "mobilenet_v2"]


@pytest.fixture
def runs(changed_settings, tmp_path):
    """An empty place for jobs whose processes do nothing, and are ended afterwards."""
    changed_settings.setenv("CXR_RUNS_DIR", str(tmp_path / "runs"))
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    changed_settings.setenv("CXR_JOB_GRACE_SECONDS", "0.5")
    settings.cache_clear()
    changed_settings.setitem(BACKENDS, "local", lambda: LocalBackend(("sh", "-c", "exec sleep 600")))
    changed_settings.setattr(actions, "MARGIN_SECONDS", 0.1)
    changed_settings.setattr(actions, "preflight", lambda spec: [])
    yield tmp_path / "runs"
    for job in jobs.jobs():
        if job.state.alive:
            main(["job", "cancel", job.id])


def started(capsys, *options: str) -> str:
    assert main(["job", "start", "--data", "films", "--model", "lung", "--by", "Ada", *SHORT, *options]) == 0
    return capsys.readouterr().out.strip()


def test_a_job_is_started_listed_shown_cancelled_and_deleted(runs, capsys):
    job_id = started(capsys)
    assert job_id == "0001-lung"
    with changing(runs / job_id) as stored:
        write_event(stored, State.RUNNING, "It runs on cpu.", "the job itself")
    assert main(["jobs"]) == 0
    assert capsys.readouterr().out == "0001-lung  running: It runs on cpu.\n"
    assert main(["job", "show", "--json", job_id]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["spec"]["config"]["epochs"] == 2
    assert (told["state"], told["spec"]["by"], told["live"]) == ("running", "Ada", None)
    assert main(["job", "delete", job_id]) == 1
    assert "cancel it first" in capsys.readouterr().err
    # The process hears nothing, so it is ended after the grace period.
    assert main(["job", "cancel", "--by", "Grace", job_id]) == 0
    assert "0001-lung: cancelled: It was asked to stop" in capsys.readouterr().out
    assert main(["job", "show", job_id]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("(Grace)")
    assert main(["job", "resume", job_id]) == 0
    assert capsys.readouterr().out.startswith("0001-lung: queued")
    assert main(["job", "cancel", job_id]) == 0
    assert main(["job", "delete", job_id]) == 0
    assert main(["jobs", "--json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0001-lung: cancelled")
    assert jobs.jobs() == []


def test_the_log_is_its_last_lines(runs, capsys):
    job_id = started(capsys)
    (runs / job_id / "log.txt").write_text("\n".join(f"line {n}" for n in range(9)))
    assert main(["job", "log", "--lines", "2", job_id]) == 0
    assert capsys.readouterr().out == "line 7\nline 8\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--epochs", "0"], "epochs"), (["--devices", "tpu"], "devices"), (["--config", "x.toml"], "x")],
)
def test_wrong_options_are_status_2_and_named(runs, capsys, options, said):
    assert main(["job", "start", "--data", "films", "--model", "lung", *options]) == 2
    assert said in capsys.readouterr().err


def test_check_says_what_stands_against_it(runs, capsys, tmp_path):
    assert main(["job", "start", "--check", "--data", str(tmp_path), "--model", "lung", *SHORT]) == 1
    assert f"NO  data: There are no .tfrec files in {tmp_path}." in capsys.readouterr().out
    assert jobs.jobs() == []


def test_an_unknown_job_is_one_sentence(runs, capsys):
    for action in ("show", "log", "cancel", "resume", "delete"):
        assert main(["job", action, "nobody"]) == 1
        assert "There is no job 'nobody'" in capsys.readouterr().err


def test_finetune_takes_a_job_as_it_is(runs, capsys):
    job_id = started(capsys)
    with pytest.raises(SystemExit) as stop:
        main(["finetune", "--run", str(runs / job_id), "--epochs", "3"])
    assert stop.value.code == 2
    assert "give --run alone" in capsys.readouterr().err


def test_the_shipped_worker_fails_a_job_without_films_in_a_sentence(runs, capsys, changed_settings, tmp_path):
    changed_settings.setitem(BACKENDS, "local", lambda: LocalBackend((sys.executable, "-c", "")))
    job_id = started(capsys, "--imagenet", "false", "--devices", "cpu")
    changed_settings.setitem(BACKENDS, "local", LocalBackend)
    with changing(runs / job_id) as stored:
        write_event(stored, State.QUEUED, "It is to begin.", "the test", handle=None)
    done = subprocess.run(
        [sys.executable, "-m", "cxr", "finetune", "--run", str(runs / job_id)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    job = jobs.job(job_id)
    assert (job.state, job.cause) == (State.FAILED, f"There are no .tfrec files in {ROOT / 'films'}.")
