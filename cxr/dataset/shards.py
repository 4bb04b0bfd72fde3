"""Reading the `.tfrec` shards of the Kaggle release without TensorFlow, so that any Keras backend can train on them.

A shard is a TFRecord file; each record is a serialized `tf.train.Example`. The two formats are small and frozen:
TFRecord frames a record as `uint64 length, uint32 crc(length), bytes, uint32 crc(bytes)`, little-endian
(tensorflow/core/lib/io/record_writer.h); the Example is a protocol buffer (tensorflow/core/example/feature.proto).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cxr.findings import CATEGORIES

FRAME_HEADER: Final = 12
FRAME_FOOTER: Final = 4
# A film of the release is about 50 KB; a length far above that is a damaged frame, not a film to allocate for.
LONGEST_RECORD: Final = 256 * 1024 * 1024


class UnreadableShard(ValueError):
    """A `.tfrec` file is damaged or does not hold labelled films; the message names the file and the record."""


@dataclass(frozen=True)
class Record:
    """One film of a shard.

    Attributes:
        image_id: the file name in NIH's release, such as `00000001_000.png`.
        image: the encoded film (JPEG in the release).
        labels: uint8 (15,), 0 or 1, in the order of `CATEGORIES`.
    """

    image_id: str
    image: bytes
    labels: np.ndarray


def read_records(path: Path) -> Iterator[Record]:
    """The films of one shard, in file order.

    Raises:
        UnreadableShard: a frame is cut off, a record is not an Example, or one of its fields is missing or wrong.
    """
    for number, payload in enumerate(_frames(path)):
        try:
            yield _record(_features(payload))
        except (IndexError, StopIteration) as error:
            raise UnreadableShard(f"{path.name}, record {number}: a field is empty or cut off.") from error
        except ValueError as error:
            raise UnreadableShard(f"{path.name}, record {number}: {error}") from error


def _frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        number = 0
        while header := file.read(FRAME_HEADER):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == FRAME_HEADER else LONGEST_RECORD + 1
            if length > LONGEST_RECORD:
                raise UnreadableShard(f"{path.name}, record {number}: this is not a TFRecord frame.")
            payload = file.read(length + FRAME_FOOTER)
            if len(payload) != length + FRAME_FOOTER:
                raise UnreadableShard(f"{path.name}, record {number}: the file ends within the record.")
            yield payload[:length]
            number += 1


def _record(features: dict[str, bytes | int]) -> Record:
    missing = [name for name in ("image", "image_id", *CATEGORIES) if name not in features]
    if missing:
        raise ValueError(f"the fields {', '.join(missing)} are missing.")
    image, image_id = features["image"], features["image_id"]
    if not isinstance(image, bytes) or not isinstance(image_id, bytes):
        raise ValueError("`image` and `image_id` must be bytes.")
    values = [features[name] for name in CATEGORIES]
    if any(value not in (0, 1) for value in values):
        raise ValueError("a label is neither 0 nor 1.")
    return Record(image_id.decode(), image, np.array(values, np.uint8))


def _features(example: bytes) -> dict[str, bytes | int]:
    """Name -> first value of every feature. Example{1: Features{1: map entries{1: name, 2: Feature}}}."""
    found: dict[str, bytes | int] = {}
    for features in _fields(example, 1):
        for entry in _fields(features, 1):
            name = next(_fields(entry, 1)).decode()
            feature = next(_fields(entry, 2))
            # Feature is a choice of 1: BytesList, 2: FloatList, 3: Int64List; each keeps its values in field 1.
            for kind, values in _tagged(feature):
                if kind == 1:
                    found[name] = next(_fields(values, 1))
                elif kind == 3:
                    found[name] = _first_int(values)
    return found


def _first_int(int64_list: bytes) -> int:
    # Packed (wire type 2) or, from older writers, one by one (wire type 0).
    tag, start = _varint(int64_list, 0)
    if tag & 7 == 2:
        _, start = _varint(int64_list, start)
    return _varint(int64_list, start)[0]


def _fields(message: bytes, number: int) -> Iterator[bytes]:
    return (value for field, value in _tagged(message) if field == number)


def _tagged(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, bytes) of every length-delimited field of a message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 != 2:
            raise ValueError("this is not a tf.train.Example.")
        length, position = _varint(message, position)
        if position + length > len(message):
            raise ValueError("a field is longer than its record.")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A base-128 varint and the position after it. Raises `IndexError` where the message ends first."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
