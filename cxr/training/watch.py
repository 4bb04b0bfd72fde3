"""What is watched while a model trains: that it still learns numbers, how long it waits for films, when to save."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import keras
import numpy as np

from cxr.training.listener import Forecast, TrainingStopped
from cxr.training.optimizer import NEVER, DiscriminativeAdamW, as_numpy

GRADIENTS_EVERY: Final = 10
"""Steps between looks at the gradients: the optimizer notes the step anyway, and asking each time would take time."""
TELL_SECONDS: Final = 1.0
"""Shortest time between two reports of how it goes, but for the first and the last step of an epoch."""


class TrainingDiverged(RuntimeError):
    """Loss or gradients are no longer numbers; the message is one sentence that says where and what to try."""


@dataclass(frozen=True)
class Lap:
    """Some steps, one after the other.

    Attributes:
        step: of the epoch part, the last of them, from 1.
        steps: how many.
        loss: their mean.
        learning_rate: of the head, after them.
        seconds, waited: that they took, and of these for the next films.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    waited: float


class TimedModel(keras.Model):
    """A model that counts the seconds for which its training steps had to wait for their films."""

    train_function: Any
    waited: float = 0.0

    def make_train_function(self, force: bool = False) -> None:
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        # PyTorch's loop takes the films before the step, which the callback sees; the others take them within it.
        if keras.backend.backend() == "torch":
            return
        step = self.train_function

        def timed(*state_and_films: Any) -> Any:
            *state, films = state_and_films
            started = monotonic()
            batch = next(films)
            self.waited += monotonic() - started
            return step(*state, iter([batch]))

        self.train_function = timed


class Watch(keras.callbacks.Callback):
    """Follows the steps of one epoch, and counts them in `steps`.

    Args:
        optimizer: that trains.
        epoch: number of the epoch, from 1.
        first_step: steps of it that an earlier process has made.
        save: called between two steps with the steps made so far, their mean loss, seconds and seconds waited.
        save_seconds: longest time between two such calls.
        forecast: notes what the steps take.
        tell: called about every `TELL_SECONDS` with the steps since the last call.
        should_stop: asked after each step but the last, after which the epoch ends anyway.
    """

    def __init__(
        self,
        optimizer: DiscriminativeAdamW,
        epoch: int,
        first_step: int,
        save: Callable[[int, float, float, float], None],
        save_seconds: float,
        forecast: Forecast,
        tell: Callable[[Lap], None],
        should_stop: Callable[[], bool],
    ):
        super().__init__()
        self.optimizer = optimizer
        self.epoch = epoch
        self.first_step = first_step
        self.save = save
        self.save_seconds = save_seconds
        self.forecast = forecast
        self.tell = tell
        self.should_stop = should_stop
        self.between = 0.0
        self.steps = 0
        # Steps, sum of their losses, seconds and seconds waited when it was last told how it goes.
        self.told = (0, 0.0, 0.0, 0.0)

    @property
    def seconds(self) -> float:
        """Since the first step began."""
        return monotonic() - self.started

    @property
    def waited(self) -> float:
        """Seconds of these in which the next films were waited for."""
        return self.between + self._model.waited

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._model.waited = 0.0
        self.started = self.saved = self.step_ended = monotonic()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.between += monotonic() - self.step_ended

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.steps = batch + 1
        loss = float((logs or {})["loss"])
        if not np.isfinite(loss):
            self._stop(f"the loss became {loss}", self.first_step + self.steps)
        self.forecast.step_took(monotonic() - self.step_ended)
        # The end of the epoch saves by itself.
        last = self.steps == self.params["steps"]
        stopping = not last and self.should_stop()
        due = stopping or (not last and monotonic() - self.saved >= self.save_seconds)
        if due or self.steps % GRADIENTS_EVERY == 0:
            self.check_gradients()
        if due:
            self.save(self.steps, loss, self.seconds, self.waited)
            self.saved = monotonic()
        if stopping:
            raise TrainingStopped(f"Training was stopped in epoch {self.epoch}, step {self.first_step + self.steps}.")
        if last or self.steps == 1 or self.seconds - self.told[2] >= TELL_SECONDS:
            self._tell(loss)
        self.step_ended = monotonic()

    def _tell(self, loss: float) -> None:
        # Under JAX the optimizer's variables are those of the last step only once the model has been asked for.
        _ = self.model
        now = (self.steps, self.steps * loss, self.seconds, self.waited)
        steps, total, seconds, waited = (new - old for new, old in zip(now, self.told, strict=True))
        rate = float(as_numpy(self.optimizer.learning_rate))
        self.tell(Lap(self.steps, int(steps), total / steps, rate, seconds, waited))
        self.told = now

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.check_gradients()

    def check_gradients(self) -> None:
        """Raise `TrainingDiverged` if the gradients of a step had no finite norm."""
        # Under JAX the optimizer's variables are those of the last step only once the model has been asked for.
        _ = self.model
        if (step := int(as_numpy(self.optimizer.diverged_at))) != NEVER:
            self._stop("the gradients became infinite or NaN", step + 1, "of the optimizer")

    def _stop(self, what: str, step: int, counted: str = "") -> None:
        where = f"epoch {self.epoch}, step {step} {counted}".rstrip()
        raise TrainingDiverged(
            f"Training stopped in {where}: {what}; try a lower learning_rate, a longer warmup, or precision float32."
        )
