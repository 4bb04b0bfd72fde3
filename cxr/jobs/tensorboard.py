"""Curves for TensorBoard, without TensorFlow, so that they are written under every backend of Keras.

A file of events is a TFRecord file of `Event` messages (tensorflow/core/util/event.proto, framework/summary.proto); of
these messages only numbers are needed, in the encoding of Protocol Buffers (protobuf.dev/programming-guides/encoding).
"""

import os
import platform
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cxr.dataset.tfrecord import masked_crc

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WALL_TIME, STEP, FILE_VERSION, SUMMARY, SESSION_LOG = 1, 2, 3, 5, 7
"""Fields of `Event`."""
VALUE, TAG, SIMPLE_VALUE, STATUS = 1, 1, 2, 1
"""Fields of `Summary`, of its values (two), and of `SessionLog`."""
VERSION: Final = b"brain.Event:2"
STARTED: Final = 1


class EventFile:
    """A new file of events; those of earlier processes in the same folder remain.

    Args:
        folder: made if it is missing.
        first_step: of this process: what an earlier one wrote of this and of later steps is passed over by TensorBoard.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}"
        self._write(_bytes(FILE_VERSION, VERSION))
        self._write(_varint(STEP, first_step) + _bytes(SESSION_LOG, _varint(STATUS, STARTED)))

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Add points of curves.

        Args:
            step: of the whole run.
            values: by name of the curve; None is no point.
        """
        summary = b"".join(
            _bytes(VALUE, _bytes(TAG, name.encode()) + _key(SIMPLE_VALUE, FIXED32) + struct.pack("<f", value))
            for name, value in values.items()
            if value is not None
        )
        self._write(_varint(STEP, step) + _bytes(SUMMARY, summary))

    def _write(self, fields: bytes) -> None:
        event = _key(WALL_TIME, FIXED64) + struct.pack("<d", time.time()) + fields
        length = struct.pack("<Q", len(event))
        framed = (length, struct.pack("<I", masked_crc(length)), event, struct.pack("<I", masked_crc(event)))
        with self.file.open("ab") as stream:
            stream.write(b"".join(framed))


def _number(value: int) -> bytes:
    """A number of 0 or more as a varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _key(field: int, kind: int) -> bytes:
    return _number(field << 3 | kind)


def _varint(field: int, value: int) -> bytes:
    return _key(field, VARINT) + _number(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, BYTES) + _number(len(value)) + value
