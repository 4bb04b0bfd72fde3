"""Platt scaling per category, fitted on patients that trained nothing."""

from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from cxr.model.card import Calibration

# Standard deviations of the prior. A category with a handful of positives stays near it; one with fifty leaves it.
LOG_SLOPE_SD: Final = 0.5
INTERCEPT_SD: Final = 1.0


def fit_platt(logits: np.ndarray, labels: np.ndarray, prior_intercept: np.ndarray) -> Calibration:
    """Slope and intercept of every category (Platt 1999), as the mode of the posterior under a weak prior.

    The prior is `log(slope) ~ N(0, 0.5)` and `intercept ~ N(prior_intercept, 1)`: without one, Platt's fit on a
    category with two positives is arbitrary. The slope stays positive, so calibration never changes the order of films.

    Args:
        logits: float (n, k).
        labels: (n, k), 0 or 1.
        prior_intercept: (k,) the expected intercepts: minus the log of what a positive counted in training.
    """
    slopes, intercepts = [], []
    for z, y, expected in zip(logits.T.astype(float), labels.T.astype(float), prior_intercept, strict=True):

        def objective(theta: np.ndarray, z: np.ndarray = z, y: np.ndarray = y, expected: float = expected) -> float:
            log_slope, intercept = theta
            scaled = np.exp(log_slope) * z + intercept
            loss = np.logaddexp(0, scaled).sum() - (y * scaled).sum()
            return loss + 0.5 * (log_slope / LOG_SLOPE_SD) ** 2 + 0.5 * ((intercept - expected) / INTERCEPT_SD) ** 2

        fitted = minimize(objective, np.array([0.0, expected]), method="BFGS").x
        slopes.append(float(np.exp(fitted[0])))
        intercepts.append(float(fitted[1]))
    return Calibration(slope=tuple(slopes), intercept=tuple(intercepts))


def uncalibrated(logits: np.ndarray) -> np.ndarray:
    """What the probabilities would be without calibration."""
    return expit(np.asarray(logits, float))
