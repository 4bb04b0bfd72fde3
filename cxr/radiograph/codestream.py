"""What a compressed image says of its own size, before a codec reserves memory for it."""

import struct
from typing import Final

START_OF_IMAGE: Final = b"\xff\xd8"
JPEG2000_START: Final = b"\xff\x4f\xff\x51"
START_OF_SCAN: Final = 0xFFDA
FILL: Final = 0xFFFF
# Start-of-frame markers of JPEG (ISO 10918-1 B.1.1.3; C4, C8 and CC mean something else) and JPEG-LS (ISO 14495-1).
START_OF_FRAME: Final = frozenset(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC} | {0xFFF7}


def encoded_size(frame: bytes) -> tuple[int, int] | None:
    """The size that a JPEG, JPEG-LS or JPEG 2000 codestream gives.

    A codec follows its codestream, not the DICOM header, so a limit that looks at the header alone is none.

    Args:
        frame: one encapsulated frame.

    Returns:
        (rows, columns); None where the frame is no such codestream or ends before it says.
    """
    try:
        return _jpeg_size(frame) if frame.startswith(START_OF_IMAGE) else _jpeg2000_size(frame)
    except struct.error:
        return None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    offset, marker = len(START_OF_IMAGE), 0
    while marker != START_OF_SCAN:
        marker, length = struct.unpack_from(">HH", frame, offset)
        if marker in START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, offset + 5)
            return rows, columns
        offset += 1 if marker == FILL else 2 + length
    return None


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """The reference grid of ISO 15444-1 A.5.1; the codestream may lie in a JP2 file."""
    start = frame.find(JPEG2000_START)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    return bottom - top, right - left
