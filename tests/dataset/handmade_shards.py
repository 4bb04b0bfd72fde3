"""TFRecord shards written by hand from the two formats' specifications, not with the code under test.

TFRecord: `uint64 length, uint32 crc, bytes, uint32 crc`, little-endian. Example: the protocol buffer
`Example{1: Features{1: {1: name, 2: Feature}}}`, where a Feature is one of `1: BytesList`, `3: Int64List`.
"""

import io
import struct
from pathlib import Path

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


def example(fields: Fields, packed: bool = True) -> bytes:
    """A serialized `tf.train.Example`; integers in one packed list or one by one."""
    return _sized(
        1, b"".join(_sized(1, _sized(1, n.encode()) + _sized(2, _feature(v, packed))) for n, v in fields.items())
    )


def frame(payload: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(payload))
    return length + _checksum(length) + payload + _checksum(payload)


def _checksum(data: bytes) -> bytes:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4), masked as in tensorflow/core/lib/hash/crc32c.h."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def write_shard(path: Path, *films: Fields) -> Path:
    """A shard of some films."""
    path.write_bytes(b"".join(frame(example(fields)) for fields in films))
    return path


def _feature(value: bytes | int, packed: bool) -> bytes:
    if isinstance(value, bytes):
        return _sized(1, _sized(1, value))
    return _sized(3, _sized(1, _varint(value)) if packed else _varint(1 << 3) + _varint(value))


def _sized(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
