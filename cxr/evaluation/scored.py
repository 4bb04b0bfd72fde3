"""Films with their truth and what a model said of them: all that most of an evaluation needs, without the films."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.findings import NO_FINDING_INDEX

TEXTS: Final = ("view", "sex", "source")
AGE_GROUPS: Final = ("under 18", "18 to 39", "40 to 59", "60 to 79", "80 and older")
AGE_EDGES: Final = (18, 40, 60, 80)


@dataclass(frozen=True, eq=False)
class ScoredFilms:
    """n films of a test set and the verdicts of one model.

    Attributes:
        name: of the test set, for the reader.
        labels: uint8 (n, 15), 0 or 1.
        probabilities: float64 (n, 15), calibrated; NaN in the columns of findings that the model has not.
        uncalibrated: float64 (n, 15), the sigmoid of the logits.
        metadata: n rows indexed by image id (by `film_key` where only that was kept) with `patient` (any integers),
            `view`, `sex`, `source` ("unknown" where not known) and `age` (years, NaN where not known).
    """

    name: str
    labels: np.ndarray
    probabilities: np.ndarray
    uncalibrated: np.ndarray
    metadata: pd.DataFrame

    @cached_property
    def digest(self) -> str:
        """Changes with the films, their labels and their scores."""
        facts = hashlib.sha256(self.labels.tobytes() + self.probabilities.tobytes() + self.patients.tobytes())
        return facts.hexdigest()[:24]

    @property
    def abnormal(self) -> np.ndarray:
        """uint8 (n,): 1 where the film does not carry "No Finding"."""
        return 1 - self.labels[:, NO_FINDING_INDEX]

    @property
    def abnormal_probability(self) -> np.ndarray:
        """float64 (n,), calibrated."""
        return 1 - self.probabilities[:, NO_FINDING_INDEX]

    @property
    def patients(self) -> np.ndarray:
        """(n,) patient of each film."""
        return self.metadata["patient"].to_numpy()

    @property
    def age_group(self) -> pd.Series:
        """Which of `AGE_GROUPS` each film's patient is in, or "unknown"."""
        return age_group(self.metadata["age"])


def age_group(ages: pd.Series) -> pd.Series:
    """Which of `AGE_GROUPS` ages in years are in; "unknown" for NaN."""
    place = np.searchsorted(AGE_EDGES, ages.to_numpy(float), side="right")
    names = np.array([*AGE_GROUPS], object)[np.minimum(place, len(AGE_GROUPS) - 1)]
    return pd.Series(np.where(ages.isna(), "unknown", names), index=ages.index)


def film_key(image_id: str) -> str:
    """What is kept instead of an image id, to find the film again: who knows the ids can look it up, nobody else."""
    return hashlib.sha256(image_id.encode()).hexdigest()[:16]


def save_scored(films: ScoredFilms, path: Path) -> None:
    """Write scored films to an `.npz` file: no pixels, no image ids; patients are numbered anew from 0."""
    _, patient = np.unique(films.patients, return_inverse=True)
    texts = {column: films.metadata[column].astype(str).to_numpy(dtype=str) for column in TEXTS}
    np.savez_compressed(
        path,
        name=np.array(films.name),
        film=np.array([film_key(str(image_id)) for image_id in films.metadata.index]),
        labels=films.labels.astype(np.uint8),
        probabilities=films.probabilities.astype(np.float32),
        uncalibrated=films.uncalibrated.astype(np.float32),
        patient=patient.astype(np.int32),
        age=films.metadata["age"].to_numpy(np.float32),
        **texts,
    )


def load_scored(path: Path) -> ScoredFilms:
    """Read what `save_scored` wrote. Raises `OSError`, `ValueError` or `KeyError` for any other file."""
    with np.load(path, allow_pickle=False) as stored:
        metadata = pd.DataFrame(
            {"patient": stored["patient"], "age": stored["age"].astype(float)},
            index=pd.Index(stored["film"], name="film"),
        )
        for column in TEXTS:
            metadata[column] = stored[column].astype(object)
        return ScoredFilms(
            str(stored["name"]),
            stored["labels"],
            stored["probabilities"].astype(np.float64),
            stored["uncalibrated"].astype(np.float64),
            metadata,
        )
