"""Where films lie in sound and in broken shards, found without reading their images, and films read from there."""

import ctypes
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from handmade_shards import (
    CUT,
    NO_FRAME,
    TAINTED,
    UNSOUND,
    WRONG_SUM,
    example,
    film,
    film_fields,
    flipped,
    frame,
    hollow_film,
    of_length,
)

from cxr.dataset.index import index_shards, read_at, scan
from cxr.dataset.shards import read_records
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import CATEGORIES
from cxr.settings import ROOT

NAME: Final = "007-003.tfrec"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """The path of a shard that is yet to be written."""
    return tmp_path / NAME


def refusal(shard: Path, offset: int) -> str:
    """What is said of an offset where no film can be read."""
    with pytest.raises(UnreadableShard) as refused:
        read_at(shard, offset)
    return str(refused.value)


def test_films_are_found_in_file_order(shard: Path) -> None:
    films = [film("c", "Mass", "Hernia"), film("a", "No Finding"), film("a longer name", "Atelectasis")]
    shard.write_bytes(b"".join(films))
    found = scan(shard)
    assert (found.path, found.faults) == (shard, ())
    assert found.image_ids.tolist() == ["c", "a", "a longer name"]
    assert (found.offsets.tolist(), found.offsets.dtype) == ([0, len(films[0]), len(films[0] + films[1])], np.int64)
    assert (found.labels.shape, found.labels.dtype) == ((3, 15), np.uint8)
    names = [[CATEGORIES[k] for k in np.flatnonzero(row)] for row in found.labels]
    assert names == [["Mass", "Hernia"], ["No Finding"], ["Atelectasis"]]


def test_a_film_is_read_from_its_offset(shard: Path) -> None:
    shard.write_bytes(film("a") + film("b", "Edema") + film("c"))
    record = read_at(shard, len(film("a")))
    assert (record.image_id, record.image) == ("b", b"film b")
    assert record.labels.tolist() == [int(name == "Edema") for name in CATEGORIES]


def test_random_access_to_the_real_films_is_reading_them_in_order(shared_data: Path) -> None:
    rng, films = np.random.default_rng(0), 0
    for path in sorted((shared_data / "nih" / "data").glob("*.tfrec")):
        found, records = scan(path), list(read_records(path))
        assert found.faults == ()
        assert found.image_ids.tolist() == [record.image_id for record in records]
        np.testing.assert_array_equal(found.labels, [record.labels for record in records])
        for k in rng.permutation(len(records)):
            record = read_at(path, int(found.offsets[k]))
            assert (record.image_id, record.image) == (records[k].image_id, records[k].image)
            assert record.labels.tolist() == records[k].labels.tolist()
        films += len(records)
    assert films == 1218


