"""Films in shards brought together with the rows of a table, and read row by row."""

import os
import sys
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
from handmade_shards import example, film_fields, flipped, frame

from cxr.dataset.index import FilmStore, film_store, index_shards, scan
from cxr.dataset.shards import read_records
from cxr.dataset.table import FilmTable, films_frame, release
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import CATEGORIES

LABELS: Final = {"a": (), "b": ("Mass",), "c": ("No Finding",), "d": ("Edema", "Hernia"), "e": ()}

UNKNOWN: Final = "Films of the shards that are not in the table, and are not shown"
AGAIN: Final = "Films that lie in the shards once more; the first of each is shown"
DIFFERING: Final = "Films with other labels in the shards than in the table, whose labels are shown"


def film_table(labels: dict[str, tuple[str, ...]] = LABELS) -> FilmTable:
    """A table of films by image id, all of one patient."""
    films = np.zeros((5, len(labels)))
    rows = np.array([[name in positive for name in CATEGORIES] for positive in labels.values()], np.uint8).reshape(
        -1, 15
    )
    return FilmTable("a few", films_frame(pd.Index(labels), *films), rows, pd.DataFrame({"image_id": []}))


def record(image_id: str, image: bytes = b"film", positive: tuple[str, ...] | None = None) -> bytes:
    """The record of a film, with the table's labels unless others are given."""
    if positive is None:
        positive = LABELS[image_id]
    return frame(example(film_fields(image_id, image, positive)))


def store_of(folder: Path, *shards: bytes, table: FilmTable | None = None) -> FilmStore:
    """The store of shards `0.tfrec`, `1.tfrec` and so on with some content."""
    paths = [folder / f"{number}.tfrec" for number in range(len(shards))]
    for path, content in zip(paths, shards, strict=True):
        path.write_bytes(content)
    return film_store([scan(path) for path in paths], film_table() if table is None else table)


def test_films_are_found_by_image_id_in_whatever_shard_they_lie(tmp_path: Path) -> None:
    store = store_of(tmp_path, record("d") + record("a"), record("c"))
    assert store.shards == (tmp_path / "0.tfrec", tmp_path / "1.tfrec")
    assert (store.shard.tolist(), store.shard.dtype) == ([0, -1, 1, 0, -1], np.int16)
    assert (store.offset[[0, 2, 3]].tolist(), store.offset.dtype) == ([len(record("d")), 0, 0], np.int64)
    assert store.available.tolist() == [True, False, True, True, False]
    assert store.faults == ()
    assert [store.read(row).image_id for row in (0, 2, 3)] == ["a", "c", "d"]


def test_a_film_is_read_with_its_image_and_its_labels(tmp_path: Path) -> None:
    store = store_of(tmp_path, record("a") + record("d", b"the image of d"))
    assert (store.read(3).image, store.read(3).image_id) == (b"the image of d", "d")
    assert [CATEGORIES[k] for k in np.flatnonzero(store.read(3).labels)] == ["Edema", "Hernia"]


@pytest.mark.parametrize("row", [1, 4])
def test_a_film_in_no_shard_is_not_there(tmp_path: Path, row: int) -> None:
    store = store_of(tmp_path, record("a") + record("c") + record("d"))
    with pytest.raises(KeyError) as missing:
        store.read(row)
    assert missing.value.args == (row,)


def test_films_that_the_table_does_not_have_are_counted(tmp_path: Path) -> None:
    x, y, z = (record(image_id, positive=("Mass",)) for image_id in ("x", "yy", "zzz"))
    store = store_of(tmp_path, x + record("a") + y, record("b") + z)
    assert store.faults == (f"{UNKNOWN}: 3.",)
    assert store.available.tolist() == [True, True, False, False, False]
    assert [store.read(row).image_id for row in (0, 1)] == ["a", "b"]


def test_of_a_film_that_a_shard_holds_more_than_once_the_first_counts(tmp_path: Path) -> None:
    a, b = [record("a", image) for image in (b"first", b"second", b"third")], record("b", b"only")
    store = store_of(tmp_path, a[0] + b + a[1] + a[2])
    assert store.faults == (f"{AGAIN}: 2.",)
    assert (store.read(0).image, store.read(1).image) == (b"first", b"only")


def test_of_a_film_that_several_shards_hold_the_first_counts(tmp_path: Path) -> None:
    shards = [record("b", image) + record("a", image) for image in (b"first", b"second", b"third")]
    store = store_of(tmp_path, record("c"), *shards)
    assert store.faults == (f"{AGAIN}: 4.",)
    assert (store.read(0).image, store.read(1).image) == (b"first", b"first")
    assert store.shard.tolist() == [1, 1, 0, -1, -1]


def test_films_within_and_across_shards_are_counted_together(tmp_path: Path) -> None:
    first, again = record("a", b"first"), record("a", b"again")
    store = store_of(tmp_path, first + again + record("b"), again + again + record("c"), record("d"))
    assert store.faults == (f"{AGAIN}: 3.",)
    assert store.read(0).image == b"first"
    assert store.available.tolist() == [True, True, True, True, False]


def test_labels_other_than_the_tables_are_counted(tmp_path: Path) -> None:
    wrong = record("a", positive=("Mass", "Nodule")) + record("b", positive=())
    store = store_of(tmp_path, wrong + record("c"), record("d", positive=("Edema",)) + record("e"))
    assert store.faults == (f"{DIFFERING}: 3.",)
    assert store.available.all()


def test_labels_of_a_copy_in_another_shard_are_not_looked_at(tmp_path: Path) -> None:
    store = store_of(tmp_path, record("b"), record("b", positive=()))
    assert store.faults == (f"{AGAIN}: 1.",)


