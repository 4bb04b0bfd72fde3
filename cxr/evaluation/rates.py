"""What a threshold does on test films: rates, what they mean at another prevalence, who is missed, how honest it is.

A bootstrap cannot see an error that no film shows; `never_certain` widens its interval there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from cxr.evaluation.evaluate import equal_mass
from cxr.evaluation.metrics import MIN_PATIENTS, Resamples, estimate, never_certain, rate_estimate
from cxr.evaluation.precision import check_scored
from cxr.model.card import Estimate

UNKNOWN_GROUP: Final = "unknown"


@dataclass(frozen=True)
class Rates:
    """Rates at one threshold; each None where the films it is about are of fewer than `MIN_PATIENTS` patients.

    `ppv` and `npv` are None too where either class is of fewer: without positive films every film not flagged is right.

    Attributes:
        sensitivity: share of the positive films that are flagged.
        specificity: share of the negative films that are not flagged.
        ppv: share of the flagged films that are positive, at the prevalence of these films.
        npv: share of the films not flagged that are negative, at the prevalence of these films.
        accuracy: share of all films that are on the right side.
        f1: harmonic mean of sensitivity and ppv; None where one of these is.
        flagged: share of all films that are flagged.
    """

    sensitivity: Estimate | None
    specificity: Estimate | None
    ppv: Estimate | None
    npv: Estimate | None
    accuracy: Estimate | None
    f1: Estimate | None
    flagged: Estimate | None


@dataclass(frozen=True, eq=False)
class Counts:
    """Films by truth and verdict.

    Attributes:
        hits, misses: (r,) positive films flagged, and not flagged, in each row of weights.
        alarms, rests: (r,) negative films flagged, and not flagged.
    """

    hits: np.ndarray
    misses: np.ndarray
    alarms: np.ndarray
    rests: np.ndarray


@dataclass(frozen=True, eq=False)
class AtPrevalence:
    """What sensitivity and specificity come to where another share of films is positive.

    Attributes:
        ppv, npv: shares in 0..1, NaN where no film, or every film, is flagged.
        flagged_per_100, missed_per_100: of 100 films, those flagged, and those positive and not flagged.
    """

    ppv: np.ndarray
    npv: np.ndarray
    flagged_per_100: np.ndarray
    missed_per_100: np.ndarray


@dataclass(frozen=True)
class RatesAtPrevalence:
    """`AtPrevalence` with intervals. The prevalence counts as known; the intervals are of what was measured.

    All are None where sensitivity or specificity is unknown. `ppv` is None too where no negative film was flagged, and
    `npv` and `missed_per_100` where no positive film was missed: the number would be perfect at every prevalence,
    because the error it hinges on has not been seen yet.
    """

    ppv: Estimate | None
    npv: Estimate | None
    flagged_per_100: Estimate | None
    missed_per_100: Estimate | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Films of similar probability.

    Attributes:
        films: how many.
        mean_probability: what the model says of them on average, 0..1.
        observed: the share that is positive; None where they are of too few patients to say.
    """

    films: int
    mean_probability: float
    observed: Estimate | None


@dataclass(frozen=True)
class Misses:
    """Abnormal films of one group that were called "no finding".

    Attributes:
        films, patients: abnormal films of the group, and of how many patients.
        missed: how many of these films were called "no finding".
        share: missed / films, the false negative rate; None where the patients are too few to say.
    """

    films: int
    patients: int
    missed: int
    share: Estimate | None


