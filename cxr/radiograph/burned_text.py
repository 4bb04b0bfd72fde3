"""Text burned into a film's pixels: a name stamp, a time, "PORTABLE".

Letters are looked for, not words: pieces that stand out from their surroundings by about the same step, of one height,
side by side on one line. A lone side marker has too few of them. Nothing is read, so nothing of a
patient is known here.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from cxr.radiograph.blocks import as_bytes
from cxr.radiograph.box import Box, merged

LETTERS: Final = 4
"""Fewer in a row are a side marker or chance."""
SEEN: Final = 3
"""Of these at least so many pieces, where letters touch each other."""
SMALLEST, LARGEST = 5, 30
"""Height in pixels of the letters that are looked for in each step of the pyramid."""
SHORTEST_SIDE: Final = 160
"""The pyramid ends above this; the largest letters found are about a sixth of a film's shorter side."""
STEP: Final = 48
"""Grey levels (of 255) by which a letter stands out at least."""
SLOPE: Final = 36
"""Grey levels between a pixel and the next but one that make a steep place."""
SHARP: Final = 0.5
"""Part of the whole step at a letter's edge that two pixels see."""
ALIKE: Final = 0.25
"""Part of a letter's step by which two neighbours' grey levels differ at most."""
TOUCHING: Final = 10
"""Heights that letters which touch are wide at most; wider is a line."""
MOST_PIECES: Final = 1500
"""More in one place are noise; those that stand out most are looked at."""
ENLARGED: Final = 1200
"""A film whose shorter side has fewer pixels is looked at enlarged too: its letters may be a few pixels high."""
BLOCK: Final = 16
BAND: Final = 16
"""Rows of blocks that are looked at at once; what is worked out of so many stays in a processor core's cache."""
STEEP: Final = 10
"""Steep pixels of a block's 256, in each direction, from which on it is looked at closely."""
WINDOW: Final = 15
"""Side in pixels of the surroundings whose lightest and darkest pixel a letter's edge lies between."""


def burned_text(pixels: np.ndarray) -> tuple[Box, ...]:
    """Where letters stand in a film: lines of four or more, level or upright, bright or dark.

    Args:
        pixels: (height, width) as the film is displayed: uint8, or float in 0..1.

    Returns:
        A box for each line of text, the uppermost first; none where no text was seen. Handwriting, letters that touch
        each other and those less than `SMALLEST` pixels high are not seen.

    Raises:
        ValueError: not a grey image of one of these types.
    """
    grey = _grey(pixels)
    height, width = grey.shape
    found: list[Box] = []
    scale = 1
    while min(grey.shape) >= (SHORTEST_SIDE if scale > 1 else BLOCK):
        for place in _busy(grey):
            found += [box.times(scale) for box in _lines(grey, place)]
            if scale == 1 and min(height, width) <= ENLARGED:
                found += _lines(grey, place, 2)
        grey, scale = _halved(grey), 2 * scale
    inside = [Box(b.top, b.left, min(b.height, height - b.top), min(b.width, width - b.left)) for b in found]
    return merged(inside)


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim != 2 or (pixels.dtype != np.uint8 and pixels.dtype.kind != "f"):
        raise ValueError(f"A grey image (uint8, or float in 0..1) was expected, not {pixels.dtype} {pixels.shape}.")
    if pixels.dtype == np.uint8:
        return pixels
    if not pixels.size or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError("A grey image in 0..1 was expected; this one has other values, or none.")
    return as_bytes(pixels)


