"""PNG and JPEG films without what else such files hold: names, dates, places, cameras, small pictures of the whole."""

import io
import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

from cxr.radiograph.box import Box
from cxr.radiograph.codestream import START_OF_IMAGE, without_comments
from cxr.radiograph.deidentified_dicom import Cleaned, inside
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.raster import read_raster

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
ORIENTATION: Final = 0x0112
KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Chunks without which the image is none, or another (PNG specification, 11.2, 11.3.2)."""


def deidentified_raster(data: bytes, blank: tuple[Box, ...], max_pixels: int) -> Cleaned:
    """Take everything out of a PNG or JPEG file that is no image.

    Args:
        data: the whole file.
        blank: parts of the upright image that are made black; with any, a PNG is written, else the coded image stays.
        max_pixels: as of `read_raster`.

    Raises:
        UnreadableFilm: as of `read_raster`, or a part to be blanked lies outside of the image.
    """
    kind = "PNG" if data.startswith(PNG_SIGNATURE) else "JPEG"
    film = read_raster(data, kind, max_pixels)
    if blank:
        pixels = np.array(film.values)
        for box in blank:
            inside(box, pixels.shape)
            pixels[box.top : box.bottom, box.left : box.right] = 0
        stream = io.BytesIO()
        Image.fromarray(pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)).save(stream, "PNG")
        return Cleaned(stream.getvalue(), ".png")
    try:
        lies = Image.open(io.BytesIO(data), formats=(kind,)).getexif().get(ORIENTATION, 1)
        turned = _orientation(lies) if lies in range(2, 9) else None
        return Cleaned(_png(data, turned), ".png") if kind == "PNG" else Cleaned(_jpeg(data, turned), ".jpg")
    except (struct.error, OSError, SyntaxError, ValueError) as error:
        raise UnreadableFilm(f"The {kind} file is truncated or damaged.") from error


def _orientation(lies: int) -> bytes:
    """EXIF with one entry, how the image lies, without which it would be seen otherwise."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ORIENTATION, 3, 1, lies, 0, 0)


def _png(data: bytes, exif: bytes | None) -> bytes:
    parts, offset = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while offset < len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        chunk = data[offset : offset + 12 + length]
        if name == b"IDAT" and exif is not None:
            parts.append(_chunk(b"eXIf", exif))
            exif = None
        if name in KEPT:
            parts.append(chunk)
        if name == b"IEND":
            break
        offset += 12 + length
    return b"".join(parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _jpeg(data: bytes, exif: bytes | None) -> bytes:
    plain = without_comments(data)
    if exif is None:
        return plain
    content = b"Exif\0\0" + exif
    return START_OF_IMAGE + struct.pack(">HH", 0xFFE1, len(content) + 2) + content + plain[len(START_OF_IMAGE) :]
