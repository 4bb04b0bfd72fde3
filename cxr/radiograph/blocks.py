"""Work on a large image a few rows at a time: it takes little memory, and what it works on stays in the cache."""

from collections.abc import Iterator
from typing import Final

import numpy as np

BLOCK: Final = 2**16
"""Values of a block: as places in a table of 64 bits they fill half of a processor core's usual second cache."""


def blocks(values: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis of about `BLOCK` values each."""
    rows = max(1, BLOCK * len(values) // max(1, values.size))
    return (slice(first, first + rows) for first in range(0, len(values), rows))


def as_bytes(grey: np.ndarray) -> np.ndarray:
    """Grey levels in 0..1, float of at least one dimension, as uint8 in 0..255, halves to the even neighbour."""
    found = np.empty(grey.shape, np.uint8)
    for part in blocks(grey):
        levels = grey[part] * 255
        found[part] = np.rint(levels, out=levels)
    return found
