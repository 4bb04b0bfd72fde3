"""What a run computes on: backends, several devices at once, precision."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from handmade_run import OPTIONS, train

from cxr.settings import ROOT
from cxr.training import devices
from cxr.training.config import TrainingConfig

STILL: dict[str, object] = {"epochs": 2, "dropout": 0, "ema": 0.9, "head_warmup": 1, "backbone_rate": 0.5}
"""Without what each backend draws for itself."""


def in_a_child(folder: Path, backend: str, *chosen: str) -> tuple[list[float], set[str]]:
    """Losses of a run in a process of its own, and which of the three backends it has imported."""
    paths = ":".join(str(ROOT / part) for part in ("", "tests", "tests/training"))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "handmade_run.py"), str(folder), json.dumps(STILL), *chosen],
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run, imported = done.stdout.splitlines()[-2:]
    return [epoch["loss"] for epoch in json.loads(run)["epochs"]], set(imported.split())


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    _, progress = train(tmp_path_factory.mktemp("run") / "tensorflow", STILL)
    return [epoch.loss for epoch in progress.epochs]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_learn_the_same_without_tensorflow(backend, losses, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    learnt, imported = in_a_child(tmp_path / "run", backend)
    np.testing.assert_allclose(learnt, losses, rtol=1e-4)
    assert "tensorflow" not in imported


def test_two_devices_learn_as_one(losses, tmp_path):
    learnt, _ = in_a_child(tmp_path / "run", "tensorflow", "CPU:0", "CPU:1")
    # The head alone trains alike to rounding; batch norm then has the statistics of half a batch on each device.
    np.testing.assert_allclose(learnt[0], losses[0], rtol=1e-5)
    np.testing.assert_allclose(learnt[1], losses[1], rtol=5e-3)


def test_a_batch_that_devices_cant_share_is_refused():
    config = TrainingConfig.model_validate(OPTIONS | {"batch_size": 9})
    with pytest.raises(ValueError, match=r"batch_size \(=9\) must be a multiple of the 2 GPUs\.$"):
        devices.replicas(config, ["CPU:0", "CPU:1"])


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([], "float32"), ([(6, 1)], "float32"), ([(7, 5)], "mixed_float16"), ([(9, 0)], "mixed_bfloat16"),
     ([(9, 0), (7, 0)], "mixed_float16")],
)  # fmt: skip
def test_precision_is_what_the_weakest_gpu_is_fast_in(capabilities, expected, monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: capabilities)
    monkeypatch.setattr(devices, "_capability", lambda gpu: gpu)
    assert devices.precision_of(TrainingConfig()) == expected
    assert devices.precision_of(TrainingConfig(precision="float32")) == "float32"


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_nearly_the_same_and_leaves_a_float32_model(precision, losses, tmp_path):
    model, progress = train(tmp_path / "run", STILL | {"precision": precision})
    np.testing.assert_allclose([epoch.loss for epoch in progress.epochs], losses, rtol=0.03)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
