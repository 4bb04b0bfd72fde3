"""Jobs that really train: from start to model, and with everything that may come between."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, ended, fill_disk, log_of, mounted, pid_of, until

from cxr import jobs
from cxr.dataset.index import scan
from cxr.findings import CATEGORIES
from cxr.jobs import State
from cxr.model.bundle import bundle_names, load_bundle
from cxr.settings import settings

EVERY_STEP = {"checkpoint_minutes": 1e-9, "ema": 0.9}
STEPS = 13
CURVE = ["number", "loss", "macro_auroc", "abnormal_auroc", "learning_rate"]


@pytest.fixture(scope="module")
def whole() -> dict[str, pd.DataFrame]:
    """The curves of a run without a break, which the first test leaves here."""
    return {}


def events_of(file: Path) -> list:
    """What TensorFlow's own definition of an event reads in a file of events."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    return [event_pb2.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))]


def test_from_start_to_model(training, whole):
    job = training.start("whole", **EVERY_STEP)
    assert (job.state, job.who, job.id) == (State.QUEUED, "Ada", "0001-whole")
    assert not (training.models / "whole").exists()
    job = ended(job.id)
    assert job.state is State.FINISHED, log_of(job)
    assert [event.state for event in job.events] == [State.QUEUED, State.RUNNING, State.FINISHED]
    assert bundle_names() == ["whole"]
    card = load_bundle(training.models / "whole").card
    assert f"abnormal AUROC {card.evaluation.overall.abnormal_auroc.value:.3f}" in job.cause
    assert card.training == job.spec.config.model_dump()

    whole["epochs"] = jobs.curves(job).epochs
    assert whole["epochs"]["loss"].tolist() == [epoch.loss for epoch in card.epochs]
    steps = jobs.curves(job).steps
    ends = steps[steps["step"] == STEPS]
    assert ends["place"].tolist() == [1, 2, 3]
    assert set(steps["step"]) >= {1, STEPS}
    assert ((steps["waiting"] >= 0) & (steps["waiting"] <= 1)).all()
    assert steps["learning_rate"].iloc[-1] == whole["epochs"]["learning_rate"].iloc[-1]

    said = jobs.samples(job)
    assert said.epochs == (1, 2, 3)
    assert said.probabilities.shape == (3, 8, 15)
    assert said.labels[:, CATEGORIES.index("Mass")].sum() == 4
    # Patients with odd numbers have a "Mass".
    assert [int(image_id[:8]) % 2 for image_id in said.image_ids] == said.labels[:, CATEGORIES.index("Mass")].tolist()
    assert ((said.probabilities > 0) & (said.probabilities < 1)).all()

    assert job.live.at.epoch_seconds > 0
    assert job.live.at.seconds_left == pytest.approx(0, abs=5)
    assert job.live.epoch.number == 3
    assert "an epoch takes about" in log_of(job)
    (file,) = (job.folder / "tensorboard").iterdir()
    first, second, *events = events_of(file)
    assert first.file_version == "brain.Event:2"
    assert (second.session_log.status, second.step) == (1, 1)
    values = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    macro = [(step, value) for step, tag, value in values if tag == "epoch/validation macro-AUROC"]
    assert [step for step, _ in macro] == [STEPS, 2 * STEPS, 3 * STEPS]
    np.testing.assert_allclose([value for _, value in macro], whole["epochs"]["macro_auroc"], rtol=1e-6)
    assert not (job.folder / "ballast").exists()


