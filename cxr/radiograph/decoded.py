"""What a decoder hands on: the values of an image, and how they are to be shown."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr.radiograph.film import Facts, Radiograph
from cxr.radiograph.grey_levels import GreyScale


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image as its file holds it.

    Attributes:
        values: (height, width) of any number type, upright; of a DICOM image after the modality LUT.
        padding: bool (height, width), pixels that are no image; None where there are none.
        scale: how values are shown.
        facts: what the file says of itself.
        warnings: sentences that the reader should see.
        grain: what two neighbouring values lie apart.
    """

    values: np.ndarray
    padding: np.ndarray | None
    scale: GreyScale
    facts: Facts
    warnings: tuple[str, ...] = ()
    grain: float = 1.0

    def film(self, room: Callable[[tuple[int, int]], np.ndarray] | None = None) -> Radiograph:
        """The film as it is to be seen; padding is black. `room`: as of `read_radiograph`."""
        height, width = self.values.shape
        pixels = self.scale.shown(self.values, None if room is None else room((height, width)))
        if self.padding is not None:
            pixels[self.padding] = 0
        return Radiograph(pixels, self.facts, self.warnings)
