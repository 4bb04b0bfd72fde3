"""Average precision and curves against scikit-learn; the interval against simulations."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from cxr.evaluation.metrics import Resamples, resample_patients
from cxr.evaluation.precision import (
    CURVE_POINTS,
    Curve,
    average_precision,
    average_precision_estimate,
    check_scored,
    pr_points,
    roc_points,
)


def scored_films(rng: np.random.Generator, count: int, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    labels = (rng.random(count) < 0.3).astype(np.uint8)
    return labels, rng.normal(separation * labels, 1)


def films_of_patients(
    rng: np.random.Generator, patients: int, films: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and patients; the films of a patient share the label and half of the variance of the score."""
    labels = np.repeat(rng.random(patients) < 0.3, films).astype(int)
    shared, own = np.repeat(rng.normal(size=patients), films), rng.normal(size=patients * films)
    return labels, labels + (shared + own) / np.sqrt(2), np.repeat(np.arange(patients), films)


def area(curve: Curve) -> float:
    return float(np.trapezoid(curve.y, curve.x))


def farthest_off(points: np.ndarray, curve: Curve) -> float:
    """The largest distance of one of `points` (n, 2) from the lines of the curve."""
    corners = np.c_[curve.x, curve.y]
    nearest = np.full(len(points), np.inf)
    for start, end in pairwise(corners):
        way = end - start
        share = np.clip((points - start) @ way / (way @ way), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - share[:, None] * way, axis=1))
    return float(nearest.max())


def test_average_precision_of_a_case_done_by_hand() -> None:
    # From the top: 0.9 is right (1/1); 0.7 twice, one right (2/3 from there); 0.2 is right (3/5).
    labels = np.array([0, 1, 1, 0, 1])
    scores = np.array([0.4, 0.9, 0.7, 0.7, 0.2])
    assert average_precision(labels, scores) == pytest.approx([(1 + 2 / 3 + 3 / 5) / 3])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_average_precision_is_scikit_learn_s_with_and_without_ties(seed: int, decimals: int | None) -> None:
    labels, scores = scored_films(np.random.default_rng(seed), 60)
    scores = scores if decimals is None else scores.round(decimals)
    (value,) = average_precision(labels, scores)
    assert value == pytest.approx(average_precision_score(labels, scores))


