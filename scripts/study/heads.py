"""A linear head on features of a frozen network: fifteen logistic regressions at once."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


def fit_head(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, k) and constants (k,) that minimise the weighted cross-entropy plus `decay` / 2 * |weights|^2.

    Args:
        features: float (n, d), standardised.
        labels: (n, k), 0 or 1.
        weights: (k,) what a positive counts.
        decay: of the weights, above 0.
    """
    n, d = features.shape
    k = labels.shape[1]
    y = labels.astype(np.float32)
    film_weights = np.where(y == 1, weights, 1).astype(np.float32)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, constant = theta[: d * k].reshape(d, k), theta[d * k :]
        z = features @ kernel.astype(np.float32) + constant
        loss = (film_weights * (np.logaddexp(0, z) - y * z)).sum() / n + decay / 2 * (kernel**2).sum()
        residual = (film_weights * (expit(z) - y)).astype(np.float32) / n
        gradient = np.concatenate([(features.T @ residual + decay * kernel).ravel(), residual.sum(0)])
        return float(loss), gradient.astype(float)

    solved = minimize(objective, np.zeros(d * k + k), jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    return solved[: d * k].reshape(d, k), solved[d * k :]


def standardise(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All arrays (…, d), centred and scaled as `train` needs it."""
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation == 0] = 1
    return [(values - mean) / deviation for values in (train, *others)]
