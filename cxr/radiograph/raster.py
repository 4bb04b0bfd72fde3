"""PNG and JPEG films, by Pillow."""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from cxr.radiograph.blocks import blocks
from cxr.radiograph.codestream import check_scans
from cxr.radiograph.decoded import Decoded
from cxr.radiograph.film import Facts, UnreadableFilm
from cxr.radiograph.grey_levels import GreyScale

PNG_BIT_DEPTH_OFFSET: Final = 24
# A scanned or exported film can carry a slight tint; a photograph differs between its channels by far more.
COLOUR_TOLERANCE: Final = 8.0
STRIP_PIXELS: Final = 2**20


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
        if kind == "JPEG":
            check_scans(data)
        if getattr(image, "n_frames", 1) > 1:
            raise UnreadableFilm(f"The {kind} file holds {image.n_frames} images; a film is one image.")  # type: ignore[attr-defined]
        image.load()
        oriented = ImageOps.exif_transpose(image)
        warnings: list[str] = []
        deep = oriented.mode.startswith("I")
        # Also here: Pillow looks at some parts of the file when it converts colours.
        values, used = _grey16(oriented, warnings) if deep else (_grey8(oriented, warnings), 8)
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
    bits = used if deep else min(bits, used)
    facts = Facts(kind, values.shape[1], values.shape[0], bits, image.mode)
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
    """Any 8-bit colour model as uint8 grey (luma of ITU-R BT.601), worked out strip by strip to take little memory."""
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.asarray(image.convert("L"), np.uint8)
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    colour, transparent = 0, False
    strip = max(1, STRIP_PIXELS // width)
    for top in range(0, height, strip):
        part = image.crop((0, top, width, min(top + strip, height)))
        if part.has_transparency_data:
            layers = part.convert("RGBA")
            transparent = transparent or int(np.asarray(layers.getchannel("A")).min()) < 255
            part = Image.alpha_composite(Image.new("RGBA", layers.size, "black"), layers)
        part = part.convert("RGB")
        colour += _colour(part)
        grey[top : top + strip] = np.asarray(part.convert("L"))
    if transparent:
        warnings.append("The image has transparent parts; they are shown black.")
    if colour > COLOUR_TOLERANCE * 9 * grey.size:
        warnings.append("This is a colour image; a radiograph is grey. Its brightness was used.")
    return grey


def _colour(image: Image.Image) -> int:
    """How far an RGB image is from grey: nine times the mean distance of a channel from the pixel's mean, summed up.

    So it is a whole number, and worked out in a tenth of the time.
    """
    channels = [np.asarray(channel) for channel in image.split()]
    total = 0
    for part in blocks(channels[0]):
        whole = sum((channel[part] for channel in channels[1:]), channels[0][part].astype(np.int16))
        total += sum(int(np.abs(channel[part] * np.int16(3) - whole).sum(dtype=np.int64)) for channel in channels)
    return total
