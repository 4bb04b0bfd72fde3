"""What a training run reads, by both ways of reading, on films that their brightness tells apart."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade_shards import Fields, film_fields, flipped, jpeg, write_shard
from synthetic import encoded

from cxr.dataset.labelled import UnusableDataset
from cxr.findings import CATEGORIES
from cxr.settings import ROOT
from cxr.training import order
from cxr.training.config import TrainingConfig
from cxr.training.data import TrainingBatches, TrainingData, open_training_data
from cxr.training.film_batches import ThreadedBatches
from cxr.training.listener import TrainingStopped
from cxr.training.tf_batches import TensorFlowBatches
from cxr.training.training_films import TrainingFilms

SIZE = 32
SHARDS = 5
EACH = 16
FILMS = SHARDS * EACH
STILL = {"rotation": 0.0, "scaling": 0.0, "shift": 0.0, "exposure": 0.0, "noise": 0.0}
SMALL = {"input_size": SIZE, "batch_size": 8, "backbone": "efficientnet_lite0", "train_fraction": 0.45}
CONFIG = TrainingConfig(**SMALL, validation_fraction=0.15, calibration_fraction=0.15, test_fraction=0.25)
WAYS = {"tf.data": TensorFlowBatches, "threads": ThreadedBatches}
KEPT = {
    "memory": {},
    "disk": {"memory_gigabytes": 0.0},
    "nowhere": {"memory_gigabytes": 0.0, "disk_gigabytes": 0.0},
}
Batch = tuple[np.ndarray, np.ndarray]
Way = Callable[..., TrainingBatches]


def brightness(film: int) -> float:
    """The mean grey level by which a film is known."""
    return 40 + 2 * film


def image_id(film: int) -> str:
    """Two films a patient, in different shards."""
    return f"{film % (FILMS // 2) + 1:08d}_{film // (FILMS // 2):03d}.png"


def fields(film: int, content: bytes | None = None) -> Fields:
    """A film of 80 x 72 pixels, JPEG but for some, whose labels are those of its patient."""
    stripes = np.where(np.arange(72) % 8 < 4, -6, 6)
    pixels = np.broadcast_to(brightness(film) + stripes, (80, 72)).astype(np.uint8)
    image = content or (encoded(pixels, "PNG") if film % 10 == 3 else jpeg(pixels))
    return film_fields(image_id(film), image, ("Mass",) if film % 4 == 1 else ("No Finding",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards of 16 films."""
    folder = tmp_path_factory.mktemp("films")
    for shard in range(SHARDS):
        write_shard(folder / f"{shard:03d}-{EACH}.tfrec", *map(fields, range(shard * EACH, (shard + 1) * EACH)))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def two_shards_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "WINDOW_BYTES", 2 * (folder / f"000-{EACH}.tfrec").stat().st_size + 200)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.model_validate(CONFIG.model_dump() | changes)


def training_films(folder: Path, cache: Path, **changes: object) -> TrainingFilms:
    data = open_training_data(folder, config(**changes), cache)
    return data.train.films  # type: ignore[attr-defined]


def read(batches: TrainingBatches, epoch: int = 0, first_step: int = 0) -> list[Batch]:
    return [(np.asarray(x), np.asarray(y)) for x, y in batches.epoch(epoch, first_step)]


def films_of(batches: list[Batch]) -> list[int]:
    """The films in some batches that were not augmented, in order."""
    return [round((film.mean() - 40) / 2) for pixels, _ in batches for film in pixels]


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def trains(data: TrainingData) -> set[int]:
    ids = {image_id(film): film for film in range(FILMS)}
    return {ids[name] for name in data.train_metadata.index}


def test_batches_are_of_the_promised_shape_and_type(folder: Path, cache: Path, way: Way) -> None:
    batches = way(training_films(folder, cache))
    found = read(batches)
    assert len(found) == batches.steps > 2
    for pixels, labels in found:
        assert (pixels.shape, pixels.dtype) == ((8, SIZE, SIZE, 1), np.float32)
        assert (labels.shape, labels.dtype) == ((8, 15), np.float32)
        assert 0 <= pixels.min() < pixels.max() <= 255


