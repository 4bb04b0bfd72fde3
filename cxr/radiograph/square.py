"""The square that the model sees. Training, evaluation and serving all call this one function."""

import numpy as np
from PIL import Image

from cxr.radiograph.film import Radiograph


def model_input(film: Radiograph, size: int) -> np.ndarray:
    """Resize a film to the model's square.

    The whole film is mapped onto the square, whatever its proportions, as NIH did when it made ChestX-ray14's
    1024 x 1024 films from the originals (Wang et al. 2017, arXiv:1705.02315, section 3): nothing is cropped, and no
    borders are added that the model has never seen. Antialiased bilinear filter.

    Args:
        film: a film of any size.
        size: side of the square, pixels.

    Returns:
        float32 (size, size), grey levels 0..255, bright = dense.
    """
    image = Image.fromarray(film.pixels)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32) * 255
