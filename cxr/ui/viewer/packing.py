"""Pixels of a film as the bytes that travel to the browser.

Each level is predicted from its left, upper and upper left neighbours (the median edge detector of JPEG-LS, ISO/IEC
14495-1 A.4.1); the differences, which are mostly small, go as low bytes and then high bytes into one zlib stream, which
every browser can inflate. On films that is smaller than a 16-bit PNG and several times as fast to make, because runs
are all that zlib has to look for: what is left of a film after prediction is noise.
"""

import secrets
import zlib
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

import numpy as np

_SECRET: Final = secrets.token_bytes(32)


@dataclass(frozen=True)
class Packed:
    """A picture on its way.

    Attributes:
        width, height: pixels.
        planes: 1 where all differences fit a byte, or 2.
        curve: how many float32 values of a grey curve follow the planes; 0 for none.
        data: zlib stream of the planes, then the curve, little-endian.
    """

    width: int
    height: int
    planes: int
    curve: int
    data: bytes

    @cached_property
    def mark(self) -> str:
        """32 hexadecimal digits of this content and of this process; another content has others."""
        return blake2b(self.data, key=_SECRET, digest_size=16).hexdigest()


def pack(levels: np.ndarray, curve: np.ndarray | None = None) -> Packed:
    """Pack uint8 or uint16 (height, width), and a grey curve float32 (n,), without loss."""
    left = _predicted(levels)
    # Modulo 2**16, and with the sign in the lowest bit: small differences of either sign are small numbers.
    signed = (levels.astype(np.int32) - left).astype(np.int16)
    folded = ((signed << 1) ^ (signed >> 15)).astype(np.uint16)
    planes = [(folded & 255).astype(np.uint8)]
    high = (folded >> 8).astype(np.uint8)
    if high.any():
        planes.append(high)
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    parts = [packer.compress(plane) for plane in planes]
    samples = np.asarray([] if curve is None else curve, "<f4")
    parts += [packer.compress(samples.tobytes()), packer.flush()]
    height, width = levels.shape
    return Packed(width, height, len(planes), len(samples), b"".join(parts))


def _predicted(levels: np.ndarray) -> np.ndarray:
    """int32 (height, width); beyond the border the film goes on as its nearest known neighbour, and starts at 0."""
    known = levels.astype(np.int32)
    predicted = np.zeros_like(known)
    predicted[0, 1:] = known[0, :-1]
    predicted[1:, 0] = known[:-1, 0]
    left, up, corner = known[1:, :-1], known[:-1, 1:], known[:-1, :-1]
    predicted[1:, 1:] = np.clip(left + up - corner, np.minimum(left, up), np.maximum(left, up))
    return predicted