@pytest.mark.parametrize("kept", KEPT)
def test_every_training_film_comes_once_with_its_labels_and_no_other_film(
    folder: Path, cache: Path, way: Way, kept: str
) -> None:
    data = open_training_data(folder, config(**STILL, **KEPT[kept]), cache)
    batches = way(data.train.films)  # type: ignore[attr-defined]
    for epoch in range(3):
        found = read(batches, epoch)
        films = films_of(found)
        assert len(set(films)) == len(films) == 8 * batches.steps
        assert set(films) <= trains(data)
        assert len(films) > len(trains(data)) - 8
        mass = [film % 4 == 1 for film in films]
        np.testing.assert_array_equal(np.concatenate([y for _, y in found])[:, CATEGORIES.index("Mass")], mass)


def test_the_split_keeps_patients_apart_and_names_them(folder: Path, cache: Path) -> None:
    data = open_training_data(folder, CONFIG, cache)
    parts = (data.train_metadata, data.validation.metadata, data.calibration.metadata, data.test.metadata)
    patients = [set(part["patient"]) for part in parts]
    assert sum(map(len, patients)) == len(set().union(*patients)) == FILMS // 2
    assert sum(map(len, parts)) == len(data.metadata) == len(data.split) == FILMS
    other = open_training_data(folder, config(split_seed=1), cache)
    assert (data.split_hash == open_training_data(folder, config(seed=1), cache).split_hash) is True
    assert data.split_hash != other.split_hash


