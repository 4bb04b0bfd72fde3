"""DeLong's test against its definition pair by pair; the paired bootstrap against scikit-learn and simulations."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from cxr.evaluation.compare import DeLong, delong, paired_auroc, paired_difference
from cxr.evaluation.metrics import auroc, resample_patients
from cxr.evaluation.precision import average_precision
from cxr.model.card import Estimate


def two_models(rng: np.random.Generator, count: int, better: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the scores of two models that see much the same; the first separates by `better` more."""
    labels = (rng.random(count) < 0.4).astype(np.uint8)
    shared = rng.normal(size=count)
    first, second = (labels * (1 + more) + shared + rng.normal(size=count) for more in (better, 0))
    return labels, first, second


def by_pairs(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> DeLong:
    """The test as DeLong et al. 1988 define it: structural components over all pairs, and their covariances."""
    components = []
    for scores in (a, b):
        positives, negatives = scores[labels == 1], scores[labels == 0]
        psi = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in negatives] for x in positives])
        components.append((psi.mean(), psi.mean(1), psi.mean(0)))
    (area_a, v10_a, v01_a), (area_b, v10_b, v01_b) = components
    s10, s01 = np.cov(v10_a, v10_b), np.cov(v01_a, v01_b)
    covariance = s10 / len(v10_a) + s01 / len(v01_a)
    contrast = np.array([1, -1])
    deviation = float(np.sqrt(contrast @ covariance @ contrast))
    difference = float(area_a - area_b)
    return DeLong(
        auroc_a=float(area_a),
        auroc_b=float(area_b),
        difference=difference,
        low=difference - 1.959963984540054 * deviation,
        high=difference + 1.959963984540054 * deviation,
        p=float(2 * (1 - norm.cdf(abs(difference / deviation)))),
    )


def compared(found: DeLong | None) -> tuple[float, ...]:
    assert found is not None
    return found.auroc_a, found.auroc_b, found.difference, found.low, found.high, found.p


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_delong_is_its_definition_with_and_without_ties(seed: int, decimals: int | None) -> None:
    labels, a, b = two_models(np.random.default_rng(seed), 70, better=0.3)
    a, b = (a, b) if decimals is None else (a.round(decimals), b.round(decimals))
    found = compared(delong(labels, a, b))
    assert found == pytest.approx(compared(by_pairs(labels, a, b)), abs=1e-12)
    assert found[:2] == pytest.approx((roc_auc_score(labels, a), roc_auc_score(labels, b)))


def test_delong_of_a_case_done_by_hand() -> None:
    # a: four positives beat all 5 negatives, one beats 3 of them. b: one beats none, the others all.
    labels = np.repeat([0, 1], 5)
    a = np.array([1, 2, 3, 5, 6, 7, 8, 9, 10, 4.0])
    b = np.array([1, 2, 3, 4, 5, 7, 8, 9, 10, 0.0])
    # By positives the models differ by 3/5 for one of five, by negatives by 1/5 for three of five.
    variance = (9 / 25 / 5 - (3 / 25) ** 2) * 5 / 4 / 5 + (3 / 25 / 5 - (3 / 25) ** 2) * 5 / 4 / 5
    reach = 1.959963984540054 * variance**0.5
    p = 2 * norm.sf(0.12 / variance**0.5)
    assert compared(delong(labels, a, b)) == pytest.approx((0.92, 0.8, 0.12, 0.12 - reach, 0.12 + reach, p))


def test_delong_does_not_care_for_order_or_scale() -> None:
    rng = np.random.default_rng(0)
    labels, a, b = two_models(rng, 80, better=0.4)
    found = delong(labels, a, b)
    order = rng.permutation(80)
    assert compared(delong(labels[order], np.exp(a[order]), 100 * b[order] - 7)) == pytest.approx(compared(found))
    area_b, area_a, difference, low, high, p = compared(delong(labels, b, a))
    assert (area_a, area_b, -difference, -high, -low, p) == pytest.approx(compared(found))
    turned = compared(delong(1 - labels, -a, -b))
    assert turned == pytest.approx(compared(found))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("decimals", [8, 0])
