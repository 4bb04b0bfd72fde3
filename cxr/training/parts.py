"""Which films train, validate, calibrate and test. Without Keras: an evaluation has to find a model's test films."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxr.dataset.labelled import LabelledFilms, UnusableDataset
from cxr.dataset.splits import check_disjoint, split_by_patient, split_hash
from cxr.model.card import Card
from cxr.training.config import TrainingConfig


def split_films(films: LabelledFilms, config: TrainingConfig) -> pd.Series:
    """Which of the four splits each film is in; balanced for source and abnormality, disjoint in patients."""
    patients = films.metadata["patient"]
    strata = films.metadata["source"].astype(str) + np.where(films.abnormal == 1, ", abnormal", ", no finding")
    split = split_by_patient(patients, strata, config.fractions, config.seed)
    check_disjoint(patients, split)
    return split


def held_out(films: LabelledFilms, card: Card, where: Path | str) -> LabelledFilms:
    """The films of the patients who had no part in making a model.

    Args:
        films: all films that the model was made from.
        card: of the model.
        where: they come from, for the message.

    Raises:
        UnusableDataset: they are other films: the split made of them is not the one that the card describes.
    """
    split = split_films(films, TrainingConfig.model_validate(card.training))
    counts = {name: (split == name).sum() for name in card.data.splits}
    same_films = all(counts[name] == known.films for name, known in card.data.splits.items())
    if not same_films or split_hash(films.metadata["patient"], split) != card.data.hash:
        raise UnusableDataset(
            f"The films of {where} are not those that the model {card.name} was made from, so its held-out patients "
            "can't be told from the others."
        )
    return films.subset((split == "test").to_numpy())
