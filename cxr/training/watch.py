"""What is watched while a model trains: that it still learns numbers, how long it waits for films, when to save."""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import keras
import numpy as np

from cxr.training.optimizer import NEVER, DiscriminativeAdamW, as_numpy

GRADIENTS_EVERY: Final = 10
"""Steps between looks at the gradients: the optimizer notes the step anyway, and asking each time would take time."""


class TrainingDiverged(RuntimeError):
    """Loss or gradients are no longer numbers; the message is one sentence that says where and what to try."""


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
    """

    def __init__(
        self,
        optimizer: DiscriminativeAdamW,
        epoch: int,
        first_step: int,
        save: Callable[[int, float, float, float], None],
        save_seconds: float,
    ):
        super().__init__()
        self.optimizer = optimizer
        self.epoch = epoch
        self.first_step = first_step
        self.save = save
        self.save_seconds = save_seconds
        self.between = 0.0
        self.steps = 0

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
        # The end of the epoch saves by itself.
        due = monotonic() - self.saved >= self.save_seconds and self.steps < self.params["steps"]
        if due or self.steps % GRADIENTS_EVERY == 0:
            self.check_gradients()
        if due:
            self.save(self.steps, loss, self.seconds, self.waited)
            self.saved = monotonic()
        self.step_ended = monotonic()

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