def test_identical_models_differ_by_nothing(decimals: int) -> None:
    labels, a, _ = two_models(np.random.default_rng(0), 70)
    a = a.round(decimals)
    for same in (a, 3 * a + 1):
        area = roc_auc_score(labels, a)
        assert compared(delong(labels, a, same)) == pytest.approx((area, area, 0, 0, 0, 1))
        paired = paired_auroc(labels, a, same, resample_patients(np.arange(70), 50))
        assert paired == Estimate(value=0, low=0, high=0)


@pytest.mark.filterwarnings("error")
def test_models_without_any_variance() -> None:
    labels = np.repeat([0, 1], 10)
    perfect, constant = np.arange(20.0), np.zeros(20)
    assert compared(delong(labels, perfect, labels * 1.0)) == (1, 1, 0, 0, 0, 1)
    assert compared(delong(labels, constant, constant)) == (0.5, 0.5, 0, 0, 0, 1)
    assert delong(labels, perfect, constant) is None
    assert delong(labels, perfect, -perfect) is None


@pytest.mark.filterwarnings("error")
def test_different_models_of_equal_auroc_have_an_interval_and_p_1() -> None:
    labels = np.repeat([0, 1], 6)
    a = np.array([1, 2, 3, 4, 5, 7, 6, 8, 9, 10, 11, 12.0])
    # Each model puts one negative above one positive, but not the same films.
    other = a[[5, 0, 1, 2, 3, 4, 11, 6, 7, 8, 9, 10]]
    area_a, area_b, difference, low, high, p = compared(delong(labels, a, other))
    assert (area_a, area_b, difference, p) == (35 / 36, 35 / 36, 0, 1)
    assert low == -high < 0


def test_delong_stays_within_what_a_difference_can_be() -> None:
    labels = np.repeat([0, 1], 5)
    good = np.array([0, 1, 2, 3, 6, 5, 7, 8, 9, 10.0])
    _, _, difference, low, high, _ = compared(delong(labels, good, -good))
    assert (difference, high) == (pytest.approx(0.92), 1)
    _, _, difference, low, high, _ = compared(delong(labels, -good, good))
    assert (difference, low) == (pytest.approx(-0.92), -1)


def test_delong_rejects_equal_models_about_one_time_in_twenty_and_finds_a_better_one() -> None:
    rng = np.random.default_rng(0)
    equal = [compared(delong(*two_models(rng, 150))) for _ in range(400)]
    assert 8 <= sum(p < 0.05 for *_, p in equal) <= 34
    assert sum(low <= 0 <= high for _, _, _, low, high, _ in equal) == sum(p >= 0.05 for *_, p in equal)
    better = [compared(delong(*two_models(rng, 150, better=1.0))) for _ in range(50)]
    assert sum(p < 0.05 and difference > 0 for _, _, difference, *_, p in better) >= 45


def test_delong_of_shuffled_labels_finds_no_model_better() -> None:
    rng = np.random.default_rng(3)
    labels, a, b = two_models(rng, 400, better=1.0)
    assert compared(delong(labels, a, b))[-1] < 0.001
    area_a, area_b, _, low, high, p = compared(delong(rng.permutation(labels), a, b))
    assert low < 0 < high
    assert p > 0.05
    assert (area_a, area_b) == (pytest.approx(0.5, abs=0.08), pytest.approx(0.5, abs=0.08))


def test_there_is_no_comparison_of_too_few() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 40))
    for positives, enough in ((4, False), (5, True), (35, True), (36, False)):
        labels = (np.arange(40) < positives).astype(int)
        assert (delong(labels, *scores) is not None) == enough
        assert (paired_auroc(labels, *scores, resample_patients(np.arange(40), 50)) is not None) == enough
    labels = np.repeat([0, 1], 20)
    five, four = np.tile(np.arange(5), 4), np.tile(np.arange(5, 9), 5)
    assert paired_auroc(labels, *scores, resample_patients(np.r_[five, five + 5], 50)) is not None
    assert paired_auroc(labels, *scores, resample_patients(np.r_[five, four], 50)) is None
    assert paired_auroc(np.ones(40, int), *scores, resample_patients(np.arange(40), 50)) is None


