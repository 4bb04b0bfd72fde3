"""Batches of training films for any backend of Keras: read at random, decoded and augmented by threads."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Final

import numpy as np

from cxr.training.augment import augment
from cxr.training.order import film_keys
from cxr.training.training_films import Kept, TrainingFilms

AHEAD: Final = 3
"""Batches that are being made while one is used."""


class ThreadedBatches:
    """See `TrainingBatches`. Raises `UnusableDataset` by itself where a film is damaged.

    Args:
        films: those that train.
        workers: threads; None: as many as there are cores.
    """

    def __init__(self, films: TrainingFilms, workers: int | None = None):
        self.films = films
        self.steps = films.steps
        self.labels = films.labels
        self.workers = workers or os.cpu_count()

    def reading(self) -> AbstractContextManager[None]:
        """Nothing to translate."""
        return nullcontext()

    def epoch(self, number: int, first_step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `TrainingBatches.epoch`."""
        order = np.concatenate([window.films for window in self.films.order(number)])
        size = self.films.batch
        square = self.films.square if self.films.kept == Kept.NOWHERE else self._squares.__getitem__
        keys = film_keys(self.films.config.seed, number)

        def made(film: int) -> np.ndarray:
            return augment(square(film), self.films.config, np.random.default_rng((*keys, film)))

        waiting: deque[tuple[np.ndarray, list[Future[np.ndarray]]]] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for step in range(first_step, self.steps):
                films = order[step * size : (step + 1) * size]
                waiting.append((films, [pool.submit(made, int(film)) for film in films]))
                if len(waiting) > AHEAD:
                    yield self._batch(*waiting.popleft())
            while waiting:
                yield self._batch(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, films: np.ndarray, pending: list[Future[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.stack([film.result() for film in pending])
        return pixels[..., None], self.labels[films].astype(np.float32)

    @cached_property
    def _squares(self) -> np.ndarray:
        """uint8 (n, size, size), all films, decoded when the first is asked for."""
        pool = ThreadPoolExecutor(self.workers)
        try:
            return self.films.keep("serving", lambda: enumerate(pool.map(self.films.square, range(len(self.labels)))))
        finally:
            # Who is to stop does not wait for all films.
            pool.shutdown(cancel_futures=True)
