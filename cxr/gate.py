"""The gate: whether a candidate may take the place of the model that serves. Pure functions of cards and scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from cxr.evaluation.compare import Statistic, matched_sensitivities, paired_difference
from cxr.evaluation.evaluate import calibration_error
from cxr.evaluation.metrics import RESAMPLES, Resamples, auroc, enough, macro_auroc, resample_patients, telling
from cxr.evaluation.neither import NotComparable, PairedFilms
from cxr.evaluation.words import TOO_FEW
from cxr.findings import CATEGORIES, NO_FINDING_INDEX
from cxr.model.card import Calibration, Card
from cxr.registry import Check

ABNORMAL: Final = "AUROC for abnormal"
MACRO: Final = "Macro-AUROC"
CALIBRATION: Final = "Calibration error"
POINTS: Final = "Own operating points"
SCOPE: Final = "Scope check"


@dataclass(frozen=True)
class Margins:
    """How much worse than the champion a candidate's point estimate may be.

    A candidate fails too where the whole interval of the difference lies on the worse side, however small it is: then
    it is worse, and not by chance.

    The margins are what chance alone makes of two equally good models on a few hundred test films; `benchmarks/gate.py`
    measures how often such a pair, and a worse one, is refused. On many films the intervals decide.

    Attributes:
        abnormal_auroc: of a hundred pairs of an abnormal film and another, two more stand the wrong way round.
        macro_auroc: the same, on average over the findings.
        sensitivity: of a hundred abnormal films, ten more are missed at as many false alarms. It is the largest because
            chance moves it most: at the balanced threshold by 0.09 (one standard deviation) on 283 films.
        calibration_error: the abnormal probability is off by three percentage points more.
    """

    abnormal_auroc: float = 0.02
    macro_auroc: float = 0.02
    sensitivity: float = 0.10
    calibration_error: float = 0.03


MARGINS: Final = Margins()
MANY_FILMS: Final = 5000
RESAMPLES_OF_MANY: Final = 500
"""On more films than that, so many resamples do: they leave 0.12 standard deviations of doubt on the end of an interval
that is narrow by then, and 25,000 films take about a minute (two busy cores) instead of several."""


def points_check(candidate: Card, champion: Card) -> Check:
    """Whether a candidate's thresholds were chosen on its own calibration patients: an old one says nothing of it.

    Args:
        candidate, champion: the cards.
    """
    calibration = None if candidate.data is None else candidate.data.splits.get("calibration")
    if calibration is None or not isinstance(candidate.calibration, Calibration):
        said = "Its thresholds were not chosen on calibration patients of its own, and its scores are not calibrated."
        return Check(name=POINTS, passed=False, said=said)
    if _thresholds(candidate) == _thresholds(champion):
        said = f"Its thresholds are those of {champion.name}; they have to be chosen anew for this model."
        return Check(name=POINTS, passed=False, said=said)
    said = (
        f"Calibrated, and thresholds chosen, on {calibration.films:,} films of {calibration.patients:,} patients who "
        "did not train it."
    )
    return Check(name=POINTS, passed=True, said=said)


def scope_check(candidate: Card, champion: Card) -> Check | None:
    """Whether a candidate refuses what is no frontal chest film, as the champion does; None where that does not either.

    Args:
        candidate, champion: the cards.
    """
    if champion.scope is None:
        return None
    if candidate.scope is None:
        said = f"It has no scope check, and {champion.name} has one; it would give a hand or a page of text a verdict."
        return Check(name=SCOPE, passed=False, said=said)
    if _knows_laterals(champion) and not _knows_laterals(candidate):
        said = (
            f"Its scope check has learnt from no lateral film, as that of {champion.name} has, and would give one a "
            "verdict: fit it anew with some (`python -m cxr scope --out-of-scope DIR`, in a folder named lateral)."
        )
        return Check(name=SCOPE, passed=False, said=said)
    # The rates' counts don't add up: many pictures are in several.
    pictures = sum((*candidate.scope.frontal.values(), *candidate.scope.out_of_scope.values()))
    said = f"It has one, fitted on {pictures:,} pictures; its card says how often it is right."
    if unknown := sorted(set(champion.scope.out_of_scope) - set(candidate.scope.out_of_scope)):
        said += f" It has never seen what that of {champion.name} has: {', '.join(unknown)}."
    return Check(name=SCOPE, passed=True, said=said)


def _knows_laterals(card: Card) -> bool:
    """Lateral films are what a check can't guess: one that has seen none refuses none."""
    return card.scope is not None and any("lateral" in source.lower() for source in card.scope.out_of_scope)


def metric_checks(films: PairedFilms, candidate: Card, champion: Card, margins: Margins = MARGINS) -> tuple[Check, ...]:
    """Whether the candidate is worse in any metric on films that neither model has seen.

    Args:
        films: of `cxr.evaluation.neither`, scored by both.
        candidate, champion: the cards; of the champion's the operating points are used, of both which findings they
            have.
        margins: see there.

    Returns:
        AUROC for abnormal, macro-AUROC, sensitivity at each operating point of the champion, calibration error. Only
        the first has to be answered; where the films are too few for another one, it passes and says so.

    Raises:
        NotComparable: a model gave scores that are not finite numbers.
    """
    findings = _shared(candidate, champion)
    for card, scores in ((candidate, films.candidate), (champion, films.champion)):
        if bad := int((~np.isfinite(scores[:, [NO_FINDING_INDEX, *findings]])).any(1).sum()):
            raise NotComparable(f"The scores of {card.name} are not finite numbers on {bad:,} films.")
    resamples = _resamples(films)
    return (
        *_aurocs(films, resamples, findings, margins),
        *_at_points(films, resamples, champion, margins),
        _calibration(films, resamples, champion, margins),
    )


