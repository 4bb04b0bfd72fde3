"""Promotions and jobs stand in the audit trail, and one that can't stand there is not done."""

import time
from pathlib import Path

import pytest
from promoting import models_folder

from cxr import jobs, promotion
from cxr.jobs import actions
from cxr.jobs.backends import BACKENDS
from cxr.jobs.local import LocalBackend
from cxr.model.bundle import Bundle, load_bundle
from cxr.promotion import PromotionRefused, promote, roll_back
from cxr.registry import history
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.worklist.audit import last_lines
from cxr.worklist.database import database


@pytest.fixture
def place(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A worklist, runs and models of the test's own; jobs do nothing."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    changed_settings.setenv("CXR_RUNS_DIR", str(tmp_path / "runs"))
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    changed_settings.setenv("CXR_JOB_GRACE_SECONDS", "0.3")
    settings.cache_clear()
    changed_settings.setitem(BACKENDS, "local", lambda: LocalBackend(("sh", "-c", "exec sleep 600")))
    changed_settings.setattr(actions, "MARGIN_SECONDS", 0.1)
    changed_settings.setattr(actions, "preflight", lambda spec: [])
    return tmp_path


@pytest.fixture
def unusable(place: Path, changed_settings: pytest.MonkeyPatch) -> Path:
    """The same, with a worklist's folder that is none."""
    (place / "file").touch()
    changed_settings.setenv("CXR_WORKLIST_DIR", str(place / "file"))
    settings.cache_clear()
    return place


def told() -> list[tuple[str, str, str]]:
    with database().reading() as session:
        return [(line.who, line.event, line.what) for line in last_lines(session, 99)]


def start(place: Path) -> jobs.Job:
    config = TrainingConfig(backbone="mobilenet_v2", epochs=1)
    return jobs.start(jobs.JobSpec(model="lung", data=place, config=config, devices="cpu", by="Ada"), "token")


def test_who_promoted_and_rolled_back_what_is_in_the_trail(
    place: Path, changed_settings: pytest.MonkeyPatch, tiny_bundle: Bundle
) -> None:
    folder = models_folder(changed_settings, tiny_bundle, place, {"default": 1.0, "second": 0.9})
    promote("second", "Ada", "better for Jane Doe", override=True)
    roll_back("Grace", "worse for Jane Doe")
    assert told() == [("Ada", "Model promoted", "model second"), ("Grace", "Model rolled back", "model default")]
    with database().reading() as session:
        (promoted, back) = last_lines(session, 9)
    sha = {name: load_bundle(folder / name).model_sha256 for name in ("default", "second")}
    assert (promoted.detail["model"], promoted.detail["before"]) == (sha["second"], sha["default"])
    assert promoted.detail["override"] is (history()[0].action == "override")
    assert back.detail["before"] == sha["second"]
    # A reason is a person's words, and stays in the registry.
    assert "Jane" not in f"{promoted.detail} {back.detail}"


def test_a_promotion_that_can_not_be_audited_is_not_done(
    unusable: Path, changed_settings: pytest.MonkeyPatch, tiny_bundle: Bundle
) -> None:
    models_folder(changed_settings, tiny_bundle, unusable, {"default": 1.0, "second": 0.9})
    with pytest.raises(PromotionRefused, match=r"^The audit trail can't be written, so this was not done\. "):
        promote("second", "Ada", "better", override=True)
    assert history() == ()


def test_a_promotion_that_fails_is_followed_by_a_line_that_says_so(
    place: Path, changed_settings: pytest.MonkeyPatch, tiny_bundle: Bundle
) -> None:
    models_folder(changed_settings, tiny_bundle, place, {"default": 1.0, "second": 0.9})

    def full(entry: object) -> None:
        raise OSError(28, "No space left on device")

    changed_settings.setattr(promotion, "record", full)
    with pytest.raises(OSError, match="No space"):
        promote("second", "Ada", "better", override=True)
    assert [event for _, event, _ in told()] == ["Model promoted", "Act failed"]


def test_what_was_done_with_a_job_is_in_the_trail(place: Path) -> None:
    job = start(place)
    assert start(place).id == job.id
    with pytest.raises(jobs.JobRefused, match="cancel it first"):
        jobs.delete(job.id, "Eve")
    jobs.cancel(job.id, "Grace")
    end = time.monotonic() + 60
    while jobs.job(job.id).state.alive:
        assert time.monotonic() < end
        time.sleep(0.05)
    with pytest.raises(jobs.JobRefused, match="does not run"):
        jobs.cancel(job.id, "Eve")
    jobs.delete(job.id, "Ada")
    assert told() == [
        ("Ada", "Job started", "job 0001-lung"),
        ("Grace", "Job cancelled", "job 0001-lung"),
        ("Ada", "Job deleted", "job 0001-lung"),
    ]


def test_a_job_that_can_not_be_audited_is_not_started(unusable: Path) -> None:
    with pytest.raises(jobs.JobRefused, match="audit trail can't be written"):
        start(unusable)
    assert jobs.jobs() == []
