"""Fine-tuning of a classifier, in plain Keras 3: it trains under the TensorFlow, JAX and PyTorch backends."""

from collections.abc import Callable
from time import monotonic

import keras
import numpy as np
from keras import ops

from cxr.dataset.labelled import LabelledFilms
from cxr.evaluation.metrics import auroc, macro_auroc, telling
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.bundle import LOGITS, MAPS
from cxr.model.classifier import NORMALISATION, build_classifier
from cxr.model.export import predict
from cxr.training import devices
from cxr.training.config import TrainingConfig
from cxr.training.data import TrainingBatches
from cxr.training.listener import (
    SILENT,
    Forecast,
    Listener,
    SamplePredictions,
    StepMetrics,
    TrainingStopped,
    sample_rows,
)
from cxr.training.optimizer import DiscriminativeAdamW, as_numpy
from cxr.training.run import Checkpoint, EpochMetrics, Progress, RunDirectory
from cxr.training.watch import Lap, TimedModel, Watch


def fit(
    classifier: keras.Model,
    batches: TrainingBatches,
    validation: LabelledFilms,
    config: TrainingConfig,
    run: RunDirectory,
    report: Callable[[EpochMetrics], None] = lambda epoch: None,
    listener: Listener = SILENT,
) -> Progress:
    """Train a classifier in place and leave it with the weights of its best epoch (or the last: `keep`).

    The best epoch is the one with the highest macro-AUROC over the findings on the validation films (AUROC of abnormal
    where no finding has enough films to say). What trains is a twin of the classifier on the run's devices and in its
    precision; the classifier itself scores the validation films in float32, as it will serve.

    Args:
        classifier: of `build_classifier`, float32, with the weights to start from.
        batches: training films.
        validation: films of other patients at the model's input size.
        config: see `TrainingConfig`.
        run: the checkpoint in it, if there is one, is where training goes on.
        report: called as each epoch ends.
        listener: hears how it goes, and may stop it.

    Returns:
        Its epochs, and the number of the best.

    Raises:
        ValueError: a batch can't be shared evenly among the GPUs.
        TrainingDiverged: loss or gradients became NaN or infinite. The run keeps its last checkpoint.
        TrainingStopped: the listener wanted it. The run's checkpoint is that of the last step.
        RunRefused: the run can't be gone on with.
    """
    training = _Training(classifier, batches, validation, config, run, listener)
    while not training.finished:
        if listener.should_stop():
            raise TrainingStopped(f"Training was stopped after {training.progress.epoch} of {config.epochs} epochs.")
        training.train_epoch()
        report(training.progress.epochs[-1])
    listener.trained()
    classifier.set_weights(training.best)
    return training.progress


