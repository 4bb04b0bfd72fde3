"""What can go wrong with a film between the patient and the model: eight corruptions at five severities each.

Eight functions with one signature: a film, uint8 (side, side), bright = dense; a severity, 1 to 5; a source of
randomness, which only some need. They return a new film, uint8 (side, side), and raise `ValueError` for any other
severity. Lengths are shares of the film's side, so that a severity means the same at 224 and at 320 pixels; JPEG alone
is bound to the pixels, for its blocks are. The scheme of named corruptions at five severities is that of Hendrycks &
Dietterich 2019 (arXiv:1903.12261); the kinds and levels are those of chest films, chosen by eye. None flips a film: a
heart on the right is a finding.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

SEVERITIES: Final = (1, 2, 3, 4, 5)

GAMMAS: Final = (0.85, 0.70, 0.55, 0.45, 0.35)
PHOTONS: Final = (200, 100, 50, 25, 12)
"""Photons that a white area of 1/`PHOTON_GRID` of the side, squared, stands for: one pixel of a film of 320 pixels."""
PHOTON_GRID: Final = 320
SIGMAS: Final = (0.002, 0.004, 0.006, 0.009, 0.013)
"""Standard deviation of the blur, shares of the side: 0.6, 1.3, 1.9, 2.9 and 4.2 pixels of 320."""
QUALITIES: Final = (40, 25, 15, 10, 5)
BORDERS: Final = (0.03, 0.06, 0.10, 0.14, 0.18)
"""Width of the black border on each edge, shares of the side."""
ANGLES: Final = (4, 8, 12, 20, 30)
"""Degrees."""
INVERSIONS: Final = (0.1, 0.2, 0.3, 0.4, 1.0)
"""Share of the negative. One half would leave an even grey, on which there is nothing to measure."""
MARKS: Final = (1, 2, 3, 4, 4)
LETTERS: Final = (0.04, 0.05, 0.06, 0.08, 0.10)
"""Number of burned-in texts, and size of their font, share of the side."""
MARGIN: Final = 0.03
"""Distance of a text from the edges, share of the side."""
WORDS: Final = ("AP", "PA", "PORT", "ERECT", "SUPINE")
"""What is written after "R" and "L"."""

Change = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def exposure(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Underexpose: `255 (g / 255) ** gamma` of each grey level, with a gamma of `GAMMAS` below 1; nothing is random."""
    gamma = _level(GAMMAS, severity)
    curve = _grey(255 * (np.arange(256) / 255) ** gamma)
    return curve[film]


