"""Bytes in, `Radiograph` out: PNG, JPEG and DICOM films, at full depth too; the square the model sees; thumbnails."""

from cxr.radiograph.film import Facts, Radiograph, UnreadableFilm
from cxr.radiograph.full_depth import FullDepth, full_depth
from cxr.radiograph.read import read_radiograph
from cxr.radiograph.square import model_input
from cxr.radiograph.thumbnail import thumbnail

__all__ = [
    "Facts",
    "FullDepth",
    "Radiograph",
    "UnreadableFilm",
    "full_depth",
    "model_input",
    "read_radiograph",
    "thumbnail",
]