def rates(labels: np.ndarray, flagged: np.ndarray, resamples: Resamples) -> Rates:
    """The rates of one threshold with their intervals.

    Args:
        labels: (n,) 0 or 1.
        flagged: (n,) bool, whether the score is at or above the threshold.
        resamples: of the n films.

    Raises:
        ValueError: there are no films, or labels or flags are not what they must be.
    """
    counted = _counted(labels, flagged, resamples)
    positive, everything = labels.astype(bool), np.ones(len(labels), bool)

    def rate(of: Callable[[Counts], np.ndarray], *about: np.ndarray) -> Estimate | None:
        if not all(_enough(mask, resamples) for mask in about):
            return None
        return never_certain(counted(of), min(len(np.unique(resamples.patients[mask])) for mask in about))

    return Rates(
        sensitivity=rate(_sensitivity, positive),
        specificity=rate(_specificity, ~positive),
        ppv=rate(lambda c: _share(c.hits, c.hits + c.alarms), flagged, positive, ~positive),
        npv=rate(lambda c: _share(c.rests, c.rests + c.misses), ~flagged, positive, ~positive),
        accuracy=rate(lambda c: _share(c.hits + c.rests, c.hits + c.misses + c.alarms + c.rests), everything),
        f1=rate(lambda c: _share(2 * c.hits, 2 * c.hits + c.alarms + c.misses), flagged, positive, ~positive),
        flagged=rate(lambda c: _share(c.hits + c.alarms, c.hits + c.misses + c.alarms + c.rests), everything),
    )


def count(labels: np.ndarray, flagged: np.ndarray, weights: np.ndarray | None = None) -> Counts:
    """Films by truth and verdict in each row of weights.

    Args:
        labels: (n,) 0 or 1; flagged: (n,) bool; weights: (r, n), None is one row of ones.
    """
    positive = labels.astype(bool)
    cells = np.c_[positive & flagged, positive & ~flagged, ~positive & flagged, ~positive & ~flagged]
    table = cells.sum(0)[None] if weights is None else weights @ cells.astype(weights.dtype)
    return Counts(*table.T.astype(np.float64))


def at_prevalence(sensitivity: np.ndarray | float, specificity: np.ndarray | float, prevalence: float) -> AtPrevalence:
    """Predictive values by Bayes' theorem (Altman & Bland 1994, BMJ 309:102), and what happens to 100 films.

    It supposes that films there are as hard as the test films: that only the share of positives differs.

    Args:
        sensitivity, specificity: (r,) or one number, in 0..1 or NaN.
        prevalence: share of films that are positive, 0..1.

    Raises:
        ValueError: a share is not in 0..1.
    """
    for name, value in (("sensitivity", sensitivity), ("specificity", specificity)):
        if (np.less(value, 0) | np.greater(value, 1)).any():
            raise ValueError(f"A {name} must be a share in 0..1.")
    if not 0 <= prevalence <= 1:
        raise ValueError(f"The prevalence (={prevalence}) must be a share in 0..1.")
    hits, misses = np.multiply(sensitivity, prevalence), np.multiply(np.subtract(1, sensitivity), prevalence)
    rests, alarms = np.multiply(specificity, 1 - prevalence), np.multiply(np.subtract(1, specificity), 1 - prevalence)
    return AtPrevalence(
        ppv=_share(hits, hits + alarms),
        npv=_share(rests, rests + misses),
        flagged_per_100=100 * (hits + alarms),
        missed_per_100=100 * misses,
    )


def rates_at_prevalence(
    labels: np.ndarray, flagged: np.ndarray, resamples: Resamples, prevalence: float
) -> RatesAtPrevalence:
    """`at_prevalence` of the sensitivity and specificity measured on some films, with their intervals.

    Args:
        labels: (n,) 0 or 1.
        flagged: (n,) bool, whether the score is at or above the threshold.
        resamples: of the n films.
        prevalence: share of films that are positive where the threshold is to be used, 0..1.

    Raises:
        ValueError: the prevalence is not in 0..1, there are no films, or labels or flags are not what they must be.
    """
    counted = _counted(labels, flagged, resamples)
    positive = labels.astype(bool)
    known = _enough(positive, resamples) and _enough(~positive, resamples)
    alarms_seen, misses_seen = bool((~positive & flagged).any()), bool((positive & ~flagged).any())

    def rate(of: Callable[[AtPrevalence], np.ndarray], told: bool = True) -> Estimate | None:
        def at(counts: Counts) -> np.ndarray:
            return of(at_prevalence(_sensitivity(counts), _specificity(counts), prevalence))

        return counted(at) if known and told else None

    return RatesAtPrevalence(
        ppv=rate(lambda there: there.ppv, alarms_seen),
        npv=rate(lambda there: there.npv, misses_seen),
        flagged_per_100=rate(lambda there: there.flagged_per_100),
        missed_per_100=rate(lambda there: there.missed_per_100, misses_seen),
    )


