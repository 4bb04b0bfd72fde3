"""The framing of TFRecord files: `uint64 length, uint32 crc(length), bytes, uint32 crc(bytes)`, little-endian.

Source: tensorflow/core/lib/io/record_writer.h; the checksum is CRC-32C, masked as in tensorflow/core/lib/hash/crc32c.h.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import google_crc32c

FRAME_HEADER: Final = 12
FRAME_FOOTER: Final = 4
# A film of the release is about 50 KB; a length far above that is a damaged frame, not a film to allocate for.
LONGEST_RECORD: Final = 256 * 1024 * 1024


class UnreadableShard(ValueError):
    """A `.tfrec` file is damaged or does not hold labelled films; the message names the file and the place."""


class DamagedFrame(ValueError):
    """A frame that is not sound; the message says how, without the file and the place."""


def masked_crc(data: bytes) -> int:
    """The checksum of some bytes as TFRecord files keep it: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def payload_length(header: bytes) -> int:
    """The length in bytes of the record that a frame's header (12 bytes) announces.

    Raises:
        DamagedFrame: it is cut off, its checksum is wrong, or it announces more than `LONGEST_RECORD`.
    """
    if len(header) < FRAME_HEADER:
        raise DamagedFrame("the file ends within a record's header.")
    length, crc = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != crc:
        raise DamagedFrame("this is not a TFRecord frame, or its length is damaged.")
    if length > LONGEST_RECORD:
        raise DamagedFrame(f"a record of {length:,} bytes is no film.")
    return length


def read_payload(file: BinaryIO) -> bytes | None:
    """The record that begins where an open file stands, or None at the end of the file.

    Raises:
        DamagedFrame: the frame is cut off, or one of its checksums is wrong.
    """
    header = file.read(FRAME_HEADER)
    if not header:
        return None
    length = payload_length(header)
    framed = file.read(length + FRAME_FOOTER)
    if len(framed) < length + FRAME_FOOTER:
        raise DamagedFrame("the file ends within the record.")
    payload = framed[:length]
    if masked_crc(payload) != struct.unpack("<I", framed[length:])[0]:
        raise DamagedFrame("its checksum is wrong: the record is damaged.")
    return payload


def read_payloads(path: Path) -> Iterator[bytes]:
    """The records of a file, in order.

    Raises:
        UnreadableShard: naming the first frame that is not sound.
    """
    with path.open("rb") as file:
        number = 0
        while True:
            try:
                payload = read_payload(file)
            except DamagedFrame as error:
                raise UnreadableShard(f"{path.name}, record {number}: {error}") from error
            if payload is None:
                return
            yield payload
            number += 1
