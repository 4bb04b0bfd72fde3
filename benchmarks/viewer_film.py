"""A large film for `benchmarks.viewer`, made of the sample."""

import io

import numpy as np
from PIL import Image
from pydicom import dcmread

from cxr.radiograph import full_depth
from cxr.samples import FOLDER

SAMPLE = FOLDER / "adult_pa.dcm"


def large_film(side: int) -> bytes:
    """The sample at `side` x `side` pixels as an uncompressed 16-bit DICOM file.

    Enlarging takes the noise out that makes films hard to compress, so noise of the sample's own strength is put back.
    """
    stored = dcmread(io.BytesIO(SAMPLE.read_bytes())).pixel_array.astype(np.float32)
    # The median difference of neighbours is noise, where most of a film is smooth (1.048 = sqrt 2 x 0.741, Gaussian).
    noise = float(np.median(np.abs(np.diff(stored, axis=1)))) * 1.048
    size = (side, side)
    smooth = (
        Image.fromarray(stored)
        .resize((side // 3, side // 3), Image.Resampling.BOX)
        .resize(size, Image.Resampling.BICUBIC)
    )
    film = np.asarray(smooth) + np.random.default_rng(0).normal(0, noise, size)
    dataset = dcmread(io.BytesIO(SAMPLE.read_bytes()))
    dataset.decompress()
    top = 2 ** int(dataset.BitsStored) - 1
    dataset.Rows, dataset.Columns = size
    dataset.PixelData = np.clip(np.rint(film), 0, top).astype(np.uint16).tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    data = file.getvalue()
    full_depth(data)  # a film that can't be read is told here, not in the browser
    return data


def maps() -> dict[str, np.ndarray | None]:
    """A map of ten by ten cells."""
    grid = np.maximum(np.random.default_rng(1).normal(0, 1, (10, 10)), 0).astype(np.float32)
    return {"Effusion": grid / grid.max()}
