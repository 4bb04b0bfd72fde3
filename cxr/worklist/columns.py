"""What the list shows of a study, from what one model said of its films, at the operating points of that model."""

import numpy as np

from cxr.findings import FINDINGS
from cxr.model.bundle import Bundle
from cxr.model.card import Card, OperatingPoint
from cxr.model.verdict import Verdict, decide
from cxr.settings import settings
from cxr.worklist.status import FilmState
from cxr.worklist.tables import Film, Result, Study


def set_columns(study: Study, bundle: Bundle) -> bool:
    """Set a study's columns from the results of one model.

    They always come from one model: as long as a film has a result of another model only, they stay as they are. Films
    that were not analysed have no say; where none was, the columns are empty.

    Args:
        study: with its films and their results, in a session that is going to commit.
        bundle: the model; its thresholds are used, and no other's.

    Returns:
        Whether they are those of this model now.
    """
    analysed = [film for film in study.films if film.state != FilmState.REFUSED and film.results]
    results = [_result(film, bundle.sha256) for film in analysed]
    given = [result for result in results if result is not None]
    if len(given) < len(analysed):
        return False
    if not given:
        study.model = study.abnormal = study.verdict = None
        study.critical, study.findings = [], []
        return True
    vectors = [probabilities_of(result) for result in given]
    abnormal = [float(1 - vector[0]) for vector in vectors]
    study.model = bundle.sha256
    study.abnormal = max(abnormal)
    point = point_of(bundle.card, settings().worklist_point)
    verdicts = [] if point is None else [decide(vector, point) for vector in vectors]
    study.verdict = verdicts[int(np.argmax(abnormal))].name if verdicts else None
    study.critical = _critical(bundle.card, vectors)
    study.findings = _findings(bundle.card, vectors, verdicts)
    return True


def probabilities_of(result: Result) -> np.ndarray:
    """float64 (k,) in the order of `Result.columns`, NaN where the model has no such output."""
    return np.array([np.nan if p is None else p for p in result.probabilities], np.float64)


def point_of(card: Card, name: str) -> OperatingPoint | None:
    """The operating point of that name; None where a model has it not, as imported ones have some only."""
    return next((point for point in card.operating_points if point.name == name), None)


def shortcomings(card: Card) -> tuple[str, ...]:
    """What a model can't give the list, one sentence each; empty for a model that was trained here."""
    found = []
    if point_of(card, settings().worklist_point) is None:
        found.append(f"It has no operating point “{settings().worklist_point}”, so no study has a verdict.")
    if point_of(card, settings().critical_point) is None:
        found.append(f"It has no operating point “{settings().critical_point}”, so no study is marked as critical.")
    if absent := [name for name in settings().critical_findings if name in card.absent]:
        found.append(f"It does not know {', '.join(absent)}, so no study is marked as critical for that.")
    return tuple(found)


def _result(film: Film, model: str) -> Result | None:
    return next((result for result in film.results if result.model == model), None)


def _critical(card: Card, vectors: list[np.ndarray]) -> list[str]:
    """The critical findings that are flagged on any film."""
    point = point_of(card, settings().critical_point)
    if point is None:
        return []
    flagged = {found.name for vector in vectors for found in decide(vector, point).flagged}
    return [name for name in settings().critical_findings if name in flagged]


def _findings(card: Card, vectors: list[np.ndarray], verdicts: list[Verdict]) -> list[list[str | float | bool]]:
    """[name, highest probability, flagged on any film] of the findings that the model has, the most probable first."""
    flagged = {found.name for verdict in verdicts for found in verdict.flagged}
    highest = {
        name: max(float(vector[card.columns.index(name)]) for vector in vectors)
        for name in FINDINGS
        if name not in card.absent
    }
    return [[name, p, name in flagged] for name, p in sorted(highest.items(), key=lambda item: -item[1])]
