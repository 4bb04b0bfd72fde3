"""A film at the full depth of its file, for a viewer that sets the window itself."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np

from cxr.radiograph.blocks import as_bytes, blocks
from cxr.radiograph.decoded import Decoded
from cxr.radiograph.film import Facts
from cxr.radiograph.grey_levels import GreyScale
from cxr.radiograph.read import decoded

DEEPEST: Final = 2**16 - 1


@dataclass(frozen=True, eq=False)
class FullDepth:
    """A film before any window.

    Attributes:
        levels: uint16 (height, width); the greater, the denser. Neighbouring levels are neighbouring values of the
            file; only an image with more than 65,536 of them is coarser than its file.
        low, high: the file's own window in levels, low < high: black and white, or the span of its `curve`.
        curve, reach: as of `GreyScale`: how grey goes from low to high; None: in a straight line.
        padded: level 0 is no image, and black at every window.
        zero, step: value of the file = zero + step * level; step is negative where small values are dense.
        facts: what the file says of itself.
        id: SHA-256 of the file, hexadecimal.
    """

    levels: np.ndarray
    low: float
    high: float
    curve: np.ndarray | None
    reach: tuple[float, float]
    padded: bool
    zero: float
    step: float
    facts: Facts
    id: str

    def picture(self, low: float | None = None, high: float | None = None) -> np.ndarray:
        """uint8 (height, width) at a window, in levels; at the file's own it is the film as `read_radiograph` shows it.

        The curve of the file is stretched over any other window.
        """
        black = self.low if low is None else low
        white = self.high if high is None else high
        shown = GreyScale(black, white, self.curve, self.reach).shown(self.levels)
        grey = as_bytes(shown)
        if self.padded:
            grey[self.levels == 0] = 0
        return grey


def full_depth(data: bytes, max_pixels: int | None = None) -> FullDepth:
    """Read one PNG, JPEG or DICOM film at its full depth, in this process; arguments as of `read_radiograph`.

    Raises:
        UnreadableFilm: as of `read_radiograph`, except that a blank film is not refused.
    """
    return _in_levels(decoded(data, max_pixels), sha256(data).hexdigest())


def _in_levels(image: Decoded, film: str) -> FullDepth:
    values, padding, scale = image.values, image.padding, image.scale
    seen = values if padding is None else values[~padding]
    least, most = float(seen.min()), float(seen.max())
    padded = padding is not None
    grain = max(image.grain, (most - least) / (DEEPEST - padded))
    # Levels grow towards white, and start at 1 where 0 is kept for padding.
    start, step = (least, grain) if scale.white > scale.black else (most, -grain)
    zero = start - padded * step
    exact = image.grain == grain == 1 and values.dtype.kind in "iu"
    levels = np.empty(values.shape, np.uint16)
    for part in blocks(values):
        if exact:
            wide = values[part].astype(np.int64)
            levels[part] = wide - int(zero) if step > 0 else int(zero) - wide
        else:
            levels[part] = np.clip(np.rint((values[part].astype(np.float64) - zero) / step), 0, DEEPEST)
    if padding is not None:
        levels[padding] = 0
    return FullDepth(
        levels=levels,
        low=(scale.black - zero) / step,
        high=(scale.white - zero) / step,
        curve=scale.curve,
        reach=scale.reach,
        padded=padded,
        zero=zero,
        step=step,
        facts=image.facts,
        id=film,
    )