class _Training:
    """A run between two epochs. See `fit` for the arguments."""

    def __init__(
        self,
        classifier: keras.Model,
        batches: TrainingBatches,
        validation: LabelledFilms,
        config: TrainingConfig,
        run: RunDirectory,
        listener: Listener,
    ):
        self.classifier, self.batches, self.validation = classifier, batches, validation
        self.config, self.run, self.listener = config, run, listener
        self.forecast = Forecast()
        self.progress = run.start
        self.best: list[np.ndarray] = []
        self.replicas = devices.replicas(config)
        with self.replicas.scope(), devices.precision(config):
            self.twin = build_classifier(config.backbone, config.input_size, weights=None, dropout=config.dropout)
            self.model = TimedModel(self.twin.input, self.twin.output[LOGITS])
        self.twin.set_weights(classifier.get_weights())
        checkpoint = run.load()
        if checkpoint is not None:
            self.progress, self.best = checkpoint.progress, checkpoint.best
            # The process before may have been killed between the two.
            run.write_metrics(self.progress.epochs)
        if not self.finished:
            self._compile()
            if checkpoint is not None:
                self._restore(checkpoint)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none has been better for as long as the patience lasts."""
        since_best = self.progress.epoch - self.progress.best_epoch
        return self.progress.epoch >= self.config.epochs or 0 < self.config.patience <= since_best

    @property
    def new_phase(self) -> bool:
        """Whether the next step is the first of the head's warm-up, or the first after it."""
        return self.progress.step == 0 and self.progress.epoch in (0, self.config.head_warmup)

    def _compile(self) -> None:
        """Set what trains in the phase that the next epoch is in, with a new optimizer."""
        config = self.config
        warming = self.progress.epoch < config.head_warmup
        freeze(self.twin, 1.0 if warming else config.frozen)
        with self.replicas.scope():
            self.optimizer = DiscriminativeAdamW(
                config.learning_rate if warming else schedule_of(config, self.batches.steps),
                head=self.twin.get_layer(MAPS).trainable_variables,
                backbone_rate=config.backbone_rate,
                weight_decay=config.weight_decay,
                ema=config.ema,
            )
            self.model.compile(optimizer=self.optimizer, loss=loss_of(self.batches.labels, config))
            self.model.optimizer.build(self.model.trainable_variables)

    def _restore(self, checkpoint: Checkpoint) -> None:
        for variable, value in zip(self.twin.variables, checkpoint.model, strict=True):
            variable.assign(value)
        if not self.new_phase:
            for variable, value in zip(self.model.optimizer.variables, checkpoint.optimizer, strict=True):
                variable.assign(value)

    def _save(self, progress: Progress) -> None:
        self.run.save(
            Checkpoint(
                progress,
                [as_numpy(v) for v in self.twin.variables],
                [as_numpy(v) for v in self.model.optimizer.variables],
                self.best,
            )
        )

    def train_epoch(self) -> None:
        """Train to the end of the epoch, score it, and save."""
        start = self.progress

        def part(steps: int, loss: float, seconds: float, waited: float) -> Progress:
            """The progress after some more steps of this epoch, of this mean loss."""
            return start.model_copy(
                update={
                    "step": start.step + steps,
                    "loss": start.loss + steps * loss,
                    "seconds": start.seconds + seconds,
                    "waited": start.waited + waited,
                }
            )

        number, steps = start.epoch + 1, self.batches.steps - start.step
        watch = Watch(
            self.optimizer,
            number,
            start.step,
            lambda *made: self._save(part(*made)),
            self.config.checkpoint_minutes * 60,
            self.forecast,
            lambda lap: self.listener.step(self._metrics(number, start.step, lap)),
            self.listener.should_stop,
        )
        with self.batches.reading():
            history = self.model.fit(
                self.batches.epoch(start.epoch, start.step),
                steps_per_epoch=steps,
                callbacks=[watch],
                # The order is that of the batches; Keras would draw another for some kinds of them.
                shuffle=False,
                verbose=0,
            )
        if watch.steps != steps:
            raise RuntimeError(f"Epoch {number} ended after {start.step + watch.steps} of {self.batches.steps} steps.")
        done = part(steps, history.history["loss"][0], watch.seconds, watch.waited)
        trained = monotonic()
        averages = self.optimizer.averages()
        self.classifier.set_weights([averages.get(v.path, as_numpy(v)) for v in self.twin.weights])
        macro, abnormal = score(self.classifier, self.validation)
        epoch = EpochMetrics(
            number=number,
            loss=done.loss / done.step,
            macro_auroc=macro,
            abnormal_auroc=abnormal,
            seconds=done.seconds,
            learning_rate=float(as_numpy(self.optimizer.learning_rate)),
            films_per_second=done.step * self.config.batch_size / done.seconds,
            waiting=done.waited / done.seconds,
        )
        best = number if self.config.keep == "last" else max((*start.epochs, epoch), key=_score).number
        if best == number:
            self.best = self.classifier.get_weights()
        self.progress = start.model_copy(
            update={"epoch": number, "step": 0, "loss": 0.0, "seconds": 0.0, "waited": 0.0}
            | {"epochs": (*start.epochs, epoch), "best_epoch": best}
        )
        self._save(self.progress)
        self.run.write_metrics(self.progress.epochs)
        self.listener.epoch(epoch, self._samples())
        self.forecast.closing = monotonic() - trained
        if self.new_phase and not self.finished:
            self._compile()

    def _metrics(self, number: int, first_step: int, lap: Lap) -> StepMetrics:
        """How it goes in epoch `number`, whose first steps an earlier process has made."""
        steps, step, epochs = self.batches.steps, first_step + lap.step, self.config.epochs
        return StepMetrics(
            epoch=number,
            step=step,
            epochs=epochs,
            steps=steps,
            loss=lap.loss,
            learning_rate=lap.learning_rate,
            films_per_second=lap.steps * self.config.batch_size / lap.seconds,
            waiting=lap.waited / lap.seconds,
            epoch_seconds=self.forecast.seconds(steps, 1),
            seconds_left=self.forecast.seconds((epochs - number + 1) * steps - step, epochs - number + 1),
        )

    def _samples(self) -> SamplePredictions | None:
        """What the classifier says of the films that the listener sees; None if it wants none."""
        if not self.listener.samples:
            return None
        films = self.validation
        rows = sample_rows(films.abnormal, self.listener.samples)
        logits, _ = predict(self.classifier, films.pixels[rows])
        ids = tuple(str(image_id) for image_id in films.metadata.index[rows])
        return SamplePredictions(ids, films.labels[rows], np.exp(-np.logaddexp(0, -logits)))


