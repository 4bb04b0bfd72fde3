"""Rates against scikit-learn, Bayes' theorem against populations counted out, and cases done by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from cxr.evaluation.evaluate import calibration_error
from cxr.evaluation.metrics import Resamples, resample_patients
from cxr.evaluation.rates import (
    Rates,
    at_prevalence,
    count,
    false_no_finding,
    rates,
    rates_at_prevalence,
    reliability_curve,
)
from cxr.model.card import Estimate


def some_films(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, flags that are right three times in four, and patients of one to many films."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(np.uint8)
    return labels, (labels == 1) ^ (rng.random(count) < 0.25), rng.integers(0, count // 2, count)


ORACLES = {
    "sensitivity": lambda y, f, w: recall_score(y, f, sample_weight=w),
    "specificity": lambda y, f, w: recall_score(y, f, sample_weight=w, pos_label=0),
    "ppv": lambda y, f, w: precision_score(y, f, sample_weight=w),
    "npv": lambda y, f, w: precision_score(y, f, sample_weight=w, pos_label=0),
    "accuracy": lambda y, f, w: accuracy_score(y, f, sample_weight=w),
    "f1": lambda y, f, w: f1_score(y, f, sample_weight=w),
    "flagged": lambda y, f, w: np.average(f, weights=w),
}


def interval(estimate: Estimate | None) -> tuple[float, float, float]:
    assert estimate is not None
    return estimate.value, estimate.low, estimate.high


@pytest.mark.parametrize("name", ORACLES)
def test_rates_and_their_intervals_are_scikit_learn_s_over_the_resamples(name: str) -> None:
    labels, flagged, patients = some_films()
    resamples = resample_patients(patients, 150)
    expected = [ORACLES[name](labels, flagged.astype(int), row) for row in resamples.weights]
    value = ORACLES[name](labels, flagged.astype(int), None)
    found = getattr(rates(labels, flagged, resamples), name)
    assert interval(found) == pytest.approx((value, *np.percentile(expected, [2.5, 97.5])))


def test_counts_of_a_case_done_by_hand() -> None:
    labels, flagged = np.array([1, 1, 0, 0, 0]), np.array([True, False, True, False, False])
    weights = np.array([[1, 2, 3, 4, 5], [0, 0, 0, 0, 1]], np.float32)
    alone, counted = count(labels, flagged), count(labels, flagged, weights)
    assert [alone.hits, alone.misses, alone.alarms, alone.rests] == [1, 1, 1, 2]
    np.testing.assert_array_equal(
        [counted.hits, counted.misses, counted.alarms, counted.rests], [[1, 0], [2, 0], [3, 0], [9, 1]]
    )


# Films of 5 patients each: found, missed, wrongly flagged, rightly left.
CELLS = np.repeat([0, 1, 2, 3], 5)
PATIENTS = np.arange(20)


def shown(found: Rates) -> set[str]:
    return {name for name in ORACLES if getattr(found, name) is not None}


@pytest.mark.parametrize(
    ("positive_patients", "negative_patients", "flagged_cells", "expected"),
    [
        (10, 10, (0, 2), set(ORACLES)),
        (4, 10, (0, 2), {"specificity", "accuracy", "flagged"}),
        (10, 4, (0, 2), {"sensitivity", "accuracy", "flagged"}),
        (10, 10, (), {"sensitivity", "specificity", "npv", "accuracy", "flagged"}),
        (10, 10, (0, 1, 2, 3), {"sensitivity", "specificity", "ppv", "f1", "accuracy", "flagged"}),
    ],
)
def test_each_rate_needs_patients_of_what_it_is_about(
    positive_patients: int, negative_patients: int, flagged_cells: tuple, expected: set[str]
) -> None:
    labels = (CELLS < 2).astype(int)
    patients = np.where(CELLS < 2, PATIENTS % positive_patients, 100 + PATIENTS % negative_patients)
    found = rates(labels, np.isin(CELLS, flagged_cells), resample_patients(patients, 100))
    assert shown(found) == expected


def test_many_films_of_few_patients_are_too_few() -> None:
    labels, flagged, patients = some_films(400)
    assert shown(rates(labels, flagged, resample_patients(patients % 4, 50))) == set()
    assert shown(rates(labels, flagged, resample_patients(patients % 5, 50))) == set(ORACLES)


def test_a_class_that_is_missing_leaves_no_predictive_value() -> None:
    flagged = np.arange(40) % 2 == 0
    found = rates(np.zeros(40, int), flagged, resample_patients(np.arange(40), 50))
    assert shown(found) == {"specificity", "accuracy", "flagged"}
    assert interval(found.specificity)[0] == 0.5
    found = rates(np.ones(40, int), flagged, resample_patients(np.arange(40), 50))
    assert shown(found) == {"sensitivity", "accuracy", "flagged"}


@pytest.mark.filterwarnings("error")
def test_resamples_that_cannot_say_are_left_out() -> None:
    labels, flagged = (CELLS < 2).astype(int), np.isin(CELLS, (0, 2))
    weights = np.stack([np.where(CELLS == 3, 1, 0), np.where(CELLS == 1, 3, 1)]).astype(np.float32)
    found = rates(labels, flagged, Resamples(PATIENTS, weights))
    assert interval(found.sensitivity) == pytest.approx((1 / 2, 1 / 4, 1 / 4))
    assert interval(found.ppv) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    there = rates_at_prevalence(labels, flagged, Resamples(PATIENTS, weights), 0.5)
    assert interval(there.missed_per_100) == pytest.approx((25, 37.5, 37.5))


def test_the_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    films, truth = 4, {"sensitivity": 0.7, "specificity": 0.8, "ppv": 0.6, "accuracy": 0.77}
    # With 30% positive: 0.21 found, 0.14 wrongly flagged, so a ppv of 0.6; each patient's films are easy or hard alike.
    covered = dict.fromkeys(truth, 0)
    for seed in range(100):
        positive = np.repeat(rng.random(150) < 0.3, films)
        chance = np.where(positive, 0.7, 0.2)
        by_patient = np.repeat(rng.random(150), films)
        flagged = np.where(rng.random(600) < 0.5, by_patient, rng.random(600)) < chance
        found = rates(positive.astype(int), flagged, resample_patients(np.repeat(np.arange(150), films), 200, seed))
        for name, true in truth.items():
            _, low, high = interval(getattr(found, name))
            covered[name] += low <= true <= high
    assert all(87 <= times <= 99 for times in covered.values()), covered


@pytest.mark.parametrize("flagged", [np.array([0, 1, 1]), np.array([0.2, 0.9, 0.5])])
def test_scores_are_not_taken_for_flags(flagged: np.ndarray) -> None:
    resamples = resample_patients(np.arange(3), 10)
    labels = np.array([0, 1, 0])
    for use in (
        lambda: rates(labels, flagged, resamples),
        lambda: rates_at_prevalence(labels, flagged, resamples, 0.1),
        lambda: false_no_finding(labels, flagged, pd.Series(list("abc")), resamples),
    ):
        with pytest.raises(ValueError, match="true or false"):
            use()


def test_labels_other_than_0_and_1_are_refused() -> None:
    with pytest.raises(ValueError, match="1 films have another"):
        rates(np.array([0, 1, 3]), np.array([True, False, True]), resample_patients(np.arange(3), 10))


def test_bayes_of_a_case_done_by_hand() -> None:
    # Of 1,000 films 100 are abnormal: 90 found, 10 missed; of 900 others 180 flagged, 720 not.
    there = at_prevalence(0.9, 0.8, 0.1)
    assert there.ppv == pytest.approx(90 / 270)
    assert there.npv == pytest.approx(720 / 730)
    assert there.flagged_per_100 == pytest.approx(27)
    assert there.missed_per_100 == pytest.approx(1)


@pytest.mark.filterwarnings("error")
def test_bayes_at_the_ends() -> None:
    nobody, everybody = at_prevalence(0.9, 0.8, 0), at_prevalence(0.9, 0.8, 1)
    assert (nobody.ppv, nobody.npv, nobody.missed_per_100) == (0, 1, 0)
    assert nobody.flagged_per_100 == pytest.approx(20)
    assert (everybody.ppv, everybody.npv) == (1, 0)
    assert everybody.missed_per_100 == pytest.approx(10)
    assert np.isnan(at_prevalence(0, 1, 0.3).ppv)
    assert np.isnan(at_prevalence(1, 0, 0.3).npv)


def test_bayes_of_many_at_once_is_that_of_each() -> None:
    sensitivity, specificity = np.array([0.5, np.nan, 0.9]), np.array([0.9, 0.8, 0.7])
    there = at_prevalence(sensitivity, specificity, 0.2)
    for k in (0, 2):
        alone = at_prevalence(float(sensitivity[k]), float(specificity[k]), 0.2)
        for name in ("ppv", "npv", "flagged_per_100", "missed_per_100"):
            assert getattr(there, name)[k] == pytest.approx(getattr(alone, name))
    assert np.isnan(there.ppv[1])


@pytest.mark.parametrize(
    ("shares", "named"),
    [
        ((98, 0.5, 0.1), "sensitivity"),
        ((np.array([0.5, -0.1]), 0.5, 0.1), "sensitivity"),
        ((0.5, 1.01, 0.1), "specificity"),
        ((0.5, 0.5, 10), "prevalence"),
        ((0.5, 0.5, -0.1), "prevalence"),
        ((0.5, 0.5, float("nan")), "prevalence"),
    ],
)
def test_percents_are_not_taken_for_shares(shares: tuple, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        at_prevalence(*shares)


def test_at_their_own_prevalence_the_rates_are_those_of_the_films() -> None:
    labels, flagged, patients = some_films()
    resamples = resample_patients(patients, 50)
    here, there = rates(labels, flagged, resamples), rates_at_prevalence(labels, flagged, resamples, labels.mean())
    assert interval(there.ppv)[0] == pytest.approx(interval(here.ppv)[0])
    assert interval(there.npv)[0] == pytest.approx(interval(here.npv)[0])
    assert interval(there.flagged_per_100)[0] == pytest.approx(100 * interval(here.flagged)[0])
    assert interval(there.missed_per_100)[0] == pytest.approx(100 * (labels & ~flagged).mean())


def test_at_another_prevalence_they_are_those_of_films_weighted_to_it() -> None:
    labels, flagged, patients = some_films()
    resamples = resample_patients(patients, 150)
    there = rates_at_prevalence(labels, flagged, resamples, 0.05)

    def weighted(row: np.ndarray) -> list[float]:
        share = np.where(labels == 1, 0.05 / row[labels == 1].sum(), 0.95 / row[labels == 0].sum()) * row
        return [
            precision_score(labels, flagged, sample_weight=share),
            precision_score(labels, flagged, sample_weight=share, pos_label=0),
            100 * share[flagged].sum(),
            100 * share[(labels == 1) & ~flagged].sum(),
        ]

    values = weighted(np.ones(len(labels)))
    low, high = np.percentile([weighted(row) for row in resamples.weights], [2.5, 97.5], axis=0)
    for k, name in enumerate(("ppv", "npv", "flagged_per_100", "missed_per_100")):
        assert interval(getattr(there, name)) == pytest.approx((values[k], low[k], high[k]))


def test_a_perfect_number_that_rests_on_an_error_not_seen_is_not_given() -> None:
    labels, resamples = (CELLS < 2).astype(int), resample_patients(PATIENTS, 50)
    none_wrongly = rates_at_prevalence(labels, CELLS == 0, resamples, 0.01)
    assert none_wrongly.ppv is None
    assert interval(none_wrongly.npv)[0] == pytest.approx(0.99 / (0.99 + 0.005))
    assert interval(none_wrongly.flagged_per_100)[0] == pytest.approx(0.5)
    none_missed = rates_at_prevalence(labels, CELLS <= 2, resamples, 0.01)
    assert (none_missed.npv, none_missed.missed_per_100) == (None, None)
    assert interval(none_missed.ppv)[0] == pytest.approx(0.01 / (0.01 + 0.99 / 2))


@pytest.mark.parametrize("few", [0, 1])
def test_nothing_is_said_of_another_prevalence_from_too_few_patients_of_a_class(few: int) -> None:
    labels, flagged, patients = some_films()
    resamples = resample_patients(np.where(labels == few, patients % 4, 1000 + patients), 50)
    there = rates_at_prevalence(labels, flagged, resamples, 0.1)
    assert [there.ppv, there.npv, there.flagged_per_100, there.missed_per_100] == [None] * 4


def test_a_reliability_curve_done_by_hand() -> None:
    probabilities = np.tile([0.9, 0.1, 0.2, 0.8], 5)
    labels = np.tile([1, 0, 1, 0], 5)
    labels[0] = 0
    low, high = reliability_curve(labels, probabilities, resample_patients(np.arange(20), 100), bins=2)
    assert (low.films, high.films) == (10, 10)
    assert (low.mean_probability, high.mean_probability) == pytest.approx((0.15, 0.85))
    assert interval(low.observed)[0] == pytest.approx(0.5)
    assert interval(high.observed)[0] == pytest.approx(0.4)


@pytest.mark.parametrize("decimals", [8, 1])
def test_the_gaps_of_the_curve_are_the_calibration_error(decimals: int) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.beta(1, 3, 503).round(decimals)
    labels = (rng.random(503) < probabilities**0.7).astype(int)
    curve = reliability_curve(labels, probabilities, resample_patients(np.arange(503), 50))
    gaps = [abs(interval(part.observed)[0] - part.mean_probability) * part.films for part in curve]
    assert sum(gaps) / 503 == pytest.approx(calibration_error(labels, probabilities)[0])
    assert sum(part.films for part in curve) == 503
    assert [part.mean_probability for part in curve] == sorted(part.mean_probability for part in curve)
    assert len(curve) == 10 if decimals == 8 else len(curve) < 10


def test_honest_probabilities_lie_within_most_intervals_and_boasting_ones_do_not() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.random(3000)
    labels = (rng.random(3000) < probabilities).astype(int)
    resamples = resample_patients(np.arange(3000), 200)

    def inside(stated: np.ndarray) -> int:
        curve = reliability_curve(labels, stated, resamples)
        return sum(interval(part.observed)[1] <= part.mean_probability <= interval(part.observed)[2] for part in curve)

    assert inside(probabilities) >= 8
    assert inside(probabilities**3) <= 4


def test_equal_probabilities_share_a_bin_and_few_patients_show_nothing() -> None:
    labels = np.tile([0, 1], 20)
    (alone,) = reliability_curve(labels, np.full(40, 0.3), resample_patients(np.arange(40), 50))
    assert (alone.films, interval(alone.observed)[0]) == (40, 0.5)
    patients = np.r_[np.zeros(20), np.arange(1, 21)]
    first, second = reliability_curve(labels, np.repeat([0.2, 0.7], 20), resample_patients(patients, 50), bins=2)
    assert first.observed is None
    assert (first.films, first.mean_probability) == (20, pytest.approx(0.2))
    assert second.observed is not None


def test_more_bins_than_films() -> None:
    curve = reliability_curve(np.array([0, 1, 1]), np.array([0.5, 0.1, 0.9]), resample_patients(np.arange(3), 10))
    assert [(part.films, part.mean_probability) for part in curve] == [(1, 0.1), (1, 0.5), (1, 0.9)]


def test_what_is_no_probability_is_refused() -> None:
    resamples = resample_patients(np.arange(2), 10)
    for wrong, message in (([0.5, 1.5], "0.5 to 1.5"), ([-0.5, 0.5], "-0.5 to 0.5"), ([0.5, np.nan], "finite")):
        with pytest.raises(ValueError, match=message):
            reliability_curve(np.array([0, 1]), np.array(wrong), resamples)
    with pytest.raises(ValueError, match="1 bin"):
        reliability_curve(np.array([0, 1]), np.array([0.1, 0.2]), resamples, bins=0)


def test_false_no_findings_by_group() -> None:
    abnormal = np.array([1] * 8 + [0] * 4 + [1] * 6 + [1, 0])
    called = np.array([True, True] + [False] * 6 + [True] * 4 + [False] * 3 + [True] * 3 + [True, True])
    groups = pd.Series(["F"] * 12 + ["M"] * 6 + [None, None], index=range(100, 120))
    patients = np.r_[np.arange(12), 50, 50, 50, 51, 52, 53, 60, 61]
    resamples = resample_patients(patients, 200)
    found = false_no_finding(abnormal, called, groups, resamples)
    assert list(found) == ["F", "M", "unknown"]
    women, men, unknown = found.values()
    assert (women.films, women.patients, women.missed) == (8, 8, 2)
    value, low, high = interval(women.share)
    assert value == 0.25
    shares = [row[:2].sum() / row[:8].sum() for row in resamples.weights]
    assert (low, high) == pytest.approx(tuple(np.percentile(shares, [2.5, 97.5])))
    assert (men.films, men.patients, men.missed, men.share) == (6, 4, 3, None)
    assert (unknown.films, unknown.patients, unknown.missed, unknown.share) == (1, 1, 1, None)


@pytest.mark.parametrize("dtype", ["category", "float", "object"])
def test_groups_may_be_of_any_kind_and_without_abnormal_films(dtype: str) -> None:
    groups = pd.Series([1, 2, 2, np.nan]).astype(dtype)
    resamples = resample_patients(np.arange(4), 10)
    found = false_no_finding(np.array([1, 0, 0, 1]), np.array([True, True, False, False]), groups, resamples)
    assert [part.films for part in found.values()] == [0, 1, 1]
    assert next(iter(found)) == "2.0"
    assert found["unknown"].missed == 0
    assert found["1.0"].missed == 1


def test_groups_of_other_films_are_refused() -> None:
    with pytest.raises(ValueError, match="3 groups for 2 films"):
        false_no_finding(
            np.array([1, 0]), np.array([True, True]), pd.Series(list("abc")), resample_patients(np.arange(2), 10)
        )
