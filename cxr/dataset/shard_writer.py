"""Writing `.tfrec` shards in the layout of the Kaggle release, without TensorFlow; what `shards` reads.

The same films give the same bytes on every machine.
"""

import struct
from collections.abc import Iterable
from typing import BinaryIO, Final

from cxr.dataset.shards import Record
from cxr.dataset.tfrecord import masked_crc
from cxr.findings import CATEGORIES

SHARD_FILMS: Final = 256
"""Films of a shard; those of the release have about 440."""


def shard_name(number: int, films: int) -> str:
    """As the release calls its shards: number of the shard, number of films, as in `003-256.tfrec`."""
    return f"{number:03d}-{films:03d}.tfrec"


def write_records(file: BinaryIO, records: Iterable[Record]) -> int:
    """Append films to an open shard; returns how many."""
    count = 0
    for record in records:
        file.write(framed(serialized(record)))
        count += 1
    return count


def framed(payload: bytes) -> bytes:
    """A record in the frame of a TFRecord file; see `tfrecord`."""
    length = struct.pack("<Q", len(payload))
    return length + _checksum(length) + payload + _checksum(payload)


def serialized(record: Record) -> bytes:
    """A film as a `tf.train.Example`: `image`, `image_id`, and the 15 labels as integers.

    Example{1: Features{1: map entries{1: name, 2: Feature}}}, where a Feature is one of 1: BytesList and 3: Int64List
    (tensorflow/core/example/feature.proto).
    """
    features = {"image": _bytes(record.image), "image_id": _bytes(record.image_id.encode())}
    features |= {name: _integer(int(label)) for name, label in zip(CATEGORIES, record.labels, strict=True)}
    entries = (_field(1, name.encode()) + _field(2, feature) for name, feature in features.items())
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _bytes(value: bytes) -> bytes:
    return _field(1, _field(1, value))


def _integer(value: int) -> bytes:
    # A list of integers is packed into one field.
    return _field(3, _field(1, _varint(value)))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes: tag, length, content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """A number of at least 0, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc(data))
