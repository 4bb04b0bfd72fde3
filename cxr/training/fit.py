"""Fine-tuning of a classifier, in plain Keras 3: the same code runs on the TensorFlow, JAX and PyTorch backends."""

import csv
import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import keras
import numpy as np
from keras import ops

from cxr.dataset.labelled import LabelledFilms
from cxr.evaluation.metrics import auroc, enough
from cxr.findings import FINDING_INDICES
from cxr.model.classifier import LOGITS
from cxr.training.augment import augment
from cxr.training.config import TrainingConfig

PREDICT_BATCH = 64


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed: training loss, macro-AUROC over the 14 findings and AUROC of abnormal on the
    validation patients (NaN where there are too few), and seconds."""

    number: int
    loss: float
    macro_auroc: float
    abnormal_auroc: float
    seconds: float


def fit(
    model: keras.Model,
    train: LabelledFilms,
    validation: LabelledFilms,
    config: TrainingConfig,
    metrics_file: Path,
    report: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train a classifier in place and leave it with the weights of its best epoch.

    The best epoch is the one with the highest macro-AUROC over the findings on the validation films (AUROC of abnormal
    where no finding has enough films to say).

    Args:
        model: of `build_classifier`.
        train, validation: films of different patients at the model's input size.
        config: see `TrainingConfig`.
        metrics_file: CSV that gets a row as each epoch ends.
        report: called as each epoch ends.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    _keep_freed_memory()
    trained = keras.Model(model.input, model.output[LOGITS])
    batches = _Batches(train, config)
    optimizer = keras.optimizers.AdamW(
        _schedule(config, len(batches)),
        weight_decay=config.weight_decay,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )
    # Biases and batch-norm gains are scales, not weights to shrink.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    trained.compile(optimizer=optimizer, loss=_loss(train.labels, config))
    best = _BestEpoch(validation, metrics_file, report)
    callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if config.ema > 0 else []
    trained.fit(batches, epochs=config.epochs, callbacks=[*callbacks, best], verbose=0)
    trained.set_weights(best.weights)
    return best.epochs


def predict(model: keras.Model, films: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (n, 15) and maps float32 (n, h, w, 15) of uint8 or float films (n, size, size)."""
    outputs = [
        model.predict_on_batch(np.asarray(films[start : start + PREDICT_BATCH], np.float32)[..., None])
        for start in range(0, len(films), PREDICT_BATCH)
    ]
    return tuple(np.concatenate([np.asarray(o[key]) for o in outputs]) for key in ("logits", "maps"))  # type: ignore[return-value]


class _Batches(keras.utils.PyDataset):
    """Augmented training films in a new order each epoch; the last, smaller batch is left out of the epoch."""

    def __init__(self, films: LabelledFilms, config: TrainingConfig):
        super().__init__()
        self.films = films
        self.config = config
        self.epoch = 0
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.films.labels))

    def __len__(self) -> int:
        return max(1, len(self.order) // self.config.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        size = self.config.batch_size
        rows = np.sort(self.order[index * size : (index + 1) * size])
        rng = np.random.default_rng((self.config.seed, self.epoch, index))
        pixels = np.stack([augment(self.films.pixels[row], self.config, rng) for row in rows])
        return pixels[..., None], self.films.labels[rows].astype(np.float32)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()


class _BestEpoch(keras.callbacks.Callback):
    """Scores every epoch on the validation films and remembers the weights of the best."""

    def __init__(self, validation: LabelledFilms, metrics_file: Path, report: Callable[[Epoch], None]):
        super().__init__()
        self.validation = validation
        self.metrics_file = metrics_file
        self.report = report
        self.epochs: list[Epoch] = []
        self.weights: list[np.ndarray] = []
        self.best = -np.inf

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if logs and not np.isfinite(logs["loss"]):
            raise TrainingDiverged(f"The loss is {logs['loss']} after batch {batch}. Try a lower learning rate.")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        films = self.validation
        logits = np.concatenate(
            [
                np.asarray(
                    self.model.predict_on_batch(films.pixels[i : i + PREDICT_BATCH].astype(np.float32)[..., None])
                )
                for i in range(0, len(films.pixels), PREDICT_BATCH)
            ]
        )
        aurocs = [
            auroc(films.labels[:, k], logits[:, k])[0] for k in FINDING_INDICES if enough(films.labels[:, k])
        ]
        abnormal = auroc(films.abnormal, -logits[:, 0])[0] if enough(films.abnormal) else np.nan
        macro = float(np.mean(aurocs)) if aurocs else np.nan
        shown = Epoch(epoch + 1, float((logs or {})["loss"]), macro, float(abnormal), monotonic() - self.started)
        self.epochs.append(shown)
        self._write(shown)
        score = next((s for s in (macro, abnormal) if np.isfinite(s)), 0.0)
        if score > self.best:
            self.best, self.weights = score, self.model.get_weights()
        self.report(shown)

    def _write(self, epoch: Epoch) -> None:
        new = not self.metrics_file.exists()
        with self.metrics_file.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(vars(epoch))
            writer.writerow(vars(epoch).values())


def _schedule(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    steps = config.epochs * steps_per_epoch
    rising = int(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 25,
        decay_steps=max(1, steps - rising),
        warmup_target=config.learning_rate,
        warmup_steps=rising,
    )


def _loss(labels: np.ndarray, config: TrainingConfig) -> Callable[..., keras.KerasTensor]:
    """Binary cross-entropy of the 15 logits; a positive counts sqrt(negatives / positives) of its category."""
    positives = labels.sum(0).astype(np.float32)
    ratio = (len(labels) - positives) / np.maximum(positives, 1)
    weight = np.clip(np.sqrt(ratio), 1, config.max_class_weight).astype(np.float32)
    smoothing = config.label_smoothing

    def loss(y_true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        target = y_true * (1 - 2 * smoothing) + smoothing
        entropy = -target * weight * ops.log_sigmoid(logits) - (1 - target) * ops.log_sigmoid(-logits)
        return ops.mean(entropy, axis=-1)

    return loss


def _keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks instead of returning them to the kernel.

    Without this a CPU training loop spends most of its time in page faults. Elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)