def _halved(grey: np.ndarray) -> np.ndarray:
    """The mean of each two by two pixels."""
    height, width = (side // 2 * 2 for side in grey.shape)
    rows = grey[:height:2, :width].astype(np.uint16)
    rows += grey[1:height:2, :width]
    four = rows[:, ::2] + rows[:, 1::2]
    four += 2
    four >>= 2
    return four.astype(np.uint8)


def _lines(grey: np.ndarray, place: Box, enlarge: int = 1) -> list[Box]:
    """Lines of letters of `SMALLEST` to `LARGEST` pixels of the enlarged image, in pixels of the given one."""
    part = grey[place.top : place.bottom, place.left : place.right]
    window = WINDOW // enlarge | 1
    highest = ndimage.maximum_filter(part, window).astype(np.int16)
    lowest = ndimage.minimum_filter(part, window).astype(np.int16)
    if not (highest - lowest >= STEP).any():
        return []
    slope = _slope(part)
    if enlarge > 1:
        size = (part.shape[1] * enlarge, part.shape[0] * enlarge)
        part = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BICUBIC))
        slope, highest, lowest = (
            each.repeat(enlarge, axis=0).repeat(enlarge, axis=1) for each in (slope, highest, lowest)
        )
    step = highest - lowest
    bright = 2 * part.astype(np.int16) > highest + lowest
    found = []
    for letters in ((step >= STEP) & bright, (step >= STEP) & ~bright):
        pieces = _pieces(letters, part, step, slope)
        if pieces is None:
            continue
        for line in (*_rows(pieces), *(_turned(line) for line in _rows(_turned_pieces(pieces)))):
            top, left = line.top // enlarge, line.left // enlarge
            height, width = -(-line.bottom // enlarge) - top, -(-line.right // enlarge) - left
            found.append(Box(place.top + top, place.left + left, height, width))
    return found


def _busy(grey: np.ndarray) -> list[Box]:
    """The places that have many steep pixels both across and down, as letters have."""
    rows, columns = (side // BLOCK for side in grey.shape)
    if not rows or not columns:
        return []
    steep = np.concatenate([_steep(grey, first, min(first + BAND, rows)) for first in range(0, rows, BAND)])
    if not steep.any():
        return []
    # Half a block at each side, and what the last blocks leave over.
    places, _ = ndimage.label(ndimage.binary_dilation(steep, np.ones((3, 3), bool)), np.ones((3, 3), int))
    boxes = []
    for down, across in ndimage.find_objects(places):
        bottom = grey.shape[0] if down.stop == rows else down.stop * BLOCK
        right = grey.shape[1] if across.stop == columns else across.stop * BLOCK
        top, left = down.start * BLOCK, across.start * BLOCK
        boxes.append(Box(top, left, bottom - top, right - left))
    return boxes


def _steep(grey: np.ndarray, first: int, last: int) -> np.ndarray:
    """Of the blocks in rows of blocks from `first` to before `last`, bool: which have many steep pixels both ways."""
    columns = grey.shape[1] // BLOCK
    height, width, top = (last - first) * BLOCK, columns * BLOCK, first * BLOCK
    below = grey[top : min(top + height + 2, grey.shape[0] // BLOCK * BLOCK), :width]
    steep = np.ones((last - first, columns), bool)
    for before, after in ((below[:height, :-2], below[:height, 2:]), (below[:-2], below[2:])):
        far = np.zeros((height, width), np.uint8)
        step = np.maximum(before, after)
        step -= np.minimum(before, after)
        np.greater_equal(step, SLOPE, out=far[: step.shape[0], : step.shape[1]].view(bool))
        # A column of a block has no more than 16, so that bytes suffice; they are several times as fast.
        down = far.reshape(-1, BLOCK, width).sum(axis=1, dtype=np.uint8)
        steep &= down.reshape(-1, columns, BLOCK).sum(axis=2) >= STEEP
    return steep


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Pieces that could be letters or several that touch; each array has one number for each piece.

    Attributes:
        top, left, height, width: pixels.
        level: mean grey level, 0..255.
        step: how far the lightest and the darkest grey level around it lie apart.
        sharp: bool, its edge is.
    """

    top: np.ndarray
    left: np.ndarray
    height: np.ndarray
    width: np.ndarray
    level: np.ndarray
    step: np.ndarray
    sharp: np.ndarray

    def some(self, which: np.ndarray) -> "_Pieces":
        """Those that an index or a mask chooses."""
        return _Pieces(
            self.top[which],
            self.left[which],
            self.height[which],
            self.width[which],
            self.level[which],
            self.step[which],
            self.sharp[which],
        )

    def box(self) -> Box:
        """Around all of them."""
        top, left = int(self.top.min()), int(self.left.min())
        return Box(top, left, int((self.top + self.height).max()) - top, int((self.left + self.width).max()) - left)


def _turned_pieces(p: _Pieces) -> _Pieces:
    return _Pieces(p.left, p.top, p.width, p.height, p.level, p.step, p.sharp)


def _turned(box: Box) -> Box:
    return Box(box.left, box.top, box.width, box.height)


def _slope(grey: np.ndarray) -> np.ndarray:
    """Int16, the most that a pixel's neighbours at two opposite sides and the pixel itself differ by."""
    padded = np.pad(grey, 1, mode="edge").astype(np.int16)
    here = padded[1:-1, 1:-1]
    steepest = np.zeros(grey.shape, np.int16)
    for before, after in ((padded[1:-1, :-2], padded[1:-1, 2:]), (padded[:-2, 1:-1], padded[2:, 1:-1])):
        for one, other in ((before, after), (before, here), (here, after)):
            np.maximum(steepest, np.abs(one - other), out=steepest)
    return steepest


def _pieces(mask: np.ndarray, grey: np.ndarray, step: np.ndarray, slope: np.ndarray) -> _Pieces | None:
    """The connected parts of the mask that have at most the size of a letter, or of several that touch.

    None where there are too few for a line.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3), int))
    if count < SEEN:
        return None
    boxes = np.array(
        [(d.start, a.start, d.stop - d.start, a.stop - a.start) for d, a in ndimage.find_objects(labels)], int
    ).reshape(-1, 4)
    top, left, height, width = boxes.T
    area = np.bincount(labels[mask], minlength=count + 1)[1:]
    shorter, longer = np.minimum(height, width), np.maximum(height, width)
    fits = (shorter <= LARGEST) & (longer <= TOUCHING * LARGEST) & (area >= 0.12 * height * width)
    if fits.sum() < SEEN:
        return None

    def mean(of: np.ndarray, where: np.ndarray) -> np.ndarray:
        number = labels[where]
        sums = np.bincount(number, of[where], count + 1)[1:]
        return sums / np.maximum(np.bincount(number, minlength=count + 1)[1:], 1)

    edge = mask.copy()
    edge[1:-1, 1:-1] &= ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
    steps = mean(step, edge)
    sharp = mean(slope, edge) >= SHARP * steps
    found = _Pieces(top, left, height, width, mean(grey, mask), steps, sharp).some(fits)
    return found.some(np.lexsort((-found.step, ~found.sharp))[:MOST_PIECES])


def _rows(pieces: _Pieces) -> list[Box]:
    """Around pieces that stand beside each other like the letters of a line, at least `LETTERS` of them."""
    tall = (pieces.height >= SMALLEST) & (pieces.height <= LARGEST)
    p = pieces.some(pieces.sharp & tall & (pieces.width <= TOUCHING * pieces.height))
    if len(p.top) < SEEN:
        return []
    bottom, right = p.top + p.height, p.left + p.width
    taller, smaller = np.maximum(p.height[:, None], p.height), np.minimum(p.height[:, None], p.height)
    gap = p.left - right[:, None]
    shared = np.minimum(bottom[:, None], bottom) - np.maximum(p.top[:, None], p.top)
    near = (
        (p.left > p.left[:, None])
        & (gap <= 0.9 * taller)
        & (gap >= -0.2 * taller)
        & (shared >= 0.75 * smaller)
        & (smaller >= 0.6 * taller)
        & (np.abs(p.level[:, None] - p.level) <= ALIKE * np.minimum(p.step[:, None], p.step))
    )
    count, which = connected_components(near, directed=False)
    # Letters that touch are one piece, as wide as all of them.
    letters = np.where(p.width <= 1.6 * p.height, 1, np.rint(p.width / (0.8 * p.height)))
    number, total = np.bincount(which, minlength=count), np.bincount(which, letters, count)
    return [_whole(p.some(which == line), pieces) for line in np.flatnonzero((number >= SEEN) & (total >= LETTERS))]


def _whole(line: _Pieces, pieces: _Pieces) -> Box:
    """Around a line with what stands in it besides the letters that were seen, and a margin."""
    box = line.box()
    tall = float(np.median(line.height))
    while True:
        near = (
            (pieces.height <= 2 * tall)
            & (np.minimum(pieces.top + pieces.height, box.bottom) > np.maximum(pieces.top, box.top))
            & (pieces.left <= box.right + 1.5 * tall)
            & (pieces.left + pieces.width >= box.left - 1.5 * tall)
        )
        wider = pieces.some(near).box()
        if wider.width <= box.width:
            break
        box = Box(box.top, wider.left, box.height, wider.width)
    margin = round(0.35 * tall) + 1
    top, left = max(0, box.top - margin), max(0, box.left - margin)
    return Box(top, left, box.bottom + margin - top, box.right + margin - left)
