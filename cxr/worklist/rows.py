"""One study of the worklist with all that is known of it, as it travels to pages and to the command line."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr.radiograph.placement import UNTOUCHED, Placement, placement_of
from cxr.radiograph.scope import Turn
from cxr.worklist.claims import NoSuchStudy
from cxr.worklist.order import HOUR, rank
from cxr.worklist.query import ABANDONED
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Result, Study


@dataclass(frozen=True)
class FindingRow:
    """One finding of a study: its name, calibrated probability 0..1, and whether it is flagged on any film."""

    name: str
    probability: float
    flagged: bool


@dataclass(frozen=True)
class FilmRow:
    """One film of a study.

    Attributes:
        id, sha256, name, arrived: of the film.
        state: where it stands.
        reason: why it was not analysed, in one sentence.
        view, width, height: of its header and in pixels; None before it was read, or where the file does not say.
        warnings: sentences for the reader.
        model: SHA-256 of the bundle that scored it last.
        refused_as: the kind of `reason`, as of `cxr.classify.Refusal`.
        placement: how it is scored and shown, against how its file has it.
        seems: what has to be done besides to see it upright, as the scope check thinks; None: nothing.
    """

    id: int
    sha256: str
    name: str
    state: FilmState
    reason: str | None
    view: str | None
    width: int | None
    height: int | None
    warnings: tuple[str, ...]
    arrived: datetime
    model: str | None
    refused_as: str | None = None
    placement: Placement = UNTOUCHED
    seems: Turn | None = None


@dataclass(frozen=True)
class StudyRow:
    """One study; for its fields see `cxr.worklist.tables.Study`.

    Attributes:
        rank: of `cxr.worklist.order` at the moment of asking; the highest is read first.
        abandoned: it is in reading, but its reader gave no sign for so long that anybody may take it.
    """

    id: int
    name: str
    patient: str | None
    accession: str | None
    acquired: str | None
    arrived: datetime
    status: Status
    reader: str | None
    reading_since: datetime | None
    read_by: str | None
    read_at: datetime | None
    verdict: str | None
    abnormal: float | None
    critical: tuple[str, ...]
    findings: tuple[FindingRow, ...]
    model: str | None
    films: tuple[FilmRow, ...]
    rank: float
    abandoned: bool

    @property
    def analysed(self) -> bool:
        """Whether there is an answer of a model to any of its films."""
        return self.abnormal is not None

    @property
    def reason(self) -> str | None:
        """Why it was not analysed, in a sentence or a few; None if it was, or may still be."""
        waits = any(film.state in (FilmState.QUEUED, FilmState.SCORING) for film in self.films)
        if self.analysed or waits:
            return None
        # Each once, in the order of the films.
        return " ".join(dict.fromkeys(film.reason for film in self.films if film.reason)) or None


def seen_as(turn: str | None, inverted: bool | None, grey_said: bool | None) -> Placement:
    """How a film is scored and shown; of the columns of `cxr.worklist.tables.Film`."""
    return replace(placement_of(turn), inverted=bool(inverted), grey_said=bool(grey_said))


def row_of(session: Session, number: int) -> StudyRow:
    """One study. Raises `NoSuchStudy`."""
    found = session.get(Study, number)
    if found is None:
        raise NoSuchStudy(number)
    return rows_of(session, [found])[0]


def rows_of(session: Session, studies: Sequence[Study]) -> list[StudyRow]:
    """Rows of some studies with their films, in two statements."""
    numbers = [study.id for study in studies]
    films = session.scalars(select(Film).where(Film.study_id.in_(numbers)).order_by(Film.id)).all() if numbers else []
    models: dict[int, str] = {}
    if films:
        scored = select(Result.film_id, Result.model).where(Result.film_id.in_([film.id for film in films]))
        # The last one stays.
        models = dict(iter(session.execute(scored.order_by(Result.scored, Result.id))))
    of_study: dict[int, list[FilmRow]] = defaultdict(list)
    for film in films:
        of_study[film.study_id].append(_film(film, models.get(film.id)))
    now = datetime.now(UTC)
    return [_study(study, tuple(of_study[study.id]), now) for study in studies]


def _film(film: Film, model: str | None) -> FilmRow:
    facts: dict[str, Any] = film.facts
    return FilmRow(
        id=film.id,
        sha256=film.sha256,
        name=film.name,
        state=FilmState(film.state),
        reason=film.reason,
        view=facts.get("view"),
        width=facts.get("width"),
        height=facts.get("height"),
        warnings=tuple(film.warnings),
        arrived=film.arrived,
        model=model,
        refused_as=film.refused_as,
        placement=seen_as(film.turn, film.inverted, film.grey_said),
        seems=next((turn for turn in get_args(Turn) if turn == film.seems), None),
    )


def _study(study: Study, films: tuple[FilmRow, ...], now: datetime) -> StudyRow:
    status = Status(study.status)
    since = study.reading_since
    return StudyRow(
        id=study.id,
        name=study.name,
        patient=study.patient,
        accession=study.accession,
        acquired=study.acquired,
        arrived=study.arrived,
        status=status,
        reader=study.reader,
        reading_since=since,
        read_by=study.read_by,
        read_at=study.read_at,
        verdict=study.verdict,
        abnormal=study.abnormal,
        critical=tuple(study.critical),
        findings=tuple(FindingRow(*finding) for finding in study.findings),
        model=study.model,
        films=films,
        rank=rank(study.abnormal, bool(study.critical), (now - study.arrived).total_seconds() / HOUR),
        abandoned=status == Status.READING and (since is None or since < now - ABANDONED),
    )
