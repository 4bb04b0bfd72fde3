"""From a DICOM image's values to what is shown: VOI LUT, window, or the image's own percentiles (PS3.3 C.11.2)."""

from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_voi, apply_windowing

from cxr.radiograph.film import UnreadableFilm

ROBUST_PERCENTILES: Final = (0.5, 99.5)


def text_of(dataset: Dataset, keyword: str) -> str | None:
    """The first value of a text, or None. With a damaged length it goes on into what follows: the patient's name."""
    value = dataset.get(keyword)
    text = str(value[0] if isinstance(value, MultiValue) else value or "").strip()
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


def grey_levels(
    values: np.ndarray, padding: np.ndarray | None, dataset: Dataset, warnings: list[str]
) -> tuple[np.ndarray, str]:
    """Display values before photometric inversion.

    Args:
        values: (rows, columns), after the modality LUT.
        padding: mask of `padding_of`; its pixels do not count for percentiles.
        dataset: with the VOI LUT or windows; the first is used.
        warnings: gets a sentence where the file gives none that can be used.

    Returns:
        float32 (rows, columns) in 0..1, and in words where they come from.

    Raises:
        UnreadableFilm: the VOI LUT is damaged.
    """
    if dataset.get("VOILUTSequence"):
        try:
            item = dataset.VOILUTSequence[0]
            highest = 2.0 ** item.LUTDescriptor[2] - 1
            # pydicom looks values up at the depth of the output: with 8 bits, all above 255 would wrap around.
            item.LUTDescriptor[2] = 16
            shown = apply_voi(values, dataset)
            name = text_of(item, "LUTExplanation")
        except Exception as error:
            raise UnreadableFilm("The VOI lookup table of the DICOM file is damaged.") from error
        return _clipped(shown, 0, highest), _named("VOI LUT", name, len(dataset.VOILUTSequence))
    windows = _windows(dataset)
    if windows:
        try:
            shown = apply_windowing(values, dataset)
        except (TypeError, ValueError):
            warnings.append("The window that the file gives can't be used; grey levels were set from the image itself.")
        else:
            name = text_of(dataset, "WindowCenterWidthExplanation")
            return _clipped(shown, *_window_output(dataset)), _named("window", name, windows)
    else:
        warnings.append("The file gives no window; grey levels were set from the image itself.")
    image = values[~padding] if padding is not None else values
    low, high = np.percentile(image, ROBUST_PERCENTILES)
    if low == high:
        low, high = float(image.min()), float(image.max())
    return _clipped(values, low, high), "percentiles {:g} to {:g}".format(*ROBUST_PERCENTILES)


def _windows(dataset: Dataset) -> int:
    """How many usable pairs of window centre and width the file gives; a width of 0 is none."""
    width = dataset.get("WindowWidth")
    widths = list(width) if isinstance(width, MultiValue) else [width]
    # pydicom leaves what is no number as text.
    usable = dataset.get("WindowCenter") not in (None, "") and isinstance(widths[0], float) and widths[0] > 0
    return len(widths) if usable else 0


def _window_output(dataset: Dataset) -> tuple[float, float]:
    """The values between which pydicom's windowing puts its result."""
    if dataset.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits = int(dataset.BitsStored)
    signed = dataset.PixelRepresentation == 1
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is None or intercept is None:
        return low, high
    return low * float(slope) + float(intercept), high * float(slope) + float(intercept)


def _clipped(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if low == high:
        return np.zeros(values.shape, np.float32)
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _named(what: str, name: str | None, count: int) -> str:
    label = f"{what} “{name}”" if name else what
    return f"{label} (first of {count})" if count > 1 else label
