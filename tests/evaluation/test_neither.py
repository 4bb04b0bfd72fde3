"""The films on which two models are compared: no patient who had a part in making either is among them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cxr.dataset.labelled import UnusableDataset, open_folder
from cxr.evaluation.neither import NotComparable, compare_films, compared, held_out_films, shared_test_films
from cxr.evaluation.scored import film_key
from cxr.evaluation.stored import load_evaluation, store
from cxr.model.bundle import Bundle, file_sha256, load_bundle, write_card
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.finetune import finetune
from cxr.training.parts import split_films
from cxr.training.patients import PATIENTS_FILE


@pytest.fixture(scope="module")
def another(tiny_backbone: str, synthetic_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model of the same films with other patients held out."""
    config = TrainingConfig(
        backbone=tiny_backbone, imagenet=False, input_size=64, epochs=1, batch_size=16, split_seed=5
    )  # fmt: skip
    place = tmp_path_factory.mktemp("another")
    return finetune(synthetic_data, place / "another", config, place / "run")


@pytest.fixture(autouse=True)
def evaluations(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    changed_settings.setenv("CXR_EVALUATIONS_DIR", str(tmp_path / "evaluations"))
    settings.cache_clear()
    yield tmp_path / "evaluations"


def copy_of(bundle: Bundle, folder: Path, without: str | None = None, **facts: object) -> Bundle:
    """A copy of a bundle with other facts in its card, so another model; perhaps without one of its files."""
    shutil.copytree(bundle.path, folder)
    files = {name: value for name, value in bundle.card.files.items() if name != without}
    write_card(folder, bundle.card.model_copy(update={"files": files, **facts}))
    return load_bundle(folder)


def patients_by_split(bundle: Bundle, data: Path) -> dict[str, set[int]]:
    films = open_folder(data, settings().cache_dir)
    split = split_films(films, TrainingConfig.model_validate(bundle.card.training))
    return {name: set(films.metadata["patient"][split == name]) for name in split.unique()}


def test_films_that_both_were_tested_on_are_matched_by_film(tiny_bundle: Bundle, another: Bundle) -> None:
    found = shared_test_films(tiny_bundle, another)
    ours, theirs = (load_evaluation(bundle) for bundle in (tiny_bundle, another))
    assert ours is not None
    assert theirs is not None
    shared = [key for key in ours.films.metadata.index if key in set(theirs.films.metadata.index)]
    assert 0 < len(shared) < len(ours.films.labels), "the two splits overlap in part"
    for side, films in ((found.candidate, ours.films), (found.champion, theirs.films)):
        at = films.metadata.index.get_indexer(shared)
        np.testing.assert_array_equal(side, films.probabilities[at])
        np.testing.assert_array_equal(found.labels, films.labels[at])


def test_models_of_other_films_have_none_in_common(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = copy_of(tiny_bundle, tmp_path / "other")
    stored = load_evaluation(other)
    assert stored is not None
    renamed = stored.films.metadata.set_index("other " + stored.films.metadata.index)
    films = type(stored.films)("t", stored.films.labels, stored.films.probabilities, stored.films.uncalibrated, renamed)
    other = store(other, stored.report, films)
    with pytest.raises(NotComparable, match=r"No film was held out for both.*`python -m cxr gate tiny --data DIR`\.$"):
        shared_test_films(tiny_bundle, other)
    silent = copy_of(other, tmp_path / "silent", without=PATIENTS_FILE)
    with pytest.raises(NotComparable, match="silent does not say which patients made it"):
        shared_test_films(tiny_bundle, silent)


def test_the_same_films_with_other_labels_compare_nothing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = copy_of(tiny_bundle, tmp_path / "other")
    stored = load_evaluation(other)
    assert stored is not None
    with np.load(other.path / "test.npz") as old:
        parts = dict(old)
    parts["labels"] = 1 - parts["labels"]
    np.savez(other.path / "test.npz", **parts)
    files = other.card.files | {"test.npz": file_sha256(other.path / "test.npz")}
    write_card(other.path, other.card.model_copy(update={"files": files}))
    with pytest.raises(NotComparable, match="with other labels"):
        shared_test_films(tiny_bundle, load_bundle(other.path))


def test_a_model_without_held_out_patients_has_no_such_films(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bare = copy_of(tiny_bundle, tmp_path / "bare", without="test.npz")
    with pytest.raises(NotComparable, match="carries no evaluation on held-out patients; make it: `python -m cxr eva"):
        held_out_films(bare)
    stored = load_evaluation(tiny_bundle)
    assert stored is not None
    seen = store(
        copy_of(tiny_bundle, tmp_path / "seen"), stored.report.model_copy(update={"held_out": False}), stored.films
    )
    with pytest.raises(NotComparable, match="nobody knows which patients it was not trained on"):
        held_out_films(seen)


def test_no_patient_of_the_champion_s_making_is_among_the_films(
    tiny_bundle: Bundle, another: Bundle, synthetic_data: Path
) -> None:
    done: list[tuple[int, int]] = []
    found = compare_films(tiny_bundle, another, synthetic_data, lambda n, of: done.append((n, of)))
    ours, theirs = (patients_by_split(bundle, synthetic_data) for bundle in (tiny_bundle, another))
    allowed = ours["test"] & theirs["test"]
    excluded = ours["test"] - theirs["test"]
    assert allowed
    assert excluded, "a test film of a patient that the champion was trained on is there to be left out"
    # Two films of each patient in these data.
    assert len(found.labels) == 2 * len(allowed)
    assert len(np.unique(found.patients)) == len(allowed)
    assert done[-1] == (2 * len(found.labels), 2 * len(found.labels))
    kept = held_out_films(another)
    films = open_folder(synthetic_data, settings().cache_dir)
    keys = {film_key(i) for i, patient in films.metadata["patient"].items() if patient in allowed}
    at = kept.metadata.index.isin(keys)
    assert sorted(found.champion[:, 0]) == pytest.approx(sorted(kept.probabilities[at, 0]), abs=1e-5)


def test_a_patient_who_made_what_the_candidate_started_from_is_not_among_them(
    tiny_bundle: Bundle, synthetic_data: Path, tmp_path: Path
) -> None:
    films = open_folder(synthetic_data, settings().cache_dir)
    champion = copy_of(tiny_bundle, tmp_path / "champion")
    candidate = copy_of(tiny_bundle, tmp_path / "candidate", created="later")
    everybody = len(compare_films(candidate, champion, synthetic_data).labels)
    one = sorted(patients_by_split(tiny_bundle, synthetic_data)["test"])[0]
    with np.load(candidate.path / PATIENTS_FILE) as old:
        parts = dict(old)
    from cxr.training.patients import _digests

    parts["patient"] = np.r_[parts["patient"], _digests(parts["salt"], [one])]
    parts["part"] = np.r_[parts["part"], ["parent"]]
    np.savez(candidate.path / PATIENTS_FILE, **parts)
    hashes = candidate.card.files | {PATIENTS_FILE: file_sha256(candidate.path / PATIENTS_FILE)}
    write_card(candidate.path, candidate.card.model_copy(update={"files": hashes}))
    found = compare_films(load_bundle(candidate.path), champion, synthetic_data)
    assert len(found.labels) == everybody - (films.metadata["patient"] == one).sum()


def test_what_was_compared_is_kept_until_either_model_changes(
    tiny_bundle: Bundle, another: Bundle, synthetic_data: Path, tmp_path: Path
) -> None:
    found = compare_films(tiny_bundle, another, synthetic_data)
    kept = compared(tiny_bundle, another)
    assert kept.basis == found.basis == "test films of tiny whose patients had no part in making another"
    np.testing.assert_array_equal(kept.labels, found.labels)
    np.testing.assert_allclose(kept.candidate, found.candidate, atol=1e-6)
    np.testing.assert_allclose(kept.champion, found.champion, atol=1e-6)
    np.testing.assert_array_equal(kept.patients, found.patients)
    np.testing.assert_array_equal(kept.sources, found.sources)
    for changed in (
        (copy_of(tiny_bundle, tmp_path / "a" / "tiny", created="later"), another),
        (tiny_bundle, copy_of(another, tmp_path / "b" / "another", created="later")),
    ):
        assert compared(*changed).basis == "the films that both models were tested on"


def test_what_is_kept_and_damaged_is_said_not_passed_over(
    tiny_bundle: Bundle, another: Bundle, synthetic_data: Path, evaluations: Path
) -> None:
    found = compare_films(tiny_bundle, another, synthetic_data)
    file = evaluations / "tiny" / "against-another.npz"
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole), 37):
        data = bytearray(whole)
        data[place] ^= 1
        file.write_bytes(data)
        try:
            kept = compared(tiny_bundle, another)
        except NotComparable as error:
            refused += 1
            assert "can't be read; remove it or make it anew" in str(error)
        else:
            # A bit that the format does not use.
            np.testing.assert_allclose(kept.candidate, found.candidate, atol=1e-6)
    assert refused > 0.5 * len(whole) / 37


def test_all_test_films_have_to_be_there(
    tiny_bundle: Bundle, another: Bundle, synthetic_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "part").mkdir()
    shard = sorted(synthetic_data.glob("*.tfrec"))[0]
    shutil.copy(shard, tmp_path / "part" / shard.name)
    with pytest.raises(UnusableDataset, match="films that tiny was tested on; give the folder that it was made from"):
        compare_films(tiny_bundle, another, tmp_path / "part")


def test_a_champion_that_does_not_say_who_made_it_is_compared_on_common_films_only(
    tiny_bundle: Bundle, another: Bundle, synthetic_data: Path, tmp_path: Path
) -> None:
    old = copy_of(another, tmp_path / "old", without=PATIENTS_FILE)
    with pytest.raises(
        NotComparable, match="The model old does not say which patients made it, so it can be compared o"
    ):
        compare_films(tiny_bundle, old, synthetic_data)
    assert len(compared(tiny_bundle, old).labels) == len(shared_test_films(tiny_bundle, another).labels)


def test_where_all_patients_had_a_part_there_is_nothing_to_compare(
    tiny_bundle: Bundle, synthetic_data: Path, tmp_path: Path
) -> None:
    trained_on_all = copy_of(tiny_bundle, tmp_path / "all")
    with np.load(trained_on_all.path / PATIENTS_FILE) as old:
        parts = dict(old)
    parts["part"] = np.full(len(parts["part"]), "train")
    np.savez(trained_on_all.path / PATIENTS_FILE, **parts)
    hashes = trained_on_all.card.files | {PATIENTS_FILE: file_sha256(trained_on_all.path / PATIENTS_FILE)}
    write_card(trained_on_all.path, trained_on_all.card.model_copy(update={"files": hashes}))
    with pytest.raises(NotComparable, match=r"^All patients that tiny was tested on had a part in making it or all"):
        compare_films(tiny_bundle, load_bundle(trained_on_all.path), synthetic_data)
