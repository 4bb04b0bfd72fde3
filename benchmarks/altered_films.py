"""Films that nobody has seen before, made on the spot from the shipped samples: as many as are asked for."""

import io
import zlib
from functools import cache
from hashlib import sha256
from typing import Final

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cxr.radiograph import read_radiograph
from cxr.samples import SAMPLES

KINDS: Final = ("png", "jpeg", "dcm", "16-bit png")
NOISY: Final = 50
"""Rows of noise."""
IEND: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@cache
def _sample(number: int) -> Image.Image:
    return Image.fromarray(read_radiograph(SAMPLES[number].read()).grey)


def altered_film(number: int, kind: str = "png", sides: tuple[int, int] = (700, 1500)) -> bytes:
    """A sample cropped a little, made brighter or darker, and with noise of its own; the same for the same number.

    Args:
        number: of the film.
        kind: one of `KINDS`.
        sides: least and greatest length of its longer side, pixels.
    """
    rng = np.random.default_rng(number)
    whole = _sample(number % len(SAMPLES))
    left, top, right, bottom = rng.uniform(0, 0.05, 4) * [whole.width, whole.height, whole.width, whole.height]
    box = (left, top, whole.width - right, whole.height - bottom)
    scale = rng.integers(sides[0], sides[1] + 1) / max(box[2] - box[0], box[3] - box[1])
    size = (round((box[2] - box[0]) * scale), round((box[3] - box[1]) * scale))
    curve = (np.arange(256, dtype=np.float32) / 255) ** np.float32(rng.uniform(0.9, 1.1))
    grey = curve[np.asarray(whole.resize(size, Image.Resampling.BILINEAR, box=box))]
    # The same few rows of noise again and again: a film of its own needs no more, and thousands are soon made.
    noise = rng.standard_normal((NOISY, size[0]), np.float32) * np.float32(0.01)
    for top_row in range(0, size[1], NOISY):
        grey[top_row : top_row + NOISY] += noise[: size[1] - top_row]
    return encoded(np.clip(grey, 0, 1), kind)


def encoded(grey: np.ndarray, kind: str) -> bytes:
    """float32 (height, width) in 0..1 as a file of one of `KINDS`."""
    if kind == "dcm":
        return _dicom(np.rint(grey * 4095).astype(np.uint16))
    file = io.BytesIO()
    if kind == "jpeg":
        Image.fromarray(np.rint(grey * 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    else:
        dtype, top = (np.uint16, 65535) if kind == "16-bit png" else (np.uint8, 255)
        Image.fromarray(np.rint(grey * top).astype(dtype)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _dicom(levels: np.ndarray) -> bytes:
    film = pydicom.dcmread(io.BytesIO(SAMPLES[0].read()), stop_before_pixels=True)
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = sha256(levels.tobytes()).hexdigest()
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[own])
    film.StudyInstanceUID = generate_uid(entropy_srcs=["study", own])
    film.Rows, film.Columns = levels.shape
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PhotometricInterpretation = "MONOCHROME2"
    for word in ("WindowCenter", "WindowWidth", "VOILUTSequence", "VOILUTFunction", "RescaleSlope", "RescaleIntercept"):
        if word in film:
            del film[word]
    film.PixelData = levels.tobytes()
    film["PixelData"].VR = "OW"
    file = io.BytesIO()
    film.save_as(file)
    return file.getvalue()


def relabelled(png: bytes, note: str) -> bytes:
    """The same picture as another file: a PNG with one more comment."""
    body = b"tEXt" + b"Comment\x00" + note.encode("latin-1")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png.removesuffix(IEND) + chunk + IEND
