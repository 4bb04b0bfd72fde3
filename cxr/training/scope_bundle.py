"""A scope check for a bundle: pictures gathered, the check fitted and measured, both kept in the bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from cxr.dataset.labelled import Catalogue, LabelledFilms, load_films, open_folder
from cxr.dataset.official import read_official_lists
from cxr.dataset.splits import split_hash
from cxr.model.attach import attach
from cxr.model.bundle import SCOPE_FILE, Bundle
from cxr.model.card import ScopeFacts
from cxr.model.engine import Engine
from cxr.model.export import load_keras
from cxr.model.features import channels
from cxr.training.config import TrainingConfig
from cxr.training.parts import split_films
from cxr.training.patients import load_patients
from cxr.training.scope_attach import give_features
from cxr.training.scope_data import ScopeData, gather
from cxr.training.scope_fit import fit_scope
from cxr.training.scope_pictures import FRONTAL
from cxr.training.scope_rates import measure
from cxr.training.scope_sources import Amounts, films_and_spoilt, other_films, out_of_scope, training_films

SMALLEST_SIDE: Final = 200
"""Pixels that a film must have on each side; fewer where the model itself sees fewer."""
TRAINED, TESTED = "films like those it was trained on", "test films"


@dataclass(frozen=True, eq=False)
class Folders:
    """Pictures that a scope check learns from besides the model's own films.

    Attributes:
        frontal: a folder of frontal films for each other hospital.
        out_of_scope: folders of other pictures; the names of their folders say what they show.
    """

    frontal: Sequence[Path] = ()
    out_of_scope: Sequence[Path] = ()


def add_scope(
    bundle: Bundle,
    stages: np.ndarray,
    known: LabelledFilms,
    test: LabelledFilms,
    folders: Folders,
    amounts: Amounts,
    cache: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Fit a scope check, measure it and keep it in the bundle; returns the bundle as it then is.

    Args:
        bundle: whose graph gives features.
        stages: int (s,), channels of each stage of the features.
        known: films as the model was trained on, of patients who do not test it.
        test: films that test it; they have no part in the fit.
        folders: of other pictures.
        amounts: how many.
        cache: folder that keeps features for the next time.
        report: gets a line about each step.

    Raises:
        BundleRejected: what was written can't be loaded; the bundle is then as it was.
    """
    engine = Engine(bundle)
    return keep_scope(bundle, stages, _gathered(engine, known, test, folders, amounts, cache, report), report)


def keep_scope(bundle: Bundle, stages: np.ndarray, data: ScopeData, report: Callable[[str], None]) -> Bundle:
    """Fit a scope check on pictures, measure it on pictures that it was not fitted on, and keep it in the bundle.

    Args:
        bundle, stages, report: as of `add_scope`.
        data: pictures; those of the source `TESTED` are only judged.
    """
    trained, tested = (data.sources == TRAINED) & (data.kinds == FRONTAL) & data.originals, data.sources == TESTED
    rates = measure(data, trained, stages, TESTED if tested.any() else None, report)
    side = np.array(min(SMALLEST_SIDE, bundle.card.input_size))
    arrays = fit_scope(data.of(~tested), trained[~tested], stages) | {"smallest_side": side}
    facts = ScopeFacts(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        frontal=_counts(data, data.originals & (data.kinds == FRONTAL) & ~tested),
        out_of_scope=_counts(data, data.originals & (data.kinds != FRONTAL)),
        rates=rates,
    )

    def write(folder: Path) -> None:
        np.savez_compressed(folder / SCOPE_FILE, allow_pickle=False, **arrays)

    return attach(bundle, (SCOPE_FILE,), write, {"scope": facts})


def scope_from_folder(
    bundle: Bundle,
    data: Path,
    folders: Folders,
    amounts: Amounts,
    cache: Path,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Give a bundle a scope check; returns the bundle as it then is.

    Args:
        bundle: of `load_bundle`; a graph without features is written anew (`give_features`).
        data: folder in the layout of the Kaggle release. Where the bundle was made from it, its test patients test.
        folders, amounts, cache, report: as of `add_scope`.

    Raises:
        UnusableDataset, BundleRejected: with one sentence; the bundle is then as it was.
    """
    films = open_folder(data, cache)
    known, test = _split(bundle, films, data)
    order = films.metadata.iloc[known].groupby("patient").cumcount().to_numpy()
    known = np.sort(known[np.argsort(order, kind="stable")[: amounts.films]])
    fitting, testing = (load_films(films, rows, bundle.card.input_size, cache) for rows in (known, test))
    bundle = give_features(bundle)
    return add_scope(bundle, channels(load_keras(bundle)), fitting, testing, folders, amounts, cache, report)


def _split(bundle: Bundle, films: Catalogue, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the films to fit with, and of those of other patients to test with."""
    card, patients = bundle.card, films.metadata["patient"]
    if card.data is not None:
        config = TrainingConfig(**card.training)
        split = split_films(films, config, read_official_lists(data) if config.official_split else None)
        if split_hash(patients, split) == card.data.hash:
            return np.flatnonzero(split != "test"), np.flatnonzero(split == "test")
    second = np.random.default_rng(0).permutation(patients.unique())[::3]
    tests = patients.isin(second).to_numpy()
    made_by = load_patients(bundle)
    if made_by is not None:
        tests &= ~made_by.had_part(patients.to_numpy())
    return np.flatnonzero(~tests), np.flatnonzero(tests)


def _gathered(
    engine: Engine,
    known: LabelledFilms,
    test: LabelledFilms,
    folders: Folders,
    amounts: Amounts,
    cache: Path | None,
    report: Callable[[str], None],
) -> ScopeData:
    hospitals = [other_films(folder, amounts.others) for folder in folders.frontal]
    own = [
        training_films(films.pixels, films.metadata, source, most)
        for films, source, most in ((known, TRAINED, amounts.films), (test, TESTED, amounts.tests))
    ]
    frontal = (films_and_spoilt(films, amounts, seed) for seed, films in enumerate([*own, *hospitals], start=10))
    pictures = chain(out_of_scope(folders.out_of_scope, amounts, seed=2), *frontal)
    return gather(engine, pictures, cache, report)


def _counts(data: ScopeData, chosen: np.ndarray) -> dict[str, int]:
    sources, counts = np.unique(data.sources[chosen], return_counts=True)
    return {str(source): int(count) for source, count in zip(sources, counts, strict=True)}
