"""The worklist that is left, against films set aside one level after the other, and resamples written out by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from cxr.evaluation.metrics import Resamples, resample_patients
from cxr.evaluation.thresholds import at_sensitivity
from cxr.evaluation.workload import CHUNK, SENSITIVITIES, WorkloadCurve, cost_of, set_aside_at, workload_curve
from cxr.model.card import Estimate

# Ten films of ten patients; rising scores, the abnormal ones at ranks 3, 5, 7, 8 and 9.
RANKS = np.arange(10) / 10
BY_HAND = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1])


def drawn_films(count: int, seed: int = 0, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    abnormal = (rng.random(count) < 0.4).astype(np.uint8)
    scores = norm.cdf(rng.normal(1.5 * abnormal, 1))
    return abnormal, scores if decimals is None else scores.round(decimals)


def set_aside_one_by_one(abnormal: np.ndarray, scores: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Weight of abnormal films, as a share of theirs, among the lowest `share` of all weight; ties in proportion."""
    left, missed = share * weights.sum(), 0.0
    for level in sorted(set(scores.tolist())):
        at = scores == level
        part = min(1.0, left / weights[at].sum()) if weights[at].sum() else 0.0
        missed += part * weights[at & (abnormal == 1)].sum()
        left -= part * weights[at].sum()
    return missed / weights[abnormal == 1].sum()