@pytest.mark.parametrize("decimals", [None, 0])
def test_average_precision_of_each_row_of_weights_is_scikit_learn_s(decimals: int | None) -> None:
    rng = np.random.default_rng(0)
    labels, scores = scored_films(rng, 40)
    scores = scores if decimals is None else scores.round(decimals)
    weights = rng.integers(0, 3, (600, 40)).astype(np.float32)
    values = average_precision(labels, scores, weights)
    assert values.shape == (600,)
    expected = [average_precision_score(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_average_precision_takes_fractions_as_weights() -> None:
    rng = np.random.default_rng(1)
    labels, scores = scored_films(rng, 40)
    weights = rng.random((3, 40))
    expected = [average_precision_score(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precision(labels, scores, weights), expected)


@pytest.mark.filterwarnings("error")
def test_average_precision_is_nan_where_no_positive_has_weight() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.4, 0.6])
    weights = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(average_precision(labels, scores, weights), [np.nan, 1, 1, np.nan])
    assert np.isnan(average_precision(np.zeros(4, int), scores)).all()


def test_a_constant_score_finds_at_the_prevalence() -> None:
    assert average_precision(np.repeat([0, 1], [30, 10]), np.zeros(40)) == [0.25]


def test_the_estimate_is_of_the_films_and_their_resamples() -> None:
    rng = np.random.default_rng(2)
    labels, scores, patients = films_of_patients(rng, 40)
    resamples = resample_patients(patients, 300)
    found = average_precision_estimate(labels, scores, resamples)
    assert found is not None
    assert found.value == pytest.approx(average_precision_score(labels, scores))
    values = [average_precision_score(labels, scores, sample_weight=row) for row in resamples.weights]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_scores_shuffled_among_the_films_find_at_the_prevalence() -> None:
    rng = np.random.default_rng(0)
    labels, scores = scored_films(rng, 1000, separation=2)
    resamples = resample_patients(np.arange(1000), 300)
    true = average_precision_estimate(labels, scores, resamples)
    shuffled = average_precision_estimate(labels, rng.permutation(scores), resamples)
    assert true is not None
    assert shuffled is not None
    assert shuffled.low <= labels.mean() <= shuffled.high < true.low


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = float(average_precision(*films_of_patients(rng, 50_000)[:2])[0])
    covered, covered_by_film = 0, 0
    for seed in range(100):
        labels, scores, patients = films_of_patients(rng, 150)
        for by_film in (False, True):
            resamples = resample_patients(np.arange(600) if by_film else patients, 200, seed)
            found = average_precision_estimate(labels, scores, resamples)
            assert found is not None
            inside = found.low <= truth <= found.high
            covered, covered_by_film = covered + (inside and not by_film), covered_by_film + (inside and by_film)
    assert 88 <= covered <= 99
    assert covered_by_film < 85  # what taking films for patients would have claimed to be 95 of 100


def test_there_is_no_estimate_from_too_few_patients() -> None:
    labels, scores = np.repeat([0, 1], 20), np.arange(40.0)
    five, four = np.tile(np.arange(5), 4), np.tile(np.arange(5, 9), 5)
    assert average_precision_estimate(labels, scores, resample_patients(np.r_[five, five + 5], 50)) is not None
    assert average_precision_estimate(labels, scores, resample_patients(np.r_[five, four], 50)) is None
    assert average_precision_estimate(labels, scores, resample_patients(np.zeros(40), 50)) is None
    assert average_precision_estimate(np.zeros(40, int), scores, resample_patients(np.arange(40), 50)) is None


@pytest.mark.parametrize("seed", range(5))
def test_curves_of_few_films_have_the_points_of_scikit_learn(seed: int) -> None:
    labels, scores = scored_films(np.random.default_rng(seed), 60)
    scores = scores.round(1)
    x, y, _ = roc_curve(labels, scores)
    roc = roc_points(labels, scores)
    assert farthest_off(np.c_[x, y], roc) < 1e-9
    # Each point drawn is one of scikit-learn's, so nothing is invented.
    x, y, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert (np.hypot(x[:, None] - roc.x, y[:, None] - roc.y).min(0) < 1e-9).all()

    precision, recall, _ = precision_recall_curve(labels, scores)
    pr = pr_points(labels, scores)
    best = [(r, precision[recall == r].max()) for r in np.unique(recall[recall > 0])]
    assert farthest_off(np.array(best), pr) < 1e-9
    assert (np.abs(precision[:-1, None] - pr.y).min(0) < 1e-9).all()
    assert set(pr.x.round(9)) <= set(recall.round(9))


def test_the_precision_recall_curve_goes_in_steps() -> None:
    # The case by hand above: precision 1 up to recall 1/3, 2/3 up to 2/3, 3/5 up to 1.
    curve = pr_points(np.array([0, 1, 1, 0, 1]), np.array([0.4, 0.9, 0.7, 0.7, 0.2]))
    np.testing.assert_allclose(curve.x, [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.y, [1, 1, 2 / 3, 2 / 3, 3 / 5, 3 / 5])


def test_the_precision_recall_curve_does_not_start_at_an_invented_precision_of_1() -> None:
    curve = pr_points(np.array([1, 0]), np.array([0.1, 0.9]))
    assert curve.x.tolist() == [0, 1]
    assert curve.y.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("separation", "prevalence"), [(0, 0.02), (1.2, 0.3), (4, 0.3), (0, 0.5)])
def test_thinned_curves_keep_their_shape(separation: float, prevalence: float) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(10_000) < prevalence).astype(int)
    scores = rng.normal(separation * labels, 1)
    roc, pr = roc_points(labels, scores), pr_points(labels, scores)
    for curve in (roc, pr):
        assert 20 < len(curve.x) == len(curve.y) <= CURVE_POINTS
        assert (np.diff(curve.x) >= 0).all()
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1], pr.x[0], pr.x[-1]) == (0, 0, 1, 1, 0, 1)
    assert area(roc) == pytest.approx(roc_auc_score(labels, scores), abs=0.001)
    assert area(pr) == pytest.approx(average_precision_score(labels, scores), abs=0.001)
    x, y, _ = roc_curve(labels, scores)
    assert farthest_off(np.c_[x, y], roc) < 0.004


def test_points_on_a_line_are_left_out() -> None:
    roc = roc_points(np.repeat([0, 1], 500), np.arange(1000.0))
    assert (roc.x.tolist(), roc.y.tolist()) == ([0, 0, 1], [0, 1, 1])
    assert len(roc_points(np.tile([0, 1], 500), np.zeros(1000)).x) == 2


def test_curves_need_the_classes_they_are_about() -> None:
    scores = np.arange(3.0)
    with pytest.raises(ValueError, match="no positive film"):
        roc_points(np.zeros(3, int), scores)
    with pytest.raises(ValueError, match="no negative film"):
        roc_points(np.ones(3, int), scores)
    with pytest.raises(ValueError, match="no positive film"):
        pr_points(np.zeros(3, int), scores)
    assert pr_points(np.ones(3, int), scores).y.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1, np.nan], "scores of 1 films are not finite"),
        ([0, 1], [-np.inf, np.inf], "scores of 2 films"),
        ([0, 2], [0.1, 0.2], "1 films have another"),
        ([0, np.nan], [0.1, 0.2], "1 films have another"),
        ([0, 1, 1], [0.1, 0.2], "equal length"),
        ([[0, 1]], [[0.1, 0.2]], "one list each"),
        ([], [], "no films"),
    ],
)
def test_what_would_give_a_wrong_number_is_refused(labels: list, scores: list, message: str) -> None:
    resamples = Resamples(np.arange(2), np.ones((1, 2), np.float32))
    for use in (
        check_scored,
        average_precision,
        roc_points,
        pr_points,
        lambda one, other: average_precision_estimate(one, other, resamples),
    ):
        with pytest.raises(ValueError, match=message):
            use(np.array(labels), np.array(scores))
