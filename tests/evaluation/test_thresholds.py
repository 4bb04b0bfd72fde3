"""Operating points on cases done by hand, and their promises on random ones."""

from typing import get_args

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_curve

from cxr.evaluation.thresholds import (
    UNCERTAIN_GAIN,
    UNCERTAIN_MOST,
    Band,
    Scored,
    at_sensitivity,
    at_specificity,
    at_youden,
    choose,
    operating_points,
    uncertain_band,
)
from cxr.findings import CATEGORIES, FINDINGS
from cxr.model.card import PointName

NAMES = get_args(PointName)


def random_task(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores; every second task has many ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rng.integers(20, 200)) < 0.4).astype(int)
    scores = expit(rng.normal(labels, 1))
    return labels, scores.round(1) if seed % 2 else scores


def test_at_sensitivity_by_hand() -> None:
    labels = np.array([1, 1, 1, 1, 0, 0])
    scores = np.array([0.2, 0.4, 0.6, 0.8, 0.9, 0.1])
    assert [at_sensitivity(labels, scores, share) for share in (1.0, 0.75, 0.7, 0.5)] == [0.2, 0.4, 0.4, 0.6]


def test_at_specificity_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    scores = np.array([0.2, 0.4, 0.6, 0.8, 0.9, 0.1])
    just_above = [np.nextafter(score, 1) for score in (0.8, 0.6, 0.6, 0.4)]
    assert [at_specificity(labels, scores, share) for share in (1.0, 0.75, 0.7, 0.5)] == just_above
    assert at_specificity(labels, scores, 0.0) == 0.0


def test_a_threshold_is_never_above_a_probability_of_one() -> None:
    assert at_specificity(np.zeros(10), np.ones(10), 0.95) == 1.0


def test_at_youden_by_hand() -> None:
    labels = np.array([0, 0, 1, 0, 1, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.9])
    # From 0.3: 3 of 3 and 2 of 3; from 0.6: 2 of 3 and 3 of 3. The lower of equals, halfway to 0.2.
    assert at_youden(labels, scores) == pytest.approx(0.25)
    assert at_youden(labels[:5], np.array([0.1, 0.2, 0.1, 0.4, 0.9])) == pytest.approx(0.65)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.98])
def test_at_least_the_asked_share_and_no_more_than_needed(seed: int, share: float) -> None:
    labels, scores = random_task(seed)
    positives, negatives = scores[labels == 1], scores[labels == 0]
    threshold = at_sensitivity(labels, scores, share)
    assert (positives >= threshold).mean() >= share
    assert (positives >= np.nextafter(threshold, 2)).mean() < share

    threshold = at_specificity(labels, scores, share)
    assert (negatives < threshold).mean() >= share
    assert (negatives < np.nextafter(threshold, -1)).mean() < share


@pytest.mark.parametrize("seed", range(20))
def test_at_youden_reaches_the_best_of_scikit_learn_s_curve(seed: int) -> None:
    labels, scores = random_task(seed)
    threshold = at_youden(labels, scores)
    reached = (scores[labels == 1] >= threshold).mean() - (scores[labels == 0] >= threshold).mean()
    false_positives, true_positives, _ = roc_curve(labels, scores)
    assert reached == pytest.approx((true_positives - false_positives).max())


@pytest.mark.parametrize("name", NAMES)
def test_too_few_patients_with_a_finding_are_cut_by_specificity_and_it_says_so(name: PointName) -> None:
    rng = np.random.default_rng(0)
    labels, scores = np.repeat([0, 1], [100, 40]), rng.random(140)
    four, five = (np.r_[np.arange(100), 100 + np.arange(40) % count] for count in (4, 5))
    threshold, basis = choose(labels, scores, four)[name]
    share = {"rule-out": 0.5, "balanced": 0.8, "rule-in": 0.95}[name]
    assert basis == f"specificity {share:.0%}; too few positives for more"
    assert (scores[:100] < threshold).mean() == pytest.approx(share)
    assert "too few" not in choose(labels, scores, five)[name][1]


def test_each_point_keeps_its_promise() -> None:
    labels, scores = random_task(4)
    chosen = choose(labels, scores, np.arange(len(labels)))
    assert {name: basis for name, (_, basis) in chosen.items()} == {
        "rule-out": "sensitivity 98%",
        "balanced": "largest sensitivity + specificity",
        "rule-in": "specificity 95%",
    }
    assert (scores[labels == 1] >= chosen["rule-out"][0]).mean() >= 0.98
    assert (scores[labels == 0] < chosen["rule-in"][0]).mean() >= 0.95
    assert chosen["rule-out"][0] < chosen["balanced"][0] < chosen["rule-in"][0]


