"""A run that is killed goes on where it was, and learns the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade_run import FILMS, OPTIONS, train

from cxr.settings import ROOT
from cxr.training.config import TrainingConfig
from cxr.training.run import RunDirectory, RunRefused

STEPS = FILMS // 8
PATH = {"PYTHONPATH": ":".join(str(ROOT / p) for p in ("", "tests", "tests/training")), "TF_CPP_MIN_LOG_LEVEL": "2"}
EVERY_STEP: dict[str, object] = {"epochs": 3, "ema": 0.9, "head_warmup": 1, "checkpoint_minutes": 1e-9}


def curve(progress):
    """What must not depend on whether the run was interrupted."""
    return [(e.loss, e.macro_auroc, e.abnormal_auroc, e.learning_rate) for e in progress.epochs]


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "whole"


@pytest.fixture(scope="module")
def uninterrupted(whole_folder):
    return train(whole_folder, EVERY_STEP)


@pytest.mark.parametrize("saved", [STEPS + 2, 2 * STEPS])
def test_killed_while_saving_it_goes_on_to_the_same_curve(saved, uninterrupted, tmp_path):
    """Once in the middle of an epoch, once at the end of one."""
    command = [sys.executable, str(Path(__file__).parent / "handmade_run.py"), str(tmp_path / "run")]
    killed = subprocess.run(
        [*command, json.dumps(EVERY_STEP), "--kill", str(saved + 1)],
        env=os.environ | PATH,
        capture_output=True,
        timeout=300,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    config = TrainingConfig.model_validate(OPTIONS | EVERY_STEP)
    left = RunDirectory(tmp_path / "run", config, "handmade").load().progress
    assert (left.epoch, left.step) == divmod(saved, STEPS)
    model, progress = train(tmp_path / "run", EVERY_STEP)
    whole_model, whole = uninterrupted
    np.testing.assert_allclose(curve(progress), curve(whole), atol=1e-5)
    assert progress.best_epoch == whole.best_epoch
    for ours, theirs in zip(model.get_weights(), whole_model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["number", "1", "2", "3"]


def test_a_finished_run_does_not_train_again(uninterrupted, whole_folder):
    rows = (whole_folder / "metrics.csv").read_text()
    # As if it had been killed after its last checkpoint.
    (whole_folder / "metrics.csv").unlink()
    before = (whole_folder / "checkpoint.npz").stat().st_mtime_ns
    model, progress = train(whole_folder, EVERY_STEP)
    assert progress == uninterrupted[1]
    assert (whole_folder / "metrics.csv").read_text() == rows
    assert (whole_folder / "checkpoint.npz").stat().st_mtime_ns == before
    for ours, theirs in zip(model.get_weights(), uninterrupted[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def opened(folder: Path, films: str = "handmade", restart: bool = False, **options: object) -> RunDirectory:
    return RunDirectory(folder, TrainingConfig.model_validate(OPTIONS | options), films, restart=restart)


def test_another_configuration_is_refused_by_what_differs(tmp_path):
    opened(tmp_path / "run")
    with pytest.raises(RunRefused, match=r"another configuration \(learning_rate, seed\).*--restart\.$"):
        opened(tmp_path / "run", learning_rate=1e-4, seed=3)
    assert '"seed": 3' in (opened(tmp_path / "run", seed=3, restart=True).folder / "config.json").read_text()


def test_other_films_are_refused_and_restart_clears_them(tmp_path):
    train(tmp_path / "run", {"epochs": 1})
    with pytest.raises(RunRefused, match="other films"):
        opened(tmp_path / "run", films="others", epochs=1).load()
    assert opened(tmp_path / "run", films="others", epochs=1, restart=True).load() is None
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunRefused, match="not a training run"):
        opened(tmp_path, restart=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_what_a_process_left_that_was_killed_while_saving_is_cleared(tmp_path):
    run = opened(tmp_path / "run").folder
    for name in (".checkpoint.npz.123.draft", ".metrics.csv.123.draft", ".progress.json.456.draft"):
        (run / name).write_bytes(b"half")
    opened(run)
    # Others write their own files at this moment.
    assert {file.name for file in run.iterdir()} == {"config.json", ".progress.json.456.draft"}


def test_a_damaged_checkpoint_is_one_sentence(tmp_path):
    run = opened(tmp_path / "run")
    (run.folder / "checkpoint.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(RunRefused, match=r"can't be read; clear the run by --restart\.$"):
        run.load()
