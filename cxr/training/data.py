"""Everything that a training run reads: batches of training films, and the films of the other three splits."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd

from cxr.dataset.labelled import LabelledFilms, UnusableDataset, load_films, open_folder
from cxr.dataset.official import read_official_lists
from cxr.dataset.splits import SPLITS, split_hash
from cxr.training.config import TrainingConfig
from cxr.training.film_batches import ThreadedBatches
from cxr.training.listener import SILENT, TrainingStopped
from cxr.training.parts import split_films
from cxr.training.training_films import GIGABYTE, Kept, TrainingFilms


class TrainingBatches(Protocol):
    """The training films, batch by batch.

    Attributes:
        steps: batches in an epoch; the last, smaller batch is left out (of fewer films than a batch all are one).
        labels: uint8 (n, 15), of all training films.
    """

    steps: int
    labels: np.ndarray

    def epoch(self, number: int, first_step: int = 0) -> Any:
        """The batches of an epoch from a step on, for one call of `keras.Model.fit` with `epochs=1`.

        Args:
            number: of the epoch. The same number gives the same batches, whatever was read before.
            first_step: how many batches of the epoch are passed over.

        Returns:
            A `tf.data.Dataset` or a generator of (float32 (b, size, size, 1), grey levels 0..255; float32 (b, 15)).
        """
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Surrounds what reads batches: an error that a damaged film caused leaves it as `UnusableDataset`."""
        ...


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training run reads.

    Attributes:
        train: batches of training films.
        validation, calibration, test: films of other patients.
        metadata: of all films; see `LabelledFilms.metadata`.
        split: which of `SPLITS` each film is in, same index.
        train_metadata: rows of `metadata` of the training films.
        split_hash: which patient is in which split, as one value.
    """

    train: TrainingBatches
    validation: LabelledFilms
    calibration: LabelledFilms
    test: LabelledFilms
    metadata: pd.DataFrame
    split: pd.Series
    train_metadata: pd.DataFrame
    split_hash: str


def open_training_data(
    folder: Path,
    config: TrainingConfig,
    cache: Path,
    report: Callable[[str], None] = lambda line: None,
    should_stop: Callable[[], bool] = SILENT.should_stop,
) -> TrainingData:
    """Split the films of a folder by patient and make them ready to be read.

    Nothing but the shards' headers and labels is read of the training films, and of the other films what the model
    sees is kept in a file, so that the size of a data set is no matter.

    Args:
        folder: in the layout of the Kaggle TFRecord release; with `official_split` it also holds NIH's two lists.
        config: of the run.
        cache: folder that keeps the indexes of the shards and the squares of the films that do not train.
        report: gets a line on how the training films are kept.
        should_stop: asked while films are decoded for the first time, here and when the first batch is read.

    Raises:
        UnusableDataset: with one sentence, as `open_folder`, `load_films` and `split_films` have it; or no film trains.
        TrainingStopped: `should_stop` said so.
    """

    def heed() -> None:
        if should_stop():
            raise TrainingStopped("It was stopped while its films were decoded.")

    films = open_folder(folder, cache)
    split = split_films(films, config, read_official_lists(folder) if config.official_split else None)
    rows = {name: np.flatnonzero(split == name) for name in SPLITS}
    if not len(rows["train"]):
        raise UnusableDataset(f"None of the {len(split):,} films of {folder} is of a patient who trains.")
    train = TrainingFilms(films, rows["train"], config, cache, heed)
    report(_kept(train))
    held_out = {name: load_films(films, rows[name], config.input_size, cache, heed) for name in SPLITS[1:]}
    return TrainingData(
        train=batches(train),
        validation=held_out["validation"],
        calibration=held_out["calibration"],
        test=held_out["test"],
        metadata=films.metadata,
        split=split,
        train_metadata=films.metadata.iloc[rows["train"]],
        split_hash=split_hash(films.metadata["patient"], split),
    )


def batches(films: TrainingFilms) -> TrainingBatches:
    """Batches by the way that fits Keras' backend: tf.data under TensorFlow; else threads, without TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        from cxr.training.tf_batches import TensorFlowBatches

        return TensorFlowBatches(films)
    return ThreadedBatches(films)


def _kept(films: TrainingFilms) -> str:
    count, taken = f"{len(films.rows):,}", f"{films.kept_bytes / GIGABYTE:.2f} GB"
    match films.kept:
        case Kept.MEMORY:
            return f"the {count} training films are decoded once and kept in memory ({taken})"
        case Kept.DISK:
            return f"the {count} training films are decoded once and kept on disk ({taken})"
    config = films.config
    return (
        f"the {count} training films are decoded anew in each epoch: they would take {taken}, more than "
        f"memory_gigabytes ({config.memory_gigabytes:g}) allows, and disk_gigabytes ({config.disk_gigabytes:g}) or the "
        "free disk"
    )
