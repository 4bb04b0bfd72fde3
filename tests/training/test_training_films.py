"""The decoding of training films that are kept: it hears that it is to stop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade_shards import film_fields, jpeg, write_shard

from cxr.dataset import labelled
from cxr.dataset.labelled import load_films, open_folder
from cxr.training.config import TrainingConfig
from cxr.training.film_batches import ThreadedBatches
from cxr.training.listener import TrainingStopped
from cxr.training.training_films import TrainingFilms

FILMS = 12


@pytest.fixture
def films(tmp_path: Path) -> TrainingFilms:
    """Films that are kept on disk."""
    image = jpeg(np.arange(40 * 40).reshape(40, 40).astype(np.uint8))
    write_shard(tmp_path / "000-012.tfrec", *(film_fields(f"{n:08d}_000.png", image) for n in range(FILMS)))
    config = TrainingConfig(input_size=32, batch_size=4, memory_gigabytes=0)
    return TrainingFilms(open_folder(tmp_path, tmp_path / "cache"), np.arange(FILMS), config, tmp_path / "cache")


class Stopping:
    """Wants it to stop when it is asked for the third time."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked == 3:
            raise TrainingStopped("It was stopped.")


@pytest.mark.parametrize("memory", [0.0, 4.0])
def test_the_decoding_of_training_films_is_stopped_and_leaves_nothing(films, memory):
    stopping = Stopping()
    asked = replace(films, config=films.config.model_copy(update={"memory_gigabytes": memory}), heed=stopping)
    with pytest.raises(TrainingStopped):
        next(ThreadedBatches(asked, workers=1).epoch(0))
    assert stopping.asked == 3
    assert not list(films.cache.glob("training-*"))


def test_the_decoding_of_other_films_is_stopped_too(films, monkeypatch):
    monkeypatch.setattr(labelled, "DECODE_BATCH", 2)
    stopping = Stopping()
    with pytest.raises(TrainingStopped):
        load_films(films.films, films.rows, 32, films.cache, stopping)
    assert stopping.asked == 3
    assert not list(films.cache.glob("films-*"))


def test_the_draft_of_a_killed_process_takes_no_room(films):
    films.cache.mkdir(exist_ok=True)
    (films.cache / "training-graph-64-0.draft").write_bytes(bytes(1000))
    list(ThreadedBatches(films, workers=1).epoch(0))
    assert not list(films.cache.glob("*.draft"))


def test_the_room_that_other_films_make_is_not_needed(films):
    assert films.disk_bytes == FILMS * 32 * 32
    (films.cache / "training-graph-64-0.npy").write_bytes(bytes(1000))
    assert replace(films).disk_bytes == FILMS * 32 * 32 - 1000
    assert replace(films, config=films.config.model_copy(update={"disk_gigabytes": 0.0})).disk_bytes == 0
