"""Which films train, validate, calibrate and test. Without Keras: an evaluation has to find a model's test films."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxr.dataset.labelled import Catalogue, LabelledFilms, UnusableDataset
from cxr.dataset.official import OfficialLists, read_official_lists, split_officially
from cxr.dataset.splits import check_disjoint, split_by_patient, split_hash
from cxr.evaluation.metrics import MIN_PATIENTS, enough
from cxr.model.card import Card
from cxr.training.config import TrainingConfig


def split_films(
    films: LabelledFilms | Catalogue, config: TrainingConfig, lists: OfficialLists | None = None
) -> pd.Series:
    """Which of the four splits each film is in; balanced for source and abnormality, disjoint in patients.

    Args:
        films: all of them.
        config: its `split_seed` and fractions.
        lists: NIH's, where they decide who tests.

    Raises:
        UnusableDataset: the lists do not fit the films.
    """
    patients = films.metadata["patient"]
    strata = films.metadata["source"].astype(str) + np.where(films.abnormal == 1, ", abnormal", ", no finding")
    if lists is None:
        split = split_by_patient(patients, strata, config.fractions, config.split_seed)
    else:
        split = split_officially(patients, strata, config.fractions, config.split_seed, lists)
    check_disjoint(patients, split)
    return split


def too_few(name: str, abnormal: np.ndarray, patients: np.ndarray) -> str | None:
    """Why a split has too few patients to train or to measure with, in one sentence; None if it has enough.

    Args:
        name: of the split.
        abnormal: (n,), 1 where a film is.
        patients: (n,), of the films.
    """
    if enough(abnormal, patients):
        return None
    return (
        f"The {name} patients have {int(abnormal.sum())} abnormal films and {int((1 - abnormal).sum())} without "
        f"findings; films of at least {MIN_PATIENTS} patients are needed of each."
    )


def held_out(films: LabelledFilms, card: Card, where: Path | str) -> LabelledFilms:
    """The films of the patients who had no part in making a model.

    Args:
        films: all films that the model was made from.
        card: of the model.
        where: they come from, a folder or a pattern of files; NIH's lists, if they decided, lie in that folder or
            in the one above.

    Raises:
        UnusableDataset: the card knows no split; they are other films: the split made of them is not the one that the
            card describes; or NIH's lists are needed and missing.
    """
    if card.data is None:
        raise UnusableDataset(f"The model {card.name} was not trained here, so it has no held-out patients.")
    # Before there was a `split_seed`, `seed` was that of the split too.
    training = {"split_seed": card.training.get("seed", 0)} | card.training
    config = TrainingConfig.model_validate(training)
    split = split_films(films, config, read_official_lists(_folder(where)) if config.official_split else None)
    counts = {name: (split == name).sum() for name in card.data.splits}
    same_films = all(counts[name] == known.films for name, known in card.data.splits.items())
    if not same_films or split_hash(films.metadata["patient"], split) != card.data.hash:
        raise UnusableDataset(
            f"The films of {where} are not those that the model {card.name} was made from, so its held-out patients "
            "can't be told from the others."
        )
    return films.subset((split == "test").to_numpy())


def _folder(where: Path | str) -> Path:
    path = Path(where)
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
