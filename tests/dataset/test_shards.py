"""Shards written by hand, and the real ones against the tables that describe them."""

import io
import itertools
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade_shards import Fields, example, film_fields, flipped, frame, write_shard
from PIL import Image

from cxr.dataset.shards import SMALL, Record, parse_labels, parse_record, read_records, skim
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


def test_an_image_id_that_is_no_text_is_refused_in_words(shard: Path) -> None:
    with pytest.raises(UnreadableShard, match=r"^007-002\.tfrec, record 0: the image id is not text\.$"):
        read(shard, frame(example({**film_fields("a"), "image_id": b"\xff\xfe"})))


def test_a_name_that_is_no_text_is_refused_in_words(shard: Path) -> None:
    payload = example(film_fields("a")).replace(b"Mass", b"\xffass")
    with pytest.raises(UnreadableShard) as refused:
        read(shard, frame(payload))
    assert "codec" not in str(refused.value)


AROUND = example(film_fields("another film, before or after", positive=CATEGORIES))
"""What must not be read of a file where a record is skimmed."""


def outcome(payload: bytes, read: Callable[[bytes], tuple[str, np.ndarray]]) -> tuple[str, list[int]] | str:
    """Image id and labels, or why there are none. Whatever is raised else goes on."""
    try:
        image_id, labels = read(payload)
    except ValueError as error:
        return str(error)
    return image_id, labels.tolist()


def of_whole(payload: bytes) -> tuple[str, np.ndarray]:
    record = parse_record(payload)
    return record.image_id, record.labels


def skimmed(payload: bytes) -> tuple[str, np.ndarray]:
    """By way of `skim`, from a file where other records lie around the one that is meant."""
    file = io.BytesIO(AROUND + payload + AROUND)
    file.seek(len(AROUND))
    return parse_labels(skim(file, len(payload)))


@pytest.mark.parametrize("size", [0, 400, 6000, 40_000])
def test_labels_alone_are_those_of_the_whole_record(size: int) -> None:
    rng = np.random.default_rng(size)
    for number in range(30):
        positive = tuple(name for name in CATEGORIES if rng.random() < 0.3)
        known = film_fields(f"{number:08d}_000.png", rng.bytes(size), positive)
        fields: Fields = {**known, "width": 600, "note": b"seen"}
        shuffled = {str(name): fields[str(name)] for name in rng.permutation(list(fields))}
        for packed, value_first in itertools.product((True, False), repeat=2):
            payload = example(shuffled, packed, value_first)
            record = parse_record(payload)
            for image_id, labels in (parse_labels(payload), skimmed(payload)):
                assert image_id == record.image_id == f"{number:08d}_000.png"
                assert labels.tolist() == record.labels.tolist() == [int(name in positive) for name in CATEGORIES]
                assert labels.dtype == record.labels.dtype == np.uint8
            assert record.image == fields["image"]


@pytest.mark.parametrize("value_first", [True, False])
def test_whether_a_film_is_just_small_or_just_large_its_labels_are_found(value_first: bool) -> None:
    # The entry, the Feature and its lists are a few bytes longer than the film, each by another number.
    for size in range(SMALL - 25, SMALL + 5):
        fields = film_fields("a longer name", bytes(size), ("Hernia",))
        payload = example(fields | {"note": b"\x0a" * (2 * SMALL - size)}, value_first=value_first)
        assert outcome(payload, skimmed) == outcome(payload, of_whole) == ("a longer name", [0] * 14 + [1])


def test_what_is_small_is_kept_as_it_is() -> None:
    # Lengths of one byte and of two: the entry of a film is a few bytes longer than the film.
    for size in (*range(128), 400, 4000):
        payload = example({**film_fields("a", bytes(size)), "note": b"seen", "width": 600}, packed=False)
        assert skim(io.BytesIO(payload), len(payload)) == payload


