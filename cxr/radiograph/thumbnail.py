"""Small pictures of films, for lists."""

import io

from PIL import Image

from cxr.radiograph.codestream import check_scans
from cxr.radiograph.film import UnreadableFilm, most_pixels

QUALITY = 80


def thumbnail(data: bytes, side: int, max_pixels: int | None = None) -> bytes:
    """A PNG or JPEG film as a small grey JPEG; a large JPEG is decoded at reduced scale.

    Args:
        data: the whole file.
        side: longest side of the result, pixels.
        max_pixels: larger films are refused from their header; None: as the settings say.

    Raises:
        UnreadableFilm: it is damaged, something else, or larger than is read.
    """
    limit = most_pixels() if max_pixels is None else max_pixels
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > limit:
                raise UnreadableFilm("The film has more pixels than are read.")
            if image.format == "JPEG":
                check_scans(data)
            image.draft("L", (side, side))
            small = image.convert("L")
    except UnreadableFilm:
        raise
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and zlib.error for damaged files.
        raise UnreadableFilm("The film is truncated or damaged.") from error
    small.thumbnail((side, side), reducing_gap=2)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
