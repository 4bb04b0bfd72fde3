"""The training films of some shards: which they are, in what order they are read, what they take in memory."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from cxr.dataset.kept import clear_drafts, kept_array
from cxr.dataset.labelled import Catalogue, UnusableDataset, fingerprint, square
from cxr.training.config import TrainingConfig
from cxr.training.order import Window, windows

GIGABYTE: Final = 1_000_000_000
KEPT_FILES: Final = "training-*.npy"
"""Decoded training films in the cache; the least recently used make room for others."""
SPARE_BYTES: Final = 2 * GIGABYTE
"""Of the disk that is left to checkpoints and everybody else."""


class Kept(StrEnum):
    """Where decoded training films are kept from the second epoch on."""

    MEMORY = "memory"
    DISK = "disk"
    NOWHERE = "nowhere"


@dataclass(frozen=True, eq=False)
class TrainingFilms:
    """The training films of some shards; both ways of reading them start from this. Numbered 0..n-1.

    Attributes:
        films: all films of the shards.
        rows: intp (n,), those of `films` that train.
        config: of the run.
        cache: folder that keeps the decoded films that memory does not hold; None: none are kept on disk.
        heed: called before each film or batch that is decoded to be kept; what it raises ends it.
    """

    films: Catalogue
    rows: np.ndarray
    config: TrainingConfig
    cache: Path | None = None
    heed: Callable[[], None] = lambda: None

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
        """What all films take once they are decoded."""
        return len(self.rows) * self.config.input_size**2

    @cached_property
    def kept(self) -> Kept:
        """Where they are then kept: in memory if that is allowed, else on disk if that is, and it has the room."""
        if self.kept_bytes <= self.config.memory_gigabytes * GIGABYTE:
            return Kept.MEMORY
        if self.cache is None or self.kept_bytes > self.config.disk_gigabytes * GIGABYTE:
            return Kept.NOWHERE
        self.cache.mkdir(parents=True, exist_ok=True)
        clear_drafts(self.cache)
        room = shutil.disk_usage(self.cache).free + self._others_bytes()
        return Kept.DISK if room - self.kept_bytes > SPARE_BYTES else Kept.NOWHERE

    @property
    def disk_bytes(self) -> int:
        """Room on the disk of the cache that they take beside that of other runs' films, which go for them."""
        return max(0, self.kept_bytes - self._others_bytes()) if self.kept == Kept.DISK else 0

    def _others_bytes(self) -> int:
        """What the cache keeps on disk by now."""
        files = (self.cache or Path()).glob(KEPT_FILES)
        return sum(file.stat().st_size for file in files if file.is_file())

    def keep(self, way: str, decoded: Callable[[], Iterable[tuple[np.ndarray | int, np.ndarray]]]) -> np.ndarray:
        """The squares of all films, uint8 (n, size, size), in memory or on disk, as `kept` says.

        Args:
            way: how they are decoded, in a word; two ways may differ by a grey level.
            decoded: gives numbers of films with their squares, until all films have come.
        """

        def fill(squares: np.ndarray) -> None:
            for numbers, found in decoded():
                self.heed()
                squares[numbers] = found

        shape = (len(self.rows), self.config.input_size, self.config.input_size)
        if self.kept == Kept.MEMORY:
            squares = np.empty(shape, np.uint8)
            fill(squares)
            return squares
        assert self.cache is not None  # noqa: S101 - `kept` has looked
        stem = fingerprint(self.films.store.shards, self.films.store.image_ids[self.rows])
        file = self.cache / f"training-{way}-{self.config.input_size}-{stem}.npy"
        if file.is_file():
            file.touch()
        else:
            self._make_room()
        return kept_array(file, shape, fill)

    def _make_room(self) -> None:
        """Remove the least recently used films of other runs, until these are allowed. A run that reads them goes on:
        an open file stays until it is closed."""
        assert self.cache is not None  # noqa: S101 - `kept` has looked
        clear_drafts(self.cache)
        files = sorted(self.cache.glob(KEPT_FILES), key=lambda file: file.stat().st_mtime)
        allowed = self.config.disk_gigabytes * GIGABYTE
        while files and (
            sum(file.stat().st_size for file in files) + self.kept_bytes > allowed
            or shutil.disk_usage(files[0].parent).free < self.kept_bytes + SPARE_BYTES
        ):
            files.pop(0).unlink(missing_ok=True)

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
