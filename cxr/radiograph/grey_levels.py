"""From a DICOM image's values to what is shown: VOI LUT, window, or the image's own percentiles (PS3.3 C.11.2)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_voi
from pydicom.valuerep import PersonName

from cxr.radiograph.blocks import blocks
from cxr.radiograph.film import UnreadableFilm

ROBUST_PERCENTILES: Final = (0.5, 99.5)
SIGMOID_REACH: Final = (-4.0, 5.0)
"""Beyond these a sigmoid window is black or white to 1 in 10 million."""
SIGMOID_SAMPLES: Final = 8192
FURTHEST: Final = 1e30
"""Beyond this, and where it is no number, a window is no use."""
TABLED: Final = 2**16


def text_of(dataset: Dataset, keyword: str) -> str | None:
    """The first value of a text, or None. With a damaged length it goes on into what follows: the patient's name."""
    value = _first(dataset.get(keyword))
    # A damaged type makes anything of it, such as a sequence, which breaks when it is made text.
    text = str(value).strip() if isinstance(value, str | int | float | PersonName) else ""
    return text if text and text.isprintable() else None


def padding_of(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Mask of the pixels that are no image (PS3.3 C.7.5.1.1.2), or None."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = dataset.get("PixelPaddingRangeLimit", value)
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() and not mask.all() else None


@dataclass(frozen=True, eq=False)
class GreyScale:
    """How grey follows from an image's values.

    Attributes:
        black, white: the values between which grey goes from black to white; black is the greater where small values
            are shown bright (MONOCHROME1).
        curve: float32 (n,) in 0..1, n >= 2: grey at n evenly spaced places of the window; None: a straight line.
        reach: the places of the first and the last of them, in windows: 0 is black, 1 is white.
        words: where it comes from; None for PNG and JPEG.
    """

    black: float
    white: float
    curve: np.ndarray | None = None
    reach: tuple[float, float] = (0.0, 1.0)
    words: str | None = None

    def inverted(self) -> "GreyScale":
        """The same with white for black."""
        curve = None if self.curve is None else 1 - self.curve[::-1]
        return GreyScale(self.white, self.black, curve, (1 - self.reach[1], 1 - self.reach[0]), self.words)

    def shown(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Values of any shape, of at least one dimension, and number type as grey, float32 in 0..1.

        Args:
            values: what is shown.
            out: float32 array of that shape, which becomes the result; None: a new one.
        """
        shown = np.empty(values.shape, np.float32) if out is None else out
        if values.dtype.kind in "iu" and values.size > TABLED:
            low, high = int(values.min()), int(values.max())
            if high - low < TABLED:
                # Of few values each is worked out once.
                table = self._worked_out(np.arange(low, high + 1, dtype=np.float64))
                for part in blocks(values):
                    places = np.subtract(values[part], low, dtype=np.intp, casting="unsafe")
                    # All lie in the table; without "clip" NumPy would go through a buffer.
                    np.take(table, places, out=shown[part], mode="clip")
                return shown
        for part in blocks(values):
            shown[part] = self._worked_out(values[part])
        return shown

    def _worked_out(self, values: np.ndarray) -> np.ndarray:
        place = (np.asarray(values, np.float64) - self.black) / (self.white - self.black)
        if self.curve is None:
            return np.clip(place, 0, 1).astype(np.float32)
        first, last = self.reach
        steps = len(self.curve) - 1
        place = np.clip((place - first) * steps / (last - first), 0, steps)
        below = np.minimum(place.astype(np.int64), steps - 1)
        curve = self.curve.astype(np.float64)
        return (curve[below] + (curve[below + 1] - curve[below]) * (place - below)).astype(np.float32)


def grey_scale(values: np.ndarray, padding: np.ndarray | None, dataset: Dataset, warnings: list[str]) -> GreyScale:
    """The scale by which an image is shown, before photometric inversion.

    Args:
        values: (rows, columns), after the modality LUT.
        padding: mask of `padding_of`; its pixels do not count for percentiles.
        dataset: with the VOI LUT or windows; the first is used.
        warnings: gets a sentence where the file gives none that can be used.

    Raises:
        UnreadableFilm: the VOI LUT is damaged.
    """
    if dataset.get("VOILUTSequence"):
        return _looked_up(dataset)
    windows = _windows(dataset)
    if windows:
        name = text_of(dataset, "WindowCenterWidthExplanation")
        scale = _windowed(dataset, _named("window", name, windows))
        if scale is not None:
            return scale
        warnings.append("The window that the file gives can't be used; grey levels were set from the image itself.")
    else:
        warnings.append("The file gives no window; grey levels were set from the image itself.")
    image = values[~padding] if padding is not None else values
    low, high = map(float, np.percentile(image, ROBUST_PERCENTILES))
    if low == high:
        low, high = float(image.min()), float(image.max())
    return GreyScale(low, _above(low, high), words="percentiles {:g} to {:g}".format(*ROBUST_PERCENTILES))


def _looked_up(dataset: Dataset) -> GreyScale:
    """The first VOI LUT, as a curve over the values that it has entries for."""
    try:
        item = dataset.VOILUTSequence[0]
        entries, first = int(item.LUTDescriptor[0]) or 2**16, int(item.LUTDescriptor[1])
        highest = 2.0 ** item.LUTDescriptor[2] - 1
        # pydicom looks values up at the depth of the output: with 8 bits, all above 255 would wrap around.
        item.LUTDescriptor[2] = 16
        curve = np.clip(apply_voi(first + np.arange(entries), dataset) / highest, 0, 1).astype(np.float32)
        name = text_of(item, "LUTExplanation")
    except Exception as error:
        raise UnreadableFilm("The VOI lookup table of the DICOM file is damaged.") from error
    if entries == 1:
        curve = np.repeat(curve, 2)
    last = float(first + len(curve) - 1)
    return GreyScale(float(first), last, curve, words=_named("VOI LUT", name, len(dataset.VOILUTSequence)))


def _windowed(dataset: Dataset, words: str) -> GreyScale | None:
    """The first window, by its function (PS3.3 C.11.2.1.2 and C.11.2.1.3); None where it can't be used."""
    centre, width = (_first(dataset.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    function = (text_of(dataset, "VOILUTFunction") or "LINEAR").upper()
    if not isinstance(centre, float) or not isinstance(width, float) or not (abs(centre) + width < FURTHEST):
        return None
    if function == "LINEAR" and width >= 1:
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        return GreyScale(low, _above(low, high), words=words)
    low, high = centre - width / 2, _above(centre - width / 2, centre + width / 2)
    if function == "LINEAR_EXACT":
        return GreyScale(low, high, words=words)
    if function == "SIGMOID":
        place = np.linspace(*SIGMOID_REACH, SIGMOID_SAMPLES)
        curve = (1 / (1 + np.exp(-4 * (place - 0.5)))).astype(np.float32)
        return GreyScale(low, high, curve, SIGMOID_REACH, words)
    return None


def _first(value: object) -> object:
    return (value[0] if len(value) else None) if isinstance(value, MultiValue) else value


def _above(low: float, high: float) -> float:
    """A value a trifle above `low` where `high` is not: in a window without width all above `low` is white."""
    return high if high > low else low + 1e-6 * max(1.0, abs(low))


def _windows(dataset: Dataset) -> int:
    """How many usable pairs of window centre and width the file gives; a width of 0 is none."""
    width = dataset.get("WindowWidth")
    widths = list(width) if isinstance(width, MultiValue) and len(width) else [_first(width)]
    # pydicom leaves what is no number as text.
    usable = dataset.get("WindowCenter") not in (None, "") and isinstance(widths[0], float) and widths[0] > 0
    return len(widths) if usable else 0


def _named(what: str, name: str | None, count: int) -> str:
    label = f"{what} “{name}”" if name else what
    return f"{label} (first of {count})" if count > 1 else label
