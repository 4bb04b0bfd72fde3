"""Shards that the project writes, against the two formats written by hand, and read back."""

import io
from pathlib import Path

import handmade_shards
import numpy as np
import pytest

from cxr.dataset.shard_writer import shard_name, write_records
from cxr.dataset.shards import Record, read_records
from cxr.findings import CATEGORIES


def record(image_id: str, image: bytes, *positive: str) -> Record:
    return Record(image_id, image, np.array([name in positive for name in CATEGORIES], np.uint8))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_bytes_are_those_that_the_formats_ask_for(size: int) -> None:
    image = bytes(range(256)) * (size // 256) + bytes(size % 256)
    file = io.BytesIO()
    assert write_records(file, [record("12345678_000.png", image, "Mass", "Hernia")]) == 1
    fields = handmade_shards.film_fields("12345678_000.png", image, ("Mass", "Hernia"))
    assert file.getvalue() == handmade_shards.frame(handmade_shards.example(fields))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    films = [record("10000000_000.png", b"one", "No Finding"), record("10000001_000.png", b"two", "Effusion")]
    path = tmp_path / shard_name(3, 2)
    with path.open("wb") as file:
        write_records(file, films)
    assert path.name == "003-002.tfrec"
    for written, read in zip(films, read_records(path), strict=True):
        assert (read.image_id, read.image, read.labels.tolist()) == (
            written.image_id, written.image, written.labels.tolist(),
        )  # fmt: skip
