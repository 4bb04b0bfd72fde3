"""How the process of a job ends: the model is in its place complete or not at all, and the state says what happened."""

import shutil

import pytest
from conftest import Place, ended, log_of, until

from cxr import jobs
from cxr.jobs import State, worker
from cxr.jobs.folder import MADE_FILE, changing, write_part
from cxr.jobs.spec import MadeModel
from cxr.model.bundle import load_bundle
from cxr.settings import ROOT


@pytest.fixture
def job(place: Place) -> jobs.Job:
    """A job that waits for ever."""
    place.backend.command = ("sh", "-c", "exec sleep 600")
    return place.start("lung")


@pytest.fixture
def bundle(job):
    """A model that a job has just made."""
    shutil.copytree(ROOT / "models" / "default", job.folder / "made" / "lung")
    return load_bundle(job.folder / "made" / "lung")


def test_a_model_is_moved_to_the_others(place, bundle):
    worker._publish(bundle, place.models / "lung")
    assert load_bundle(place.models / "lung").sha256 == bundle.sha256
    assert not bundle.path.exists()


def test_a_model_that_came_meanwhile_is_not_replaced(place, bundle):
    (place.models / "lung").mkdir(parents=True)
    (place.models / "lung" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"something named lung in .* by now; move it away"):
        worker._publish(bundle, place.models / "lung")
    assert (place.models / "lung" / "mine.txt").read_text() == "mine"
    assert bundle.path.is_dir()


def test_a_process_that_ended_between_its_model_and_its_last_word_is_not_trained_again(place, job, bundle):
    write_part(job.folder / MADE_FILE, MadeModel(sha256=bundle.sha256))
    with changing(job.folder) as stored:
        assert not worker._made_before(stored, place.models / "lung")
        worker._publish(bundle, place.models / "lung")
        assert worker._made_before(stored, place.models / "lung")
        write_part(job.folder / MADE_FILE, MadeModel(sha256="another"))
        assert not worker._made_before(stored, place.models / "lung")


def test_an_error_that_nobody_foresaw_fails_the_job_and_its_words_are_in_the_log_only(place, tmp_path):
    script = tmp_path / "broken_worker.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom cxr.jobs import worker\n"
        "def train(job, devices, recorder):\n    raise KeyError('patient 7')\n"
        "worker._train = train\nsys.exit(worker.run(Path(sys.argv[-1])))\n"
    )
    place.worker(script)
    job = ended(place.start("lung").id)
    assert job.state is State.FAILED
    assert job.cause == "An error that was not foreseen (KeyError) ended it; log.txt says where."
    assert "KeyError: 'patient 7'" in log_of(job)
    assert not (job.folder / "ballast").exists()


def test_the_last_word_finds_room_on_a_full_disk(place, job, monkeypatch):
    written = []
    ballast = job.folder / "ballast"
    assert ballast.is_file()
    monkeypatch.setattr(worker, "write_event", lambda stored, *said: written.append((said, ballast.exists())))
    with changing(job.folder) as stored:
        pass
    worker._last_word(stored, State.FAILED, "The disk is full.")
    ((said, in_the_way),) = written
    assert said[:2] == (State.FAILED, "The disk is full.")
    assert not in_the_way


def test_a_job_that_is_over_is_not_begun_by_hand(place, capsys):
    job = place.start("lung")
    until(lambda: jobs.job(job.id).state is State.RUNNING)
    (job.folder / "enough").touch()
    ended(job.id)
    until(lambda: worker.run(job.folder) == 1)
    assert f"is finished; `python -m cxr job resume {job.id}`" in capsys.readouterr().err
    assert worker.run(job.folder.parent / "nobody") == 1
    assert "holds no job" in capsys.readouterr().err
