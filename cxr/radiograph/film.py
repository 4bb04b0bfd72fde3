"""What a film is once it has been read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from cxr.radiograph.blocks import as_bytes

FRONTAL_VIEWS: Final = frozenset({"PA", "AP"})
CHEST: Final = frozenset({"CHEST", "THORAX", "LUNG"})
"""What a DICOM header says of the view and the body part of a frontal chest film."""


class UnreadableFilm(ValueError):
    """A file that can't be read as a film. The message is one sentence for the reader."""


def most_pixels() -> int:
    """The largest film that is read, by the settings."""
    # The processes that decode are told: they never load the settings, which may hold a password.
    from cxr.settings import settings

    return int(settings().max_megapixels * 1e6)


@dataclass(frozen=True)
class Facts:
    """What a file says of itself. No name, number or date of a patient is kept.

    Attributes:
        kind: "DICOM", "PNG" or "JPEG", from the content.
        width, height: pixels, after the orientation that the file asks for was applied.
        bits: bits per pixel that carry information (DICOM Bits Stored, PNG bit depth).
        photometric: DICOM photometric interpretation, or the colour model of a PNG or JPEG.
        modality: DICOM modality such as "DX"; None where the file does not say.
        view: DICOM view position such as "PA" or "AP"; None where the file does not say.
        body_part: DICOM body part examined; None where the file does not say.
        pixel_spacing: (row, column) spacing in mm; None where the file does not say.
        spacing_at: where that spacing holds, "patient" or "detector"; "stated" where the file does not say which, None
            without a spacing.
        window: how grey levels were chosen from the stored values, in words; None for PNG and JPEG.
    """

    kind: str
    width: int
    height: int
    bits: int
    photometric: str
    modality: str | None = None
    view: str | None = None
    body_part: str | None = None
    pixel_spacing: tuple[float, float] | None = None
    window: str | None = None
    spacing_at: str | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One film, ready to be seen and to be classified.

    Attributes:
        pixels: float32 (height, width) in 0..1, bright = dense (bone is white).
        facts: what the file says of itself.
        warnings: sentences that the reader should see.
    """

    pixels: np.ndarray
    facts: Facts
    warnings: tuple[str, ...] = ()

    @cached_property
    def grey(self) -> np.ndarray:
        """uint8 (height, width), the film for display."""
        return as_bytes(self.pixels)
