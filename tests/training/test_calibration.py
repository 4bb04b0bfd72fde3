"""Platt scaling on invented logits, with scikit-learn as the oracle."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from cxr.training.calibration import INTERCEPT_SD, LOG_SLOPE_SD, fit_platt, uncalibrated

SLOPES = np.array([0.4, 1.0, 2.5])
INTERCEPTS = np.array([-1.5, 0.0, 0.8])


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (count, 3) float32, and labels drawn with the probabilities of `SLOPES` and `INTERCEPTS`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 2, (count, 3)).astype(np.float32)
    return logits, (rng.random((count, 3)) < expit(SLOPES * logits + INTERCEPTS)).astype(np.uint8)


def test_many_films_show_the_true_slope_and_intercept() -> None:
    fitted = fit_platt(*drawn(20_000), np.full(3, 3.0))
    np.testing.assert_allclose(fitted.slope, SLOPES, rtol=0.06)
    np.testing.assert_allclose(fitted.intercept, INTERCEPTS, atol=0.08)


def test_with_many_films_it_is_logistic_regression() -> None:
    logits, labels = drawn(5000)
    fitted = fit_platt(logits, labels, np.zeros(3))
    for k in range(3):
        oracle = LogisticRegression(C=np.inf).fit(logits[:, k : k + 1], labels[:, k])
        assert fitted.slope[k] == pytest.approx(oracle.coef_[0, 0], abs=0.03)
        assert fitted.intercept[k] == pytest.approx(oracle.intercept_[0], abs=0.03)


def test_each_category_is_fitted_on_its_own() -> None:
    logits, labels = drawn(500)
    together = fit_platt(logits, labels, np.array([-1.0, 0.0, 1.0]))
    alone = fit_platt(logits[:, [2]], labels[:, [2]], np.array([1.0]))
    assert (together.slope[2], together.intercept[2]) == pytest.approx((alone.slope[0], alone.intercept[0]))


@pytest.mark.parametrize("prior", [-2.0, 0.0, 1.0])
def test_two_positives_do_not_carry_it_far_from_the_prior(prior: float) -> None:
    # The two positives have the highest logits: the slope of Platt's own fit would be infinite.
    logits = np.linspace(-6, 1, 40)[:, None] - prior
    labels = (np.arange(40) >= 38).astype(int)[:, None]
    fitted = fit_platt(logits, labels, np.array([prior]))
    assert abs(np.log(fitted.slope[0])) < 2 * LOG_SLOPE_SD
    assert abs(fitted.intercept[0] - prior) < 2 * INTERCEPT_SD


def test_few_films_get_the_mode_of_the_posterior() -> None:
    logits, labels = np.array([[-2.0], [-1.0], [0.5], [1.5]]), np.array([[0], [0], [0], [1]])
    fitted = fit_platt(logits, labels, np.array([-1.0]))
    log_slopes, intercepts = np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-3, 1, 401), indexing="ij")
    positive = expit(np.exp(log_slopes)[..., None] * logits[:, 0] + intercepts[..., None])
    density = np.where(labels[:, 0], positive, 1 - positive).prod(-1)
    density *= norm.pdf(log_slopes, 0, LOG_SLOPE_SD) * norm.pdf(intercepts, -1, INTERCEPT_SD)
    mode = np.unravel_index(density.argmax(), density.shape)
    assert np.log(fitted.slope[0]) == pytest.approx(log_slopes[mode], abs=0.006)
    assert fitted.intercept[0] == pytest.approx(intercepts[mode], abs=0.011)


def test_without_films_of_one_class_it_leans_on_the_prior() -> None:
    logits = np.random.default_rng(0).normal(-3, 1, (100, 1))
    fitted = fit_platt(logits, np.zeros((100, 1)), np.array([-1.0]))
    assert -4 < fitted.intercept[0] < -1
    assert np.isfinite(fitted.slope[0])


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_films_never_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, (60, 2)), rng.integers(0, 2, (60, 2))
    # The second category is predicted the wrong way round: even there the slope stays positive.
    labels[:, 1] = logits[:, 1] < 0
    fitted = fit_platt(logits, labels, np.zeros(2))
    assert min(fitted.slope) > 0
    probabilities = fitted.probabilities(logits)
    np.testing.assert_array_equal(np.argsort(probabilities, axis=0), np.argsort(logits, axis=0))


def test_on_skewed_logits_it_improves_the_log_loss_of_other_films() -> None:
    def skewed(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        truth = rng.normal(-3, 1.5, (800, 1))
        # As after training with weighted positives and some overfitting: too high and too sure.
        return 2.0 * (truth + 1.6), (rng.random((800, 1)) < expit(truth)).astype(int)

    logits, labels = skewed(1)
    fitted = fit_platt(*skewed(0), np.array([-1.6]))
    before, after = log_loss(labels, uncalibrated(logits)), log_loss(labels, fitted.probabilities(logits))
    assert after < 0.75 * before
    assert fitted.probabilities(logits).mean() == pytest.approx(labels.mean(), abs=0.02)


def test_large_logits_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 200, (2000, 1))
    labels = (rng.random((2000, 1)) < expit(0.02 * logits - 1)).astype(int)
    fitted = fit_platt(logits, labels, np.zeros(1))
    assert fitted.slope[0] == pytest.approx(0.02, rel=0.15)
    assert fitted.intercept[0] == pytest.approx(-1, abs=0.2)


def test_uncalibrated_is_the_logistic_function() -> None:
    logits = np.array([[0.0, np.log(3), -np.log(9)], [1000.0, -1000.0, 0.0]], np.float32)
    np.testing.assert_allclose(uncalibrated(logits), [[0.5, 0.75, 0.1], [1, 0, 0.5]], atol=1e-7)