def weighted_to(prevalence: float, abnormal: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of the films under which that share of the weight is abnormal."""
    return np.where(
        abnormal == 1,
        weights * prevalence / weights[abnormal == 1].sum(),
        weights * (1 - prevalence) / weights[abnormal == 0].sum(),
    )


def curve_of(*arguments: np.ndarray, **keywords: float) -> WorkloadCurve:
    abnormal, scores, patients = arguments
    curve = workload_curve(abnormal, scores, resample_patients(patients, 200), **keywords)
    assert curve is not None
    return curve


def test_the_curve_of_a_case_done_by_hand() -> None:
    curve = curve_of(BY_HAND, RANKS, np.arange(10), points=11)
    np.testing.assert_allclose(curve.share, np.arange(11) / 10)
    np.testing.assert_allclose(curve.missed, [0, 0, 0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.8, 1], atol=1e-12)
    # The first four films are of four patients: too few to say.
    expected = [np.nan] * 5 + [4 / 5, 4 / 6, 5 / 7, 5 / 8, 5 / 9, 5 / 10]
    np.testing.assert_allclose(curve.predictive_value, expected)
    np.testing.assert_array_equal(np.isnan(curve.predictive_low), np.isnan(expected))
    np.testing.assert_array_equal(np.isnan(curve.predictive_high), np.isnan(expected))


def test_the_curve_of_the_same_case_at_a_fifth_abnormal() -> None:
    # Each abnormal film now weighs 0.2 / 5 = 0.04, each other one 0.16; after three and four films:
    curve = curve_of(BY_HAND, RANKS, np.arange(10), points=26, prevalence=0.2)
    np.testing.assert_allclose(curve.missed[[12, 13, 17, 18, 22, 23, 25]], [0, 0.2, 0.2, 0.4, 0.4, 0.6, 1], atol=1e-12)
    # Four films are up to 0.52.
    assert np.isnan(curve.predictive_value[:13]).all()
    assert not np.isnan(curve.predictive_value[14:]).any()
    # 4 of the films set aside at 0.72 are normal and 2 abnormal: 0.64 and 0.08.
    assert curve.predictive_value[18] == pytest.approx(0.64 / 0.72)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_every_resample_is_set_aside_as_one_by_one(decimals: int | None, prevalence: float | None) -> None:
    abnormal, scores = drawn_films(60, decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, (3, 60)).astype(float)
    for row in weights:
        # More rows than a chunk, and all percentiles are the row's own value.
        same = Resamples(np.arange(60), np.repeat(row[None], CHUNK + 1, axis=0))
        curve = workload_curve(abnormal, scores, same, points=41, prevalence=prevalence)
        assert curve is not None
        films = row if prevalence is None else weighted_to(prevalence, abnormal, row)
        expected = np.array([set_aside_one_by_one(abnormal, scores, films, share) for share in curve.share])
        np.testing.assert_allclose(curve.missed_low, expected, atol=1e-9)
        np.testing.assert_allclose(curve.missed_high[30:], expected[30:], atol=1e-9)
        rate = films[abnormal == 1].sum() / films.sum()
        np.testing.assert_allclose(
            curve.predictive_high[30:], 1 - expected[30:] * rate / curve.share[30:], rtol=1e-6, atol=1e-9
        )
        np.testing.assert_allclose(curve.predictive_low[30:], curve.predictive_high[30:])


def test_the_interval_is_between_the_percentiles_of_the_resamples() -> None:
    abnormal, scores = drawn_films(80, decimals=2)
    resamples = resample_patients(np.repeat(np.arange(40), 2), 300)
    curve = workload_curve(abnormal, scores, resamples, points=5)
    assert curve is not None
    rows = [set_aside_one_by_one(abnormal, scores, row, 0.75) for row in resamples.weights]
    assert (curve.missed_low[3], curve.missed_high[3]) == pytest.approx(tuple(np.percentile(rows, [2.5, 97.5])))
    assert curve.missed_low[3] < curve.missed[3] < curve.missed_high[3]
    assert curve.predictive_low[3] < curve.predictive_value[3] < curve.predictive_high[3]


@pytest.mark.parametrize("prevalence", [None, 0.1])
def test_the_order_of_the_films_does_not_matter(prevalence: float | None) -> None:
    abnormal, scores = drawn_films(200, decimals=1)
    resamples = resample_patients(np.arange(200) // 3, 100)
    order = np.argsort(abnormal, kind="stable")
    for shuffled in (order, order[::-1]):
        other = Resamples(resamples.patients[shuffled], resamples.weights[:, shuffled])
        curves = [
            workload_curve(abnormal, scores, resamples, prevalence=prevalence),
            workload_curve(abnormal[shuffled], scores[shuffled], other, prevalence=prevalence),
        ]
        for name in WorkloadCurve.__dataclass_fields__:
            first, second = (getattr(curve, name) for curve in curves)
            np.testing.assert_allclose(first, second, atol=1e-12, err_msg=name)


def test_equal_scores_set_abnormal_films_aside_in_proportion() -> None:
    abnormal = np.tile([1, 0, 0, 0], 10)
    curve = curve_of(abnormal, np.full(40, 0.5), np.arange(40))
    np.testing.assert_allclose(curve.missed, curve.share, atol=1e-12)
    np.testing.assert_allclose(curve.predictive_value[1:], 0.75)


def test_random_scores_miss_about_what_they_set_aside() -> None:
    rng = np.random.default_rng(2)
    abnormal = (rng.random(4000) < 0.3).astype(int)
    curve = curve_of(abnormal, rng.random(4000), np.arange(4000), points=11)
    np.testing.assert_allclose(curve.missed, curve.share, atol=0.05)
    np.testing.assert_allclose(curve.predictive_value[1:], 1 - abnormal.mean(), atol=0.05)


def test_the_predictive_value_at_a_prevalence_is_bayes() -> None:
    abnormal, scores = drawn_films(500)
    curve = curve_of(abnormal, scores, np.arange(500), prevalence=0.08)
    for missed, share, value in list(zip(curve.missed, curve.share, curve.predictive_value, strict=True))[20:]:
        cleared = (share - 0.08 * missed) / 0.92
        assert value == pytest.approx(cleared * 0.92 / (cleared * 0.92 + missed * 0.08))


def test_the_prevalence_of_the_films_themselves_changes_no_value() -> None:
    abnormal, scores = drawn_films(300, decimals=2)
    own = float(abnormal.mean())
    plain, weighted = (curve_of(abnormal, scores, np.arange(300), **kw) for kw in ({}, {"prevalence": own}))
    np.testing.assert_allclose(plain.missed, weighted.missed, atol=1e-12)
    np.testing.assert_allclose(plain.predictive_value, weighted.predictive_value, atol=1e-12)


def test_nothing_missed_is_not_nothing_to_miss() -> None:
    abnormal = np.repeat([0, 1], 50)
    curve = curve_of(abnormal, np.arange(100) / 100, np.arange(100))
    hidden = 1 - 0.025 ** (1 / 50)
    assert curve.missed[40] == 0
    assert curve.missed_high[40] == pytest.approx(hidden)
    assert curve.predictive_low[40] == pytest.approx(1 - hidden * 0.5 / 0.4)
    # Of 1% of the films no more than 2% of the abnormal ones can be missed, and of none of them none.
    assert curve.missed_high[1] == pytest.approx(0.02)
    assert curve.missed_high[0] == 0
    assert (curve.missed[-1], curve.missed_high[-1]) == (1, 1)
    rare = curve_of(abnormal, np.arange(100) / 100, np.arange(100), prevalence=0.1)
    assert rare.missed_high[1] == pytest.approx(hidden)
    assert rare.predictive_low[40] == pytest.approx(1 - hidden * 0.1 / 0.4)


def test_what_as_many_patients_could_hide_is_counted_in_patients() -> None:
    abnormal = np.repeat([0, 1], 50)
    curve = curve_of(abnormal, np.arange(100) / 100, np.r_[np.arange(50), np.arange(50) // 5])
    assert curve.missed_high[40] == pytest.approx(1 - 0.025 ** (1 / 10))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # Half of the films abnormal, normal scores at a distance of 1.5: at a threshold t, these are missed and set aside.
    t = 0.2
    missed, share = norm.cdf(t - 1.5), (norm.cdf(t - 1.5) + norm.cdf(t)) / 2
    covered = {"missed": 0, "abnormal_per_100": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        abnormal = rng.integers(0, 2, 200)
        found = cost_of(
            abnormal, rng.normal(1.5 * abnormal, 1), resample_patients(np.arange(200), 120, seed), share=share
        )
        assert found is not None
        assert found.abnormal_per_100 is not None
        covered["missed"] += found.missed.low <= missed <= found.missed.high
        rate = 50 * missed / share
        covered["abnormal_per_100"] += found.abnormal_per_100.low <= rate <= found.abnormal_per_100.high
    assert 180 <= covered["missed"] <= 199
    assert 180 <= covered["abnormal_per_100"] <= 199


def test_more_films_of_the_same_patients_do_not_narrow_the_interval() -> None:
    abnormal, scores = drawn_films(150)
    copies = np.repeat(np.arange(150), 4)
    single = cost_of(abnormal, scores, resample_patients(np.arange(150)))
    by_patient = cost_of(abnormal[copies], scores[copies], resample_patients(copies))
    by_film = cost_of(abnormal[copies], scores[copies], resample_patients(np.arange(600)))
    assert single is not None
    assert by_patient is not None
    assert by_film is not None
    # Not quite equal: copies let a film be set aside in quarters.
    assert width(by_patient.missed) == pytest.approx(width(single.missed), rel=0.05)
    assert width(by_film.missed) < 0.65 * width(by_patient.missed)


def width(interval: Estimate) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize("prevalence", [None, 0.1])
def test_the_cost_is_a_point_of_the_curve(prevalence: float | None) -> None:
    abnormal, scores = drawn_films(200, decimals=2)
    resamples = resample_patients(np.arange(200) // 2, 100)
    curve = workload_curve(abnormal, scores, resamples, points=11, prevalence=prevalence)
    cost = cost_of(abnormal, scores, resamples, prevalence=prevalence)
    assert curve is not None
    assert cost is not None
    assert cost.abnormal_per_100 is not None
    assert cost.share == 0.7
    missed, among = cost.missed, cost.abnormal_per_100
    assert (missed.value, missed.low, missed.high) == pytest.approx(
        (curve.missed[7], curve.missed_low[7], curve.missed_high[7])
    )
    assert (among.value, among.low, among.high) == pytest.approx(
        tuple(100 * (1 - part[7]) for part in (curve.predictive_value, curve.predictive_high, curve.predictive_low))
    )


def test_of_films_of_four_patients_it_is_not_said_how_many_are_abnormal() -> None:
    patients = np.r_[np.arange(4).repeat(5), np.arange(4, 24)]
    abnormal, scores = np.tile([0, 0, 1, 1], 10), np.arange(40.0)
    resamples = resample_patients(patients, 50)
    few, more = (cost_of(abnormal, scores, resamples, share=share) for share in (0.5, 0.525))
    assert few is not None
    assert few.abnormal_per_100 is None
    assert few.missed.value == pytest.approx(0.5)
    assert more is not None
    assert more.abnormal_per_100 is not None
    assert more.abnormal_per_100.value == pytest.approx(100 * 10 / 21)


def test_set_aside_done_by_hand() -> None:
    # 40 abnormal films from score 30 on: at 95% two of them may be missed, so all films below the third, at 32.
    abnormal = np.r_[np.zeros(30, int), np.ones(40, int), np.zeros(10, int)]
    scores = np.arange(80.0)
    scores[70:] = 31.5
    resamples = resample_patients(np.arange(80), 50)
    found = set_aside_at(abnormal, scores, resamples, 0.95)
    assert found is not None
    assert found.value == pytest.approx((30 + 2 + 10) / 80)
    # At 90% four of them: 1 - 0.9 is a little less than 4 / 40 in floating point.
    more = set_aside_at(abnormal, scores, resamples, 0.9)
    assert more is not None
    assert more.value == pytest.approx((30 + 4 + 10) / 80)
    # At 1% abnormal all the films without a finding, and one in twenty of the others.
    rare = set_aside_at(abnormal, scores, resamples, 0.95, prevalence=0.01)
    assert rare is not None
    assert rare.value == pytest.approx(0.99 + 0.01 * 2 / 40)


def test_tied_films_are_all_set_aside_or_none() -> None:
    abnormal = np.r_[np.zeros(30, int), np.ones(40, int)]
    resamples = resample_patients(np.arange(70), 50)
    for tied, share in ((2, 32 / 70), (3, 30 / 70)):
        scores = np.r_[np.zeros(30), np.ones(tied), np.full(40 - tied, 2.0)]
        found = set_aside_at(abnormal, scores, resamples, 0.95)
        assert found is not None
        assert found.value == pytest.approx(share)
    constant = set_aside_at(abnormal, np.ones(70), resamples, 0.95)
    assert constant is not None
    assert (constant.value, constant.low, constant.high) == (0, 0, 0)


@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_the_threshold_is_chosen_again_in_each_resample(decimals: int | None, sensitivity: float) -> None:
    abnormal, scores = drawn_films(600, seed=5, decimals=decimals)
    patients = np.arange(600)
    resamples = resample_patients(patients, CHUNK + 20)

    def share(films: np.ndarray) -> float:
        return float((scores[films] < at_sensitivity(abnormal[films], scores[films], sensitivity)).mean())

    found = set_aside_at(abnormal, scores, resamples, sensitivity)
    assert found is not None
    rows = [share(np.repeat(patients, row.astype(int))) for row in resamples.weights]
    assert found.value == pytest.approx(share(patients))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(rows, [2.5, 97.5])))


def test_a_resample_at_a_prevalence_has_that_prevalence() -> None:
    abnormal, scores = drawn_films(120)
    weights = np.random.default_rng(3).integers(0, 3, (1, 120)).astype(np.float32)
    found = set_aside_at(abnormal, scores, Resamples(np.arange(120), weights), 0.95, prevalence=0.2)
    assert found is not None
    films = weighted_to(0.2, abnormal, weights[0])
    copies = np.repeat(np.arange(120), weights[0].astype(int))
    threshold = at_sensitivity(abnormal[copies], scores[copies], 0.95)
    assert found.low == pytest.approx(films[scores < threshold].sum())


# 20 films of each class; in the second case the abnormal ones are of 4 patients.
LABELS = np.repeat([0, 1], 20)
FIVE_AND_FIVE = np.r_[np.tile(np.arange(5), 4), np.tile(np.arange(5, 10), 4)]
FIVE_AND_FOUR = np.r_[np.tile(np.arange(5), 4), np.tile(np.arange(5, 9), 5)]


@pytest.mark.parametrize(
    ("abnormal", "patients"),
    [
        (LABELS, FIVE_AND_FOUR),
        (1 - LABELS, FIVE_AND_FOUR),
        (np.zeros(40, int), np.arange(40)),
        (np.ones(40, int), np.arange(40)),
    ],
)
def test_nothing_is_said_of_too_few_patients_of_a_class(abnormal: np.ndarray, patients: np.ndarray) -> None:
    resamples = resample_patients(patients, 50)
    for prevalence in (None, 0.1):
        assert workload_curve(abnormal, np.arange(40.0), resamples, prevalence=prevalence) is None
        assert set_aside_at(abnormal, np.arange(40.0), resamples, 0.5, prevalence) is None
        assert cost_of(abnormal, np.arange(40.0), resamples, prevalence=prevalence) is None


def test_five_patients_of_each_class_are_enough() -> None:
    resamples = resample_patients(FIVE_AND_FIVE, 50)
    assert workload_curve(LABELS, np.arange(40.0), resamples) is not None
    assert cost_of(LABELS, np.arange(40.0), resamples) is not None
    assert set_aside_at(LABELS, np.arange(40.0), resamples, 0.5) is not None


@pytest.mark.parametrize(("sensitivity", "patients"), [(0.9, 20), (0.95, 40), (0.98, 100), (0.99, 200)])
def test_two_abnormal_patients_must_be_allowed_to_be_missed(sensitivity: float, patients: int) -> None:
    for count, films_each in ((patients, 1), (patients - 1, 1), (patients - 1, 2)):
        abnormal = np.r_[np.zeros(20, int), np.ones(count * films_each, int)]
        people = np.r_[np.arange(-20, 0), np.repeat(np.arange(count), films_each)]
        found = set_aside_at(abnormal, np.arange(len(people)) / 1000, resample_patients(people, 20), sensitivity)
        assert (found is not None) == (count == patients)


@pytest.mark.parametrize("spacing", [0.5, 1, 20])
def test_resamples_of_one_class_are_left_out(spacing: float) -> None:
    abnormal, scores = LABELS, (np.tile(np.arange(20.0), 2) + LABELS / 2) // spacing
    only = (np.array([[0], [1]]) == LABELS).astype(np.float32)
    row = np.random.default_rng(4).integers(1, 3, (1, 40)).astype(np.float32)
    for prevalence in (None, 0.3):
        alone, mixed = (
            Resamples(np.arange(40), weights.astype(np.float32)) for weights in (row, np.concatenate([only, row]))
        )
        assert cost_of(abnormal, scores, alone, prevalence=prevalence) == cost_of(
            abnormal, scores, mixed, prevalence=prevalence
        )
        curves = [workload_curve(abnormal, scores, films, prevalence=prevalence) for films in (alone, mixed)]
        for name in WorkloadCurve.__dataclass_fields__:
            np.testing.assert_array_equal(*(getattr(curve, name) for curve in curves), err_msg=name)
        assert set_aside_at(abnormal, scores, alone, 0.8, prevalence) == set_aside_at(
            abnormal, scores, mixed, 0.8, prevalence
        )


def test_what_is_out_of_range_is_said() -> None:
    resamples = resample_patients(np.arange(40), 10)
    scores = np.arange(40.0)
    for prevalence in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"prevalence must be above 0 and below 1, not"):
            workload_curve(LABELS, scores, resamples, prevalence=prevalence)
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match=r"share of films to set aside .* at most 1, not"):
            cost_of(LABELS, scores, resamples, share=share)
    for sensitivity in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"sensitivity must be above 0 and below 1, not"):
            set_aside_at(LABELS, scores, resamples, sensitivity)
    for function in (workload_curve, cost_of, lambda *films: set_aside_at(*films, 0.5)):
        with pytest.raises(ValueError, match=r"^2 of 40 scores are not finite"):
            function(LABELS, np.r_[scores[:38], np.nan, np.inf], resamples)
        with pytest.raises(ValueError, match=r"40 labels, 39 scores and 40 patients"):
            function(LABELS, scores[:39], resamples)
    everything = cost_of(LABELS, scores, resamples, share=1.0)
    assert everything is not None
    assert everything.missed.value == 1
