"""How fast training films are read, and how much of a training step is spent waiting for them.

    python -m benchmarks.training --data DIR [--turns 5] [--json benchmarks/training.json]

DIR holds `.tfrec` shards in the Kaggle layout. All in one run on one machine, in turns, with the median:

- Input alone at 256 px, batches of 32, no augmentation: the notebook's way (`TFRecordDataset` with AUTOTUNE reads,
  `decode_jpeg` to three channels at 600 x 600, `resize`, `cast`, `batch`), with its map one film at a time and with a
  parallel map, against ours, decoding each time and from the films kept on disk (in the page cache, where they are as
  few as here) and in memory.
- What limits the way that keeps no film: the processor time of decoding a JPEG, and of all that becomes of a film.
- A training run at the default backbone and size: films a second, and the share of the time without a batch.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter, process_time

import keras
import numpy as np
import tensorflow as tf

from cxr.dataset.labelled import open_folder
from cxr.dataset.shards import find_shards, read_records
from cxr.findings import CATEGORIES
from cxr.model.bundle import LOGITS
from cxr.model.classifier import build_classifier
from cxr.training import tf_films
from cxr.training.config import TrainingConfig
from cxr.training.film_batches import ThreadedBatches
from cxr.training.tf_batches import TensorFlowBatches
from cxr.training.training_films import TrainingFilms

SIZE = 256
BATCH = 32
STILL = TrainingConfig(
    input_size=SIZE,
    batch_size=BATCH,
    rotation=0,
    scaling=0,
    shift=0,
    exposure=0,
    noise=0,
    memory_gigabytes=0,
    disk_gigabytes=0,
)
SECONDS = 3.0
"""Of one turn of one way; all films are read at least once."""
Batches = Iterable[tuple[np.ndarray, np.ndarray]]


def notebook(shards: list[Path], parallel: bool) -> tf.data.Dataset:
    """The notebook's input, with its map one film at a time or as many as TensorFlow finds best."""
    features = {"image": tf.io.FixedLenFeature([], tf.string)}
    features |= {name: tf.io.FixedLenFeature([], tf.int64) for name in CATEGORIES}

    def parsed(record: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        film = tf.io.parse_single_example(record, features)
        image = tf.reshape(tf.io.decode_jpeg(film["image"], channels=3), (600, 600, 3))
        image = tf.cast(tf.image.resize(image, (SIZE, SIZE)), tf.float32)
        return image, [tf.cast(film[name], tf.float32) for name in CATEGORIES]

    records = tf.data.TFRecordDataset([str(shard) for shard in shards], num_parallel_reads=tf.data.AUTOTUNE)
    return records.map(parsed, tf.data.AUTOTUNE if parallel else None).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def read_for_a_while(batches: Callable[[int], Batches]) -> tuple[float, float]:
    """Films that come in a second, of whole epochs; and milliseconds of processor time that a film takes."""
    films, epoch, started, worked = 0, 0, perf_counter(), process_time()
    while not films or perf_counter() - started < SECONDS:
        films += sum(len(pixels) for pixels, _ in batches(epoch))
        epoch += 1
    return films / (perf_counter() - started), 1e3 * (process_time() - worked) / films


def input_speed(folder: Path, cache: Path, turns: int) -> dict[str, dict[str, float]]:
    """Films a second by each way, and how many times the notebook's that is (of its better map)."""
    catalogue = open_folder(folder, cache)
    everything = np.arange(len(catalogue.labels))
    anew = TrainingFilms(catalogue, everything, STILL)
    kept = TrainingFilms(catalogue, everything, STILL.model_copy(update={"memory_gigabytes": 4.0}))
    on_disk = TrainingFilms(catalogue, everything, STILL.model_copy(update={"disk_gigabytes": 40.0}), cache)
    shards = find_shards(folder)
    ways: dict[str, Callable[[int], Batches]] = {
        "the notebook": lambda _: notebook(shards, parallel=False),
        "the notebook, parallel map": lambda _: notebook(shards, parallel=True),
        "tf.data, decoded anew": TensorFlowBatches(anew).epoch,
        "tf.data, kept on disk": TensorFlowBatches(on_disk).epoch,
        "tf.data, kept in memory": TensorFlowBatches(kept).epoch,
        "threads, decoded anew": ThreadedBatches(anew).epoch,
        "threads, kept on disk": ThreadedBatches(on_disk).epoch,
        "threads, kept in memory": ThreadedBatches(kept).epoch,
    }
    for way in ways.values():
        for _ in way(0):
            break
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            speed, milliseconds = read_for_a_while(way)
            speeds[name].append(speed)
            work[name].append(milliseconds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        name: {
            "films_per_second": value,
            "slowest": min(speeds[name]),
            "fastest": max(speeds[name]),
            "cpu_ms_per_film": statistics.median(work[name]),
            "times_the_notebook": value / medians["the notebook"],
            "times_the_notebook_with_a_parallel_map": value / medians["the notebook, parallel map"],
        }
        for name, value in medians.items()
    }


def film_milliseconds(folder: Path, turns: int) -> dict[str, float]:
    """Milliseconds of processor time of a film: only its JPEG decoded, and all that becomes of it, by both ways."""
    films = [record.image for record in read_records(find_shards(folder)[-1])]

    def notebook_film(image: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(tf.io.decode_jpeg(image, channels=3), (SIZE, SIZE))

    steps = {
        "decode, one channel": lambda image: tf.io.decode_jpeg(image, channels=1, dct_method="INTEGER_ACCURATE"),
        "decode, one channel, reduced by 2": lambda image: tf.io.decode_jpeg(image, channels=1, ratio=2),
        "decode and resize, the notebook": notebook_film,
        "decode and resize, ours at 256 px": lambda image: tf_films.square(image, SIZE),
        "decode and resize, ours at 320 px": lambda image: tf_films.square(image, 320),
    }
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    made = {
        name: tf.data.Dataset.from_tensor_slices(films).map(step).with_options(options) for name, step in steps.items()
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, dataset in made.items():
            started = process_time()
            for _ in dataset:
                pass
            if turn:
                times[name].append((process_time() - started) / len(films))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def training_speed(folder: Path, cache: Path, steps: int) -> dict[str, dict[str, float]]:
    """Films a second of training steps at the defaults, and the share of the time that waits for a batch."""
    catalogue = open_folder(folder, cache)
    found = {}
    for name, gigabytes in (("kept in memory", 4.0), ("decoded anew", 0.0)):
        config = TrainingConfig(memory_gigabytes=gigabytes, disk_gigabytes=0)
        batches = TensorFlowBatches(TrainingFilms(catalogue, np.arange(len(catalogue.labels)), config))
        model = build_classifier(config.backbone, config.input_size, weights=None, dropout=config.dropout)
        trained = keras.Model(model.input, model.output[LOGITS])
        trained.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True))
        source = iter(batches.epoch(0))
        # The first step is traced and compiled.
        trained.train_on_batch(*next(source))
        waited, films, started = 0.0, 0, perf_counter()
        for _ in range(min(steps, batches.steps - 1)):
            asked = perf_counter()
            pixels, labels = next(source)
            waited += perf_counter() - asked
            trained.train_on_batch(pixels, labels)
            films += len(pixels)
        seconds = perf_counter() - started
        found[name] = {"films_per_second": films / seconds, "share_waiting": waited / seconds}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        result = {
            "machine": {"cores": os.cpu_count(), "gpus": len(tf.config.list_physical_devices("GPU"))},
            "turns": args.turns,
            "input": input_speed(args.data, Path(cache), args.turns),
            "film_cpu_ms": film_milliseconds(args.data, args.turns),
            "training": training_speed(args.data, Path(cache), args.steps),
        }
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
