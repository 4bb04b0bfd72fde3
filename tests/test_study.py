"""The study's own arithmetic: folds, the linear head, cross-validation, the learning curve."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from cxr.dataset.labelled import LabelledFilms
from cxr.findings import CATEGORIES, NO_FINDING_INDEX
from scripts.study import report
from scripts.study.films import FOLDS, fold_of
from scripts.study.heads import fit_head, standardise
from scripts.study.measures import measured
from scripts.study.recipes import all_recipes, cross_validated, taught
from scripts.study.upper import Films

FILMS, PATIENTS = 240, 80


@pytest.fixture
def films() -> LabelledFilms:
    rng = np.random.default_rng(0)
    labels = np.zeros((FILMS, len(CATEGORIES)), np.uint8)
    found = rng.random(FILMS) < 0.6
    labels[found, 1 + rng.integers(3, size=found.sum())] = 1
    labels[:, NO_FINDING_INDEX] = ~found
    metadata = pd.DataFrame(
        {"patient": np.arange(FILMS) % PATIENTS, "source": np.where(np.arange(FILMS) % PATIENTS < 50, "jrzech", "talo")}
    )
    return LabelledFilms(np.zeros((FILMS, 8, 8), np.uint8), labels, metadata)


def test_no_patient_is_in_two_folds_and_a_seed_repeats_them(films: LabelledFilms) -> None:
    folds = fold_of(films, 3)
    assert set(folds) == set(range(FOLDS))
    both = films.metadata.assign(fold=folds)[["patient", "fold"]].drop_duplicates()
    assert both["patient"].is_unique
    np.testing.assert_array_equal(folds, fold_of(films, 3))
    assert (folds != fold_of(films, 4)).any()


def test_every_film_is_scored_once_by_what_never_saw_its_patient(films: LabelledFilms) -> None:
    patients = films.metadata["patient"].to_numpy()
    seen = np.zeros(FILMS, int)

    def score(train: np.ndarray, tested: np.ndarray) -> np.ndarray:
        assert not set(patients[train]) & set(patients[tested])
        assert len(train) + len(tested) == FILMS
        seen[tested] += 1
        return np.repeat(tested[:, None], len(CATEGORIES), 1)

    scores = cross_validated(films, 0, score)
    assert (seen == 1).all()
    np.testing.assert_array_equal(scores[:, 0], np.arange(FILMS))


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_head_is_a_logistic_regression(weight: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 6))
    y = (rng.random((300, 2)) < expit(x[:, :2] * 2 - 0.5)).astype(np.uint8)
    decay = 0.05
    kernel, constant = fit_head(x.astype(np.float32), y, np.full(2, weight, np.float32), decay)
    for k in range(2):
        theirs = LogisticRegression(C=1 / (decay * len(x)), class_weight={0: 1.0, 1: weight}, tol=1e-8).fit(x, y[:, k])
        np.testing.assert_allclose(kernel[:, k], theirs.coef_[0], atol=2e-3)
        np.testing.assert_allclose(constant[k], theirs.intercept_[0], atol=2e-3)


class Teacher:
    """Says the same of every film."""

    def __init__(self, logit: float):
        self.logit = logit

    def predict_on_batch(self, maps: np.ndarray) -> np.ndarray:
        return np.full((len(maps), len(CATEGORIES)), self.logit, np.float32)


def test_a_pupil_learns_between_the_label_and_what_its_teachers_say(films: LabelledFilms) -> None:
    """The odds of a teacher that learnt with weighted positives are divided by the weight."""
    rows = np.arange(0, FILMS, 2)
    maps = np.zeros((2, FILMS, 1, 1, 3), np.float16)
    targets = taught([Teacher(0.0), Teacher(1.0)], Films(maps, films.labels, rows))  # type: ignore[list-item]
    y = films.labels[rows].astype(float)
    weight = np.clip(np.sqrt((len(rows) - y.sum(0)) / np.maximum(y.sum(0), 1)), 1, 5)
    said = (1 / (1 + weight) + np.e / (np.e + weight)) / 2
    for view in range(2):
        np.testing.assert_allclose(targets[view, rows], 0.3 * y + 0.7 * said, atol=1e-6)
        np.testing.assert_array_equal(targets[view, 1::2], films.labels[1::2])


def test_features_are_standardised_by_the_training_films_alone() -> None:
    train, other = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 4.0]])
    scaled, shown = standardise(train, other)
    np.testing.assert_allclose(scaled, [[-1, -1], [1, 1]], atol=1e-5)
    np.testing.assert_allclose(shown, [[0, 2]], atol=1e-5)


def test_a_perfect_score_is_one_and_no_score_a_half(films: LabelledFilms) -> None:
    perfect = films.labels.astype(float)
    assert all(value == 1 for fold in measured(films, perfect, 0) for value in fold.values())
    assert all(value == 0.5 for fold in measured(films, np.zeros_like(perfect), 0) for value in fold.values())


def test_the_learning_curve_finds_what_a_doubling_brings() -> None:
    def row(value: float) -> dict[str, object]:
        return {
            "factor": "learning curve",
            "folds": {"0": [dict.fromkeys(report.COLUMNS, value + f) for f in (0, 0.01, 0.02)]},
        }

    table = {f"tuned, {n} films": row(0.5 + 0.02 * np.log2(n / 150)) for n in report.CURVE}
    table["tuned"] = row(0.5 + 0.02 * np.log2(1200 / 150))
    text = report.text(table, 1800, 3)
    assert "`jrzech` macro +0.020" in text
    # Two doublings more than 1,200: 0.01 + 0.5 + 0.02 * 5.
    assert "(4,800) would, if the line went on, give a macro-AUROC of 0.61" in text
    assert text.count("\n| tuned") == 4


def test_a_recipe_is_compared_in_the_folds_that_both_have() -> None:
    def folds(values: list[float]) -> list[dict[str, float]]:
        return [dict.fromkeys(report.COLUMNS, value) for value in values]

    table = {
        "tuned": {"factor": "reference", "folds": {"0": folds([0.6, 0.7, 0.8]), "1": folds([0.1, 0.1, 0.1])}},
        "tuned, 8 views": {"factor": "augmentation", "folds": {"0": folds([0.62, 0.72, 0.82])}},
    }
    assert "0.720 ± 0.100 (+0.020 ± 0.000)" in report.text(table, 1200, 3)


def test_no_two_recipes_share_a_file() -> None:
    names = [name.replace(" ", "-").replace(",", "") for name in all_recipes()]
    assert len(set(names)) == len(names)


def test_an_untrained_network_gets_its_sentence_only_where_the_sources_differ() -> None:
    def row(talo: float) -> dict[str, object]:
        return {"factor": "control", "folds": {"0": [dict.fromkeys(report.COLUMNS, 0.5) | {"talo_abnormal": talo}] * 3}}

    assert "random weights under a linear head scores 0.80" in report.text(
        {"random backbone": row(0.8), "linear probe": row(0.8)}, 1200, 3
    )
    assert "random weights" not in report.text({"random backbone": row(0.55), "linear probe": row(0.8)}, 1200, 3)
