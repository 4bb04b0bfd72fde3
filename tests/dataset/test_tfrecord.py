"""Frames against the published checksums, TensorFlow's own writer and the real shards; and every way they can break."""

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from handmade_shards import CUT, TAINTED, UNSOUND, WRONG_SUM, flipped, frame, of_length

from cxr.dataset.tfrecord import (
    LONGEST_RECORD,
    DamagedFrame,
    UnreadableShard,
    masked_crc,
    payload_length,
    read_payload,
    read_payloads,
)

PAYLOAD = b"some film, a little longer than where the damage is"
WHOLE = frame(PAYLOAD)


def unmasked(masked: int) -> int:
    """The checksum behind a masked one, by the inverse in tensorflow/core/lib/hash/crc32c.h."""
    rotated = (masked - 0xA282EAD8) % 2**32
    return rotated >> 17 | rotated << 15 & 0xFFFFFFFF


# RFC 3720 appendix B.4 prints the four bytes of each checksum in the order they are sent, least significant first.
READ_COMMAND = bytes.fromhex(
    "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
)


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        pytest.param(bytes(32), "aa36918a", id="zeros"),
        pytest.param(b"\xff" * 32, "43aba862", id="ones"),
        pytest.param(bytes(range(32)), "4e79dd46", id="incrementing"),
        pytest.param(bytes(reversed(range(32))), "5cdb3f11", id="decrementing"),
        pytest.param(READ_COMMAND, "563a96d9", id="an iSCSI read command"),
        pytest.param(b"", "00000000", id="nothing"),
    ],
)
def test_the_checksum_is_that_of_rfc_3720(data: bytes, sent: str) -> None:
    masked = masked_crc(data)
    assert 0 <= masked < 2**32
    assert struct.pack("<I", unmasked(masked)).hex() == sent


def test_the_checksum_of_nothing_is_the_mask_itself() -> None:
    assert masked_crc(b"") == 0xA282EAD8


@pytest.mark.parametrize("length", [0, 1, 255, 256, 2**28 - 1, 2**28])
def test_a_header_tells_its_length(length: int) -> None:
    assert payload_length(of_length(WHOLE, length)[:12]) == length


def test_the_longest_record_is_256_mib() -> None:
    assert LONGEST_RECORD == 2**28


def test_records_follow_one_another_up_to_the_end_of_the_file() -> None:
    file = io.BytesIO(frame(b"first") + frame(b"") + frame(b"last"))
    assert [read_payload(file) for _ in range(4)] == [b"first", b"", b"last", None]


def test_a_record_is_read_from_where_the_file_stands() -> None:
    file = io.BytesIO(frame(b"first") + frame(b"last") + b"more")
    file.seek(len(frame(b"first")))
    assert read_payload(file) == b"last"
    assert file.read() == b"more"


@pytest.mark.parametrize(("damage", "reason"), UNSOUND.values(), ids=UNSOUND)
def test_an_unsound_frame_is_refused_with_its_reason(damage: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(DamagedFrame) as refused:
        read_payload(io.BytesIO(damage(WHOLE)))
    assert str(refused.value) == reason


@pytest.mark.parametrize("damage", TAINTED.values(), ids=TAINTED)
def test_a_payload_that_is_not_what_was_written_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DamagedFrame) as refused:
        read_payload(io.BytesIO(damage(WHOLE)))
    assert str(refused.value) == WRONG_SUM


def test_no_single_bit_can_flip_unnoticed() -> None:
    for bit in range(8 * len(WHOLE)):
        with pytest.raises(DamagedFrame):
            read_payload(io.BytesIO(flipped(WHOLE, bit)))


def test_no_truncation_goes_unnoticed() -> None:
    for kept in range(1, len(WHOLE)):
        with pytest.raises(DamagedFrame, match="the file ends within"):
            read_payload(io.BytesIO(WHOLE[:kept]))