def source_checks(films: PairedFilms, candidate: Card, champion: Card, margins: Margins = MARGINS) -> tuple[Check, ...]:
    """AUROC for abnormal and macro-AUROC on the films of one source each, where these are enough to say."""
    resamples = _resamples(films)
    names, counts = np.unique(films.sources, return_counts=True)
    return tuple(
        check.model_copy(update={"name": f"{check.name}, source {name}"})
        for name in names[np.argsort(-counts, kind="stable")]
        for mask in [films.sources == name]
        for check in _aurocs(films.subset(mask), resamples.subset(mask), _shared(candidate, champion), margins)
        if check.difference is not None
    )


def _aurocs(films: PairedFilms, resamples: Resamples, findings: list[int], margins: Margins) -> Iterator[Check]:
    abnormal, ours, theirs = _abnormal(films)
    yield _check(
        ABNORMAL,
        (partial(auroc, abnormal, ours), partial(auroc, abnormal, theirs)),
        resamples if enough(abnormal, films.patients) else None,
        margins.abnormal_auroc,
        required=True,
    )
    columns = telling(films.labels, films.patients, findings)
    labels = films.labels[:, columns]
    yield _check(
        f"{MACRO} over {len(columns)} of {len(findings)} findings",
        (
            partial(macro_auroc, labels, films.candidate[:, columns]),
            partial(macro_auroc, labels, films.champion[:, columns]),
        ),
        resamples if columns else None,
        margins.macro_auroc,
    )


def _at_points(films: PairedFilms, resamples: Resamples, champion: Card, margins: Margins) -> Iterator[Check]:
    abnormal, ours, theirs = _abnormal(films)
    for point in champion.operating_points:
        yield _check(
            f"Sensitivity at the specificity of {champion.name} at {point.name}",
            matched_sensitivities(abnormal, ours, theirs, point.threshold),
            resamples if enough(abnormal, films.patients) else None,
            margins.sensitivity,
        )


def _calibration(films: PairedFilms, resamples: Resamples, champion: Card, margins: Margins) -> Check:
    if not isinstance(champion.calibration, Calibration):
        said = f"Not compared: the scores of {champion.name} are no probabilities."
        return Check(name=CALIBRATION, passed=True, said=said, margin=margins.calibration_error)
    abnormal, ours, theirs = _abnormal(films)
    return _check(
        CALIBRATION,
        (partial(calibration_error, abnormal, ours), partial(calibration_error, abnormal, theirs)),
        resamples if enough(abnormal, films.patients) else None,
        margins.calibration_error,
        lower_is_better=True,
    )


def _check(
    name: str,
    pair: tuple[Statistic, Statistic],
    resamples: Resamples | None,
    margin: float,
    *,
    lower_is_better: bool = False,
    required: bool = False,
) -> Check:
    """The answer that a paired difference gives.

    Args:
        pair: the statistic of the candidate and of the champion.
        resamples: of the films; None where these are too few to say.
        margin: how much worse the point estimate may be.
        required: whether too few to say is a failure.
    """
    difference = None if resamples is None else paired_difference(*pair, resamples)
    if difference is None:
        said = f"{TOO_FEW.capitalize()}{'' if required else ', so it does not decide'}."
        return Check(name=name, passed=not required, said=said, margin=margin)
    worse = difference.value if lower_is_better else -difference.value
    surely = difference.low > 0 if lower_is_better else difference.high < 0
    ours, theirs = (float(statistic(None)[0]) for statistic in pair)
    if worse > margin:
        verdict = f"worse by more than {margin:g}"
    elif surely:
        verdict = "worse over the whole interval"
    else:
        verdict = f"not worse by more than {margin:g}"
    said = (
        f"Candidate {ours:.3f}, champion {theirs:.3f}, difference {difference.value:+.3f} "
        f"({difference.low:+.3f} to {difference.high:+.3f}): {verdict}."
    )
    return Check(name=name, passed=worse <= margin and not surely, said=said, difference=difference, margin=margin)


def _resamples(films: PairedFilms) -> Resamples:
    return resample_patients(films.patients, RESAMPLES if len(films.labels) <= MANY_FILMS else RESAMPLES_OF_MANY)


def _abnormal(films: PairedFilms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which films are abnormal, uint8 (n,), and the abnormal probability of candidate and champion, float64 (n,)."""
    k = NO_FINDING_INDEX
    return 1 - films.labels[:, k], 1 - films.candidate[:, k], 1 - films.champion[:, k]


def _shared(candidate: Card, champion: Card) -> list[int]:
    """Columns of the findings that both models have."""
    return [CATEGORIES.index(name) for name in champion.findings if name in candidate.findings]


def _thresholds(card: Card) -> list[tuple[float, ...]]:
    return [(p.threshold, *(found.threshold for found in p.findings.values())) for p in card.operating_points]
