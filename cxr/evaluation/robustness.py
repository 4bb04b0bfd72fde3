"""How much of a model is left when films are worse than those it was tested on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from cxr.evaluation.evaluate import calibration_error
from cxr.evaluation.metrics import Resamples, auroc, auroc_estimate, enough, estimate, resample_patients
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.card import Estimate
from cxr.model.engine import Engine

CLEAN: Final = "Clean"
BATCH: Final = 16
SEED: Final = 0
"""Of the corruptions and of the resamples."""
CONDITIONS: Final = ((CLEAN, 0), *((name, severity) for name in CORRUPTIONS for severity in SEVERITIES))
"""(name, severity) of every set of films that is measured, the clean one first."""


@dataclass(frozen=True)
class Robustness:
    """A model on the same films under one corruption. Intervals are 95%, by bootstrap over patients.

    Attributes:
        corruption: one of `CORRUPTIONS`, or `CLEAN`.
        severity: 1 to 5; 0 for the clean films.
        abnormal_auroc: AUROC of the abnormal probability; None where there are too few patients to say.
        auroc_change: that less the clean films' AUROC, below 0 where the corruption does harm, on the same resamples,
            so that its interval is that of the change; None where there are too few patients to say.
        macro_auroc: mean AUROC of the findings with enough patients; None where no finding has.
        calibration_error: expected calibration error of the abnormal probability (`calibration_error`), 0..1.
        abnormal_probability: mean over the films, 0..1; far from the clean films' it means that thresholds have moved.
    """

    corruption: str
    severity: int
    abnormal_auroc: Estimate | None
    auroc_change: Estimate | None
    macro_auroc: float | None
    calibration_error: Estimate
    abnormal_probability: float


def robustness(
    engine: Engine,
    films: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Robustness]:
    """Run the serving graph on the films as they are and under each corruption at each severity.

    Only `BATCH` corrupted films are in memory at a time. The same films give the same rows every time.

    Args:
        engine: the model that serves.
        films: uint8 (n, size, size), squares of the model's side, bright = dense; may be a memory map.
        labels: (n, 15) 0 or 1.
        patients: (n,) patient of each film.
        progress: gets how many of how many sets of films are measured, after each.

    Returns:
        One row for each of `CONDITIONS`, in their order.

    Raises:
        ValueError: there are no films, they do not fit the model, or not every film has labels and a patient.
    """
    _check(engine, films, labels, patients)
    resamples = resample_patients(patients, seed=SEED)
    clean = _probabilities(engine, films, CLEAN, 0)
    rows = []
    for done, (name, severity) in enumerate(CONDITIONS, 1):
        probabilities = _probabilities(engine, films, name, severity) if severity else clean
        rows.append(_row(name, severity, labels, probabilities, clean, resamples))
        progress(done, len(CONDITIONS))
    return rows


def _probabilities(engine: Engine, films: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Calibrated probabilities, float64 (n, 15 or more) as of `Card.probabilities`, of the corrupted films."""
    batches = []
    for first in range(0, len(films), BATCH):
        batch = films[first : first + BATCH]
        shown = corrupt(batch, name, severity, SEED, first) if severity else batch
        logits, _ = engine.run(shown.astype(np.float32))
        batches.append(engine.bundle.card.probabilities(logits))
    return np.concatenate(batches)


def _row(
    name: str,
    severity: int,
    labels: np.ndarray,
    probabilities: np.ndarray,
    clean: np.ndarray,
    resamples: Resamples,
) -> Robustness:
    abnormal = 1 - labels[:, NO_FINDING_INDEX].astype(int)
    score, clean_score = (1 - values[:, NO_FINDING_INDEX] for values in (probabilities, clean))

    def change(w: np.ndarray | None) -> np.ndarray:
        return auroc(abnormal, score, w) - auroc(abnormal, clean_score, w)

    return Robustness(
        corruption=name,
        severity=severity,
        abnormal_auroc=auroc_estimate(abnormal, score, resamples),
        auroc_change=estimate(change, resamples) if enough(abnormal, resamples.patients) else None,
        macro_auroc=_macro_auroc(labels, probabilities, resamples.patients),
        calibration_error=estimate(lambda w: calibration_error(abnormal, score, w), resamples),
        abnormal_probability=float(score.mean()),
    )


def _macro_auroc(labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray) -> float | None:
    """As `macro_auroc_estimate` over the findings that the model has, without the interval, which would take most of
    the time."""
    known = [k for k in FINDING_INDICES if not np.isnan(probabilities[:, k]).any()]
    values = [auroc(labels[:, k], probabilities[:, k])[0] for k in known if enough(labels[:, k], patients)]
    return float(np.mean(values)) if values else None


def _check(engine: Engine, films: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> None:
    size = engine.bundle.card.input_size
    if films.dtype != np.uint8 or films.shape[1:] != (size, size):
        raise ValueError(
            f"The films must be uint8 (n, {size}, {size}) for this model, not {films.dtype} {films.shape}."
        )
    if len(films) == 0:
        raise ValueError("There are no films to measure robustness on.")
    if not len(films) == len(labels) == len(patients):
        raise ValueError(f"{len(films)} films have {len(labels)} rows of labels and {len(patients)} patients.")
