"""Batches of training films under TensorFlow: a tf.data pipeline from shards to augmented squares."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
import tensorflow as tf

from cxr.training import tf_films
from cxr.training.order import Window, film_keys
from cxr.training.training_films import Kept, TrainingFilms

READERS: Final = 4
"""Shards that are read at once."""
PARSED: Final = 64
"""Records that are parsed at once."""
MOST: Final = 2**31
"""More films than a window holds."""
Function = TypeVar("Function", bound=Callable[..., object])


def as_written(function: Function) -> Function:
    """For functions of graphs without a Python `if` or `for` over tensors.

    TensorFlow would read and rewrite their source for each pipeline, which takes as long as the rest of making it.
    """
    return tf.autograph.experimental.do_not_convert(function)


class TensorFlowBatches:
    """See `TrainingBatches`.

    Args:
        films: those that train.
        workers: films that are decoded or augmented at once; None: as many as there are processors.
    """

    def __init__(self, films: TrainingFilms, workers: int | None = None):
        self.films = films
        self.steps = films.steps
        self.labels = films.labels
        self.workers = workers or os.cpu_count() or 1
        ids = films.films.store.image_ids[films.rows].to_numpy(str)
        numbers = tf.lookup.KeyValueTensorInitializer(tf.constant(ids), tf.range(len(ids), dtype=tf.int64))
        self._number = tf.lookup.StaticHashTable(numbers, default_value=-1)

    def reading(self) -> AbstractContextManager[None]:
        """See `TrainingBatches.reading`."""
        # TensorFlow puts bytes that it can't decode into its message, and then can't make text of that.
        return self.films.reading((tf.errors.OpError, UnicodeDecodeError))

    def epoch(self, number: int, first_step: int = 0) -> tf.data.Dataset:
        """See `TrainingBatches.epoch`."""
        batch, config = self.films.batch, self.films.config
        windows, first = self.films.order(number), first_step * batch
        kept = self.films.kept != Kept.NOWHERE
        squares = self._from_kept(windows, first) if kept else self._from_shards(windows, first)
        changes, noise = film_keys(config.seed, number)
        labels = tf.constant(self.labels, tf.float32)

        @as_written
        def augmented(film: tf.Tensor, square: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            seeds = (tf.stack([tf.constant(key, tf.int64), film]) for key in (changes, noise))
            return tf_films.augment(square, config, *seeds)[..., None], tf.gather(labels, film)

        films = squares.take(self.steps * batch - first).map(augmented, self.workers, deterministic=True)
        return _untuned(films.batch(batch, drop_remainder=True).prefetch(2))

    def _from_kept(self, windows: list[Window], first: int) -> tf.data.Dataset:
        """(number, square) of the films of an epoch from the `first` on."""
        squares, size = self._squares, self.films.config.input_size

        @as_written
        def chosen(films: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = tf.numpy_function(squares.__getitem__, [films], tf.uint8)
            return films, tf.ensure_shape(found, (None, size, size))

        order = np.concatenate([window.films for window in windows])[first:]
        return tf.data.Dataset.from_tensor_slices(order).batch(self.films.batch).map(chosen).unbatch()

    def _from_shards(self, windows: list[Window], first: int) -> tf.data.Dataset:
        """(number, square) of the films of an epoch from the `first` on, read and decoded anew."""
        windows, first = _from(windows, first)
        found = self._records(windows).skip(first)
        return found.map(self._square, self.workers, deterministic=True)

    @as_written
    def _square(self, film: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return film, tf_films.square(image, self.films.config.input_size)

    def _records(self, windows: list[Window]) -> tf.data.Dataset:
        """(number, encoded film) of the training films in some windows, in order."""
        paths = [str(path) for path in self.films.films.store.shards]
        shards = tf.ragged.constant([[paths[shard] for shard in window.shards] for window in windows])
        films = tf.RaggedTensor.from_row_lengths(
            np.concatenate([window.films for window in windows]), [len(window.films) for window in windows]
        )
        place = np.zeros(len(self.labels), np.int64)
        for window in windows:
            place[window.films] = np.arange(len(window.films))
        places = tf.constant(place)

        @as_written
        def window_records(shards: tf.Tensor, films: tf.Tensor) -> tf.data.Dataset:
            # In whatever order the records come, the films of a window are then put into theirs.
            records = tf.data.Dataset.from_tensor_slices(shards).interleave(
                tf.data.TFRecordDataset, READERS, num_parallel_calls=READERS, deterministic=False
            )
            ours = records.batch(PARSED).map(self._ours).unbatch().batch(MOST)

            @as_written
            def ordered(found: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                order = tf.argsort(tf.gather(places, found))
                found = tf.gather(found, order)
                with tf.control_dependencies([tf.debugging.assert_equal(found, films)]):
                    return found, tf.gather(images, order)

            return ours.map(ordered)

        data = tf.data.Dataset.from_tensor_slices((shards, films))
        return data.flat_map(window_records).prefetch(1).unbatch()

    @as_written
    def _ours(self, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(number, encoded film) of those of some records that train."""
        one = tf.io.FixedLenFeature([], tf.string)
        parsed = tf.io.parse_example(records, {"image": one, "image_id": one})
        numbers = self._number.lookup(parsed["image_id"])
        train = numbers >= 0
        return tf.boolean_mask(numbers, train), tf.boolean_mask(parsed["image"], train)

    @cached_property
    def _squares(self) -> np.ndarray:
        """uint8 (n, size, size), all films, decoded when the first is asked for."""
        return self.films.keep(
            "graph", lambda: _untuned(self._from_shards(self.films.order(0), 0).batch(PARSED)).as_numpy_iterator()
        )


def _untuned(data: tf.data.Dataset) -> tf.data.Dataset:
    """The same data without the thread with which TensorFlow tunes a pipeline.

    The end of an epoch waits for that thread to stop, and was seen to wait for ever.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def _from(windows: list[Window], first: int) -> tuple[list[Window], int]:
    """The windows from that on which holds the film at place `first` of an epoch, and that film's place in them."""
    while first >= len(windows[0].films) and len(windows) > 1:
        first -= len(windows[0].films)
        windows = windows[1:]
    return windows, first
