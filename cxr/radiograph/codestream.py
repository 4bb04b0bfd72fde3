"""What a compressed image says of itself, looked at before a codec trusts it."""

import struct
from typing import Final

from cxr.radiograph.film import UnreadableFilm

START_OF_IMAGE: Final = b"\xff\xd8"
START_OF_SCAN: Final = 0xFFDA
HUFFMAN_TABLES: Final = 0xFFC4
FILL: Final = 0xFFFF
LOSSLESS_FRAME: Final = 0xFFC3
# Start-of-frame markers of JPEG (ISO 10918-1 B.1.1.3; C4, C8 and CC mean something else) and JPEG-LS (ISO 14495-1).
JPEG_LS_FRAME: Final = 0xFFF7
START_OF_FRAME: Final = frozenset(range(0xFFC0, 0xFFD0)) - {HUFFMAN_TABLES, 0xFFC8, 0xFFCC} | {JPEG_LS_FRAME}
END_OF_IMAGE: Final = 0xFFD9
JPEG_COMMENT: Final = 0xFFFE
JPEG2000_COMMENT: Final = 0xFF64
JPEG2000_TILE: Final = 0xFF90
JPEG2000_START: Final = b"\xff\x4f\xff\x51"
CODESTREAM_BOX: Final = b"jp2c"
MOST_SCANS: Final = 100
"""Of a JPEG image; a progressive one has about ten."""


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
    """From the start of frame.

    GDCM ends the whole process at a bad precision or a missing table, and CharLS computes for seconds where the image
    has no end, so these are None.
    """
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
    if kind == LOSSLESS_FRAME and not tables:
        return None
    if kind == JPEG_LS_FRAME and struct.pack(">H", END_OF_IMAGE) not in frame[offset:]:
        return None
    return size


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """From the reference grid (ISO 15444-1 A.5.1); the codestream may lie in a JP2 file."""
    start, _ = _jpeg2000_place(frame)
    if not frame.startswith(JPEG2000_START, start):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    return bottom - top, right - left


def _jpeg2000_place(frame: bytes) -> tuple[int, int]:
    """Where the codestream lies. Other boxes of a JP2 file (ISO 15444-1 I.4) may hold what looks like one."""
    if frame.startswith(JPEG2000_START):
        return 0, len(frame)
    offset = 0
    while True:
        length, kind = struct.unpack_from(">I4s", frame, offset)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", frame, offset + 8), 16
        if kind == CODESTREAM_BOX:
            # 0: up to the end of the file.
            return offset + head, offset + length if length else len(frame)
        if length < head:
            return len(frame), len(frame)
        offset += length


def check_scans(data: bytes) -> None:
    """Refuse a JPEG image of which each part goes over all the pixels again.

    Args:
        data: a JPEG file or codestream. Coded pixels hold no marker; what a comment holds is counted too.

    Raises:
        UnreadableFilm: it has more than `MOST_SCANS`.
    """
    count = data.count(START_OF_SCAN.to_bytes(2, "big"))
    if count > MOST_SCANS:
        raise UnreadableFilm(f"The JPEG image comes in {count:,} scans; no more than {MOST_SCANS} are read.")


def without_comments(frame: bytes) -> bytes:
    """A codestream without the segments in which anybody may write: comments, and application data of JPEG.

    Args:
        frame: a whole JPEG, JPEG-LS or JPEG 2000 codestream, or a JPEG file; anything else is given back.

    Returns:
        The same image: all that decodes it stays, also Adobe's word on colours.
    """
    if frame.startswith(START_OF_IMAGE):
        return _plain_jpeg(frame)
    try:
        start, end = _jpeg2000_place(frame)
    except struct.error:
        return frame
    return _plain_jpeg2000(frame[start:end]) if frame.startswith(JPEG2000_START, start) else frame


def _plain_jpeg(frame: bytes) -> bytes:
    """ISO 10918-1 B.1: markers and their segments; after a start of scan coded data up to the next marker."""
    kept, offset = [START_OF_IMAGE], 2
    while offset + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, offset)
        if marker == FILL:
            offset += 1
            continue
        if marker == END_OF_IMAGE:
            break
        segment = frame[offset : offset + 2 + length]
        adobe = marker == 0xFFEE and segment[4:9] == b"Adobe" and length == 14
        if adobe or not (marker == JPEG_COMMENT or 0xFFE0 <= marker <= 0xFFEF):
            kept.append(segment)
        offset += 2 + length
        if marker == START_OF_SCAN:
            end = _end_of_scan(frame, offset)
            kept.append(frame[offset:end])
            offset = end
    image = b"".join((*kept, struct.pack(">H", END_OF_IMAGE)))
    return image + b"\0" * (len(image) % 2)


def _end_of_scan(frame: bytes, offset: int) -> int:
    """Where coded data end: at a marker that is no restart, and no byte FF of the data (in JPEG-LS: a bit follows)."""
    while True:
        offset = frame.find(b"\xff", offset)
        if offset < 0 or offset + 1 >= len(frame):
            return len(frame)
        following = frame[offset + 1]
        if following >= 0x80 and not 0xD0 <= following <= 0xD7 and following != 0xFF:
            return offset
        offset += 1


def _plain_jpeg2000(stream: bytes) -> bytes:
    """ISO 15444-1 A.2, A.9.2: comments of the main header; what follows it stays as it is, up to the end."""
    kept, offset = [stream[:2]], 2
    while offset + 4 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, offset)
        if marker == JPEG2000_TILE:
            break
        if marker != JPEG2000_COMMENT:
            kept.append(stream[offset : offset + 2 + length])
        offset += 2 + length
    end = stream.rfind(struct.pack(">H", END_OF_IMAGE))
    image = b"".join((*kept, stream[offset : end if end > offset else len(stream)], struct.pack(">H", END_OF_IMAGE)))
    return image + b"\0" * (len(image) % 2)
