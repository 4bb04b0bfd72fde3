"""What a run tells while it trains, and how it stops when it is asked to."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade_batches import handmade_films
from handmade_run import FILMS, OPTIONS, Heard, train

from cxr.model.export import predict
from cxr.settings import ROOT
from cxr.training import watch
from cxr.training.config import TrainingConfig
from cxr.training.listener import Forecast, TrainingStopped, sample_rows
from cxr.training.run import RunDirectory

STEPS = FILMS // 8
THREE: dict[str, object] = {"epochs": 3, "ema": 0.9}


@pytest.fixture
def each_step(monkeypatch):
    """Each step is told."""
    monkeypatch.setattr(watch, "TELL_SECONDS", 0)


def test_the_steps_of_an_epoch_add_up_to_it(each_step, tmp_path):
    heard = Heard()
    _, progress = train(tmp_path / "run", {"epochs": 2, "ema": 0.9}, heard)
    assert [(m.epoch, m.step) for m in heard.steps] == [(e, s) for e in (1, 2) for s in range(1, STEPS + 1)]
    assert {(m.epochs, m.steps) for m in heard.steps} == {(2, STEPS)}
    for epoch in progress.epochs:
        ours = [m for m in heard.steps if m.epoch == epoch.number]
        assert np.mean([m.loss for m in ours]) == pytest.approx(epoch.loss, rel=1e-4)
        assert ours[-1].learning_rate == pytest.approx(epoch.learning_rate)
        assert all(0 <= m.waiting <= 1 and m.films_per_second > 0 for m in ours)
    # Ten steps are all there are: only after the last it is known how long one takes.
    assert [m.epoch_seconds is None for m in heard.steps] == [True] * 9 + [False]
    assert [metrics for metrics, _ in heard.epochs] == list(progress.epochs)


def test_the_first_and_the_last_step_are_told_however_quick_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "TELL_SECONDS", 1e9)
    heard = Heard()
    _, progress = train(tmp_path / "run", {"epochs": 1}, heard)
    assert [m.step for m in heard.steps] == [1, STEPS]
    first, rest = heard.steps
    assert (first.loss + (STEPS - 1) * rest.loss) / STEPS == pytest.approx(progress.epochs[0].loss, rel=1e-4)


def test_the_samples_are_the_same_films_after_each_epoch_and_what_the_scored_model_says(tmp_path):
    heard = Heard()
    model, _ = train(tmp_path / "run", {"epochs": 2, "keep": "last"}, heard)
    first, last = (samples for _, samples in heard.epochs)
    assert first.image_ids == last.image_ids
    films = handmade_films(24, seed=1)
    rows = [films.metadata.index.get_loc(image_id) for image_id in last.image_ids]
    assert films.abnormal[rows].sum() == len(rows) / 2 == 3
    np.testing.assert_array_equal(last.labels, films.labels[rows])
    expected = 1 / (1 + np.exp(-predict(model, films.pixels[rows])[0]))
    np.testing.assert_allclose(last.probabilities, expected, rtol=1e-4)
    assert not np.allclose(first.probabilities, last.probabilities)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody stops."""
    return train(tmp_path_factory.mktemp("runs") / "whole", THREE)


@pytest.mark.parametrize(
    ("steps", "said"),
    [(STEPS + 2, "Training was stopped in epoch 2, step 2."), (2 * STEPS, "Training was stopped after 2 of 3 epochs.")],
)
def test_it_stops_between_two_steps_and_goes_on_from_there(whole, tmp_path, steps, said, each_step):
    with pytest.raises(TrainingStopped) as stop:
        train(tmp_path / "run", THREE, Heard(steps))
    assert str(stop.value) == said
    config = TrainingConfig.model_validate(OPTIONS | THREE)
    left = RunDirectory(tmp_path / "run", config, "handmade").load().progress
    assert (left.epoch, left.step) == divmod(steps, STEPS)
    heard = Heard()
    model, resumed = train(tmp_path / "run", THREE, heard)
    assert (heard.steps[0].epoch, heard.steps[0].step) == (left.epoch + 1, left.step + 1)
    unbroken, progress = whole
    np.testing.assert_allclose([e.loss for e in resumed.epochs], [e.loss for e in progress.epochs], atol=1e-5)
    for ours, theirs in zip(model.get_weights(), unbroken.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_tell_the_same_and_stop(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    options = {"epochs": 2, "ema": 0.9, "warmup": 0.5}
    paths = ":".join(str(ROOT / path) for path in ("", "tests", "tests/training"))
    command = [
        sys.executable,
        str(Path(__file__).parent / "handmade_run.py"),
        str(tmp_path / "run"),
        json.dumps(options),
    ]
    done = subprocess.run(
        [*command, "--stop", "2"],
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stopped, steps = done.stdout.splitlines()
    assert stopped == "Training was stopped in epoch 1, step 2."
    heard = Heard()
    train(tmp_path / "tensorflow", options, heard)
    ends = {(m.epoch, m.step): m.learning_rate for m in heard.steps if m.step == STEPS}
    told = {(m["epoch"], m["step"]): m["learning_rate"] for m in json.loads(steps) if m["step"] == STEPS}
    assert told.keys() == ends.keys()
    assert told == pytest.approx(ends)


def test_a_forecast_passes_over_the_first_steps_and_counts_what_ends_an_epoch():
    forecast = Forecast()
    for seconds in [100.0] * 5 + [2.0] * 4:
        forecast.step_took(seconds)
        assert forecast.seconds(10, 1) is None
    forecast.step_took(2.0)
    forecast.closing = 7.0
    assert forecast.seconds(10, 3) == 10 * 2 + 3 * 7


@pytest.mark.parametrize(
    ("abnormal", "count", "rows"),
    [
        ([0, 1] * 6, 4, [0, 1, 10, 11]),
        ([0] * 10 + [1], 4, [0, 9, 10]),
        ([1, 1, 1], 4, [0, 2]),
        ([], 8, []),
    ],
)
def test_sample_rows_are_half_abnormal_as_far_as_there_are_so_many(abnormal, count, rows):
    assert sample_rows(np.array(abnormal), count).tolist() == rows
