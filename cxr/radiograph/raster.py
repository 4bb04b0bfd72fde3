"""PNG and JPEG films, by Pillow."""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from cxr.radiograph.decoded import Decoded
from cxr.radiograph.film import Facts, UnreadableFilm
from cxr.radiograph.grey_levels import GreyScale

PNG_BIT_DEPTH_OFFSET: Final = 24
# A scanned or exported film can carry a slight tint; a photograph differs between its channels by far more.
COLOUR_TOLERANCE: Final = 8.0


def read_raster(data: bytes, kind: str, max_pixels: int) -> Decoded:
    """Read a PNG or JPEG film of any colour model.

    Args:
        data: the whole file.
        kind: "PNG" or "JPEG", as its signature says; nothing else is opened.
        max_pixels: a larger image is refused from its header, before it is decoded.

    Returns:
        Its grey values, to be shown by the bits in use; transparent parts are black, EXIF orientation is applied.

    Raises:
        UnreadableFilm: too large, several frames, truncated or damaged.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=(kind,))
        width, height = image.size
        _check_size(width, height, max_pixels)
        if getattr(image, "n_frames", 1) > 1:
            raise UnreadableFilm(f"The {kind} file holds {image.n_frames} images; a film is one image.")  # type: ignore[attr-defined]
        image.load()
        oriented = ImageOps.exif_transpose(image)
    except UnreadableFilm:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableFilm(
            f"The image has more than {max_pixels / 1e6:g} megapixels, the most that is read."
        ) from error
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and zlib.error for damaged files.
        raise UnreadableFilm(f"The {kind} file is truncated or damaged.") from error

    bits = data[PNG_BIT_DEPTH_OFFSET] if kind == "PNG" else 8
    warnings: list[str] = []
    photometric = image.mode
    if oriented.mode.startswith("I"):
        values, used = _grey16(oriented, warnings)
        bits = used
    else:
        values, used = _grey8(oriented, warnings), 8
        bits = min(bits, used)
    facts = Facts(kind, values.shape[1], values.shape[0], bits, photometric)
    return Decoded(values, None, GreyScale(0, 2**used - 1), facts, tuple(warnings))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UnreadableFilm(
            f"The image has {width} x {height} pixels, more than the {max_pixels / 1e6:g} megapixels that are read."
        )


def _grey16(image: Image.Image, warnings: list[str]) -> tuple[np.ndarray, int]:
    """16-bit grey, and the bits in use. (Pillow's own `convert("L")` clips it to white.)"""
    values = np.asarray(image)
    highest = int(values.max())
    bits = next((b for b in (8, 10, 12, 14) if highest < 2**b), 16)
    if bits < 16:
        warnings.append(f"The 16-bit image uses only {bits} bits; its grey scale was stretched to these.")
    return values, bits


def _grey8(image: Image.Image, warnings: list[str]) -> np.ndarray:
    """Any 8-bit colour model as uint8 grey (luma of ITU-R BT.601)."""
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image, np.uint8)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        if np.asarray(layers.getchannel("A")).min() < 255:
            warnings.append("The image has transparent parts; they are shown black.")
        black = Image.new("RGBA", layers.size, "black")
        image = Image.alpha_composite(black, layers)
    colour = image.convert("RGB")
    channels = np.asarray(colour, np.int16)
    if np.abs(channels - channels.mean(axis=2, keepdims=True)).mean() > COLOUR_TOLERANCE:
        warnings.append("This is a colour image; a radiograph is grey. Its brightness was used.")
    return np.asarray(colour.convert("L"), np.uint8)