def _score(epoch: EpochMetrics) -> float:
    """What the best epoch has most of."""
    score = epoch.abnormal_auroc if epoch.macro_auroc is None else epoch.macro_auroc
    return -np.inf if score is None else score


def score(classifier: keras.Model, films: LabelledFilms) -> tuple[float | None, float | None]:
    """Macro-AUROC over the findings with enough films to say (None if none has), and AUROC of abnormal."""
    logits, _ = predict(classifier, films.pixels)
    columns = telling(films.labels, films.metadata["patient"].to_numpy(), FINDING_INDICES)
    macro = float(macro_auroc(films.labels[:, columns], logits[:, columns])[0]) if columns else None
    return macro, float(auroc(films.abnormal, -logits[:, NO_FINDING_INDEX])[0])


def freeze(classifier: keras.Model, share: float) -> None:
    """Let all layers train but the normalisation and a share of the backbone.

    Layers that do not train keep their weights, and their batch norm uses and keeps the statistics that it came with.

    Args:
        share: of the backbone's layers that have weights, counted from the film, 0 to 1.
    """
    backbone = [x for x in classifier.layers if x.weights and x.name not in (NORMALISATION, MAPS)]
    for place, layer in enumerate(backbone):
        layer.trainable = place >= round(share * len(backbone))


def schedule_of(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A linear rise to the peak rate, then half a cosine to zero, over the epochs after the head's warm-up."""
    steps = (config.epochs - config.head_warmup) * steps_per_epoch
    rising = int(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 25,
        decay_steps=max(1, steps - rising),
        warmup_target=config.learning_rate,
        warmup_steps=rising,
    )


def loss_of(labels: np.ndarray, config: TrainingConfig) -> Callable[..., keras.KerasTensor]:
    """Binary cross-entropy of the 15 logits, positives weighted by `class_weights`; or the focal loss made of it.

    The focal loss (Lin et al. 2017, arXiv:1708.02002, equation 4) multiplies the entropy of each label by
    `(1 - p_t) ** gamma`, where `p_t` is the probability that the model gives to what is true.

    Args:
        labels: (n, 15) of the training films.
    """
    weight = class_weights(labels, config)
    smoothing = config.label_smoothing

    def loss(y_true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        target = y_true * (1 - 2 * smoothing) + smoothing
        positive = -target * weight * ops.log_sigmoid(logits)
        negative = -(1 - target) * ops.log_sigmoid(-logits)
        if config.loss == "focal":
            positive *= ops.exp(config.focal_gamma * ops.log_sigmoid(-logits))
            negative *= ops.exp(config.focal_gamma * ops.log_sigmoid(logits))
        return ops.mean(positive + negative, axis=-1)

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


def start_from_prior(model: keras.Model, labels: np.ndarray, config: TrainingConfig) -> None:
    """Set the head's constant to the weighted log odds of each category (Lin et al. 2017, arXiv:1708.02002, 4.1), so
    that the maps need only say how a film differs from the average film."""
    positives = labels.sum(0) + 0.5
    odds = class_weights(labels, config) * positives / (len(labels) - positives + 1)
    kernel, _ = model.get_layer(MAPS).get_weights()
    model.get_layer(MAPS).set_weights([kernel, np.log(odds)])
