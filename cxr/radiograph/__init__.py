"""Bytes in, `Radiograph` out: PNG, JPEG and DICOM films, and the square the model sees."""

from cxr.radiograph.film import Facts, Radiograph, UnreadableFilm
from cxr.radiograph.read import read_radiograph
from cxr.radiograph.square import model_input

__all__ = ["Facts", "Radiograph", "UnreadableFilm", "model_input", "read_radiograph"]
