"""The films of the study, its folds, and frontal films of other hospitals to pre-train on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from cxr.dataset.labelled import LabelledFilms, load_labelled_films
from cxr.radiograph import model_input, read_radiograph

FOLDS: Final = 3
SEEDS: Final = (0, 1, 2)
OTHERS: Final = (
    "kermany224/normal",
    "kermany224/pneumonia",
    "frontal_other/hannover_covid",
    "frontal_other/openist_normal",
)
"""Folders of films of other hospitals; only the first two are a task (Kermany et al. 2018), the others one class each."""


def load(data: Path, size: int, cache: Path) -> LabelledFilms:
    """NIH's films at a size."""
    return load_labelled_films(data, size, cache)


def fold_of(films: LabelledFilms, seed: int) -> np.ndarray:
    """int (n,): which of `FOLDS` tests each film; a patient is in one, sources and abnormal films are shared out."""
    source = films.metadata["source"]
    # A stratum needs a film for every fold.
    named = source.where(source.map(source.value_counts()) > 10 * FOLDS, "other")
    strata = named.astype(str) + films.abnormal.astype(str)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    folds = np.zeros(len(strata), int)
    for k, (_, tested) in enumerate(splitter.split(np.zeros(len(strata)), strata, films.metadata["patient"])):
        folds[tested] = k
    return folds


@dataclass(frozen=True, eq=False)
class OtherFilms:
    """Films without NIH's labels: pixels uint8 (n, size, size), and which of `OTHERS` each came from, int (n,)."""

    pixels: np.ndarray
    folder: np.ndarray


def load_others(root: Path, size: int, cache: Path) -> OtherFilms:
    """Frontal films of other hospitals, decoded as for serving; kept in the cache.

    Args:
        root: holds the folders `OTHERS`.
    """
    stored = cache / f"others-{size}.npz"
    if not stored.is_file():
        pixels, folder = [], []
        for k, name in enumerate(OTHERS):
            for file in sorted((root / name).iterdir()):
                try:
                    film = read_radiograph(file.read_bytes())
                except ValueError as error:
                    print(f"{file.name} is left out: {error}")
                    continue
                pixels.append(np.rint(model_input(film, size)).astype(np.uint8))
                folder.append(k)
        np.savez(stored, pixels=np.stack(pixels), folder=np.array(folder))
    with np.load(stored) as saved:
        return OtherFilms(saved["pixels"], saved["folder"])
