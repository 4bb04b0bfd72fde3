"""Shards written by hand, and the real ones against the tables that describe them."""

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade_shards import Fields, example, film_fields, flipped, frame, write_shard
from PIL import Image

from cxr.dataset.shards import Record, parse_labels, parse_record, read_records
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import CATEGORIES


def read(path: Path, content: bytes) -> list[Record]:
    path.write_bytes(content)
    return list(read_records(path))


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "007-002.tfrec"


@pytest.fixture(scope="module")
def real_records(shared_data: Path) -> dict[str, list[Record]]:
    """File name -> records, of all the real shards."""
    return {path.name: list(read_records(path)) for path in sorted((shared_data / "nih" / "data").glob("*.tfrec"))}


@pytest.mark.parametrize("packed", [True, False])
def test_a_record_has_its_id_its_bytes_and_its_labels(shard: Path, packed: bool) -> None:
    fields = film_fields("00000001_000.png", b"\xff\xd8 not looked at", ("Edema", "Hernia"))
    (record,) = read(shard, frame(example(fields, packed)))
    assert (record.image_id, record.image) == ("00000001_000.png", b"\xff\xd8 not looked at")
    assert record.labels.dtype == np.uint8
    assert [CATEGORIES[k] for k in np.flatnonzero(record.labels)] == ["Edema", "Hernia"]


def test_labels_go_by_name_whatever_the_order_in_the_file(shard: Path) -> None:
    fields = film_fields("a", positive=("Atelectasis",))
    (record,) = read(shard, frame(example(dict(reversed(fields.items())))))
    assert record.labels.tolist() == [int(name == "Atelectasis") for name in CATEGORIES]


def test_unknown_fields_are_passed_over(shard: Path) -> None:
    (record,) = read(shard, frame(example({"note": b"seen", "width": 600, **film_fields("a")})))
    assert record.image_id == "a"


def test_fields_come_in_any_order_and_others_are_passed_over_at_every_level(shard: Path) -> None:
    payload = example(film_fields("a", b"image", ("Mass",)), value_first=True) + b"\x1a\x04note"
    (record,) = read(shard, frame(payload))
    assert (record.image_id, record.image) == ("a", b"image")
    assert [CATEGORIES[k] for k in np.flatnonzero(record.labels)] == ["Mass"]


def test_records_come_in_file_order(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "s.tfrec", *(film_fields(name) for name in "cab"))
    assert [record.image_id for record in read_records(path)] == ["c", "a", "b"]


WHOLE = frame(example(film_fields("a")))


@pytest.mark.parametrize("kept", [1, 11, 12, 40, len(WHOLE) - 4, len(WHOLE) - 1])
def test_a_truncated_file_gives_what_is_whole_and_then_names_the_record(shard: Path, kept: int) -> None:
    shard.write_bytes(WHOLE + WHOLE[:kept])
    records = read_records(shard)
    assert next(records).image_id == "a"
    with pytest.raises(UnreadableShard, match=r"007-002\.tfrec, record 1: "):
        next(records)


def test_garbage_is_not_a_frame(shard: Path) -> None:
    with pytest.raises(
        UnreadableShard, match=r"007-002\.tfrec, record 0: this is not a TFRecord frame, or its length is damaged\."
    ):
        read(shard, np.random.default_rng(0).bytes(5000))


def test_an_absurd_length_is_refused_before_anything_is_read(shard: Path) -> None:
    with pytest.raises(UnreadableShard, match="not a TFRecord frame"):
        read(shard, struct.pack("<QI", 2**62, 0) + b"film")


@pytest.mark.parametrize("missing", ["image", "image_id", "Hernia"])
def test_a_missing_field_is_named(shard: Path, missing: str) -> None:
    fields = film_fields("b")
    del fields[missing]
    with pytest.raises(UnreadableShard, match=rf"007-002\.tfrec, record 1: the fields {missing} are missing\."):
        read(shard, WHOLE + frame(example(fields)))


@pytest.mark.parametrize("value", [2, 2**64 - 1, b"1"])
def test_a_label_other_than_0_and_1_is_refused(shard: Path, value: int | bytes) -> None:
    with pytest.raises(UnreadableShard, match=r"007-002\.tfrec, record 0: a label is neither 0 nor 1\."):
        read(shard, frame(example({**film_fields("a"), "Mass": value})))


@pytest.mark.parametrize("field", ["image", "image_id"])
def test_an_integer_for_a_film_is_refused(shard: Path, field: str) -> None:
    with pytest.raises(UnreadableShard, match="record 0: `image` and `image_id` must be bytes"):
        read(shard, frame(example({**film_fields("a"), field: 1})))


