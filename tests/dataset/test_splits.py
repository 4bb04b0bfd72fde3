"""Splits of invented and of real patients."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr.dataset.labelled import metadata_file, read_metadata
from cxr.dataset.splits import SPLITS, check_disjoint, split_by_patient, split_hash

FRACTIONS = (0.60, 0.08, 0.12, 0.20)


def films(patients: int, strata: int = 2, films_each: int = 3) -> tuple[pd.Series, pd.Series]:
    """Patient and stratum of each film; the films of a patient lie apart and share a stratum."""
    patient = np.tile(np.arange(patients), films_each)
    index = pd.Index([f"{p:08d}_{k:03d}.png" for k, p in enumerate(patient)], name="image_id")
    return pd.Series(patient, index), pd.Series([f"stratum {p % strata}" for p in patient], index)


def test_no_patient_is_on_two_sides() -> None:
    patients, strata = films(300)
    split = split_by_patient(patients, strata, FRACTIONS, seed=0)
    assert split.index.equals(patients.index)
    assert split.groupby(patients).nunique().eq(1).all()
    check_disjoint(patients, split)


def test_each_split_has_its_share_of_each_stratum() -> None:
    patients, strata = films(1000, strata=4, films_each=1)
    split = split_by_patient(patients, strata, FRACTIONS, seed=3)
    counts = pd.crosstab(strata, split)[list(SPLITS)]
    assert (counts - 250 * np.array(FRACTIONS)).abs().max(axis=None) <= 1


def test_shares_are_of_the_patients_however_many_films_each_has() -> None:
    films_each = np.random.default_rng(0).integers(1, 30, 200)
    patients = pd.Series(np.repeat(np.arange(200), films_each))
    split = split_by_patient(patients, pd.Series("all", patients.index), FRACTIONS, seed=0)
    counts = split.groupby(patients).first().value_counts()[list(SPLITS)]
    assert (counts - 200 * np.array(FRACTIONS)).abs().max() <= 1


def test_the_order_of_the_films_does_not_matter() -> None:
    patients, strata = films(200, strata=3)
    split = split_by_patient(patients, strata, FRACTIONS, seed=0)
    order = np.random.default_rng(0).permutation(len(patients))
    shuffled = split_by_patient(patients.iloc[order], strata.iloc[order], FRACTIONS, seed=0)
    pd.testing.assert_series_equal(shuffled.reindex(split.index), split)


def test_the_order_does_not_matter_where_the_films_of_a_patient_differ() -> None:
    patients, _ = films(200)
    strata = pd.Series(np.random.default_rng(5).choice(["abnormal", "no finding"], len(patients)), patients.index)
    split = split_by_patient(patients, strata, FRACTIONS, seed=0)
    shuffled = patients.sample(frac=1, random_state=1)
    again = split_by_patient(shuffled, strata[shuffled.index], FRACTIONS, seed=0)
    pd.testing.assert_series_equal(again.reindex(split.index), split)


def test_the_stratum_of_a_patient_is_that_of_the_first_film() -> None:
    patients, strata = films(100, strata=1)
    later = strata.copy()
    later.iloc[100:] = [f"what became of {patient % 40}" for patient in patients.iloc[100:]]
    pd.testing.assert_series_equal(
        split_by_patient(patients, strata, FRACTIONS, seed=0), split_by_patient(patients, later, FRACTIONS, seed=0)
    )


def test_another_seed_gives_another_split_of_the_same_shares() -> None:
    patients, strata = films(500, films_each=1)
    first, second = (split_by_patient(patients, strata, FRACTIONS, seed) for seed in (0, 1))
    assert 0.3 < (first != second).mean() < 0.8
    assert (first.value_counts() - second.value_counts()).abs().max() <= 2


def test_strata_of_one_patient_are_shared_out() -> None:
    patients, strata = films(1000, strata=1000, films_each=1)
    shares = split_by_patient(patients, strata, FRACTIONS, seed=0).value_counts(normalize=True)[list(SPLITS)]
    np.testing.assert_allclose(shares, FRACTIONS, atol=0.04)


def test_a_fraction_of_zero_gets_nobody() -> None:
    patients, strata = films(100)
    split = split_by_patient(patients, strata, (0.5, 0.0, 0.0, 0.5), seed=0)
    assert set(split) == {"train", "test"}


@pytest.mark.parametrize("fractions", [(0.6, 0.2, 0.2, 0.2), (0.5, 0.2, 0.2, 0.0), (1.2, -0.2, 0.0, 0.0)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be at least 0 and sum to 1"):
        split_by_patient(*films(10), fractions, seed=0)


def test_a_patient_on_two_sides_is_found() -> None:
    with pytest.raises(ValueError, match="2 patients have films in more than one split"):
        check_disjoint(
            pd.Series([1, 1, 2, 2, 3, 3]), pd.Series(["train", "test", "train", "train", "test", "calibration"])
        )


def test_the_hash_follows_the_patients_and_not_the_films() -> None:
    patients, strata = films(50)
    split = split_by_patient(patients, strata, FRACTIONS, seed=0)
    order = np.random.default_rng(1).permutation(len(patients))
    assert split_hash(patients.iloc[order], split.iloc[order]) == split_hash(patients, split)
    assert split_hash(patients.iloc[:50], split.iloc[:50]) == split_hash(patients, split)

    moved = split.mask(patients == 7, "test" if split.iloc[7] != "test" else "train")
    assert split_hash(patients, moved) != split_hash(patients, split)


@pytest.fixture(scope="module")
def real_metadata(shared_data: Path) -> pd.DataFrame:
    ids = pd.read_csv(shared_data / "nih" / "images_index.csv")["nih_image_index"].tolist()
    return read_metadata(metadata_file(shared_data / "nih"), ids)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_large_collection_is_shared_out_alike(real_metadata: pd.DataFrame, seed: int) -> None:
    split = split_by_patient(real_metadata["patient"], real_metadata["source"], FRACTIONS, seed)
    check_disjoint(real_metadata["patient"], split)
    first = real_metadata.assign(split=split).drop_duplicates("patient")
    shares = pd.crosstab(first["source"], first["split"], normalize="index")[list(SPLITS)]
    for source in ("talo", "jrzech"):
        np.testing.assert_allclose(shares.loc[source], FRACTIONS, atol=0.03)
