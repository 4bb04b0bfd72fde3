"""Reading the `.tfrec` shards of the Kaggle release without TensorFlow, so that any Keras backend can train on them.

A shard is a TFRecord file; each record is a serialized `tf.train.Example`, a protocol buffer whose layout is small and
frozen (tensorflow/core/example/feature.proto).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from cxr.dataset.tfrecord import UnreadableShard, read_payloads
from cxr.findings import CATEGORIES

SMALL: Final = 4096
"""No name and no label of a record takes more bytes; what does is its film."""
LONGEST_VARINT: Final = 10
EMPTY_BYTES: Final = b"\x04\x0a\x02\x0a\x00"
"""Length and content of a Feature that holds one empty value of bytes."""
NO_EXAMPLE: Final = "this is not a tf.train.Example."
TOO_LONG: Final = "a field is longer than its record."


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


def find_shards(folder: Path) -> list[Path]:
    """The `.tfrec` files of a folder, at any depth, in the order of their names."""
    return sorted(folder.rglob("*.tfrec"))


def read_records(path: Path) -> Iterator[Record]:
    """The films of one shard, in file order.

    Raises:
        UnreadableShard: a frame is cut off, a checksum is wrong, a record is not an Example, or one of its fields is
            missing or wrong.
    """
    for number, payload in enumerate(read_payloads(path)):
        try:
            yield parse_record(payload)
        except ValueError as error:
            raise UnreadableShard(f"{path.name}, record {number}: {error}") from error


def parse_record(payload: bytes) -> Record:
    """A film from its serialized Example.

    Raises:
        ValueError: it is not an Example, or one of its fields is missing or wrong.
    """
    features = _features(payload)
    image_id, labels = _labelled(features)
    image = features["image"]
    assert isinstance(image, bytes)  # noqa: S101
    return Record(image_id, image, labels)


def parse_labels(payload: bytes) -> tuple[str, np.ndarray]:
    """Image id and labels, uint8 (15,), from a serialized Example.

    Raises:
        ValueError: as for `parse_record`.
    """
    return _labelled(_features(payload))


def skim(file: BinaryIO, length: int) -> bytes:
    """A record without its film: of what is larger than `SMALL` only the place is kept, and its bytes are not read.

    The record must be as TensorFlow writes it: one field that holds everything.

    Args:
        file: stands at the beginning of the record.
        length: of the record, bytes.

    Returns:
        A serialized Example with the same names and labels, for `parse_labels`.

    Raises:
        ValueError: it is not an Example.
    """
    end = file.tell() + length
    tag, size = _head(file)
    if tag != b"\x0a" or file.tell() + size != end:
        raise ValueError(NO_EXAMPLE if file.tell() + size <= end else TOO_LONG)
    entries = _skimmed(file, size, depth=2)
    return b"\x0a" + _encoded(len(entries)) + entries


def _skimmed(file: BinaryIO, size: int, depth: int) -> bytes:
    """The fields of a message, whose large ones are looked into `depth` levels deep and then left out."""
    end = file.tell() + size
    found = bytearray()
    while file.tell() < end:
        tag, inner = _head(file)
        if file.tell() + inner > end:
            raise ValueError(TOO_LONG)
        if inner <= SMALL:
            found += tag + _encoded(inner) + file.read(inner)
        elif depth > 1:
            content = _skimmed(file, inner, depth - 1)
            found += tag + _encoded(len(content)) + content
        else:
            file.seek(inner, os.SEEK_CUR)
            found += tag + EMPTY_BYTES
    return bytes(found)


def _head(file: BinaryIO) -> tuple[bytes, int]:
    """Tag and length of the field at which a file stands."""
    tag, size, shift = file.read(1), 0, 0
    if not tag or tag[0] & 7 != 2:
        raise ValueError(NO_EXAMPLE)
    while shift < 7 * LONGEST_VARINT:
        byte = file.read(1)
        if not byte:
            break
        size |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return tag, size
        shift += 7
    raise ValueError(NO_EXAMPLE)


def _encoded(value: int) -> bytes:
    """A number as a base-128 varint."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _labelled(features: dict[str, bytes | int]) -> tuple[str, np.ndarray]:
    missing = [name for name in ("image", "image_id", *CATEGORIES) if name not in features]
    if missing:
        raise ValueError(f"the fields {', '.join(missing)} are missing.")
    image_id = features["image_id"]
    if isinstance(image_id, int) or isinstance(features["image"], int):
        raise ValueError("`image` and `image_id` must be bytes.")
    values = [features[name] for name in CATEGORIES]
    if any(value not in (0, 1) for value in values):
        raise ValueError("a label is neither 0 nor 1.")
    try:
        if not image_id:
            raise ValueError("the image id is empty or too long.")
        return image_id.decode(), np.array(values, np.uint8)
    except UnicodeDecodeError as error:
        raise ValueError("the image id is not text.") from error


def _features(example: bytes) -> dict[str, bytes | int]:
    """Name -> first value of every feature. Example{1: Features{1: map entries{1: name, 2: Feature}}}."""
    found: dict[str, bytes | int] = {}
    try:
        for features in _fields(example, 1):
            for entry in _fields(features, 1):
                name = next(_fields(entry, 1)).decode(errors="replace")
                feature = next(_fields(entry, 2))
                # Feature is a choice of 1: BytesList, 2: FloatList, 3: Int64List; each keeps its values in field 1.
                for kind, values in _tagged(feature):
                    if kind == 1:
                        found[name] = next(_fields(values, 1))
                    elif kind == 3:
                        found[name] = _first_int(values)
    except (IndexError, StopIteration) as error:
        raise ValueError("a field is empty or cut off.") from error
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
            raise ValueError(NO_EXAMPLE)
        length, position = _varint(message, position)
        if position + length > len(message):
            raise ValueError(TOO_LONG)
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A base-128 varint and the position after it. `IndexError` where the message ends first, else `ValueError`."""
    value = shift = 0
    while shift < 7 * LONGEST_VARINT:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(NO_EXAMPLE)