def test_cancelled_killed_and_resumed_it_learns_what_an_unbroken_run_does(training, whole):
    """The starting process is killed with it, too; between all that the process changes three times."""
    training.worker(TINY, "--slow", 0.2)
    job = training.start("broken", **EVERY_STEP)
    until(lambda: (live := jobs.job(job.id).live) and live.at and live.at.step > 2)
    jobs.cancel(job.id, "Grace")
    job = ended(job.id)
    assert (job.state, job.who) == (State.CANCELLED, "Grace"), log_of(job)
    assert "stopped in epoch 1, step" in job.cause
    assert (job.folder / "checkpoint.npz").is_file()

    assert jobs.resume(job.id, "Ada").state is State.QUEUED
    until(lambda: (live := jobs.job(job.id).live) and live.at and live.at.epoch == 2 and live.at.step > 2)
    os.kill(pid_of(job.id), signal.SIGKILL)
    job = ended(job.id)
    assert (job.state, job.resumable) == (State.INTERRUPTED, True)
    assert "killed" in job.cause

    training.worker(TINY)
    jobs.resume(job.id, "Ada")
    job = ended(job.id)
    assert job.state is State.FINISHED, log_of(job)
    assert [event.state.value for event in job.events] == [
        "queued", "running", "cancelled", "queued", "running", "interrupted", "queued", "running", "finished",
    ]  # fmt: skip
    broken = jobs.curves(job)
    np.testing.assert_allclose(broken.epochs[CURVE], whole["epochs"][CURVE], atol=1e-3)
    assert broken.steps[broken.steps["step"] == STEPS]["place"].tolist() == [1, 2, 3]
    assert not broken.steps.duplicated(["epoch", "step"]).any()
    assert len((job.folder / "steps.csv").read_text().splitlines()) == len(broken.steps) + 1
    assert jobs.samples(job).epochs == (1, 2, 3)
    assert len(list((job.folder / "tensorboard").iterdir())) == 3


def test_a_rate_that_is_far_too_high_fails_with_what_to_try(training):
    job = ended(training.start("diverged", learning_rate=1e30, warmup=0, ema=0).id)
    assert job.state is State.FAILED
    assert "became" in job.cause
    assert "try a lower learning_rate" in job.cause
    assert bundle_names() == []
    assert "Traceback" in log_of(job)


def test_a_film_that_is_damaged_in_the_middle_of_a_shard_is_named(training, synthetic_data, tmp_path):
    data = tmp_path / "damaged"
    shutil.copytree(synthetic_data, data)
    shard = sorted(data.glob("*.tfrec"))[1]
    content = bytearray(shard.read_bytes())
    offset = int(scan(shard).offsets[90])
    content[offset + 600 : offset + 640] = bytes(40)
    shard.write_bytes(content)
    spec = training.spec("damaged", memory_gigabytes=0, disk_gigabytes=0).model_copy(update={"data": data})
    job = ended(jobs.start(spec, "damaged").id)
    assert job.state is State.FAILED
    assert f"{shard.name}, offset {offset:,}" in job.cause
    assert "checksum" in job.cause


def test_a_full_disk_is_named_and_nothing_but_steps_is_lost(training, tmp_path, changed_settings):
    with mounted(tmp_path / "small", megabytes=24) as small:
        changed_settings.setenv("CXR_RUNS_DIR", str(small))
        settings.cache_clear()
        training.worker(TINY, "--slow", 0.2)
        job = training.start("squeezed", **EVERY_STEP)
        until(lambda: (live := jobs.job(job.id).live) and live.at and live.at.step > 2)
        fill_disk(small)
        job = ended(job.id)
        assert (job.state, job.cause) == (
            State.FAILED, f"The disk of {small} is full; make room there, then resume the job.",
        )  # fmt: skip
        with pytest.raises(jobs.JobRefused, match="No space left"):
            fill_disk(small)
            jobs.resume(job.id, "Ada")
        assert jobs.job(job.id).state is State.FAILED
        for file in small.glob("filler*"):
            file.unlink()
        training.worker(TINY)
        jobs.resume(job.id, "Ada")
        assert ended(job.id).state is State.FINISHED
        # It was moved from the small disk to the large one.
        assert load_bundle(training.models / "squeezed").card.name == "squeezed"
        assert not list(training.models.glob(".*"))
