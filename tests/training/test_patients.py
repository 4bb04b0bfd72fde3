"""Which patients had a part in making a model, and what its file gives away."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr.dataset.labelled import open_folder
from cxr.model.bundle import Bundle, BundleRejected, load_bundle, write_card
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.parts import split_films
from cxr.training.patients import PATIENTS_FILE, keep_patients, load_patients

SPLIT = pd.Series(["train", "train", "validation", "calibration", "test", "test"])
PATIENTS = pd.Series([1, 1, 2, 3, 4, 4])


@pytest.fixture
def bare(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The tiny bundle as it was before bundles said whose films made them."""
    folder = shutil.copytree(tiny_bundle.path, tmp_path / "models" / "bare")
    (folder / PATIENTS_FILE).unlink()
    files = {name: value for name, value in tiny_bundle.card.files.items() if name != PATIENTS_FILE}
    write_card(folder, tiny_bundle.card.model_copy(update={"files": files}))
    return load_bundle(folder)


def copy_of(bundle: Bundle, name: str) -> Bundle:
    return load_bundle(shutil.copytree(bundle.path, bundle.path.parent / name))


def test_finetune_keeps_whose_films_trained_chose_and_calibrated(tiny_bundle: Bundle, synthetic_data: Path) -> None:
    films = open_folder(synthetic_data, settings().cache_dir)
    split = split_films(films, TrainingConfig.model_validate(tiny_bundle.card.training))
    known = load_patients(tiny_bundle)
    assert known is not None
    assert known.complete
    assert len(known.digests) == films.metadata["patient"].nunique()
    found = known.had_part(films.metadata["patient"].to_numpy())
    assert (found == (split != "test").to_numpy()).all()
    assert 0 < found.sum() < len(found)


def test_nobody_else_is_in_it(bare: Bundle) -> None:
    known = load_patients(keep_patients(bare, PATIENTS, SPLIT, None))
    assert known is not None
    assert known.had_part(np.array([1, 2, 3, 4, 5, 10, 11])).tolist() == [True, True, True, False, False, False, False]


def test_no_id_stands_in_it_and_two_files_of_the_same_patients_share_nothing(bare: Bundle) -> None:
    one, two = (load_patients(keep_patients(copy_of(bare, name), PATIENTS, SPLIT, None)) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert not set(one.digests.tolist()) & {1, 2, 3, 4}
    assert not set(one.digests.tolist()) & set(two.digests.tolist())


def test_it_does_not_make_it_another_model(bare: Bundle) -> None:
    kept = keep_patients(bare, PATIENTS, SPLIT, None)
    assert (kept.model_sha256, kept.sha256 != bare.sha256) == (bare.model_sha256, True)


def test_whoever_made_the_parent_had_a_part_too(bare: Bundle) -> None:
    parent = keep_patients(copy_of(bare, "parent"), pd.Series([7, 8, 4]), pd.Series(["train", "test", "train"]), None)
    known = load_patients(keep_patients(copy_of(bare, "child"), PATIENTS, SPLIT, parent))
    assert known is not None
    assert known.complete
    # 8 was merely tested on; 4 is tested on here, but trained the parent.
    assert known.had_part(np.array([1, 2, 3, 4, 7, 8])).tolist() == [True, True, True, True, True, False]
    child = load_bundle(bare.path.parent / "child")
    later = load_patients(keep_patients(copy_of(bare, "grandchild"), pd.Series([9]), pd.Series(["train"]), child))
    assert later is not None
    assert later.had_part(np.array([1, 4, 7, 8, 9])).tolist() == [True, True, True, False, True]


def test_a_parent_that_does_not_say_leaves_it_open_unless_it_has_the_same_split(bare: Bundle) -> None:
    same = load_patients(keep_patients(copy_of(bare, "same"), PATIENTS, SPLIT, bare))
    assert same is not None
    assert same.complete
    data = bare.card.data
    assert data is not None
    other = copy_of(bare, "other")
    write_card(other.path, other.card.model_copy(update={"data": data.model_copy(update={"hash": "another"})}))
    found = load_patients(keep_patients(copy_of(bare, "child"), PATIENTS, SPLIT, load_bundle(other.path)))
    assert found is not None
    assert not found.complete


def test_a_bundle_without_it_says_nothing_and_an_imported_parent_leaves_it_open(
    bare: Bundle, imported_bundle: Bundle
) -> None:
    assert load_patients(bare) is None
    found = load_patients(keep_patients(bare, PATIENTS, SPLIT, imported_bundle))
    assert found is not None
    assert not found.complete


def test_a_file_of_something_else_is_refused(bare: Bundle) -> None:
    kept = keep_patients(bare, PATIENTS, SPLIT, None)
    np.savez(kept.path / PATIENTS_FILE, other=np.zeros(3))
    with pytest.raises(BundleRejected, match=r"patients\.npz of the model bare can't be read"):
        load_patients(kept)