def reliability_curve(
    labels: np.ndarray, probabilities: np.ndarray, resamples: Resamples, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Stated against observed: the films in bins of equal mass, from the lowest probability to the highest.

    The bins are those of the expected calibration error; equal probabilities share a bin, so there can be fewer. They
    are fixed on the films; the resamples move what is observed in them.

    Args:
        labels: (n,) 0 or 1; probabilities: (n,) in 0..1; resamples: of the n films.
        bins: at most so many, at least 1.

    Raises:
        ValueError: `bins` is below 1, there are no films, or labels or probabilities are not what they must be.
    """
    check_scored(labels, probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError(f"Probabilities must be in 0..1, not {probabilities.min():.3g} to {probabilities.max():.3g}.")
    if bins < 1:
        raise ValueError(f"There must be at least 1 bin, not {bins}.")
    lowest = equal_mass(np.sort(probabilities), bins)
    which = np.searchsorted(lowest, probabilities, side="right") - 1
    return tuple(
        ReliabilityBin(
            films=int((which == k).sum()),
            mean_probability=float(probabilities[which == k].mean()),
            observed=rate_estimate(labels.astype(bool), which == k, resamples),
        )
        for k in range(len(lowest))
    )


def false_no_finding(
    abnormal: np.ndarray, called_no_finding: np.ndarray, groups: pd.Series, resamples: Resamples
) -> dict[str, Misses]:
    """How often abnormal films are called "no finding" in each group, say of sex, age or view.

    Args:
        abnormal: (n,) 0 or 1, the truth.
        called_no_finding: (n,) bool, the verdict.
        groups: n values in the order of the films, of any index; missing ones are the group "unknown".
        resamples: of the n films.

    Returns:
        For each group, the largest (in films, abnormal or not) first. Groups without an abnormal film are there too.

    Raises:
        ValueError: there are no films, lengths differ, or labels or verdicts are not what they must be.
    """
    _check_flagged(abnormal, called_no_finding)
    if len(groups) != len(abnormal):
        raise ValueError(f"There are {len(groups)} groups for {len(abnormal)} films.")
    names = groups.astype(object).where(groups.notna(), UNKNOWN_GROUP).map(str)

    def misses(name: str) -> Misses:
        among = abnormal.astype(bool) & (names == name).to_numpy()
        return Misses(
            films=int(among.sum()),
            patients=len(np.unique(resamples.patients[among])),
            missed=int((among & called_no_finding).sum()),
            share=rate_estimate(called_no_finding, among, resamples),
        )

    return {name: misses(name) for name in names.value_counts().index}


def _counted(
    labels: np.ndarray, flagged: np.ndarray, resamples: Resamples
) -> Callable[[Callable[[Counts], np.ndarray]], Estimate]:
    """What turns a statistic of the counts into its estimate; the films are counted once for all statistics."""
    _check_flagged(labels, flagged)
    here, drawn = count(labels, flagged), count(labels, flagged, resamples.weights)
    return lambda statistic: estimate(lambda w: statistic(here if w is None else drawn), resamples)


def _check_flagged(labels: np.ndarray, flagged: np.ndarray) -> None:
    check_scored(labels, flagged)
    if flagged.dtype != bool:
        raise ValueError(f"Whether films are flagged must be given as true or false, not as {flagged.dtype}.")


def _enough(mask: np.ndarray, resamples: Resamples) -> bool:
    return len(np.unique(resamples.patients[mask])) >= MIN_PATIENTS


def _sensitivity(counts: Counts) -> np.ndarray:
    return _share(counts.hits, counts.hits + counts.misses)


def _specificity(counts: Counts) -> np.ndarray:
    return _share(counts.rests, counts.rests + counts.alarms)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole)
