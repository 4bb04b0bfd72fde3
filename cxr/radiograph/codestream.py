"""What a compressed image says of itself, looked at before a codec trusts it."""

import struct
from typing import Final

START_OF_IMAGE: Final = b"\xff\xd8"
START_OF_SCAN: Final = 0xFFDA
HUFFMAN_TABLES: Final = 0xFFC4
FILL: Final = 0xFFFF
LOSSLESS_FRAME: Final = 0xFFC3
# Start-of-frame markers of JPEG (ISO 10918-1 B.1.1.3; C4, C8 and CC mean something else) and JPEG-LS (ISO 14495-1).
START_OF_FRAME: Final = frozenset(range(0xFFC0, 0xFFD0)) - {HUFFMAN_TABLES, 0xFFC8, 0xFFCC} | {0xFFF7}
JPEG2000_START: Final = b"\xff\x4f\xff\x51"


def encoded_size(frame: bytes) -> tuple[int, int] | None:
    """The size that a JPEG, JPEG-LS or JPEG 2000 codestream gives.

    A codec follows its codestream, not the DICOM header, so a limit that looks at the header alone is none.

    Args:
        frame: one encapsulated frame.

    Returns:
        (rows, columns); None where the frame is no such codestream or its header is damaged.
    """
    try:
        return _jpeg_size(frame) if frame.startswith(START_OF_IMAGE) else _jpeg2000_size(frame)
    except struct.error:
        return None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """From the start of frame. GDCM ends the whole process at a bad precision or a missing table, so both are None."""
    size, kind, tables = None, 0, False
    offset, marker = len(START_OF_IMAGE), 0
    while marker != START_OF_SCAN:
        marker, length = struct.unpack_from(">HH", frame, offset)
        if marker == FILL:
            offset += 1
            continue
        if marker in START_OF_FRAME:
            precision, rows, columns = struct.unpack_from(">BHH", frame, offset + 4)
            if size or not 2 <= precision <= 16:
                return None
            size, kind = (rows, columns), marker
        tables = tables or marker == HUFFMAN_TABLES
        offset += 2 + length
    return size if tables or kind != LOSSLESS_FRAME else None


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """From the reference grid (ISO 15444-1 A.5.1); the codestream may lie in a JP2 file."""
    start = frame.find(JPEG2000_START)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    return bottom - top, right - left
