"""AUROC against scikit-learn; intervals against simulations and resamples written by hand."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from cxr.evaluation.metrics import (
    Resamples,
    auroc,
    auroc_estimate,
    enough,
    estimate,
    macro_auroc_estimate,
    rate_estimate,
    resample_patients,
)
from cxr.model.card import Estimate


def scored_films(rng: np.random.Generator, count: int, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores whose true AUROC is `true_auroc(separation)`."""
    labels = (rng.random(count) < 0.4).astype(np.uint8)
    return labels, rng.normal(separation * labels, 1)


def true_auroc(separation: float) -> float:
    return float(norm.cdf(separation / np.sqrt(2)))


def width(interval: Estimate | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def test_auroc_of_a_case_done_by_hand() -> None:
    # Pairs (positive, negative): 0.8 beats 0.1 and 0.5; 0.5 beats 0.1 and ties with 0.5.
    assert auroc(np.array([0, 1, 1, 0]), np.array([0.1, 0.8, 0.5, 0.5])) == [3.5 / 4]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auroc_is_scikit_learn_s_with_and_without_ties(seed: int, decimals: int | None) -> None:
    labels, scores = scored_films(np.random.default_rng(seed), 60)
    scores = scores if decimals is None else scores.round(decimals)
    (value,) = auroc(labels, scores)
    assert value == pytest.approx(roc_auc_score(labels, scores))


def test_auroc_of_each_row_of_weights_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    labels, scores = scored_films(rng, 40)
    weights = rng.integers(0, 4, (600, 40)).astype(np.float32)
    values = auroc(labels, scores.round(1), weights)
    assert values.shape == (600,)
    expected = [roc_auc_score(labels, scores.round(1), sample_weight=row) for row in weights]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_auroc_is_nan_where_a_class_has_no_weight() -> None:
    weights = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]], np.float32)
    np.testing.assert_array_equal(auroc(np.array([0, 0, 1, 1]), np.arange(4.0), weights), [np.nan, np.nan, 1])


def test_a_patient_brings_all_films_to_a_resample() -> None:
    patients = np.array([7, 3, 7, 9, 3, 7])
    resamples = resample_patients(patients, resamples=500, seed=1)
    assert resamples.weights.shape == (500, 6)
    for patient in (3, 7, 9):
        films = resamples.weights[:, patients == patient]
        assert (films == films[:, :1]).all()
    assert (resamples.weights[:, [0, 1, 3]].sum(1) == 3).all()
    np.testing.assert_allclose(resamples.weights.mean(0), 1, atol=0.15)


