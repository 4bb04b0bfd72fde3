"""TFRecord shards written by hand from the two formats' specifications, not with the code under test.

TFRecord: `uint64 length, uint32 crc, bytes, uint32 crc`, little-endian. Example: the protocol buffer
`Example{1: Features{1: {1: name, 2: Feature}}}`, where a Feature is one of `1: BytesList`, `3: Int64List`.
"""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from cxr.findings import CATEGORIES

Fields = dict[str, bytes | int]


def jpeg(pixels: np.ndarray) -> bytes:
    """uint8 (height, width) as the bytes of a JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def film_fields(image_id: str, image: bytes = b"film", positive: tuple[str, ...] = ("No Finding",)) -> Fields:
    """The fields of one film of the Kaggle release."""
    labels = {name: int(name in positive) for name in CATEGORIES}
    return {"image": image, "image_id": image_id.encode(), **labels}


def example(fields: Fields, packed: bool = True, value_first: bool = False) -> bytes:
    """A serialized `tf.train.Example`; integers in one packed list or one by one, names before or after values."""
    return _sized(1, _entries(fields, packed, value_first))


def frame(payload: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(payload))
    return length + checksum(length) + payload + checksum(payload)


def checksum(data: bytes) -> bytes:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4), masked as in tensorflow/core/lib/hash/crc32c.h."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def film(image_id: str, *positive: str) -> bytes:
    """The record of a film whose image is the bytes `film` and its id."""
    return frame(example(film_fields(image_id, b"film " + image_id.encode(), positive)))


def hollow_film(image_id: str, size: int) -> tuple[bytes, bytes]:
    """What lies before and after the image of a film of `size` bytes; after it comes a checksum that is wrong."""
    fields = film_fields(image_id)
    del fields["image"]
    before, name, after = b"", _sized(1, b"image"), _entries(fields)
    # From the inside: the value, BytesList, Feature, map entry (with its name), Features (with the other entries).
    for number, ahead, behind in ((1, b"", b""), (1, b"", b""), (2, name, b""), (1, b"", b""), (1, b"", after)):
        before = ahead + _varint(number << 3 | 2) + _varint(len(before) + size + len(behind)) + before
    length = struct.pack("<Q", len(before) + size + len(after))
    return length + checksum(length) + before, after + b"none"


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes with one bit the other way round; a negative number counts from the last."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def of_length(record: bytes, length: int) -> bytes:
    """A record whose header announces another length, with the right checksum of it."""
    announced = struct.pack("<Q", length)
    return announced + checksum(announced) + record[12:]


NO_FRAME: Final = "this is not a TFRecord frame, or its length is damaged."
CUT: Final = "the file ends within the record."
WRONG_SUM: Final = "its checksum is wrong: the record is damaged."

UNSOUND: Final[dict[str, tuple[Callable[[bytes], bytes], str]]] = {
    "one byte": (lambda record: record[:1], "the file ends within a record's header."),
    "cut in the header": (lambda record: record[:11], "the file ends within a record's header."),
    "cut after the header": (lambda record: record[:12], CUT),
    "cut in the payload": (lambda record: record[:40], CUT),
    "cut after the payload": (lambda record: record[:-4], CUT),
    "cut in the checksum": (lambda record: record[:-1], CUT),
    "longer than the file": (lambda record: of_length(record, len(record) - 15), CUT),
    "the longest": (lambda record: of_length(record, 2**28), CUT),
    "longer than the longest": (
        lambda record: of_length(record, 2**28 + 1),
        "a record of 268,435,457 bytes is no film.",
    ),
    "absurdly long": (
        lambda record: of_length(record, 2**63),
        "a record of 9,223,372,036,854,775,808 bytes is no film.",
    ),
    "length damaged": (lambda record: flipped(record, 0), NO_FRAME),
    "length damaged in its last bit": (lambda record: flipped(record, 63), NO_FRAME),
    "checksum of the length damaged": (lambda record: flipped(record, 64), NO_FRAME),
    "checksum of the length damaged in its last bit": (lambda record: flipped(record, 95), NO_FRAME),
    "nothing but zeros": (lambda record: bytes(len(record)), NO_FRAME),
    "nothing but ones": (lambda record: b"\xff" * len(record), NO_FRAME),
}
"""Damage to a record after which nothing more can be found in its file, and what is said of it."""

TAINTED: Final[dict[str, Callable[[bytes], bytes]]] = {
    "first bit of the payload": lambda record: flipped(record, 96),
    "last bit of the payload": lambda record: flipped(record, -33),
    "first bit of the checksum": lambda record: flipped(record, -32),
    "last bit of the checksum": lambda record: flipped(record, -1),
}
"""Damage to a record that only its second checksum tells."""


def write_shard(path: Path, *films: Fields) -> Path:
    """A shard of some films."""
    path.write_bytes(b"".join(frame(example(fields)) for fields in films))
    return path


def _entries(fields: Fields, packed: bool = True, value_first: bool = False) -> bytes:
    entries = ((_sized(1, name.encode()), _sized(2, _feature(value, packed))) for name, value in fields.items())
    return b"".join(_sized(1, b"".join(entry[::-1] if value_first else entry)) for entry in entries)


def _feature(value: bytes | int, packed: bool) -> bytes:
    if isinstance(value, bytes):
        return _sized(1, _sized(1, value))
    return _sized(3, _sized(1, _varint(value)) if packed else _varint(1 << 3) + _varint(value))


def _sized(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
