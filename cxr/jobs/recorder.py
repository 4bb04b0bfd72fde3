"""What a job keeps of its training while it goes on: curves, sample predictions, progress, log."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from cxr.jobs.folder import PROGRESS_FILE, TENSORBOARD, now, write_part
from cxr.jobs.history import StepsFile, add_samples
from cxr.jobs.process import boot_id, boot_seconds
from cxr.jobs.progress import Live
from cxr.jobs.tensorboard import EventFile
from cxr.jobs.words import seconds_in_words
from cxr.training.listener import Listener, SamplePredictions, StepMetrics, TrainingStopped
from cxr.training.run import EpochMetrics

SAMPLE_FILMS = 8


class Recorder(Listener):
    """Writes what it hears of a training to the job's folder.

    Args:
        folder: of the job.
        stopping: whether the job is to stop.
    """

    samples = SAMPLE_FILMS

    def __init__(self, folder: Path, stopping: Callable[[], bool]):
        self.folder = folder
        self.stopping = stopping
        self.doing = "waiting for its turn"
        self.began: float | None = None
        self.at: StepMetrics | None = None
        self.last_epoch: EpochMetrics | None = None
        self.over = False
        self._steps: StepsFile | None = None
        self._events: EventFile | None = None
        self._foretold = False

    def begin(self) -> None:
        """Note that the job's turn has come."""
        self.began = monotonic()

    def note(self, line: str) -> None:
        """Add a line to the log. Raises `OSError` where the disk is full."""
        self.doing = line
        print(f"{now():%Y-%m-%d %H:%M:%S}Z {line}", flush=True)

    def say(self, line: str) -> None:
        """Add a line to the log, between two parts of the work, where nothing is lost by stopping.

        Raises:
            TrainingStopped: the job is to stop.
            OSError: the disk is full.
        """
        self.note(line)
        if self.stopping():
            raise TrainingStopped("It was stopped between two parts of its work.")

    def should_stop(self) -> bool:
        """See `Listener.should_stop`."""
        return self.stopping()

    def step(self, metrics: StepMetrics) -> None:
        """See `Listener.step`. Raises `OSError` where the disk is full."""
        place = (metrics.epoch - 1) * metrics.steps + metrics.step
        if self._steps is None or self._events is None:
            self._steps = StepsFile(self.folder, (metrics.epoch, metrics.step))
            self._events = EventFile(self.folder / TENSORBOARD, place)
        self._steps.append(metrics)
        self._events.scalars(place, {"step/loss": metrics.loss, "step/learning rate": metrics.learning_rate})
        self.at = metrics
        if metrics.epoch_seconds is not None and metrics.seconds_left is not None and not self._foretold:
            self._foretold = True
            epoch, left = seconds_in_words(metrics.epoch_seconds), seconds_in_words(metrics.seconds_left)
            self.note(f"an epoch takes about {epoch}; training ends in about {left}")

    def epoch(self, metrics: EpochMetrics, samples: SamplePredictions | None) -> None:
        """See `Listener.epoch`. Raises `OSError` where the disk is full."""
        self.last_epoch = metrics
        if samples is not None:
            add_samples(self.folder, metrics.number, samples)
        if self._events is not None and self.at is not None:
            self._events.scalars(
                metrics.number * self.at.steps,
                {
                    "epoch/loss": metrics.loss,
                    "epoch/validation macro-AUROC": metrics.macro_auroc,
                    "epoch/validation abnormal AUROC": metrics.abnormal_auroc,
                    "epoch/learning rate": metrics.learning_rate,
                    "epoch/films per second": metrics.films_per_second,
                    "epoch/waiting for films": metrics.waiting,
                },
            )

    def trained(self) -> None:
        """See `Listener.trained`."""
        self.over = True

    def write_progress(self) -> None:
        """Replace `progress.json`; called by one thread. Raises `OSError`."""
        live = Live(
            doing=self.doing,
            seconds=0.0 if self.began is None else monotonic() - self.began,
            at=self.at,
            epoch=self.last_epoch,
            trained=self.over,
            boot=boot_id(),
            beat=boot_seconds(),
            time=now(),
        )
        write_part(self.folder / PROGRESS_FILE, live)
