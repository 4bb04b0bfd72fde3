"""The training films of some shards: which they are, in what order they are read, what they take in memory."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from cxr.dataset.labelled import Catalogue, UnusableDataset, square
from cxr.training.config import TrainingConfig
from cxr.training.order import Window, windows

GIGABYTE: Final = 1_000_000_000


@dataclass(frozen=True, eq=False)
class TrainingFilms:
    """The training films of some shards; both ways of reading them start from this. Numbered 0..n-1.

    Attributes:
        films: all films of the shards.
        rows: intp (n,), those of `films` that train.
        config: of the run.
    """

    films: Catalogue
    rows: np.ndarray
    config: TrainingConfig

    @property
    def batch(self) -> int:
        """Films in a batch."""
        return min(self.config.batch_size, len(self.rows))

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self.rows) // self.batch

    @cached_property
    def labels(self) -> np.ndarray:
        """uint8 (n, 15)."""
        return self.films.labels[self.rows]

    @property
    def kept_bytes(self) -> int:
        """What all films take in memory once they are decoded."""
        return len(self.rows) * self.config.input_size**2

    @property
    def fit_in_memory(self) -> bool:
        """Whether that is allowed."""
        return self.kept_bytes <= self.config.memory_gigabytes * GIGABYTE

    def order(self, epoch: int) -> list[Window]:
        """The order of the films in an epoch."""
        shard_bytes = [path.stat().st_size for path in self.films.store.shards]
        return windows(self.films.store.shard[self.rows], shard_bytes, self.config.seed, epoch)

    def square(self, number: int) -> np.ndarray:
        """A film as serving would see it, uint8 (size, size).

        Raises:
            UnusableDataset: it is damaged or can't be decoded.
        """
        return square(self.films.read(int(self.rows[number])), self.config.input_size)

    def damage(self) -> UnusableDataset | None:
        """Why the first film that can't be used can't be, or None if all can. Reads all of them."""

        def why(number: int) -> UnusableDataset | None:
            try:
                self.square(number)
            except UnusableDataset as error:
                return error
            return None

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return next((found for found in pool.map(why, range(len(self.rows))) if found is not None), None)

    @contextmanager
    def reading(self, errors: tuple[type[Exception], ...]) -> Iterator[None]:
        """See `TrainingBatches.reading`; of `errors` it is found out whether a film is the reason."""
        try:
            yield
        except errors as error:
            found = self.damage()
            if found is None:
                raise
            raise found from error
