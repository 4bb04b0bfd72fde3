"""What a run tells while it trains, to whom it may concern, and how it is asked to stop. Without Keras."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from cxr.training.run import EpochMetrics

SETTLING: Final = 5
"""First steps of a process that say nothing of the others: they compile the model and fill the buffers."""
KNOWN: Final = 5
"""Steps after those from which on their pace is believed."""
RECENT: Final = 200
"""Steps of which the pace is the mean."""


class TrainingStopped(RuntimeError):
    """Training was asked to stop, and its checkpoint is saved; the message is one sentence that says where."""


class StepMetrics(BaseModel):
    """How training goes within an epoch.

    Attributes:
        epoch, step: the step that was just made, both from 1.
        epochs, steps: how many there are in the run, and in an epoch.
        loss: mean over the steps since this was last told.
        learning_rate: of the head.
        films_per_second: since this was last told.
        waiting: share of that time in which the next films were waited for, 0 to 1.
        epoch_seconds: what an epoch takes at this pace; None before the pace is known.
        seconds_left: until the last epoch ends, should patience not end it sooner; None before the pace is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    step: int
    epochs: int
    steps: int
    loss: float
    learning_rate: float
    films_per_second: float
    waiting: float
    epoch_seconds: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, eq=False)
class SamplePredictions:
    """What a model says of a few validation films, the same after each epoch.

    Attributes:
        image_ids: of n films.
        labels: uint8 (n, 15), 0 or 1.
        probabilities: float32 (n, 15), of the network itself: calibration comes after training.
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray


class Listener:
    """Hears of a run what it wants to. This one wants nothing, and never stops it.

    Attributes:
        samples: number of films whose predictions it wants to see after each epoch, half of them abnormal.
    """

    samples: int = 0

    def step(self, metrics: StepMetrics) -> None:
        """Called after the first and the last step of an epoch, and about once a second in between."""

    def epoch(self, metrics: EpochMetrics, samples: SamplePredictions | None) -> None:
        """Called when an epoch is complete and saved."""

    def trained(self) -> None:
        """Called when no epoch comes any more, before calibration: all are done, or patience is over."""

    def should_stop(self) -> bool:
        """Asked after each step: whether the run is to save a checkpoint and raise `TrainingStopped`."""
        return False


SILENT: Final = Listener()


class Forecast:
    """How long things take in this process, and therefore how long they will.

    Attributes:
        closing: seconds from the last step of an epoch to the next epoch: validation and checkpoint.
    """

    def __init__(self) -> None:
        self.closing = 0.0
        self._seen = 0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def step_took(self, seconds: float) -> None:
        """Note a step, with the time for which its films were waited for."""
        self._seen += 1
        if self._seen > SETTLING:
            self._recent.append(seconds)

    def seconds(self, steps: int, epochs: int) -> float | None:
        """How long some steps take, and the ends of some epochs; None before the pace is known."""
        if len(self._recent) < KNOWN:
            return None
        return steps * float(np.mean(self._recent)) + epochs * self.closing


def sample_rows(abnormal: np.ndarray, count: int) -> np.ndarray:
    """Rows of a few films, half of them abnormal as far as there are so many, spread evenly and always the same.

    Args:
        abnormal: (n,), 1 where a film is.
        count: how many are wanted.

    Returns:
        intp (count,) or fewer, ascending.
    """
    chosen = []
    for value, wanted in ((1, count // 2), (0, count - count // 2)):
        rows = np.flatnonzero(abnormal == value)
        places = np.linspace(0, len(rows) - 1, min(wanted, len(rows))).round().astype(int)
        chosen.append(rows[places])
    return np.sort(np.concatenate(chosen))
