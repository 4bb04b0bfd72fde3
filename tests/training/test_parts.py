"""Finding a model's held-out patients again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr.dataset.labelled import LabelledFilms, UnusableDataset, read_metadata
from cxr.dataset.splits import SPLITS, split_hash
from cxr.findings import CATEGORIES
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.card import Card, Data, SplitCount
from cxr.training.config import TrainingConfig
from cxr.training.parts import held_out, split_films

IDS = [f"{patient:08d}_{number:03d}.png" for patient in range(1, 201) for number in range(2)]
OTHER_FILMS = "are not those that the model"


@pytest.fixture(scope="module")
def films() -> LabelledFilms:
    labels = np.zeros((len(IDS), len(CATEGORIES)), np.uint8)
    labels[np.arange(len(IDS)), np.arange(len(IDS)) // 2 % 2] = 1
    return LabelledFilms(np.zeros((len(IDS), 1, 1), np.uint8), labels, read_metadata(None, IDS))


def card_of(films: LabelledFilms, split: pd.Series, training: dict[str, object]) -> Card:
    """The shipped card, as if that split had been its."""
    counts = {name: SplitCount(films=int((split == name).sum()), patients=1, abnormal_films=1) for name in SPLITS}
    data = Data(name="d", splits=counts, sources={}, views={}, hash=split_hash(films.metadata["patient"], split))
    return load_bundle(bundle_path("default")).card.model_copy(update={"data": data, "training": training})


def test_the_test_films_of_a_run_are_found_again(films: LabelledFilms) -> None:
    config = TrainingConfig(split_seed=3, seed=8)
    split = split_films(films, config)
    found = held_out(films, card_of(films, split, config.model_dump()), "here")
    assert list(found.metadata.index) == list(split.index[split == "test"])


def test_a_card_from_before_there_was_a_split_seed_means_its_seed(films: LabelledFilms) -> None:
    split = split_films(films, TrainingConfig(split_seed=8))
    card = card_of(films, split, {"seed": 8})
    assert len(held_out(films, card, "here").labels) == (split == "test").sum()
    with pytest.raises(UnusableDataset, match=OTHER_FILMS):
        held_out(films, card_of(films, split, {"seed": 8, "split_seed": 0}), "here")


def test_other_films_are_refused(films: LabelledFilms) -> None:
    config = TrainingConfig()
    card = card_of(films, split_films(films, config), config.model_dump())
    with pytest.raises(UnusableDataset, match=rf"^The films of here {OTHER_FILMS}"):
        held_out(films.subset(np.arange(len(IDS)) > 1), card, "here")


def test_a_model_that_was_not_trained_here_has_no_held_out_patients(films: LabelledFilms) -> None:
    card = load_bundle(bundle_path("default")).card.model_copy(update={"data": None})
    with pytest.raises(UnusableDataset, match="was not trained here"):
        held_out(films, card, "here")


@pytest.mark.parametrize("where", [".", "data", "data/*.tfrec", "**/*.tfrec"])
def test_official_lists_are_found_from_wherever_the_films_are_said_to_be(
    films: LabelledFilms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (tmp_path / "data").mkdir()
    tests = IDS[300:]
    (tmp_path / "test_list.txt").write_text("\n".join(tests))
    (tmp_path / "train_val_list.txt").write_text("\n".join(IDS[:300]))
    config = TrainingConfig(official_split=True)
    from cxr.dataset.official import read_official_lists

    split = split_films(films, config, read_official_lists(tmp_path))
    card = card_of(films, split, config.model_dump())
    for place in (where, tmp_path / where):
        monkeypatch.chdir(tmp_path)
        assert list(held_out(films, card, place).metadata.index) == tests


def test_the_shipped_model_s_test_patients_are_found_in_the_real_films(shared_data: Path) -> None:
    from cxr.dataset.labelled import metadata_file, open_folder
    from cxr.settings import settings

    card = load_bundle(bundle_path("default")).card
    known = open_folder(shared_data / "nih", settings().cache_dir)
    assert metadata_file(shared_data / "nih") is not None
    films = LabelledFilms(np.zeros((len(known.labels), 1, 1), np.uint8), known.labels, known.metadata)
    assert len(held_out(films, card, "here").labels) == card.data.splits["test"].films
