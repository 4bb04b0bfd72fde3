"""Bytes in, `Radiograph` out: PNG, JPEG and DICOM films, the square the model sees, and thumbnails."""

from cxr.radiograph.film import Facts, Radiograph, UnreadableFilm
from cxr.radiograph.read import read_radiograph
from cxr.radiograph.square import model_input
from cxr.radiograph.thumbnail import thumbnail

__all__ = ["Facts", "Radiograph", "UnreadableFilm", "model_input", "read_radiograph", "thumbnail"]