@pytest.mark.parametrize(("first", "again", "differing"), [(("Mass",), (), 0), ((), (), 1)])
def test_labels_of_a_copy_in_the_same_shard_are_not_looked_at_either(
    tmp_path: Path, first: tuple[str, ...], again: tuple[str, ...], differing: int
) -> None:
    store = store_of(tmp_path, record("b", positive=first) + record("b", positive=again) + record("c"))
    assert store.faults == (f"{AGAIN}: 1.", *([f"{DIFFERING}: {differing}."] if differing else []))


def test_labels_of_the_first_of_several_copies_are_compared_film_by_film(tmp_path: Path) -> None:
    # Of b and d the first has other labels; of a only the second, and of the b in the other shard.
    first = [record("b", b"1st", ()), record("a"), record("a", positive=("Mass",)), record("b")]
    again = [record("d", b"1st", ()), record("b", positive=("Edema",)), record("d"), record("c"), record("d")]
    store = store_of(tmp_path, b"".join(first), b"".join(again))
    assert store.faults == (f"{AGAIN}: 5.", f"{DIFFERING}: 2.")
    assert (store.read(1).image, store.read(3).image) == (b"1st", b"1st")


def test_what_does_not_fit_is_told_in_sentences_that_fit_one_and_thousands(tmp_path: Path) -> None:
    store = store_of(tmp_path, record("a") * 1235 + record("b", positive=()) + record("x", positive=()))
    assert store.faults == (f"{UNKNOWN}: 1.", f"{AGAIN}: 1,234.", f"{DIFFERING}: 1.")


def test_faults_of_the_shards_come_first_and_then_what_does_not_fit(tmp_path: Path) -> None:
    store = store_of(
        tmp_path,
        frame(b"no film") + record("a") + b"damage",
        b"",
        record("a") + record("x", positive=()) + record("c", positive=()),
    )
    before = len(frame(b"no film") + record("a"))
    assert [fault.partition(": ")[0] for fault in store.faults[:3]] == [
        "0.tfrec, offset 0",
        f"0.tfrec, offset {before}",
        "1.tfrec",
    ]
    assert store.faults[3:] == (f"{UNKNOWN}: 1.", f"{AGAIN}: 1.", f"{DIFFERING}: 1.")
    assert store.shard.tolist() == [0, -1, 2, -1, -1]


@pytest.mark.parametrize("content", [None, b"", b"no frame at all"])
def test_without_films_nothing_is_available(tmp_path: Path, content: bytes | None) -> None:
    store = store_of(tmp_path, *([] if content is None else [content]))
    assert (store.available.tolist(), len(store.faults)) == ([False] * 5, int(content is not None))
    with pytest.raises(KeyError):
        store.read(0)


def test_a_table_without_films_has_none_in_the_shards(tmp_path: Path) -> None:
    store = store_of(tmp_path, record("a") + record("b"), table=film_table({}))
    assert (len(store.shard), len(store.available)) == (0, 0)
    assert store.faults == (f"{UNKNOWN}: 2.",)


def test_a_damaged_film_is_refused_by_shard_and_offset_and_the_others_are_read(tmp_path: Path) -> None:
    damaged = flipped(record("b"), -1)
    store = store_of(tmp_path, record("a") + damaged + record("c"))
    with pytest.raises(UnreadableShard) as refused:
        store.read(1)
    assert str(refused.value) == f"0.tfrec, offset {len(record('a'))}: its checksum is wrong: the record is damaged."
    assert [store.read(row).image_id for row in (0, 2)] == ["a", "c"]


def test_a_shard_that_is_gone_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    store = store_of(tmp_path, record("a"), record("b"))
    (tmp_path / "0.tfrec").unlink()
    with pytest.raises(UnreadableShard, match=r"^0\.tfrec, offset 0: "):
        store.read(0)
    assert store.read(1).image_id == "b"


def test_another_film_where_the_shard_had_one_is_refused(tmp_path: Path) -> None:
    # A shard that was written anew in another order: at offset 0, and where films are of one length, lies a sound film.
    store = store_of(tmp_path, record("a") + record("b"))
    (tmp_path / "0.tfrec").write_bytes(record("b") + record("a"))
    with pytest.raises(UnreadableShard) as refused:
        store.read(0)
    assert str(refused.value) == "0.tfrec, offset 0: another film lies there; the shard has changed."
    with pytest.raises(UnreadableShard, match=rf"^0\.tfrec, offset {len(record('a'))}: another film lies there"):
        store.read(1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
def test_films_are_read_from_a_shard_whose_name_is_no_text(tmp_path: Path) -> None:
    shard = tmp_path / os.fsdecode(b"\xff.tfrec")
    shard.write_bytes(record("a"))
    store = film_store(index_shards([shard], tmp_path), film_table())
    assert store.read(0).image_id == "a"


def test_every_real_film_is_read_by_its_row_of_the_release(shared_data: Path, tmp_path: Path) -> None:
    shards = sorted((shared_data / "nih" / "data").glob("*.tfrec"))
    table = release()
    store = film_store(index_shards(shards, tmp_path), table)
    assert store.faults == ()
    assert store.available.sum() == 1218
    films = {found.image_id: found for shard in shards for found in read_records(shard)}
    for row in np.random.default_rng(0).permutation(np.flatnonzero(store.available)):
        film, image_id = store.read(row), table.films.index[row]
        assert (film.image_id, film.image) == (image_id, films[image_id].image)
        assert film.labels.tolist() == table.labels[row].tolist()