def pages_in_memory(path: Path) -> int:
    """How many of a file's pages the system holds in memory; see mincore(2)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(mapped)
        address, length = ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped))
        failed = ctypes.CDLL(None).mincore(address, length, pages)
        del first
        assert not failed
        return sum(page & 1 for page in pages)


def write_hollow(path: Path, image_ids: list[str], size: int) -> list[int]:
    """Films whose images are holes in the file, which take no space on the disk. Gives their offsets."""
    offsets = []
    with path.open("wb") as file:
        for image_id in image_ids:
            offsets.append(file.tell())
            before, after = hollow_film(image_id, size)
            file.write(before)
            file.seek(size, os.SEEK_CUR)
            file.write(after)
        file.flush()
        os.fsync(file.fileno())
        if sys.platform == "linux":
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return offsets


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which pages of a file were read")
def test_of_each_film_no_more_than_a_few_pages_are_read(shard: Path) -> None:
    write_hollow(shard, list("abcdefgh"), 300_000)
    if pages_in_memory(shard):
        pytest.skip(f"{shard.parent} is on a file system that lies in memory")
    assert scan(shard).image_ids.tolist() == list("abcdefgh")
    # Of the 74 pages of a film one or two hold its header, and one or two the fields after its image.
    assert pages_in_memory(shard) <= 8 * 3


def test_films_beyond_four_gigabytes_are_found_and_read(shard: Path) -> None:
    image_ids = [f"{number:02d}" for number in range(18)]
    offsets = write_hollow(shard, image_ids, 250_000_000)
    with shard.open("ab") as file:
        file.write(film("last"))
    found = scan(shard)
    assert found.faults == ()
    assert found.image_ids.tolist() == [*image_ids, "last"]
    assert found.offsets[:-1].tolist() == offsets
    assert found.offsets[-1] > 2**32
    assert read_at(shard, int(found.offsets[-1])).image_id == "last"


# Broken shards


@pytest.mark.parametrize(("damage", "reason"), UNSOUND.values(), ids=UNSOUND)
def test_films_before_the_damage_are_kept_and_the_damage_is_told_by_name_and_offset(
    shard: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    before = film("a", "Mass") + film("b") + film("c" * 600)
    shard.write_bytes(before + damage(film("d" * 200)))
    found = scan(shard)
    assert found.image_ids.tolist() == ["a", "b", "c" * 600]
    assert found.labels.shape == (3, 15)
    where = f"{NAME}, offset {len(before):,}: {reason}"
    assert len(before) > 1000
    assert found.faults == (f"{where} Films before it that can be used: 3.",)
    assert refusal(shard, len(before)) == where
    assert [read_at(shard, offset).image_id for offset in found.offsets.tolist()] == ["a", "b", "c" * 600]


def test_what_follows_a_damaged_length_is_not_guessed_at(shard: Path) -> None:
    shard.write_bytes(film("a") + flipped(film("b"), 0) + film("c"))
    found = scan(shard)
    assert found.image_ids.tolist() == ["a"]
    assert found.faults == (f"{NAME}, offset {len(film('a'))}: {NO_FRAME} Films before it that can be used: 1.",)


@pytest.mark.parametrize("bit", ["first of the image", "last of the image", "first of the checksum", "last"])
def test_damage_to_an_image_is_not_looked_for_but_found_when_the_film_is_read(shard: Path, bit: str) -> None:
    sound = film("b")
    image = 8 * sound.index(b"film b")
    places = {
        "first of the image": image,
        "last of the image": image + 8 * len(b"film b") - 1,
        "first of the checksum": 8 * len(sound) - 32,
        "last": 8 * len(sound) - 1,
    }
    shard.write_bytes(film("a") + flipped(sound, places[bit]) + film("c"))
    found = scan(shard)
    assert (found.image_ids.tolist(), found.faults) == (["a", "b", "c"], ())
    assert refusal(shard, int(found.offsets[1])) == f"{NAME}, offset {len(film('a'))}: {WRONG_SUM}"
    assert read_at(shard, int(found.offsets[2])).image_id == "c"


@pytest.mark.parametrize("damage", TAINTED.values(), ids=TAINTED)
def test_a_film_that_is_not_what_was_written_is_never_given(shard: Path, damage: Callable[[bytes], bytes]) -> None:
    shard.write_bytes(film("a") + damage(film("b")))
    assert refusal(shard, len(film("a"))) == f"{NAME}, offset {len(film('a'))}: {WRONG_SUM}"


def test_whatever_bit_flips_the_other_films_are_found_and_no_false_one_is_read(shard: Path) -> None:
    records = [film("a", "Mass"), film("b"), film("c", "Hernia", "Edema"), film("d", "No Finding")]
    starts = [sum(map(len, records[:k])) for k in range(4)]
    whole, names = b"".join(records), dict(zip(starts, "abcd", strict=True))
    for bit in np.random.default_rng(0).choice(8 * len(whole), 250, replace=False).tolist():
        shard.write_bytes(flipped(whole, bit))
        found = scan(shard)
        hit = max(k for k in range(4) if starts[k] <= bit // 8)
        in_header = bit // 8 - starts[hit] < 12
        untouched = starts[:hit] if in_header else starts[:hit] + starts[hit + 1 :]
        assert set(untouched) <= set(found.offsets.tolist()) <= set(starts if not in_header else untouched)
        for offset, image_id in zip(found.offsets.tolist(), found.image_ids, strict=True):
            if offset == starts[hit]:
                assert refusal(shard, offset) == f"{NAME}, offset {offset:,}: {WRONG_SUM}"
            else:
                assert read_at(shard, offset).image_id == image_id == names[offset]


def test_wherever_a_shard_is_cut_off_the_films_before_are_found(shard: Path) -> None:
    records = [film("a"), film("b"), film("c")]
    ends = [sum(map(len, records[: k + 1])) for k in range(3)]
    whole = b"".join(records)
    for kept in [*ends, *np.random.default_rng(0).integers(1, len(whole), 200).tolist()]:
        shard.write_bytes(whole[:kept])
        found = scan(shard)
        assert found.image_ids.tolist() == list("abc")[: sum(end <= kept for end in ends)]
        assert bool(found.faults) == (kept not in ends)


NOT_FILMS: Final[dict[str, tuple[bytes, str]]] = {
    "text": (b"hello, world", "this is not a tf.train.Example."),
    "cut Example": (example(film_fields("x"))[:-1], "a field is longer than its record."),
    "no image": (example({k: v for k, v in film_fields("x").items() if k != "image"}), "the fields image are missing."),
    "no label": (example({k: v for k, v in film_fields("x").items() if k != "Mass"}), "the fields Mass are missing."),
    "label 2": (example({**film_fields("x"), "Mass": 2}), "a label is neither 0 nor 1."),
    "integer for an id": (example({**film_fields("x"), "image_id": 7}), "`image` and `image_id` must be bytes."),
    "bytes for an id": (example({**film_fields("x"), "image_id": b"\xff\xfe"}), "the image id is not text."),
    "large, no label": (
        example({k: v for k, v in film_fields("x", b"film" * 2000).items() if k != "Mass"}),
        "the fields Mass are missing.",
    ),
    "large, no text": (example({**film_fields("x", b"film" * 2000), "image_id": b"\xff"}), "the image id is not text."),
    "large, no image": (
        example({**film_fields("x"), "image": 1, "note": b"x" * 9000}),
        "`image` and `image_id` must be bytes.",
    ),
}


@pytest.mark.parametrize(("payload", "reason"), NOT_FILMS.values(), ids=NOT_FILMS)
def test_a_record_that_is_no_labelled_film_is_left_out_and_told(shard: Path, payload: bytes, reason: str) -> None:
    before = film("a" * 900)
    shard.write_bytes(before + frame(payload) + film("b"))
    found = scan(shard)
    assert found.image_ids.tolist() == ["a" * 900, "b"]
    assert found.offsets.tolist() == [0, len(before + frame(payload))]
    assert found.labels.shape == (2, 15)
    where = f"{NAME}, offset {len(before):,}: {reason}"
    assert found.faults == (f"{where} Records of this shard that are left out: 1.",)
    assert refusal(shard, len(before)) == where


@pytest.mark.parametrize("length", [0, 1, 2])
def test_of_a_record_that_is_too_short_for_anything_no_other_record_is_read(shard: Path, length: int) -> None:
    shard.write_bytes(film("a") + frame(b"\x0a\x00"[:length]) + film("b"))
    found = scan(shard)
    assert found.image_ids.tolist() == ["a", "b"]
    (fault,) = found.faults
    assert re.fullmatch(rf"{NAME}, offset {len(film('a'))}: .*\w\. Records of this shard .* out: 1\.", fault)
    assert refusal(shard, len(film("a"))).startswith(f"{NAME}, offset {len(film('a'))}: ")


def test_of_several_records_that_are_left_out_the_first_is_named_and_all_are_counted(shard: Path) -> None:
    shard.write_bytes(frame(b"hello, world") + film("a") + frame(b"") + frame(b"") + film("b") + b"tail")
    found = scan(shard)
    assert found.image_ids.tolist() == ["a", "b"]
    assert found.faults == (
        f"{NAME}, offset 0: this is not a tf.train.Example. Records of this shard that are left out: 3.",
        f"{NAME}, offset {shard.stat().st_size - 4}: the file ends within a record's header. "
        "Films before it that can be used: 2.",
    )


def test_a_shard_of_other_records_has_no_films(shard: Path) -> None:
    shard.write_bytes(frame(b"hello, world"))
    found = scan(shard)
    assert (found.image_ids.tolist(), found.offsets.tolist(), found.labels.shape) == ([], [], (0, 15))


# Files that are none, or are not there


def nothing(path: Path) -> None:
    pass


def locked(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    path.write_bytes(film("a"))
    path.chmod(0)


@pytest.mark.parametrize(
    ("make", "of_scan", "of_read"),
    [
        pytest.param(Path.touch, "the file is empty.", "the file ends before the record.", id="empty"),
        pytest.param(nothing, "No such file or directory.", "No such file or directory.", id="missing"),
        pytest.param(Path.mkdir, "Is a directory.", "Is a directory.", id="folder"),
        pytest.param(locked, "Permission denied.", "Permission denied.", id="no permission"),
    ],
)
def test_a_file_that_can_not_be_read_has_no_films_and_says_why(
    shard: Path, make: Callable[[Path], None], of_scan: str, of_read: str
) -> None:
    make(shard)
    found = scan(shard)
    assert found.faults == (f"{NAME}: {of_scan}",)
    assert (found.image_ids.tolist(), found.offsets.tolist(), found.labels.shape) == ([], [], (0, 15))
    assert refusal(shard, 0) == f"{NAME}, offset 0: {of_read}"


def test_shards_beside_unusable_ones_stay_usable(tmp_path: Path) -> None:
    shards = [tmp_path / f"{name}.tfrec" for name in ("folder", "two", "empty", "damaged", "missing", "three")]
    shards[0].mkdir()
    for shard, content in zip(shards[1:4], (film("a") + film("b"), b"", b"no frame at all"), strict=True):
        shard.write_bytes(content)
    shards[5].write_bytes(film("c") * 3)
    found = index_shards(shards, tmp_path)
    assert [one.path for one in found] == shards
    assert [len(one.image_ids) for one in found] == [0, 2, 0, 0, 0, 3]
    assert [len(one.faults) for one in found] == [1, 0, 1, 1, 1, 0]
    assert read_at(found[1].path, int(found[1].offsets[1])).image_id == "b"


def test_no_offset_but_that_of_a_record_gives_a_film(shard: Path) -> None:
    shard.write_bytes(film("a") + film("b"))
    second, end = len(film("a")), len(film("a") + film("b"))
    for offset in (set(range(end)) - {0, second}) | {end, end + 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**70}:
        assert refusal(shard, offset).startswith(f"{NAME}, offset {offset:,}: ")
    for offset in (-1, -second, -end, -(2**63), -(2**70)):
        assert refusal(shard, offset).startswith(f"{NAME}, offset {offset:,}: ")
    assert refusal(shard, 1) == f"{NAME}, offset 1: {NO_FRAME}"
    assert refusal(shard, end) == f"{NAME}, offset {end}: the file ends before the record."
    assert refusal(shard, end - 11) == f"{NAME}, offset {end - 11}: the file ends within a record's header."


@pytest.mark.parametrize("offset", [-(2**70), -1, 2**63 - 1, 2**63, 2**70])
def test_an_offset_that_no_file_has_is_refused_in_a_sentence(shard: Path, offset: int) -> None:
    shard.write_bytes(film("a"))
    assert refusal(shard, offset) == f"{NAME}, offset {offset:,}: there is no such offset."


def test_a_shard_that_changed_since_it_was_indexed_is_refused(shard: Path) -> None:
    shard.write_bytes(film("a") + film("b") + film("c"))
    offset = int(scan(shard).offsets[2])
    shard.write_bytes(film("a") + film("b grew") + film("c"))
    assert refusal(shard, offset) == f"{NAME}, offset {offset}: {NO_FRAME}"
    shard.write_bytes(film("a"))
    assert refusal(shard, offset) == f"{NAME}, offset {offset}: the file ends before the record."
    shard.write_bytes(film("a") + film("b") + of_length(film("c"), 10_000))
    assert refusal(shard, offset) == f"{NAME}, offset {offset}: {CUT}"
    shard.unlink()
    assert refusal(shard, offset) == f"{NAME}, offset {offset}: No such file or directory."


SHRINKING = """
import os, sys
from pathlib import Path
from cxr.dataset import index

shard, kept, parse = Path(sys.argv[1]), int(sys.argv[2]), index.parse_labels

def parse_and_shrink(payload):
    parsed = parse(payload)
    os.truncate(shard, kept)
    return parsed

index.parse_labels = parse_and_shrink
found = index.scan(shard)
print(*found.image_ids, found.faults[-1], sep="; ")
"""


@pytest.mark.parametrize("kept", [0, 45_000])
def test_a_shard_that_shrinks_while_it_is_indexed_is_a_fault_like_others(shard: Path, kept: int) -> None:
    # As when it is copied anew from elsewhere, or lies on a network drive that goes away. In a process of its own,
    # for where pages of a memory map are gone the system kills it.
    starts = write_hollow(shard, list("abcd"), 20_000)
    ended = subprocess.run(
        [sys.executable, "-c", SHRINKING, shard, str(kept)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    *found, fault = ended.stdout.strip().split("; ")
    assert found == [name for name, end in zip("abcd", [0, *starts[2:], 2**32], strict=True) if end <= kept]
    assert fault.startswith(f"{NAME}, offset ")
    assert fault.endswith("Films before it that can be used: " + f"{len(found)}.")