def test_the_paired_difference_is_that_of_scikit_learn_over_the_same_resamples() -> None:
    rng = np.random.default_rng(1)
    labels, a, b = two_models(rng, 120, better=0.5)
    resamples = resample_patients(rng.integers(0, 40, 120), 150)
    found = paired_auroc(labels, a.round(1), b.round(1), resamples)
    assert found is not None

    def difference(row: np.ndarray | None) -> float:
        first, second = (roc_auc_score(labels, scores.round(1), sample_weight=row) for scores in (a, b))
        return float(first - second)

    low, high = np.percentile([difference(row) for row in resamples.weights], [2.5, 97.5])
    assert (found.value, found.low, found.high) == pytest.approx((difference(None), low, high))


def test_pairing_narrows_the_interval() -> None:
    labels, a, b = two_models(np.random.default_rng(2), 300)
    resamples, others = (resample_patients(np.arange(300), 400, seed) for seed in (0, 1))
    paired = paired_auroc(labels, a, b, resamples)
    assert paired is not None
    unpaired = auroc(labels, a, resamples.weights) - auroc(labels, b, others.weights)
    assert paired.high - paired.low < 0.85 * np.subtract(*np.percentile(unpaired, [97.5, 2.5]))


def test_bootstrap_and_delong_agree_on_films_of_a_patient_each() -> None:
    labels, a, b = two_models(np.random.default_rng(4), 500, better=0.3)
    paired = paired_auroc(labels, a, b, resample_patients(np.arange(500)))
    assert paired is not None
    _, _, difference, low, high, _ = compared(delong(labels, a, b))
    assert paired.value == pytest.approx(difference)
    assert (paired.low, paired.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_patients_of_many_films_are_seen_by_the_bootstrap_and_not_by_delong() -> None:
    labels, a, b = (np.repeat(column, 6) for column in two_models(np.random.default_rng(5), 60, better=0.3))
    patients = np.repeat(np.arange(60), 6)
    paired = paired_auroc(labels, a, b, resample_patients(patients))
    assert paired is not None
    _, _, _, low, high, _ = compared(delong(labels, a, b))
    assert high - low < 0.55 * (paired.high - paired.low)


def test_the_paired_interval_covers_no_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    patients, covered = np.repeat(np.arange(100), 3), 0
    for seed in range(100):
        labels = np.repeat(rng.random(100) < 0.4, 3).astype(int)
        a, b = (labels + np.repeat(rng.normal(size=100), 3) + rng.normal(size=300) for _ in range(2))
        found = paired_auroc(labels, a, b, resample_patients(patients, 200, seed))
        assert found is not None
        covered += found.low <= 0 <= found.high
    assert 88 <= covered <= 99


def test_any_statistic_can_be_compared() -> None:
    labels, a, b = two_models(np.random.default_rng(7), 200, better=1.0)
    resamples = resample_patients(np.arange(200), 100)
    found = paired_difference(
        lambda w: average_precision(labels, a, w), lambda w: average_precision(labels, b, w), resamples
    )
    assert found is not None
    assert found.value == average_precision(labels, a) - average_precision(labels, b)
    assert 0 < found.low < found.value < found.high


@pytest.mark.filterwarnings("error")
def test_a_statistic_that_cannot_say_is_not_compared() -> None:
    scores = np.arange(10.0)

    def none_found(w: np.ndarray | None) -> np.ndarray:
        return average_precision(np.zeros(10, int), scores, w)

    def fixed(w: np.ndarray | None) -> np.ndarray:
        return np.full(1 if w is None else len(w), 0.5)

    resamples = resample_patients(np.arange(10), 50)
    assert paired_difference(none_found, fixed, resamples) is None
    assert paired_difference(fixed, none_found, resamples) is None
    assert paired_difference(fixed, fixed, resamples) == Estimate(value=0, low=0, high=0)
    assert paired_difference(fixed, fixed, resample_patients(np.arange(10) % 4, 50)) is None
    assert paired_difference(fixed, fixed, resample_patients(np.arange(10) % 5, 50)) is not None


@pytest.mark.parametrize("wrong", [0, 1])
def test_what_would_give_a_wrong_number_is_refused(wrong: int) -> None:
    labels, scores = np.repeat([0, 1], 10), np.random.default_rng(0).normal(size=(2, 20))
    scores[wrong, 3] = np.nan
    with pytest.raises(ValueError, match="1 films are not finite"):
        delong(labels, *scores)
    with pytest.raises(ValueError, match="1 films are not finite"):
        paired_auroc(labels, *scores, resample_patients(np.arange(20), 10))
