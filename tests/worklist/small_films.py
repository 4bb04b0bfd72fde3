"""Small films, and a model that says of each how bright it is."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import UID, ExplicitVRLittleEndian

from cxr.findings import CATEGORIES
from cxr.model.bundle import CARD_FILE, Bundle
from cxr.model.card import Card
from cxr.model.engine import Prediction
from cxr.radiograph import Radiograph
from cxr.radiograph.scope import ScopeModel
from cxr.settings import ROOT
from scripts.hostile_files.parts import dataset_of, written

SIDE = 48
CARD = Card.model_validate(json.loads((ROOT / "models" / "default" / CARD_FILE).read_text()))


def png(level: float, seed: int = 0) -> bytes:
    """A film of noise around a grey level 0..1; another seed gives another film."""
    pixels = np.random.default_rng(seed).normal(255 * level, 6, (SIDE, SIDE))
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def dicom(level: float, seed: int = 0, syntax: UID = ExplicitVRLittleEndian, **elements: object) -> bytes:
    """The same as DICOM, of a patient with a name; an element that is None is left out."""
    pixels = np.random.default_rng(seed).normal(4095 * level, 90, (SIDE, SIDE)).clip(0, 4095).astype(np.uint16)
    # Of no study, and of a patient without a number, unless they are given.
    own = {"SOPInstanceUID": f"1.2.3.{seed + 1}", "StudyInstanceUID": None, "PatientID": None}
    given = {keyword: value for keyword, value in elements.items() if value is not None}
    return written(dataset_of(pixels, **(own | given)), syntax)


class Brightness:
    """In place of an engine: the abnormal probability of a film, and that of its every finding, is its mean grey level.

    Args:
        name: another name is another model.
        factor: of all thresholds of the shipped model's card.
        card: in its place.
    """

    def __init__(self, name: str = "first", factor: float = 1.0, card: Card | None = None):
        points = tuple(
            point.model_copy(
                update={
                    "threshold": point.threshold * factor,
                    "uncertain_low": point.threshold * factor,
                    "uncertain_high": point.threshold * factor,
                    "findings": {
                        finding: found.model_copy(update={"threshold": found.threshold * factor})
                        for finding, found in point.findings.items()
                    },
                }
            )
            for point in CARD.operating_points
        )
        card = card or CARD.model_copy(update={"operating_points": points})
        self.bundle = Bundle(Path(name), card, hashlib.sha256(name.encode()).hexdigest())
        self.seen = 0
        self.scope: ScopeModel | None = None

    def predict(self, films: Sequence[Radiograph]) -> list[Prediction]:
        self.seen += len(films)
        return [self._of(film) for film in films]

    def _of(self, film: Radiograph) -> Prediction:
        columns = self.bundle.card.columns
        level = float(film.pixels.mean())
        probabilities = np.full(len(columns), level)
        for name in self.bundle.card.absent:
            probabilities[columns.index(name)] = np.nan
        probabilities[CATEGORIES.index("No Finding")] = 1 - level
        maps = np.arange(2 * 3 * len(columns), dtype=np.float32).reshape(2, 3, -1)
        bias = np.linspace(0, 1, len(columns), dtype=np.float32)
        square = np.full((8, 8), 255 * level, np.float32)
        features = np.full(4, level, np.float32)
        return Prediction(maps.mean((0, 1)), probabilities, maps, bias, square, columns, features)
