"""A training run on disk: `config.json`, `metrics.csv`, and a checkpoint that is replaced in one step.

Keras is imported when a run begins, so that others can read of it what they need without.
"""

import csv
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cxr.files import replace_file
from cxr.model.card import Epoch
from cxr.training.config import TrainingConfig

CONFIG_FILE: Final = "config.json"
METRICS_FILE: Final = "metrics.csv"
CHECKPOINT_FILE: Final = "checkpoint.npz"
GROUPS: Final = ("model", "optimizer", "best")


class RunRefused(ValueError):
    """A run directory that is not of this run; the message is one sentence that says why and what to do."""


class EpochMetrics(Epoch):
    """One row of `metrics.csv`: what the card keeps of an epoch, and how it went.

    Attributes:
        learning_rate: of the head, after the last step.
        films_per_second: while training, without the validation.
        waiting: share of that time in which the next films were waited for, 0 to 1.
    """

    learning_rate: float
    films_per_second: float
    waiting: float

    def of_card(self) -> Epoch:
        """What the card keeps of it."""
        return Epoch.model_validate(self.model_dump(include=set(Epoch.model_fields)))


class Progress(BaseModel):
    """How far a run has come.

    Attributes:
        films: identifies the films, their labels and their splits.
        backend: of Keras, with its version.
        epoch, step: epochs that are complete, and steps of the next one.
        loss: sum of the losses of those steps.
        seconds, waited: that those steps took, and of these for the next films.
        epochs: the complete ones.
        best_epoch: number of the one with the highest validation score, from 1; 0 before the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    films: str
    backend: str
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    epochs: tuple[EpochMetrics, ...] = ()
    best_epoch: int = 0


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that training needs to go on as if it had not stopped.

    Attributes:
        progress: how far it has come.
        model: every variable of the model, the states of its random numbers included.
        optimizer: every variable of the optimizer; the average of the weights is among them.
        best: weights of the best epoch; empty before the first.
    """

    progress: Progress
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray]


class RunDirectory:
    """The folder of one training run.

    Args:
        folder: made if it is missing.
        config: of the run.
        films: identifies the films, their labels and their splits.
        restart: forget what an earlier run has left there.

    Raises:
        RunRefused: it holds a run with another configuration, on other films or with another Keras, or no run.
    """

    def __init__(self, folder: Path, config: TrainingConfig, films: str, *, restart: bool = False):
        import keras

        self.folder = folder
        self.start = Progress(films=films, backend=f"{keras.backend.backend()}, Keras {keras.__version__}")
        if folder.is_dir() and any(folder.iterdir()):
            if not (folder / CONFIG_FILE).is_file():
                raise RunRefused(f"The folder {folder} holds something that is not a training run; choose another.")
            if restart:
                shutil.rmtree(folder)
            else:
                self._check_config(config)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG_FILE, METRICS_FILE, CHECKPOINT_FILE):
            # Of a process that was killed while it wrote them; others write other files of the folder at any moment.
            for draft in folder.glob(f".{name}.*.draft"):
                draft.unlink(missing_ok=True)
        replace_file(folder / CONFIG_FILE, (config.model_dump_json(indent=1) + "\n").encode())

    def _check_config(self, config: TrainingConfig) -> None:
        now = config.model_dump(mode="json")
        try:
            then = json.loads((self.folder / CONFIG_FILE).read_bytes())
        except ValueError as error:
            raise RunRefused(
                f"The file {CONFIG_FILE} in {self.folder} can't be read; clear it by --restart."
            ) from error
        changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
        if changed:
            raise RunRefused(
                f"{self.folder} holds a run with another configuration ({', '.join(changed)}); choose another folder "
                "by --run, or clear this one by --restart."
            )

    def load(self) -> Checkpoint | None:
        """The last checkpoint; None before the first.

        Raises:
            RunRefused: it is damaged, of other films, or of another Keras.
        """
        file = self.folder / CHECKPOINT_FILE
        if not file.is_file():
            return None
        try:
            with np.load(file, allow_pickle=False) as stored:
                progress = Progress.model_validate_json(str(stored["progress"]))
                groups = {g: [stored[f"{g}.{i}"] for i in range(int(stored[f"{g}.count"]))] for g in GROUPS}
        except (OSError, KeyError, ValueError, BadZipFile, ValidationError) as error:
            raise RunRefused(f"The checkpoint {file} can't be read; clear the run by --restart.") from error
        for what, now, then in (
            ("on other films", self.start.films, progress.films),
            (f"under {progress.backend}", self.start.backend, progress.backend),
        ):
            if now != then:
                raise RunRefused(
                    f"{self.folder} holds a run {what}; choose another folder by --run, or clear this one by --restart."
                )
        return Checkpoint(progress, **groups)

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint: whenever the process is killed, the folder holds the old one or the new one."""
        arrays: dict[str, np.ndarray] = {"progress": np.array(checkpoint.progress.model_dump_json())}
        for group in GROUPS:
            values = getattr(checkpoint, group)
            arrays |= {f"{group}.count": np.array(len(values))} | {f"{group}.{i}": v for i, v in enumerate(values)}
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        replace_file(self.folder / CHECKPOINT_FILE, file.getvalue())

    def write_metrics(self, epochs: tuple[EpochMetrics, ...]) -> None:
        """Write `metrics.csv`, one row per epoch; an empty cell where there are too few films to say."""
        file = io.StringIO()
        writer = csv.DictWriter(file, list(EpochMetrics.model_fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows(epoch.model_dump() for epoch in epochs)
        replace_file(self.folder / METRICS_FILE, file.getvalue().encode())