def quantum_noise(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Count photons: `g' = 255 N / P` with `N ~ Poisson(P g / 255)`, cut off at 255.

    `P` photons stand for white in one pixel: `PHOTONS` times (`PHOTON_GRID` / side) squared, for a larger pixel
    collects more. But for the cut the grey level keeps its mean, and its variance is `255 g / P`: the bright, dense
    parts are noisiest, as after the logarithm of a digital detector, where noise grows with density faster than here.
    """
    white = _level(PHOTONS, severity) * (PHOTON_GRID / len(film)) ** 2
    return _grey(255 * rng.poisson(film * (white / 255)) / white)


def blur(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Convolve with a Gaussian of `SIGMAS` times the side, the film's edges going on outside; nothing is random."""
    sigma = _level(SIGMAS, severity) * len(film)
    return _grey(gaussian_filter(film.astype(np.float32), sigma, mode="nearest"))


def jpeg(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Compress as a JPEG of the quality of `QUALITIES` (Pillow's scale, 1..95), and decode; nothing is random.

    Its blocks are of 8 x 8 pixels at every size of the film.
    """
    file = io.BytesIO()
    Image.fromarray(film).save(file, "JPEG", quality=int(_level(QUALITIES, severity)))
    return np.array(Image.open(file))


def collimation(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Black out a border of `BORDERS` times the side, rounded to pixels, on all four edges; nothing is random."""
    border = round(_level(BORDERS, severity) * len(film))
    collimated = np.zeros_like(film)
    inside = slice(border, len(film) - border)
    collimated[inside, inside] = film[inside, inside]
    return collimated


def rotation(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Turn about the middle by `ANGLES`, one way or the other by chance; bilinear, with black outside the film."""
    angle = _level(ANGLES, severity) * (1 if rng.random() < 0.5 else -1)
    return np.array(Image.fromarray(film).rotate(angle, Image.Resampling.BILINEAR, fillcolor=0))


def inversion(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Mix with the negative: `(1 - w) g + w (255 - g)` with `w` of `INVERSIONS`; nothing is random.

    Up to severity 4 this takes contrast away, as a badly set window does; severity 5 is the negative itself, a film
    whose photometric interpretation was ignored.
    """
    share = _level(INVERSIONS, severity)
    negative = 255 - np.arange(256)
    curve = _grey((1 - share) * np.arange(256) + share * negative)
    return curve[film]


def text_marker(film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Write white letters into corners drawn by chance: `MARKS` texts in a font of `LETTERS` times the side.

    A text is the letter of the side that it lies on, "R" on the left of the film and "L" on its right, and a word of
    `WORDS`, one for the film. A higher severity writes the same word into the same corners and into more of them.
    """
    side, count, letters = len(film), int(_level(MARKS, severity)), _level(LETTERS, severity)
    corners, word = rng.permutation(4), WORDS[rng.integers(len(WORDS))]
    layer = Image.new("L", (side, side))
    draw = ImageDraw.Draw(layer)
    near, far = MARGIN * side, side - MARGIN * side
    for corner in corners[:count]:
        bottom, right = divmod(int(corner), 2)
        draw.text(
            (far if right else near, far if bottom else near),
            f"{'L' if right else 'R'} {word}",
            fill=255,
            font=_font(letters * side),
            anchor=("r" if right else "l") + ("b" if bottom else "t"),
        )
    return np.maximum(film, np.asarray(layer))


@dataclass(frozen=True)
class Corruption:
    """A corruption and one sentence that says to a reader what it does; called, it is its function."""

    change: Change
    description: str

    def __call__(self, film: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
        return self.change(film, severity, rng)


CORRUPTIONS: Final[dict[str, Corruption]] = {
    "Exposure": Corruption(exposure, "An underexposed film: all of it is too light, the lungs most."),
    "Quantum noise": Corruption(quantum_noise, "Mottle, as when too few photons reach the detector."),
    "Blur": Corruption(blur, "Fine detail is lost, as when the patient breathes or the film is out of focus."),
    "JPEG": Corruption(jpeg, "Blocks and ringing of a film that was compressed too much."),
    "Collimation": Corruption(collimation, "Black borders on all four edges, which cut off the edges of the chest."),
    "Rotation": Corruption(rotation, "The chest lies askew on the film, to the left or to the right."),
    "Inversion": Corruption(inversion, "Contrast fades, and at severity 5 black and white are exchanged."),
    "Text marker": Corruption(text_marker, "White letters, burned into one to four corners of the film."),
}
"""By name for the reader, in the order in which they are shown."""


def corrupt(films: np.ndarray, name: str, severity: int, seed: int, first: int = 0) -> np.ndarray:
    """Corrupt films, each with randomness of its own that depends on `seed` and its position only.

    So a film comes out the same in any batch, and at the next severity it turns the same way and bears the same word.

    Args:
        films: uint8 (n, side, side), bright = dense; not changed.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5; 0 leaves the films as they are.
        seed: 0 or more.
        first: position of the first of these films among all, where they are one batch of many.

    Returns:
        uint8 (n, side, side), a copy at every severity.

    Raises:
        ValueError: an unknown name or severity, or films of another kind; one sentence.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"There is no corruption {name!r}; known are {', '.join(CORRUPTIONS)}.")
    if films.dtype != np.uint8 or films.ndim != 3 or films.shape[1] != films.shape[2]:
        raise ValueError(f"The films must be uint8 (n, side, side), not {films.dtype} {films.shape}.")
    corrupted = np.array(films)
    if severity != 0:
        _level(SEVERITIES, severity)
        for position, film in enumerate(films):
            rng = np.random.default_rng((seed, first + position))
            corrupted[position] = CORRUPTIONS[name](film, severity, rng)
    return corrupted


def _level(levels: Sequence[float], severity: int) -> float:
    if severity not in SEVERITIES:
        raise ValueError(f"The severity must be 1, 2, 3, 4 or 5, or 0 for the film itself, not {severity!r}.")
    return levels[severity - 1]


def _grey(levels: np.ndarray) -> np.ndarray:
    """Real grey levels as uint8: rounded, and cut off at 0 and 255."""
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


@cache
def _font(size: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