def test_the_official_lists_decide_who_tests(folder: Path, cache: Path, tmp_path: Path) -> None:
    for shard in folder.iterdir():
        (tmp_path / shard.name).symlink_to(shard)
    tests = [image_id(film) for film in range(FILMS) if film % (FILMS // 2) >= 30]
    (tmp_path / "test_list.txt").write_text("\n".join(tests))
    rest = [image_id(film) for film in range(FILMS) if film % (FILMS // 2) < 30]
    (tmp_path / "train_val_list.txt").write_text("\n".join(rest))
    data = open_training_data(tmp_path, config(official_split=True), cache)
    assert set(data.test.metadata.index) == set(tests)
    assert not set(data.train_metadata.index) & set(tests)
    (tmp_path / "train_val_list.txt").write_text("\n".join(rest[:-1]))
    with pytest.raises(UnusableDataset, match="1 films are on neither of NIH's lists"):
        open_training_data(tmp_path, config(official_split=True), cache)


def test_epochs_differ_and_repeat_whatever_was_read_before(folder: Path, cache: Path, way: Way) -> None:
    films = training_films(folder, cache, seed=5)
    batches = way(films)
    second, first = read(batches, 2), read(batches, 1)
    assert_equal(first, read(way(films), 1))
    assert np.abs(first[0][0] - second[0][0]).mean() > 1
    other = read(way(replace(films, config=config(seed=6))), 1)
    assert np.abs(first[0][0] - other[0][0]).mean() > 1


@pytest.mark.parametrize("kept", KEPT)
def test_an_epoch_goes_on_from_any_step(folder: Path, cache: Path, way: Way, kept: str) -> None:
    batches = way(training_films(folder, cache, **KEPT[kept]))
    whole = read(batches, 3)
    for step in range(1, batches.steps):
        assert_equal(whole[step:], read(batches, 3, step))
    assert read(batches, 3, batches.steps) == []


def test_neither_workers_nor_where_films_are_kept_change_anything(folder: Path, cache: Path, way: Way) -> None:
    films = training_films(folder, cache)
    kept = read(way(films, 1))
    assert_equal(kept, read(way(films, 5)))
    for elsewhere in ("disk", "nowhere"):
        for workers in (1, 4):
            assert_equal(kept, read(way(replace(films, config=config(**KEPT[elsewhere])), workers)))


@pytest.mark.parametrize("kept", KEPT)
def test_no_thread_tunes_the_pipeline_whose_end_could_wait_for_it(folder: Path, cache: Path, kept: str) -> None:
    batches = TensorFlowBatches(training_films(folder, cache, **KEPT[kept]))
    assert not batches.epoch(0).options().autotune.enabled


def test_both_ways_give_the_same_films_in_the_same_order(folder: Path, cache: Path) -> None:
    films = training_films(folder, cache, **STILL)
    for epoch in range(2):
        for one, other in zip(read(TensorFlowBatches(films), epoch), read(ThreadedBatches(films), epoch), strict=True):
            assert np.abs(one[0] - other[0]).mean() < 1
            np.testing.assert_array_equal(one[1], other[1])


def test_fewer_films_than_a_batch_are_one_batch(folder: Path, cache: Path, way: Way) -> None:
    batches = way(training_films(folder, cache, batch_size=1000))
    found = read(batches)
    assert batches.steps == len(found) == 1
    assert len(found[0][0]) == len(batches.labels) < 1000


def test_films_are_kept_only_where_they_fit(folder: Path, tmp_path: Path, way: Way) -> None:
    lines: list[str] = []
    taken = len(training_films(folder, tmp_path).labels) * SIZE**2
    too_little = (taken - 1) / 1e9
    for memory, disk, kept in ((4, 0, True), (too_little, 40, True), (too_little, too_little, False)):
        changed = config(memory_gigabytes=memory, disk_gigabytes=disk)
        batches = way(open_training_data(folder, changed, tmp_path, lines.append).train.films)  # type: ignore[attr-defined]
        read(batches)
        assert ("_squares" in vars(batches)) is kept
        if kept:
            assert batches._squares.nbytes == taken  # type: ignore[attr-defined]
    assert [line.split(" are decoded ")[1].split(" (")[0] for line in lines[:2]] == [
        "once and kept in memory",
        "once and kept on disk",
    ]
    assert "are decoded anew in each epoch" in lines[2]


def test_films_on_disk_are_decoded_by_the_first_run_alone(
    folder: Path, tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = training_films(folder, tmp_path, **KEPT["disk"])
    first = read(way(films))
    kept = list(tmp_path.glob("training-*.npy"))
    assert len(kept) == 1
    monkeypatch.setattr(TrainingFilms, "square", None)
    monkeypatch.setattr(TensorFlowBatches, "_square", None)
    assert_equal(first, read(way(films)))


def test_the_films_of_other_runs_make_room_the_oldest_first(folder: Path, tmp_path: Path, way: Way) -> None:
    films = training_films(folder, tmp_path, **KEPT["disk"])
    for age, name in ((30, "used-last-but-one"), (10, "used-last"), (50, "forgotten")):
        (file := tmp_path / f"training-{name}-64-0.npy").write_bytes(bytes(1000))
        os.utime(file, (1e9 - age, 1e9 - age))
    room = (films.kept_bytes + 1500) / 1e9
    read(way(replace(films, config=config(memory_gigabytes=0, disk_gigabytes=room))))
    left = {file.name.split("-64-")[0] for file in tmp_path.glob("training-*-64-*.npy")}
    assert left == {"training-used-last"}
    assert len(list(tmp_path.glob("training-*.npy"))) == 2


def test_films_are_not_kept_on_a_disk_without_room(
    folder: Path, tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = training_films(folder, tmp_path, **KEPT["disk"])
    usage = type("Usage", (), {"free": 2_000_000_000 + films.kept_bytes})
    monkeypatch.setattr("cxr.training.training_films.shutil.disk_usage", lambda _: usage)
    read(way(replace(films)))
    assert not list(tmp_path.glob("training-*.npy"))


def test_no_film_is_decoded_before_training(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_training_data(folder, CONFIG, cache)

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("cxr.dataset.index.FilmStore.read", fail)
    open_training_data(folder, config(seed=3, **KEPT["disk"]), cache)


def test_films_are_not_decoded_for_a_run_that_is_to_stop(folder: Path, tmp_path: Path, way: Way) -> None:
    with pytest.raises(TrainingStopped, match="while its films were decoded"):
        open_training_data(folder, CONFIG, tmp_path, should_stop=lambda: True)
    stopping: list[bool] = []
    data = open_training_data(folder, config(**KEPT["disk"]), tmp_path, should_stop=lambda: bool(stopping))
    stopping.append(True)
    batches = way(data.train.films)  # type: ignore[attr-defined]
    with pytest.raises(TrainingStopped, match="while its films were decoded"), batches.reading():
        read(batches)
    assert not list(tmp_path.glob("training-*"))


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the folder to damage; nothing is kept of it."""
    for shard in folder.iterdir():
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    yield tmp_path


@pytest.mark.parametrize("kept", KEPT)
def test_a_damaged_film_is_named_in_one_sentence(copied: Path, cache: Path, way: Way, kept: str) -> None:
    films = training_films(copied, cache, **KEPT[kept])
    row = int(films.rows[3])
    shard = films.films.store.shards[films.films.store.shard[row]]
    at = int(films.films.store.offset[row])
    # That far into the record lies its image.
    shard.write_bytes(flipped(shard.read_bytes(), 8 * (at + 400)))
    batches = way(films)
    with pytest.raises(UnusableDataset) as raised, batches.reading():
        read(batches)
    assert str(raised.value) == f"{shard.name}, offset {at:,}: its checksum is wrong: the record is damaged."


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 no film", encoded(np.full((40, 40), 7, np.uint8))])
def test_a_film_that_cant_be_used_is_named_in_one_sentence(copied: Path, cache: Path, way: Way, content: bytes) -> None:
    film = next(film for film in sorted(trains(open_training_data(copied, CONFIG, cache))) if film < EACH)
    shard = [fields(k, content if k == film else None) for k in range(EACH)]
    write_shard(copied / f"000-{EACH}.tfrec", *shard)
    batches = way(training_films(copied, cache))
    with pytest.raises(UnusableDataset, match=rf"^Film {image_id(film)}: .*\.$"), batches.reading():
        read(batches)


def test_a_shard_that_changed_under_training_is_refused(copied: Path, cache: Path, way: Way) -> None:
    batches = way(training_films(copied, cache, **KEPT["nowhere"]))
    write_shard(copied / f"001-{EACH}.tfrec", *map(fields, range(EACH, EACH + 3)))
    with pytest.raises(UnusableDataset, match=rf"^001-{EACH}\.tfrec, offset .*\.$"), batches.reading():
        read(batches)


def test_other_errors_stay_what_they_are(folder: Path, cache: Path, way: Way) -> None:
    import tensorflow as tf

    batches = way(training_films(folder, cache))
    with pytest.raises(tf.errors.InvalidArgumentError), batches.reading():
        tf.ensure_shape(tf.zeros(3), (4,))
    with pytest.raises(ZeroDivisionError), batches.reading():
        _ = 1 / 0


CHILD = """
import sys
sys.modules["tensorflow"] = None
from pathlib import Path
import numpy as np
from cxr.training.config import TrainingConfig
from cxr.training.data import open_training_data
data = open_training_data(Path(sys.argv[1]), TrainingConfig.model_validate_json(sys.argv[3]), Path(sys.argv[2]))
np.savez(sys.argv[4], *[array for batch in data.train.epoch(2) for array in batch])
assert not [name for name in sys.modules if name.split(".")[0] == "tensorflow" and sys.modules[name]]
"""


def test_other_backends_never_import_tensorflow(folder: Path, cache: Path, tmp_path: Path) -> None:
    # NumPy is a backend of Keras too, and always there.
    environment = os.environ | {"KERAS_BACKEND": "numpy"}
    command = [sys.executable, "-c", CHILD, folder, cache, CONFIG.model_dump_json(), tmp_path / "batches.npz"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    with np.load(tmp_path / "batches.npz") as stored:
        found = list(stored.values())
    # The child reads all shards in one window, as nobody made windows small for it.
    assert len(found) == 2 * ThreadedBatches(training_films(folder, cache)).steps
    assert found[0].shape == (8, SIZE, SIZE, 1)
