"""NIH's official split, with lists made on the spot."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr.dataset.labelled import UnusableDataset
from cxr.dataset.official import OfficialLists, read_official_lists, split_officially

FRACTIONS = (0.60, 0.08, 0.12, 0.20)
PATIENTS = np.repeat(np.arange(1, 1001), 2)
IDS = [f"{patient:08d}_{number % 2:03d}.png" for number, patient in enumerate(PATIENTS)]
FILMS = pd.Series(PATIENTS, pd.Index(IDS))
STRATA = pd.Series("all", FILMS.index)


def lists(first_test_patient: int = 751) -> OfficialLists:
    """The films of the patients from one on are for testing."""
    at = 2 * (first_test_patient - 1)
    return OfficialLists(frozenset(IDS[:at]), frozenset(IDS[at:]))


def write(folder: Path, training: list[str], test: list[str]) -> Path:
    (folder / "train_val_list.txt").write_text("\n".join(training))
    (folder / "test_list.txt").write_text("\n".join(test) + "\n")
    return folder


def refusal(given: OfficialLists) -> str:
    with pytest.raises(UnusableDataset, match=r"\.$") as raised:
        split_officially(FILMS, STRATA, FRACTIONS, 0, given)
    return str(raised.value)


def test_the_lists_are_found_in_the_folder_below_it_and_above_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", IDS[:3], IDS[3:5])
    for folder in (tmp_path, tmp_path / "data"):
        assert read_official_lists(folder) == OfficialLists(frozenset(IDS[:3]), frozenset(IDS[3:5]))
    (tmp_path / "shards").mkdir()
    write(tmp_path, IDS[:1], IDS[1:2])
    assert read_official_lists(tmp_path / "shards") == OfficialLists(frozenset(IDS[:1]), frozenset(IDS[1:2]))


def test_who_tests_is_on_the_list_and_the_others_are_shared_out() -> None:
    split = split_officially(FILMS, STRATA, FRACTIONS, 0, lists())
    assert split.index.equals(FILMS.index)
    assert set(split.index[split == "test"]) == lists().test
    assert split.groupby(FILMS).nunique().eq(1).all()
    shares = split[split != "test"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[["train", "validation", "calibration"]], [0.75, 0.10, 0.15], atol=0.002)


def test_the_seed_shares_the_others_out_in_another_way() -> None:
    first, second = (split_officially(FILMS, STRATA, FRACTIONS, seed, lists()) for seed in (0, 1))
    assert (first == "test").equals(second == "test")
    assert (first != second).mean() > 0.2


@pytest.mark.parametrize("seed", range(20))
def test_rounding_puts_nobody_else_among_the_test_films(seed: int) -> None:
    split = split_officially(FILMS, STRATA, (0.7, 0.1, 0.1, 0.1), seed, lists())
    assert (split == "test").sum() == len(lists().test)


def test_films_of_the_list_that_are_not_here_do_not_matter() -> None:
    some = FILMS.iloc[::5]
    split = split_officially(some, STRATA.iloc[::5], FRACTIONS, 0, lists())
    assert set(split.index[split == "test"]) == lists().test & set(some.index)


def test_a_film_on_neither_list_is_refused() -> None:
    given = OfficialLists(lists().training - {IDS[0], IDS[7]}, lists().test)
    assert refusal(given) == f"2 films are on neither of NIH's lists, such as {IDS[0]}, {IDS[7]}."


def test_a_patient_on_both_lists_is_refused() -> None:
    given = OfficialLists(lists().training | {IDS[-1]}, lists().test - {IDS[-1]})
    assert refusal(given) == "1 patients have films on both of NIH's lists, such as patient 1000."


def test_a_film_on_both_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableDataset, match=r"^1 films are on both train_val_list\.txt and test_list\.txt\.$"):
        read_official_lists(write(tmp_path, IDS[:3], IDS[2:5]))


def test_a_list_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, IDS[:3], IDS[3:5])
    (tmp_path / "test_list.txt").unlink()
    with pytest.raises(UnusableDataset, match=r"^There is no test_list\.txt in "):
        read_official_lists(tmp_path)
