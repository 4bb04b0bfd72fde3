"""Reading the `.tfrec` shards of the Kaggle release without TensorFlow, so that any Keras backend can train on them.

A shard is a TFRecord file; each record is a serialized `tf.train.Example`, a protocol buffer whose layout is small and
frozen (tensorflow/core/example/feature.proto).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr.dataset.tfrecord import UnreadableShard, read_payloads
from cxr.findings import CATEGORIES

Message = bytes | memoryview


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
    return Record(image_id, bytes(features["image"]), labels)


def parse_labels(payload: memoryview) -> tuple[str, np.ndarray]:
    """Image id and labels, uint8 (15,), from a serialized Example without touching the bytes of its film.

    Raises:
        ValueError: as for `parse_record`.
    """
    return _labelled(_features(payload))


def _labelled(features: dict[str, Message | int]) -> tuple[str, np.ndarray]:
    missing = [name for name in ("image", "image_id", *CATEGORIES) if name not in features]
    if missing:
        raise ValueError(f"the fields {', '.join(missing)} are missing.")
    image_id = features["image_id"]
    if isinstance(image_id, int) or isinstance(features["image"], int):
        raise ValueError("`image` and `image_id` must be bytes.")
    values = [features[name] for name in CATEGORIES]
    if any(value not in (0, 1) for value in values):
        raise ValueError("a label is neither 0 nor 1.")
    return bytes(image_id).decode(), np.array(values, np.uint8)


def _features(example: Message) -> dict[str, Message | int]:
    """Name -> first value of every feature. Example{1: Features{1: map entries{1: name, 2: Feature}}}."""
    found: dict[str, Message | int] = {}
    try:
        for features in _fields(example, 1):
            for entry in _fields(features, 1):
                name = bytes(next(_fields(entry, 1))).decode()
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


def _first_int(int64_list: Message) -> int:
    # Packed (wire type 2) or, from older writers, one by one (wire type 0).
    tag, start = _varint(int64_list, 0)
    if tag & 7 == 2:
        _, start = _varint(int64_list, start)
    return _varint(int64_list, start)[0]


def _fields(message: Message, number: int) -> Iterator[Message]:
    return (value for field, value in _tagged(message) if field == number)


def _tagged(message: Message) -> Iterator[tuple[int, Message]]:
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


def _varint(message: Message, position: int) -> tuple[int, int]:
    """A base-128 varint and the position after it. Raises `IndexError` where the message ends first."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