@pytest.mark.parametrize("positives", [0, 3, 5, 8, 30])
def test_a_stricter_point_never_flags_what_a_laxer_one_does_not(positives: int) -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], [60, positives])
        scores = rng.random(len(labels)) ** 3 + 0.1 * labels * rng.random(len(labels))
        chosen = choose(labels, scores, np.arange(len(labels)))
        rule_out, balanced, rule_in = (chosen[name][0] for name in NAMES)
        assert rule_out <= balanced <= rule_in
        assert (scores[labels == 0] < rule_in).mean() >= 0.95
        if positives >= 5:
            assert (scores[labels == 1] >= rule_out).mean() >= 0.98


def test_too_few_patients_without_a_finding_are_refused() -> None:
    with pytest.raises(ValueError, match="Negative calibration films of 4 patients are too few"):
        choose(np.repeat([0, 1], 20), np.arange(40.0), np.arange(40) % 4)


def held(scores: np.ndarray, band: Band) -> np.ndarray:
    """Which films a band makes uncertain."""
    return (band.low < scores) & (scores < band.high)


def gained(labels: np.ndarray, scores: np.ndarray, threshold: float, band: Band) -> float:
    """Accuracy outside the band less that over all."""
    right = (scores >= threshold) == labels
    return right[~held(scores, band)].mean() - right.mean()


def test_uncertain_band_by_hand() -> None:
    # Of 100 films, the five just above the threshold at 0.3 are wrong, and one far from it is.
    scores = np.arange(100) / 100
    labels = (scores >= 0.3).astype(int)
    labels[30:35], labels[90] = 0, 0
    band = uncertain_band(labels, scores, 0.3)
    # Without 0.30 and 0.31 the others are right in 94 of 98, 0.0192 more; without 0.32 too in 94 of 97, 0.0291 more.
    assert list(np.flatnonzero(held(scores, band))) == [30, 31, 32]
    assert (band.low, band.high) == (pytest.approx(0.3), 0.33)
    assert band.basis == (
        "the narrowest band outside which verdicts on calibration films are right 2 percentage points more often"
    )


def test_doubtful_films_below_the_threshold_are_found_too() -> None:
    scores = np.arange(100) / 100
    labels = (scores >= 0.7).astype(int)
    labels[65:70] = 1
    band = uncertain_band(labels, scores, 0.7)
    assert list(np.flatnonzero(held(scores, band))) == [67, 68, 69]
    assert (band.low, band.high) == (0.66, 0.7)


def test_where_every_verdict_is_right_none_is_uncertain_and_it_says_that_nothing_was_gained() -> None:
    scores = np.arange(100) / 100
    band = uncertain_band((scores >= 0.4).astype(int), scores, 0.4)
    assert (band.low, band.high) == (0.4, 0.4)
    assert "though not 2 percentage points more often" in band.basis


