"""What the scope check learns from on every machine: films spoilt on purpose, drawn pictures, and those of packages."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from cxr.radiograph import UnreadableFilm, read_radiograph

FRONTAL: Final = "frontal"
TURNED: Final = ("left", "right", "half")
SMALLEST: Final = 200
"""Pictures with fewer pixels on a side are enlarged to `ENLARGED` before anything is learnt of them."""
ENLARGED: Final = 512
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".dcm")
SLICE_WORDS: Final = ("ct", "mr", "us", "slice", "ultrasound")
NOT_A_FILM_WORDS: Final = ("photo", "document", "screenshot", "not_a_film", "drawing")
PACKAGE_PICTURES: Final = (
    ("sklearn", "datasets/images/*.jpg", "photo", "not_a_film"),
    ("matplotlib", "mpl-data/sample_data/*.jpg", "photo", "not_a_film"),
    ("streamlit", "static/static/media/*.png", "drawing", "not_a_film"),
    ("pydicom", "data/test_files/CT_small.dcm", "ct", "slice"),
    ("pydicom", "data/test_files/MR_small.dcm", "mr", "slice"),
    ("pydicom", "data/test_files/693_J2KI.dcm", "ct", "slice"),
    ("pydicom", "data/test_files/examples_palette.dcm", "ultrasound", "slice"),
)
"""Package, files in it, what they show, and their kind."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture to learn from, or to be tested with.

    Attributes:
        pixels: float32 (height, width) in 0..1.
        kind: what it is: `FRONTAL`, one of `TURNED`, "mirror", "inverted", "cropped", "lateral", "other_body_part",
            "slice" or "not_a_film".
        source: where it comes from, such as a hospital or a package.
        group: pictures of one group never fit and test one another (of a patient, or versions of one picture).
        original: False where it was made from another picture.
    """

    pixels: np.ndarray
    kind: str
    source: str
    group: str
    original: bool = True


def kind_of(name: str) -> str:
    """The kind of the pictures in a folder, told by its name."""
    words = name.lower()
    if words in {FRONTAL, *TURNED, "inverted", "cropped", "other_body_part"}:
        return words
    if "lateral" in words:
        return "lateral"
    if any(word in words for word in NOT_A_FILM_WORDS):
        return "not_a_film"
    parts = words.replace("-", "_").split("_")
    if any(part in SLICE_WORDS or part.endswith(("ct", "mri")) for part in parts):
        return "slice"
    return "other_body_part"


def turned(pixels: np.ndarray, remedy: str) -> np.ndarray:
    """The picture so that `remedy` (a `cxr.radiograph.scope.Turn`) would put it upright."""
    if remedy == "mirror":
        return pixels[:, ::-1]
    return np.rot90(pixels, {"left": -1, "right": 1, "half": 2}[remedy])


def cropped(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small part of a film: a window of 20 to 45% of each side."""
    height, width = pixels.shape
    h, w = (max(8, int(side * rng.uniform(0.2, 0.45))) for side in (height, width))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return pixels[top : top + h, left : left + w]