FEATURE_WITHOUT_A_VALUE = b"\x0a\x0d\x0a\x0b\x0a\x05image\x12\x02\x0a\x00"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x08\x01", "this is not a tf.train.Example."),
        (b"\x0a\x7f\x01", "a field is longer than its record."),
        (b"\x0a\xff\xff", "a field is empty or cut off."),
        (FEATURE_WITHOUT_A_VALUE, "a field is empty or cut off."),
        (b"", f"the fields image, image_id, {', '.join(CATEGORIES)} are missing."),
    ],
)
def test_what_is_no_example_is_refused_with_a_reason(shard: Path, payload: bytes, reason: str) -> None:
    with pytest.raises(UnreadableShard, match=rf"^007-002\.tfrec, record 0: {re.escape(reason)}$"):
        read(shard, frame(payload))


def test_text_in_a_frame_is_refused(shard: Path) -> None:
    with pytest.raises(UnreadableShard, match=r"^007-002\.tfrec, record 0: \S.*[a-z]\.$"):
        read(shard, frame(b"hello, world"))


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="the sentence is that of the codec: 'utf-8' codec can't decode byte 0xff ...",
)
def test_an_image_id_that_is_no_text_is_refused_in_words(shard: Path) -> None:
    with pytest.raises(UnreadableShard, match=r"^007-002\.tfrec, record 0: [^']*\bimage_id\b[^']*\.$"):
        read(shard, frame(example({**film_fields("a"), "image_id": b"\xff\xfe"})))


def message_per_field(fields: Fields, rng: np.random.Generator) -> bytes:
    """An Example in parts, which protocol buffers allow: joined they are one, each field with its own packing."""
    return b"".join(example({name: value}, packed=bool(rng.integers(2))) for name, value in fields.items())


def test_labels_alone_are_those_of_the_whole_record() -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        positive = tuple(name for name in CATEGORIES if rng.random() < 0.3)
        known = film_fields(f"{number:08d}_000.png", rng.bytes(int(rng.integers(400))), positive)
        fields: Fields = {**known, "width": 600, "note": b"seen"}
        shuffled = {str(name): fields[str(name)] for name in rng.permutation(list(fields))}
        for payload in (example(shuffled, True), example(shuffled, False), message_per_field(shuffled, rng)):
            record = parse_record(payload)
            image_id, labels = parse_labels(memoryview(payload))
            assert image_id == record.image_id == f"{number:08d}_000.png"
            assert labels.tolist() == record.labels.tolist() == [int(name in positive) for name in CATEGORIES]
            assert labels.dtype == record.labels.dtype == np.uint8
            assert record.image == fields["image"]


@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_example_is_refused_by_both_or_read_alike_by_both(packed: bool) -> None:
    def outcome(parsed: Callable[[], tuple[str, np.ndarray]]) -> tuple[str, list[int]] | str:
        try:
            image_id, labels = parsed()
        except ValueError as error:
            return str(error)
        return image_id, labels.tolist()

    def whole(payload: bytes) -> tuple[str, np.ndarray]:
        record = parse_record(payload)
        return record.image_id, record.labels

    payload = example(film_fields("00000001_000.png"), packed)
    damaged = [flipped(payload, bit) for bit in range(0, 8 * len(payload), 3)]
    damaged += [payload[:kept] for kept in range(len(payload))]
    refused = 0
    for content in damaged:
        of_whole = outcome(lambda content=content: whole(content))
        assert outcome(lambda content=content: parse_labels(memoryview(content))) == of_whole
        refused += isinstance(of_whole, str)
    assert refused > len(damaged) / 2


@pytest.mark.xfail(
    strict=True,
    raises=pytest.fail.Exception,
    reason="_varint reads on without end, in time that grows with the square of the length",
)
def test_an_integer_of_more_than_ten_bytes_is_refused() -> None:
    # See protobuf.dev/programming-guides/encoding. Of 0xFF, as erased disk blocks hold, 400 KB took 6 s.
    payload = example(film_fields("a"))
    assert payload[:1] == b"\x0a"
    with pytest.raises(ValueError, match=r"not a tf\.train\.Example"):
        parse_record(b"\x8a" + b"\x80" * 10 + b"\x00" + payload[1:])


def test_the_real_shards_hold_as_many_films_as_their_names_say(real_records: dict[str, list[Record]]) -> None:
    assert {name: len(records) for name, records in real_records.items()} == {
        name: int(name.removesuffix(".tfrec").split("-")[1]) for name in real_records
    }
    assert sum(map(len, real_records.values())) == 1218


def test_the_real_films_are_600_pixel_grey_jpegs(real_records: dict[str, list[Record]]) -> None:
    for records in real_records.values():
        image = Image.open(io.BytesIO(records[-1].image))
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (600, 600))


def test_the_real_labels_are_those_of_the_tables(shared_data: Path, real_records: dict[str, list[Record]]) -> None:
    records = [record for shard in real_records.values() for record in shard]
    labels = np.array([record.labels for record in records])
    table = pd.read_csv(shared_data / "nih" / "preprocessed_data.csv", index_col=0)
    np.testing.assert_array_equal(labels, table.loc[[record.image_id for record in records], list(CATEGORIES)])

    words = pd.read_csv(shared_data / "nih" / "images_index.csv")["labels"].str.split("|").explode().value_counts()
    assert dict(zip(CATEGORIES, labels.sum(0).tolist(), strict=True)) == words.to_dict()
