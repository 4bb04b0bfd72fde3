"""A training run on handmade films in a process of its own, which may be killed, or have another backend of Keras.

`python handmade_run.py RUN_FOLDER TRAINING_OPTIONS_AS_JSON [--kill N | --stop N | DEVICE …]` prints how it went as
JSON, and last what was imported of the three backends. With `--kill` it kills itself in the middle of writing
checkpoint N. With `--stop` it is asked to stop after step N, is gone on with, and prints what a listener heard.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from handmade_batches import HandmadeBatches, handmade_films
from keras import layers
from synthetic import SIDE

from cxr.model import backbones
from cxr.model.classifier import build_classifier
from cxr.training import devices
from cxr.training import run as run_module
from cxr.training.config import TrainingConfig
from cxr.training.fit import fit
from cxr.training.listener import SILENT, Listener, SamplePredictions, StepMetrics, TrainingStopped
from cxr.training.run import EpochMetrics, Progress, RunDirectory

BACKBONE = "handmade"
OPTIONS = {"backbone": BACKBONE, "imagenet": False, "input_size": SIDE, "batch_size": 8, "learning_rate": 3e-3}
FILMS = 40


def build(x, weights):  # type: ignore[no-untyped-def]
    """Three convolutions with batch norm, to 8 x 8 features."""
    for filters in (8, 16, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    return x


backbones.BACKBONES[BACKBONE] = backbones.Backbone(build, *backbones.LITE)


def initial(config: TrainingConfig) -> keras.Model:
    """A classifier with weights that are the same under every backend."""
    classifier = build_classifier(config.backbone, config.input_size, weights=None, dropout=config.dropout)
    rng = np.random.default_rng(0)
    weights = [
        rng.normal(0, 0.1, w.shape).astype(np.float32) if w.ndim > 1 else w for w in classifier.get_weights()[2:]
    ]
    classifier.set_weights([*classifier.get_weights()[:2], *weights])
    return classifier


class Heard(Listener):
    """Keeps what it hears, and stops the run when it has been asked so often whether to; that is as often as there are
    steps: not after the last one of an epoch, but before the first."""

    samples = 6

    def __init__(self, stop_after: float = float("inf")):
        self.steps: list[StepMetrics] = []
        self.epochs: list[tuple[EpochMetrics, SamplePredictions | None]] = []
        self.left = stop_after
        self.trained_after: list[int] = []

    def step(self, metrics: StepMetrics) -> None:
        self.steps.append(metrics)

    def epoch(self, metrics: EpochMetrics, samples: SamplePredictions | None) -> None:
        self.epochs.append((metrics, samples))

    def trained(self) -> None:
        self.trained_after.append(len(self.epochs))

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def train(run: Path, options: dict[str, object], listener: Listener = SILENT) -> tuple[keras.Model, Progress]:
    """Train on handmade films; returns the model and how it went."""
    config = TrainingConfig.model_validate(OPTIONS | options)
    devices.prepare(config)
    classifier = initial(config)
    batches = HandmadeBatches(handmade_films(FILMS), config.batch_size)
    directory = RunDirectory(run, config, "handmade")
    progress = fit(classifier, batches, handmade_films(24, seed=1), config, directory, listener=listener)
    return classifier, progress


def kill_while_saving(number: int) -> None:
    """Kill this process when half of a checkpoint is written."""
    whole, written = run_module.replace_file, 0

    def half(file: Path, content: bytes) -> None:
        nonlocal written
        written += file.name == run_module.CHECKPOINT_FILE
        if written < number:
            return whole(file, content)
        file.with_name(f".{file.name}.draft").write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    run_module.replace_file = half


def main(arguments: Sequence[str]) -> None:
    run, options, *chosen = arguments
    if chosen[:1] == ["--kill"]:
        kill_while_saving(int(chosen[1]))
    elif chosen[:1] == ["--stop"]:
        try:
            train(Path(run), json.loads(options), Heard(int(chosen[1])))
        except TrainingStopped as stopped:
            print(stopped)
        heard = Heard()
        train(Path(run), json.loads(options), heard)
        print(json.dumps([metrics.model_dump() for metrics in heard.steps]))
        return
    elif chosen:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * len(chosen))
        original = devices.replicas
        devices.replicas = lambda config: original(config, chosen)
    _, progress = train(Path(run), json.loads(options))
    print(progress.model_dump_json())
    print(*({"tensorflow", "jax", "torch"} & set(sys.modules)))


if __name__ == "__main__":
    main(sys.argv[1:])
