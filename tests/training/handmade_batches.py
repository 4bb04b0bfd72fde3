"""Training films made on the spot, in batches as `cxr.training.data` gives them, without shards."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import pandas as pd
from synthetic import BLOB, SIDE, synthetic_film

from cxr.dataset.labelled import LabelledFilms
from cxr.findings import CATEGORIES, NO_FINDING_INDEX

MASS = CATEGORIES.index("Mass")


def handmade_films(count: int, seed: int = 0) -> LabelledFilms:
    """Films of as many patients, every second with a "Mass"."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, len(CATEGORIES)), np.uint8)
    labels[0::2, NO_FINDING_INDEX] = 1
    labels[1::2, MASS] = 1
    places = [tuple(rng.integers(4, SIDE - BLOB - 4, 2)) if mass else None for mass in labels[:, MASS]]
    pixels = np.stack([synthetic_film(rng, place) for place in places])
    patients = pd.DataFrame({"patient": np.arange(count)}, index=[f"{n:08d}_000.png" for n in range(count)])
    return LabelledFilms(pixels, labels, patients)


class HandmadeBatches:
    """Shuffled batches of films, without augmentation; a `cxr.training.data.TrainingBatches`."""

    def __init__(self, films: LabelledFilms, batch_size: int):
        self.films = films
        self.batch_size = batch_size
        self.labels = films.labels
        self.steps = len(films.labels) // batch_size

    def epoch(self, number: int, first_step: int = 0) -> Any:
        if keras.backend.backend() != "tensorflow":
            return self._batches(number, first_step)
        import tensorflow as tf

        kinds = (tf.TensorSpec((self.batch_size, SIDE, SIDE, 1)), tf.TensorSpec((self.batch_size, len(CATEGORIES))))
        return tf.data.Dataset.from_generator(lambda: self._batches(number, first_step), output_signature=kinds)

    def _batches(self, number: int, first_step: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.random.default_rng(number).permutation(len(self.labels))
        for step in range(first_step, self.steps):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self.films.pixels[rows].astype(np.float32)[..., None], self.labels[rows].astype(np.float32)

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()
