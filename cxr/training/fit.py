"""Fine-tuning of a classifier, in plain Keras 3: nothing here is tied to a backend. It was run under TensorFlow."""

from collections.abc import Callable
from time import monotonic

import keras
import numpy as np
from keras import ops

from cxr.dataset.labelled import LabelledFilms
from cxr.evaluation.metrics import auroc, enough
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.bundle import LOGITS, MAPS
from cxr.model.card import Epoch
from cxr.model.export import predict
from cxr.training.augment import augment
from cxr.training.config import TrainingConfig


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


def fit(
    model: keras.Model,
    train: LabelledFilms,
    validation: LabelledFilms,
    config: TrainingConfig,
    report: Callable[[Epoch], None],
) -> tuple[list[Epoch], int]:
    """Train a classifier in place and leave it with the weights of its best epoch.

    The best epoch is the one with the highest macro-AUROC over the findings on the validation films (AUROC of abnormal
    where no finding has enough films to say).

    Args:
        model: of `build_classifier`.
        train, validation: films of different patients at the model's input size.
        config: see `TrainingConfig`.
        report: called as each epoch ends.

    Returns:
        The epochs, and the number of the best.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    _start_from_prior(model, train.labels, config)
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
    best = _BestEpoch(model, validation, report)
    callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if config.ema > 0 else []
    trained.fit(batches, epochs=config.epochs, callbacks=[*callbacks, best], verbose=0)
    model.set_weights(best.weights)
    return best.epochs, best.number


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

    def __init__(self, classifier: keras.Model, validation: LabelledFilms, report: Callable[[Epoch], None]):
        super().__init__()
        self.classifier = classifier
        self.validation = validation
        self.report = report
        self.epochs: list[Epoch] = []
        self.weights: list[np.ndarray] = []
        self.number = 0
        self.best = -np.inf

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if logs and not np.isfinite(logs["loss"]):
            raise TrainingDiverged(f"The loss is {logs['loss']} after batch {batch}. Try a lower learning rate.")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        films = self.validation
        logits, _ = predict(self.classifier, films.pixels)
        patients = films.metadata["patient"].to_numpy()
        aurocs = [
            auroc(films.labels[:, k], logits[:, k])[0] for k in FINDING_INDICES if enough(films.labels[:, k], patients)
        ]
        shown = Epoch(
            number=epoch + 1,
            loss=float((logs or {})["loss"]),
            macro_auroc=float(np.mean(aurocs)) if aurocs else None,
            abnormal_auroc=float(auroc(films.abnormal, -logits[:, NO_FINDING_INDEX])[0]),
            seconds=monotonic() - self.started,
        )
        self.epochs.append(shown)
        score = shown.abnormal_auroc if shown.macro_auroc is None else shown.macro_auroc
        if score is not None and score > self.best:
            self.best, self.number, self.weights = score, shown.number, self.classifier.get_weights()
        self.report(shown)


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
    """Binary cross-entropy of the 15 logits, positives weighted by `class_weights`."""
    weight = class_weights(labels, config)
    smoothing = config.label_smoothing

    def loss(y_true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        target = y_true * (1 - 2 * smoothing) + smoothing
        entropy = -target * weight * ops.log_sigmoid(logits) - (1 - target) * ops.log_sigmoid(-logits)
        return ops.mean(entropy, axis=-1)

    return loss


def class_weights(labels: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """What a positive of each category counts in the loss: sqrt(negatives / positives), from 1 to the configured most.

    Args:
        labels: (n, 15) of the training films.

    Returns:
        float32 (15,).
    """
    positives = labels.sum(0).astype(np.float32)
    ratio = (len(labels) - positives) / np.maximum(positives, 1)
    return np.clip(np.sqrt(ratio), 1, config.max_class_weight).astype(np.float32)


def _start_from_prior(model: keras.Model, labels: np.ndarray, config: TrainingConfig) -> None:
    """Set the head's constant to the weighted log odds of each category (Lin et al. 2017, arXiv:1708.02002, 4.1), so
    that the maps need only say how a film differs from the average film."""
    positives = labels.sum(0) + 0.5
    odds = class_weights(labels, config) * positives / (len(labels) - positives + 1)
    kernel, _ = model.get_layer(MAPS).get_weights()
    model.get_layer(MAPS).set_weights([kernel, np.log(odds)])