def mild(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The film as another hospital could have exported it: other grey levels, borders, sharpness and proportions."""
    height, width = pixels.shape
    top, bottom, left, right = rng.uniform(0, 0.09, 4) * rng.integers(0, 2)
    part = pixels[int(top * height) : int((1 - bottom) * height), int(left * width) : int((1 - right) * width)]
    image = Image.fromarray(np.rint(255 * part).astype(np.uint8))
    if rng.random() < 0.4:
        side = int(rng.uniform(64, 256))
        image = image.resize((side, int(side * rng.uniform(0.85, 1.15))), Image.Resampling.BILINEAR)
        image = image.resize((part.shape[1], part.shape[0]), Image.Resampling.BICUBIC)
    image = image.rotate(rng.normal(0, 3), Image.Resampling.BILINEAR, fillcolor=0)
    grey = (np.asarray(image, np.float32) / 255) ** np.exp(rng.uniform(-0.5, 0.5))
    grey = np.clip(0.5 + (grey - 0.5) * rng.uniform(0.6, 1.4) + rng.uniform(-0.1, 0.1), 0, 1)
    if rng.random() < 0.3:
        pads = (rng.uniform(0, 0.15, (2, 2)) * [[height], [width]] * rng.integers(0, 2, (2, 1))).astype(int)
        grey = np.pad(grey, pads, constant_values=float(rng.random() < 0.3))
    return np.ascontiguousarray(grey, np.float32)


def spoilt(film: Picture, rng: np.random.Generator, kinds: tuple[str, ...]) -> Iterator[Picture]:
    """A film in each of several kinds of spoilt: `TURNED`, "mirror", "inverted", "cropped"; `FRONTAL` is `mild`."""
    for kind in kinds:
        pixels = film.pixels if rng.random() < 0.5 else mild(film.pixels, rng)
        if kind == FRONTAL:
            pixels = mild(film.pixels, rng)
        elif kind == "cropped":
            pixels = cropped(pixels, rng)
        elif kind == "inverted":
            pixels = 1 - pixels
            if rng.random() < 0.3:
                pixels = turned(pixels, str(rng.choice(TURNED)))
        else:
            pixels = turned(pixels, kind)
        yield Picture(np.ascontiguousarray(pixels, np.float32), kind, film.source, film.group, original=False)


def varied(picture: Picture, rng: np.random.Generator, count: int) -> Iterator[Picture]:
    """An out-of-scope picture, turned, mirrored, inverted, enlarged and `mild` by chance: it stays what it is."""
    for _ in range(count):
        pixels = mild(picture.pixels, rng)
        pixels = np.rot90(pixels, rng.choice([0, 0, 0, 1, 2, 3]))
        pixels = pixels[:, ::-1] if rng.random() < 0.3 else pixels
        pixels = 1 - pixels if rng.random() < 0.2 else pixels
        pixels = np.ascontiguousarray(pixels, np.float32)
        yield Picture(pixels, picture.kind, picture.source, picture.group, original=False)


def picture_files(folder: Path) -> list[Path]:
    """Files of a folder and its folders that may be pictures, by name."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if file.suffix.lower() in SUFFIXES or not file.suffix]


def of_files(files: Iterable[Path]) -> Iterator[Picture]:
    """Pictures, of the kinds that the names of their folders say (`kind_of`); what can't be read is left out."""
    for file in files:
        try:
            pixels = read_radiograph(file.read_bytes()).pixels
        except UnreadableFilm:
            continue
        if min(pixels.shape) < SMALLEST:
            # Else the size alone would tell, and nothing would be learnt of what is in it.
            image = Image.fromarray(pixels).resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)
            pixels = np.clip(np.asarray(image, np.float32), 0, 1)
        yield Picture(pixels, kind_of(file.parent.name), file.parent.name, f"{file.parent.name}/{file.name}")


def of_packages() -> Iterator[Picture]:
    """Photographs, plots and slices that installed packages carry; those that are not installed are left out."""
    for package, pattern, shown, kind in PACKAGE_PICTURES:
        spec = find_spec(package)
        folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
        for file in sorted(folder.glob(pattern)) if folder is not None else ():
            yield Picture(_any_picture(file), kind, f"{shown} {package}", f"{package}/{file.name}")


def _any_picture(file: Path) -> np.ndarray:
    if file.suffix == ".dcm":
        from pydicom import dcmread

        values = np.asarray(dcmread(file).pixel_array, np.float32)
        values = (
            values.mean(-1) if values.ndim == 3 and values.shape[-1] == 3 else values.reshape(-1, *values.shape[-2:])[0]
        )
        low, high = np.percentile(values, (0.5, 99.5))
        return np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        return np.asarray(image.convert("RGB").convert("L"), np.float32) / 255


def drawn(rng: np.random.Generator) -> Iterator[Picture]:
    """One picture of each drawn kind: page, screenshot, plot, texture, slice, fan of an ultrasound probe, limb."""
    for name, draw, kind in (
        ("page", _page, "not_a_film"),
        ("screenshot", _screenshot, "not_a_film"),
        ("plot", _plot, "not_a_film"),
        ("texture", _texture, "not_a_film"),
        ("slice", _slice, "slice"),
        ("fan", _fan, "slice"),
        ("limb", _limb, "other_body_part"),
    ):
        yield Picture(
            np.asarray(draw(rng), np.float32) / 255, kind, f"drawn {name}", f"drawn {name} {rng.integers(2**62)}"
        )


WORDS: Final = (
    "chest",
    "film",
    "shows",
    "no",
    "change",
    "since",
    "last",
    "year",
    "please",
    "compare",
    "report",
    "number",
)


def _text(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words))


def _page(rng: np.random.Generator) -> Image.Image:
    width, height = (int(side) for side in rng.uniform((500, 650), (800, 1000)))
    paper, ink = (245, 20) if rng.random() < 0.8 else (20, 235)
    image = Image.new("L", (width, height), paper)
    draw = ImageDraw.Draw(image)
    size = int(rng.uniform(10, 24))
    font, y = ImageFont.load_default(size), int(rng.uniform(20, 90))
    while y < height - size - 20:
        if rng.random() < 0.85:
            draw.text((rng.uniform(25, 45), y), _text(rng, int(rng.uniform(2, width / size / 3))), ink, font)
        y += int(size * 1.5)
    return image


def _screenshot(rng: np.random.Generator) -> Image.Image:
    width, height = (int(side) for side in rng.uniform((700, 450), (1300, 800)))
    image = Image.new("L", (width, height), int(rng.choice([250, 235, 40, 20])))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.uniform(4, 14))):
        x, y = rng.uniform(0, width * 0.8), rng.uniform(0, height * 0.8)
        box = (x, y, x + rng.uniform(40, width * 0.6), y + rng.uniform(20, height * 0.5))
        draw.rectangle(box, int(rng.uniform(0, 255)), int(rng.uniform(0, 255)))
        for line in range(int(rng.uniform(0, 6))):
            text = _text(rng, int(rng.uniform(1, 6)))
            draw.text((x + 8, y + 6 + 18 * line), text, int(rng.choice([0, 255])), ImageFont.load_default(14))
    return image