def test_the_seed_decides_the_resamples() -> None:
    patients = np.arange(20)
    first, again, other = (resample_patients(patients, 50, seed).weights for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_subset_sees_the_same_resamples() -> None:
    resamples = resample_patients(np.array([1, 1, 2, 3]), 50)
    part = resamples.subset(np.array([True, False, False, True]))
    assert part.patients.tolist() == [1, 3]
    np.testing.assert_array_equal(part.weights, resamples.weights[:, [0, 3]])


def test_the_interval_is_between_the_percentiles_of_the_resamples() -> None:
    resamples = Resamples(np.arange(2), np.arange(1001, dtype=np.float32)[:, None].repeat(2, 1))
    found = estimate(lambda w: np.array([500.0]) if w is None else w[:, 0], resamples)
    assert (found.value, found.low, found.high) == pytest.approx((500, 25, 975))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        labels, scores = scored_films(rng, 150)
        found = auroc_estimate(labels, scores, resample_patients(np.arange(150), 300, seed))
        assert found is not None
        covered += found.low <= true_auroc(1.0) <= found.high
    assert 180 <= covered <= 199


def test_more_films_of_the_same_patients_do_not_narrow_the_interval() -> None:
    labels, scores = scored_films(np.random.default_rng(3), 60)
    copies = np.repeat(np.arange(60), 4)
    single = auroc_estimate(labels, scores, resample_patients(np.arange(60)))
    by_patient = auroc_estimate(labels[copies], scores[copies], resample_patients(copies))
    by_film = auroc_estimate(labels[copies], scores[copies], resample_patients(np.arange(240)))
    assert width(by_patient) == pytest.approx(width(single))
    assert width(by_film) < 0.65 * width(by_patient)


# 20 films of each class; in the second case the positives are of 4 patients.
LABELS = np.repeat([0, 1], 20)
FIVE_AND_FIVE = np.r_[np.tile(np.arange(5), 4), np.tile(np.arange(5, 10), 4)]
FIVE_AND_FOUR = np.r_[np.tile(np.arange(5), 4), np.tile(np.arange(5, 9), 5)]


def test_too_few_is_counted_in_patients_of_each_class() -> None:
    assert enough(LABELS, FIVE_AND_FIVE)
    assert not enough(LABELS, FIVE_AND_FOUR)
    assert not enough(1 - LABELS, FIVE_AND_FOUR)
    assert enough(LABELS, np.tile(np.arange(5), 8))


def test_there_is_no_estimate_from_too_few_patients() -> None:
    scores = np.arange(40.0)
    assert auroc_estimate(LABELS, scores, resample_patients(FIVE_AND_FIVE, 100)) is not None
    assert auroc_estimate(LABELS, scores, resample_patients(FIVE_AND_FOUR, 100)) is None
    everything, positives = np.ones(40, bool), LABELS == 1
    assert rate_estimate(everything, positives, resample_patients(FIVE_AND_FIVE, 100)) is not None
    assert rate_estimate(everything, positives, resample_patients(FIVE_AND_FOUR, 100)) is None


def test_macro_auroc_is_the_mean_over_the_columns_with_enough_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(50), 2)
    labels = rng.integers(0, 2, (100, 4))
    labels[:, 2] = patients < 4
    scores = rng.normal(size=(100, 4)) + labels
    macro, count = macro_auroc_estimate(labels, scores, resample_patients(patients, 200))
    assert macro is not None
    assert count == 3
    assert macro.value == pytest.approx(roc_auc_score(labels[:, [0, 1, 3]], scores[:, [0, 1, 3]]))
    assert macro.low < macro.value < macro.high


def test_macro_auroc_of_no_columns_with_enough_patients() -> None:
    labels = np.zeros((40, 2), int)
    assert macro_auroc_estimate(labels, labels.astype(float), resample_patients(np.arange(40), 10)) == (None, 0)


def test_a_resample_without_one_class_of_a_column_is_averaged_over_the_others() -> None:
    labels = np.c_[np.repeat([0, 1], 5), np.tile([0, 1], 5)]
    scores = np.c_[np.arange(10), -np.arange(10)].astype(float)
    weights = np.array([[1, 1, 1, 1, 1, 0, 0, 0, 0, 0]], np.float32)
    macro, count = macro_auroc_estimate(labels, scores, Resamples(np.arange(10), weights))
    assert macro is not None
    assert count == 2
    second = roc_auc_score(labels[:5, 1], scores[:5, 1])
    assert (macro.low, macro.high) == (pytest.approx(second), pytest.approx(second))


def test_a_rate_done_by_hand() -> None:
    among = np.array([1, 1, 1, 1, 1, 0, 0], bool)
    hits = np.array([1, 1, 1, 0, 0, 1, 1], bool)
    weights = np.array([[1, 0, 0, 3, 0, 5, 5]], np.float32)
    rate = rate_estimate(hits, among, Resamples(np.arange(7), weights))
    assert rate is not None
    assert rate.value == pytest.approx(3 / 5)
    assert (rate.low, rate.high) == (pytest.approx(1 / 4), pytest.approx(1 / 4))


def test_resamples_without_a_film_that_counts_are_left_out_of_a_rate() -> None:
    among = np.array([1, 1, 1, 1, 1, 0], bool)
    weights = np.array([[0, 0, 0, 0, 0, 6], [2, 0, 2, 0, 2, 0]], np.float32)
    rate = rate_estimate(among & (np.arange(6) < 2), among, Resamples(np.arange(6), weights))
    assert rate is not None
    assert (rate.low, rate.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