class Watched(io.BytesIO):
    """A file that counts how often each of its bytes is read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.times = np.zeros(len(content), int)

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        content = super().read(size)
        self.times[start : self.tell()] += 1
        return content


@pytest.mark.parametrize("value_first", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("size", [SMALL + 1, 50_000, 3_000_000])
def test_of_a_film_that_is_skimmed_no_byte_is_read_and_of_all_else_each_once(
    size: int, last: bool, value_first: bool
) -> None:
    fields = film_fields("a", np.random.default_rng(0).bytes(size), ("Mass",))
    if last:
        fields["image"] = fields.pop("image")
    payload = example(fields, value_first=value_first)
    file = Watched(payload + AROUND)
    found = skim(file, len(payload))
    film, times = payload.index(bytes(fields["image"])), file.times.tolist()
    assert set(times[film : film + size]) == set(times[len(payload) :]) == {0}
    # A length and a tag of the film's lists lie before it, which are left out with it.
    unread = [k for k in (*range(film), *range(film + size, len(payload))) if times[k] != 1]
    assert len(unread) <= 10
    assert all(film - 10 <= k < film and not times[k] for k in unread)
    assert len(found) < len(payload) - size + 10
    assert parse_labels(found)[0] == "a"


def test_a_film_that_is_skimmed_is_there_but_empty() -> None:
    fields = film_fields("a", bytes(5000), ("Mass",))
    payload = example(fields)
    record = parse_record(skim(io.BytesIO(payload), len(payload)))
    assert (record.image_id, record.image) == ("a", b"")
    del fields["image"]
    large = example({**fields, "note": bytes(5000)})
    assert outcome(large, skimmed) == "the fields image are missing."


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("size", [4, 5000])
def test_a_damaged_example_is_refused_in_words_or_read_alike(packed: bool, size: int) -> None:
    fields = film_fields("00000001_000.png", b"\x0a" * size)
    payload = example(fields, packed)
    film = payload.index(bytes(fields["image"]))
    places = [*range(film + 2), *range(film + size - 2, len(payload))]
    damaged = [flipped(payload, 8 * place + bit) for place in places for bit in range(0, 8, 3)]
    damaged += [payload[:kept] for kept in places]
    damaged += [payload[:place] + b"\xff" * 12 + payload[place + 12 :] for place in places]
    refused = 0
    for content in damaged:
        expected = outcome(content, of_whole)
        assert outcome(content, parse_labels) == expected
        found = outcome(content, skimmed)
        refused += isinstance(found, str)
        # Of damage within a large film's own lists only the whole record can tell.
        if not isinstance(expected, str) or (not isinstance(found, str) and size < SMALL):
            assert found == expected
    assert refused > len(damaged) / 2


@pytest.mark.parametrize("size", [4, 5000])
def test_an_example_of_another_length_than_its_record_is_refused(size: int) -> None:
    payload = example(film_fields("a", bytes(size)))
    for length in (0, 1, 2, 3, 4, 100, len(payload) - 1, len(payload) + 1, len(payload) + 1000):
        with pytest.raises(
            ValueError, match=r"^(this is not a tf\.train\.Example|a field is longer than its record)\.$"
        ):
            skim(io.BytesIO(payload + bytes(2000)), length)


@pytest.mark.parametrize("size", [4, 5000])
def test_a_record_whose_file_ends_while_it_is_skimmed_is_refused_or_read_alike(size: int) -> None:
    payload = example(film_fields("a", bytes(size)))
    film = payload.index(bytes(size))
    for kept in (*range(film + 2), *range(film + size, len(payload))):
        with pytest.raises(ValueError, match=r"\.$"):
            parse_labels(skim(io.BytesIO(payload[:kept]), len(payload)))


@pytest.mark.parametrize(
    "payload",
    [
        example({"image": b"film"}) + example({k: v for k, v in film_fields("a").items() if k != "image"}),
        example(film_fields("a")) + b"\x1a\x04note",
        b"\x82\x01\x04note" + example(film_fields("a")),
    ],
    ids=["in two parts", "with another field", "with a field of a large number"],
)
def test_what_protocol_buffers_allow_besides_is_refused_when_skimmed(payload: bytes) -> None:
    assert outcome(payload, of_whole) == ("a", [1] + [0] * 14)
    assert outcome(payload, skimmed) == "this is not a tf.train.Example."


def test_an_image_id_that_is_as_long_as_a_film_is_refused_or_read() -> None:
    payload = example(film_fields("a" * 5000))
    found = outcome(payload, skimmed)
    assert isinstance(found, str) or found == outcome(payload, of_whole)


def test_an_integer_has_at_most_ten_bytes() -> None:
    # See protobuf.dev/programming-guides/encoding. Of 0xFF, as erased disk blocks hold, 400 KB took 6 s.
    payload = example(film_fields("a"))
    content = payload[3:]
    assert payload[:1] == b"\x0a"
    assert (payload[1] & 0x7F) + 128 * payload[2] == len(content)
    for more, sound in ((6, True), (7, True), (8, False), (9, False), (400_000, False)):
        # A length of two bytes and some more that add nothing to it.
        padded = b"\x0a" + payload[1:2] + bytes([payload[2] | 0x80]) + b"\x80" * more + b"\x00" + content
        for read in (of_whole, skimmed):
            found = outcome(padded, read)
            assert found == (("a", [1] + [0] * 14) if sound else "this is not a tf.train.Example.")


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