def _plot(rng: np.random.Generator) -> Image.Image:
    image = Image.new("L", (640, 480), 255)
    draw = ImageDraw.Draw(image)
    draw.line((60, 30, 60, 430, 610, 430), 0, 2)
    for _ in range(int(rng.uniform(1, 5))):
        heights = 230 + np.cumsum(rng.normal(0, rng.uniform(2, 30), 30)).clip(-190, 190)
        points = [(60 + 18 * i, float(y)) for i, y in enumerate(heights)]
        if rng.random() < 0.6:
            draw.line(points, int(rng.uniform(0, 170)), 3)
        else:
            for x, y in points:
                draw.rectangle((x, y, x + 12, 430), int(rng.uniform(60, 190)))
    draw.text((250, 8), _text(rng, 4), 0, ImageFont.load_default(16))
    return image


def _texture(rng: np.random.Generator) -> Image.Image:
    """Noise on several scales, with shapes before it: what a photograph of nothing in particular is like."""
    side, slope = 512, rng.uniform(0, 1.2)
    grey = np.zeros((side, side), np.float32)
    for size in (4, 8, 16, 32, 64, 128, 256, 512):
        noise = Image.fromarray(rng.standard_normal((size, size)).astype(np.float32))
        grey += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC)) * size**-slope
    grey = 128 + rng.uniform(25, 70) * (grey - grey.mean()) / grey.std()
    image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.uniform(0, 6))):
        points = rng.uniform(-50, side + 50, 2) + rng.normal(0, 110, (int(rng.integers(3, 7)), 2))
        draw.polygon([(float(x), float(y)) for x, y in points], int(rng.uniform(0, 255)))
    return image


def _slice(rng: np.random.Generator) -> Image.Image:
    """A body in the round: a bright rim, organs and vertebra in it, black air around (compare Shepp and Logan 1974)."""
    image = Image.new("L", (512, 512), 0)
    draw = ImageDraw.Draw(image)
    half = rng.uniform((130, 110), (240, 210))
    draw.ellipse((*(256 - half), *(256 + half)), int(rng.uniform(70, 200)))
    inner = half - rng.uniform(6, 40)
    draw.ellipse((*(256 - inner), *(256 + inner)), int(rng.uniform(20, 160)))
    for _ in range(int(rng.uniform(2, 16))):
        centre, radius = 256 + rng.uniform(-0.7, 0.7, 2) * inner, rng.uniform(0.05, 0.4, 2) * inner
        draw.ellipse((*(centre - radius), *(centre + radius)), int(rng.uniform(0, 255)))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    return _grainy(image, rng)


def _fan(rng: np.random.Generator) -> Image.Image:
    image = Image.new("L", (640, 480), 0)
    ImageDraw.Draw(image).pieslice((-60, -380, 700, 460), 90 - rng.uniform(25, 50), 90 + rng.uniform(25, 50), 255)
    speckle = Image.fromarray(np.clip(rng.rayleigh(rng.uniform(25, 60), (240, 320)), 0, 255).astype(np.uint8))
    return Image.composite(speckle.resize((640, 480), Image.Resampling.BILINEAR), Image.new("L", (640, 480)), image)


def _limb(rng: np.random.Generator) -> Image.Image:
    """Bones along a limb in soft tissue, in black or grey surroundings."""
    image = Image.new("L", (420, 640), int(rng.choice([0, 0, 20, 90])))
    draw = ImageDraw.Draw(image)
    middle, thick = rng.uniform(150, 270), rng.uniform(60, 130)
    draw.polygon([(middle - thick, 0), (middle + thick, 0), (middle + thick * 0.8, 640), (middle - thick * 0.7, 640)],
                 int(rng.uniform(60, 130)))  # fmt: skip
    for place in rng.uniform(-0.5, 0.5, int(rng.integers(1, 3))):
        x, wide, grey = middle + place * thick, rng.uniform(14, 34), int(rng.uniform(170, 250))
        draw.rectangle((x - wide, 0, x + wide, 640), grey)
        draw.rectangle((x - wide * 0.4, 0, x + wide * 0.4, 640), int(grey * 0.8))
        joint = rng.uniform(100, 540)
        draw.ellipse((x - wide * 1.8, joint - 50, x + wide * 1.8, joint + 50), grey)
    return _grainy(image.rotate(rng.normal(0, 15), Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(3)), rng)


def _grainy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    grey = np.asarray(image, np.float32)
    return Image.fromarray(np.clip(grey + rng.normal(0, rng.uniform(1, 12), grey.shape), 0, 255).astype(np.uint8))
