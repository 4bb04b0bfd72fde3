"""How well text burned into films is seen: words drawn into films in which none was seen before.

    python -m benchmarks.burned_text --data DIR [--pictures DIR ...] [--json benchmarks/burned_text.json]

The films are those of a folder in the layout of the Kaggle release, and of folders of pictures of other hospitals. All
are looked at as they are; words are drawn into every seventh that is large enough. Every second of the drawn ones goes
through JPEG. matplotlib brings the typefaces (`make bench` installs it).
"""

import argparse
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxr.dataset.shards import find_shards, read_records
from cxr.dataset.statistics import wilson
from cxr.radiograph.box import Box, overlap
from cxr.radiograph.burned_text import burned_text
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
EVERY: Final = 7
SHORTEST: Final = 400
"""Pixels of the shorter side of films into which words are drawn."""
FAINT: Final = 40
"""Grey levels between white letters and most of what is under them, below which they can hardly be seen."""
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


def films(data: Path, pictures: list[Path]) -> dict[str, list[np.ndarray]]:
    """uint8 (height, width), by where they come from."""
    records = (record for shard in find_shards(data) for record in read_records(shard))
    found = {"ChestX-ray14": [np.asarray(Image.open(io.BytesIO(record.image)).convert("L")) for record in records]}
    for folder in pictures:
        found[folder.name] = [np.asarray(Image.open(file).convert("L")) for file in picture_files(folder)]
    return found


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


def measured(given: dict[str, list[np.ndarray]], each: int) -> dict[str, Any]:
    """How often words were seen, for each way and size, and of white ones where the film itself is nearly white."""
    bare: list[np.ndarray] = []
    as_they_are = {}
    for source, some in given.items():
        without = [film for film in some if not burned_text(film)]
        as_they_are[source] = {"films": len(some), "with text": len(some) - len(without)}
        bare += [film for film in without if min(film.shape) >= SHORTEST]
    bare = bare[::EVERY]
    rows, faint = [], []
    for way in WAYS:
        for size in SIZES:
            rng = np.random.default_rng(size)
            seen = []
            for number in range(each):
                film = bare[rng.integers(len(bare))]
                made = drawn(film, rng, size, way)
                if made is None:
                    continue
                image, words = made
                seen.append(
                    any(overlap(words, box) for box in burned_text(through_jpeg(image) if number % 2 else image))
                )
                under = film[words.top : words.bottom, words.left : words.right]
                if way.behind is None and 255 - np.percentile(under, 75) < FAINT:
                    faint.append(seen[-1])
            rows.append({"way": way.name, "size": size, **_share(seen)})
    return {"as they are": as_they_are, "films": len(bare), "rows": rows, "faint": {"below": FAINT, **_share(faint)}}


def _share(seen: list[bool]) -> dict[str, float]:
    low, high = wilson(np.array(sum(seen)), np.array(len(seen)))
    return {"drawn": len(seen), "seen": sum(seen), "low": float(low), "high": float(high)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pictures", type=Path, metavar="DIR", nargs="*", default=[])
    parser.add_argument("--each", type=int, default=DRAWN)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    record = measured(films(given.data, given.pictures), given.each)
    print(json.dumps(record, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