@pytest.mark.parametrize("length", [2**28 + 1, 2**63, 2**64 - 1])
def test_no_memory_is_asked_for_a_record_that_is_no_film(length: int) -> None:
    asked = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size)
            return super().read(size)

    with pytest.raises(DamagedFrame):
        read_payload(Watched(of_length(WHOLE, length)))
    assert asked == [12]


def test_a_file_gives_its_records_in_order(tmp_path: Path) -> None:
    (tmp_path / "s.tfrec").write_bytes(b"".join(map(frame, (b"c", b"a", b"", b"b"))))
    assert list(read_payloads(tmp_path / "s.tfrec")) == [b"c", b"a", b"", b"b"]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "s.tfrec").touch()
    assert list(read_payloads(tmp_path / "s.tfrec")) == []


@pytest.mark.parametrize(("damage", "reason"), UNSOUND.values(), ids=UNSOUND)
def test_the_records_before_the_damage_are_given_and_the_damaged_one_is_named(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    (tmp_path / "003-128.tfrec").write_bytes(frame(b"first") + frame(b"second") + damage(WHOLE))
    payloads = read_payloads(tmp_path / "003-128.tfrec")
    assert (next(payloads), next(payloads)) == (b"first", b"second")
    with pytest.raises(UnreadableShard) as refused:
        next(payloads)
    assert str(refused.value) == f"003-128.tfrec, record 2: {reason}"


def test_a_file_is_read_as_its_records_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "s.tfrec").write_bytes(frame(b"first") + b"damage")
    assert next(read_payloads(tmp_path / "s.tfrec")) == b"first"


# The class behind `tf.io.TFRecordWriter`, without the twelve seconds that all of TensorFlow takes to import.
TENSORFLOWS_WRITER = """
import sys, types
from importlib.util import find_spec

tensorflow = types.ModuleType("tensorflow")
tensorflow.__path__ = find_spec("tensorflow").submodule_search_locations
sys.modules["tensorflow"] = tensorflow
from tensorflow.python.lib.io.tf_record import TFRecordWriter

with TFRecordWriter(sys.argv[1]) as writer:
    for payload in sys.argv[2:]:
        writer.write(bytes.fromhex(payload))
"""


def test_records_of_tensorflows_own_writer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    payloads = [rng.bytes(size) for size in (0, 1, 7, 8, 12, 16, 255, 256, 50_000)]
    path = tmp_path / "s.tfrec"
    subprocess.run(
        [sys.executable, "-c", TENSORFLOWS_WRITER, path, *(payload.hex() for payload in payloads)], check=True
    )
    assert list(read_payloads(path)) == payloads
    # And the frames that the other tests are made of are TensorFlow's, byte for byte.
    assert path.read_bytes() == b"".join(map(frame, payloads))


def test_the_real_shards_are_sound_to_the_last_byte(shared_data: Path) -> None:
    shards = sorted((shared_data / "nih" / "data").glob("*.tfrec"))
    assert len(shards) == 10
    for shard in shards:
        content, position = shard.read_bytes(), 0
        for payload in read_payloads(shard):
            length, length_sum = struct.unpack_from("<QI", content, position)
            (payload_sum,) = struct.unpack_from("<I", content, position + 12 + length)
            assert (length, length_sum) == (len(payload), masked_crc(content[position : position + 8]))
            assert payload_sum == masked_crc(payload)
            position += 16 + length
        assert position == len(content)


def test_a_real_shard_that_lost_its_end_is_read_up_to_there(shared_data: Path, tmp_path: Path) -> None:
    whole = shared_data / "nih" / "data" / "009-066.tfrec"
    (tmp_path / "009-066.tfrec").write_bytes(whole.read_bytes()[:-1])
    payloads = read_payloads(tmp_path / "009-066.tfrec")
    assert [next(payloads) for _ in range(65)] == list(read_payloads(whole))[:65]
    with pytest.raises(UnreadableShard) as refused:
        next(payloads)
    assert str(refused.value) == f"009-066.tfrec, record 65: {CUT}"
