"""How well text burned into films is seen: words drawn into films in which none was seen before.

    python -m benchmarks.burned_text --data DIR [--pictures DIR] [--json benchmarks/burned_text.json]

The films are every seventh of a folder in the layout of the Kaggle release, and every fifth of a folder of pictures of
other hospitals. Every second drawn film goes through JPEG. matplotlib brings the typefaces (`make bench` installs it).
"""

import argparse
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxr.dataset.shards import find_shards, read_records
from cxr.dataset.statistics import wilson
from cxr.radiograph.burned_text import Box, burned_text
from cxr.training.scope_pictures import picture_files

WORDS: Final = (
    *("SMITH^JOHN", "Doe, Jane 12.03.1956", "14:32:07", "PORTABLE", "MRN 0048213"),
    *("Mueller-Luedenscheidt", "St. Mary Hospital"),
)
TYPEFACES: Final = ("DejaVuSans", "DejaVuSansMono-Bold", "DejaVuSerif", "STIXGeneral", None)
"""Files of matplotlib's; None is Pillow's own."""
SIZES: Final = (8, 10, 12, 16, 24, 36, 56)
"""Of the type, pixels."""
DRAWN: Final = 100
"""Films for each size and way."""
EVERY_FILM, EVERY_PICTURE = 7, 5
QUALITY: Final = 85
MARGIN: Final = 4


@dataclass(frozen=True)
class Way:
    """How words are drawn: grey level of the letters, of the box behind them (None: the film), where they stand."""

    name: str
    letters: int
    behind: int | None
    in_corner: bool


WAYS: Final = (
    Way("white on a black box, in a corner", 255, 0, True),
    Way("black on a white box, in a corner", 0, 250, True),
    Way("white on the bare film, anywhere", 255, None, False),
)


def films(data: Path, pictures: Path | None) -> Iterator[np.ndarray]:
    """uint8 (height, width)."""
    records = (record for shard in find_shards(data) for record in read_records(shard))
    for number, record in enumerate(records):
        if number % EVERY_FILM == 0:
            yield np.asarray(Image.open(io.BytesIO(record.image)).convert("L"))
    for file in picture_files(pictures)[::EVERY_PICTURE] if pictures is not None else ():
        yield np.asarray(Image.open(file).convert("L"))


def drawn(film: np.ndarray, rng: np.random.Generator, size: int, way: Way) -> tuple[np.ndarray, Box] | None:
    """A film with words, and where they stand; None if they are too long for it."""
    height, width = film.shape
    typeface = TYPEFACES[rng.integers(len(TYPEFACES))]
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(folder / f"{typeface}.ttf"), size) if typeface else ImageFont.load_default(size)
    words = WORDS[rng.integers(len(WORDS))]
    image = Image.fromarray(film.copy())
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (round(side) for side in draw.textbbox((0, 0), words, font=font))
    across, down = right - left, bottom - top
    far = (width - across - MARGIN, height - down - MARGIN)
    if min(far) <= MARGIN:
        return None
    x, y = ((MARGIN, end)[rng.integers(2)] if way.in_corner else int(rng.integers(MARGIN, end)) for end in far)
    if way.behind is not None:
        draw.rectangle((x - MARGIN, y - MARGIN, x + across + MARGIN - 1, y + down + MARGIN - 1), fill=way.behind)
    draw.text((x - left, y - top), words, fill=way.letters, font=font)
    return np.asarray(image), Box(y, x, down, across)


def through_jpeg(film: np.ndarray) -> np.ndarray:
    """The same as it comes out of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(film).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file))


def covered(words: Box, found: tuple[Box, ...]) -> float:
    """Part of a box that others cover, 0..1."""
    mask = np.zeros((words.height, words.width), bool)
    for box in found:
        top, left = max(0, box.top - words.top), max(0, box.left - words.left)
        mask[top : max(0, box.bottom - words.top), left : max(0, box.right - words.left)] = True
    return float(mask.mean())


def measured(data: Path, pictures: Path | None, each: int) -> dict[str, Any]:
    """How often words were seen, for each way and size, and how much of what was seen is covered."""
    given = list(films(data, pictures))
    bare = [film for film in given if not burned_text(film)]
    rows = []
    for way in WAYS:
        for size in SIZES:
            rng = np.random.default_rng(size)
            shares = []
            for number in range(each):
                made = drawn(bare[rng.integers(len(bare))], rng, size, way)
                if made is not None:
                    film, words = made
                    shares.append(covered(words, burned_text(through_jpeg(film) if number % 2 else film)))
            seen = [share for share in shares if share > 0]
            low, high = wilson(np.array(len(seen)), np.array(len(shares)))
            rows.append(
                {
                    "way": way.name,
                    "size": size,
                    "drawn": len(shares),
                    "seen": len(seen),
                    "low": float(low),
                    "high": float(high),
                    "whole": sum(share >= 1 for share in seen),
                }
            )
    return {"films": len(given), "without": len(bare), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pictures", type=Path, metavar="DIR")
    parser.add_argument("--each", type=int, default=DRAWN)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    record = measured(given.data, given.pictures, given.each)
    print(json.dumps(record, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