@pytest.mark.parametrize("rank", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_the_uncertain_band_is_the_narrowest_of_all_that_gain_enough(seed: int, rank: float) -> None:
    labels, scores = random_task(seed)
    threshold = float(np.quantile(scores, rank))
    band = uncertain_band(labels, scores, threshold)
    assert held(scores, band).mean() <= UNCERTAIN_MOST
    below, above = scores < threshold, scores >= threshold
    assert 2 * (held(scores, band) & below).sum() <= below.sum()
    assert 2 * (held(scores, band) & above).sum() <= above.sum()
    if "though not" not in band.basis:
        assert gained(labels, scores, threshold, band) >= UNCERTAIN_GAIN


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3, 0.99, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_uncertain_band_encloses_every_threshold(seed: int, threshold: float) -> None:
    band = uncertain_band(*random_task(seed), threshold)
    assert band.low <= threshold <= band.high


def test_verdicts_on_other_patients_are_better_outside_the_band() -> None:
    """The promise is of the calibration films; this is what comes of it."""
    rng = np.random.default_rng(0)

    def films(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random(count) < 0.6).astype(int)
        return labels, expit(rng.normal(1.2 * labels, 1))

    others = films(20_000)
    gains: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(30):
        labels, scores = films(150)
        for name, (threshold, _) in choose(labels, scores, np.arange(150)).items():
            gains[name].append(gained(*others, threshold, uncertain_band(labels, scores, threshold)))
    for name in NAMES:
        assert np.mean(gains[name]) > 0.015, name
        assert np.mean(np.array(gains[name]) > 0) > 0.85, name


def scored(seed: int, shift: float = 0.0) -> Scored:
    """250 films of as many patients; two of them have a hernia, in films and probabilities shifted on request."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((250, 15)) < 0.3).astype(int)
    labels[:, CATEGORIES.index("Hernia")] = np.arange(250) < 2
    labels[:, 0] = 1 - (labels[:, 1:5].any(1))
    logits = rng.normal(1.5 * labels - 0.7, 1)
    logits[:, 0] -= shift
    logits[:, 1:] += shift
    return Scored(labels, expit(logits), np.arange(250) + 1000 * seed)


def test_points_are_chosen_on_calibration_films_and_measured_on_test_films() -> None:
    calibration, test = scored(0), scored(1)
    points = operating_points(calibration, test)
    assert tuple(point.name for point in points) == NAMES
    abnormal, probability = test.labels[:, 0] == 0, 1 - test.probabilities[:, 0]
    chosen = choose(1 - calibration.labels[:, 0], 1 - calibration.probabilities[:, 0], np.arange(250))
    for point in points:
        assert (point.threshold, point.basis) == chosen[point.name]
        flagged = probability >= point.threshold
        certain = (probability <= point.uncertain_low) | (probability >= point.uncertain_high)
        measured = (
            (point.sensitivity, flagged[abnormal]),
            (point.specificity, ~flagged[~abnormal]),
            (point.uncertain_share, ~certain),
            (point.accuracy, flagged == abnormal),
            (point.accuracy_outside, (flagged == abnormal)[certain]),
        )
        for rate, films in measured:
            assert rate is not None
            assert rate.value == pytest.approx(films.mean(), abs=1e-6)
            assert rate.low < rate.value < rate.high
        gain = point.accuracy_gain
        assert gain is not None
        assert point.accuracy is not None
        assert point.accuracy_outside is not None
        assert gain.value == pytest.approx(point.accuracy_outside.value - point.accuracy.value, abs=1e-6)
        assert gain.high - gain.low < point.accuracy.high - point.accuracy.low


def test_bands_rise_with_their_thresholds() -> None:
    for seed in range(10):
        points = operating_points(scored(seed), scored(100))
        for ends in ([p.uncertain_low for p in points], [p.uncertain_high for p in points]):
            assert ends == sorted(ends)
        assert all(p.uncertain_low <= p.threshold <= p.uncertain_high for p in points)


def test_each_finding_is_chosen_and_measured_on_its_own_column() -> None:
    calibration, test = scored(0), scored(1)
    for point in operating_points(calibration, test):
        assert tuple(point.findings) == FINDINGS
        for k, finding in enumerate(FINDINGS, start=1):
            found, positive = point.findings[finding], test.labels[:, k] == 1
            flagged = test.probabilities[:, k] >= found.threshold
            assert found.positives == calibration.labels[:, k].sum()
            assert found.specificity is not None
            assert found.specificity.value == pytest.approx((~flagged)[~positive].mean(), abs=1e-6)
            if finding == "Hernia":
                assert "too few positives" in found.basis
                assert found.sensitivity is None
            else:
                assert found.sensitivity is not None
                assert found.sensitivity.value == pytest.approx(flagged[positive].mean(), abs=1e-6)


def test_other_test_films_change_the_rates_and_not_the_thresholds() -> None:
    for point, shifted in zip(
        operating_points(scored(0), scored(1)), operating_points(scored(0), scored(1, shift=0.8)), strict=True
    ):
        assert (shifted.threshold, shifted.uncertain_low, shifted.uncertain_high) == (
            point.threshold,
            point.uncertain_low,
            point.uncertain_high,
        )
        assert shifted.specificity.value < point.specificity.value - 0.02
        assert shifted.sensitivity.value >= point.sensitivity.value
        for finding in FINDINGS:
            assert shifted.findings[finding].threshold == point.findings[finding].threshold


def test_films_that_the_model_is_entirely_sure_of_make_a_valid_point() -> None:
    calibration = scored(0)
    sure = Scored(calibration.labels, np.round(calibration.probabilities), calibration.patients)
    for point in operating_points(sure, scored(1)):
        assert 0 <= point.uncertain_low <= point.threshold <= point.uncertain_high <= 1
