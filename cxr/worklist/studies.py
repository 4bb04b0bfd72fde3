"""The worklist as its readers see it: the list, how many there are of what, and one study with all that is known of it.

The filters as SQL are in `cxr.worklist.query`, and who reads which study is settled in `cxr.worklist.claims`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import func, select

from cxr.worklist.claims import FurtherFilms, InReading, NoSuchStudy, begin_reading, finish_reading, put_back
from cxr.worklist.database import Database
from cxr.worklist.identity import NIH_NAME
from cxr.worklist.order import rank_sql
from cxr.worklist.query import Query, following, free_for, matching, ordering
from cxr.worklist.rows import FilmRow, FindingRow, StudyRow, row_of, rows_of
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Result, Study

__all__ = ["FilmRow", "FindingRow", "FurtherFilms", "InReading", "NoSuchStudy", "Query", "StudyRow"]

RECENT: Final = timedelta(minutes=10)
"""What was scored in this time counts as done just now."""


@dataclass(frozen=True)
class Pending:
    """How scoring stands.

    Attributes:
        queued, scoring: films that wait, and that are being scored.
        done_recently: films that were scored in the last ten minutes.
        milliseconds: mean time of those; None if there are none.
    """

    queued: int
    scoring: int
    done_recently: int
    milliseconds: float | None


@dataclass(frozen=True, eq=False)
class ResultRow:
    """What one model says of a film.

    Attributes:
        model, model_name: SHA-256 and name of the bundle.
        columns: names in the model's order.
        probabilities: float32 (columns,), calibrated, 0..1.
        scored: when.
        milliseconds: from bytes to calibrated probabilities and all maps.
    """

    model: str
    model_name: str
    columns: tuple[str, ...]
    probabilities: np.ndarray
    scored: datetime
    milliseconds: float


def list_studies(db: Database, query: Query, offset: int = 0, limit: int = 50) -> tuple[list[StudyRow], int]:
    """A page of the list.

    Args:
        db: the database.
        query: which studies, in which order.
        offset, limit: which of them, from 0.

    Returns:
        The page, and how many studies match in all.

    Raises:
        DatabaseUnavailable: the database can't be read.
    """
    with db.reading() as session:
        found = session.scalar(select(func.count()).select_from(Study).where(matching(query))) or 0
        page = select(Study).where(matching(query)).order_by(*ordering(query)).offset(offset).limit(limit)
        return rows_of(session, session.scalars(page).all()), found


def counts(db: Database) -> dict[Status, int]:
    """How many studies there are of each status."""
    with db.reading() as session:
        found = dict(iter(session.execute(select(Study.status, func.count()).group_by(Study.status))))
    return {status: found.get(status, 0) for status in Status}


def pending(db: Database) -> Pending:
    """How many films are still to be scored, and how fast it goes."""
    with db.reading() as session:
        waiting = (FilmState.QUEUED, FilmState.SCORING)
        states = select(Film.state, func.count()).where(Film.state.in_(waiting)).group_by(Film.state)
        found = dict(iter(session.execute(states)))
        recent = select(func.count(), func.avg(Result.milliseconds)).where(Result.scored > datetime.now(UTC) - RECENT)
        done, milliseconds = session.execute(recent).one()
    return Pending(found.get(FilmState.QUEUED, 0), found.get(FilmState.SCORING, 0), done, milliseconds)


def study(db: Database, number: int) -> StudyRow:
    """One study.

    Raises:
        NoSuchStudy: there is none of this number, or no more.
    """
    with db.reading() as session:
        return row_of(session, number)


def claim(db: Database, number: int, reader: str, force: bool = False) -> StudyRow:
    """Take a study to read it; one that was read may be taken again. To claim it anew is a sign that one still reads.

    Args:
        db: the database.
        number: of the study.
        reader: who will read it.
        force: take it even if somebody else reads it.

    Raises:
        NoSuchStudy: there is none of this number.
        InReading: somebody else reads it, gave a sign in the last half hour, and there is no `force`.
    """
    with db.writing() as session:
        begin_reading(session, number, reader, force)
        session.flush()
        return row_of(session, number)


def release(db: Database, number: int, reader: str) -> None:
    """Put a study back as it was before; nothing happens if this reader does not read it (any more).

    Raises:
        NoSuchStudy: there is none of this number.
    """
    with db.writing() as session:
        put_back(session, number, reader)


def finish(db: Database, number: int, reader: str, shown: Collection[int]) -> StudyRow:
    """Say that a study is read.

    Args:
        shown: numbers of the films that the reader was shown.

    Raises:
        NoSuchStudy: there is none of this number.
        InReading: somebody else reads it.
        FurtherFilms: it has films that are not among `shown`.
    """
    with db.writing() as session:
        finish_reading(session, number, reader, shown)
        session.flush()
        return row_of(session, number)


def next_study(db: Database, query: Query, after: int | None, reader: str) -> int | None:
    """The number of the study to read next: the first of the list that nobody else reads.

    Args:
        db: the database.
        query: of the list.
        after: the study that was just left. If it is in the list still (it was passed over), the search goes on after
            it and then begins from the top, so that passing over leads through the whole list.
        reader: who asks.

    Returns:
        Its number, never `after`; None if there is no other.
    """
    with db.reading() as session:
        free = select(Study.id).where(matching(query), free_for(reader, datetime.now(UTC))).order_by(*ordering(query))
        if after is not None:
            free = free.where(Study.id != after)
            passed = select(rank_sql(), Study.arrived).where(matching(query), Study.id == after)
            place = session.execute(passed).one_or_none()
            if place is not None:
                later = session.scalar(free.where(following(query, *place, after)).limit(1))
                if later is not None:
                    return later
        return session.scalar(free.limit(1))


def previous_studies(db: Database, number: int) -> list[StudyRow]:
    """The same patient's earlier studies, the latest of them first.

    Which is earlier: the Study Date says, or the follow-up number in the file name of a film of ChestX-ray14; where
    there is neither, or the two are of one day, the order of arrival.

    Raises:
        NoSuchStudy: there is none of this number.
    """
    with db.reading() as session:
        this = session.get(Study, number)
        if this is None:
            raise NoSuchStudy(number)
        if this.patient is None:
            return []
        same = session.scalars(select(Study).where(Study.patient == this.patient)).all()
        earlier = sorted((other for other in same if _time(other) < _time(this)), key=_time, reverse=True)
        return rows_of(session, earlier)


def _time(study: Study) -> tuple[str, int, datetime, int]:
    """By what studies of one patient are sorted."""
    found = NIH_NAME.fullmatch(study.name)
    if study.acquired is None and found is not None and found[1] == study.patient:
        return "", int(found[2]), study.arrived, study.id
    return study.acquired or study.arrived.date().isoformat(), 0, study.arrived, study.id


def latest_result(db: Database, film_id: int, model: str | None = None) -> ResultRow | None:
    """What was said of a film last.

    Args:
        db: the database.
        film_id: number of the film.
        model: SHA-256 of the bundle that is asked for; None: of whichever scored it last.
    """
    wanted = select(Result).where(Result.film_id == film_id).order_by(Result.scored.desc(), Result.id.desc()).limit(1)
    if model is not None:
        wanted = wanted.where(Result.model == model)
    with db.reading() as session:
        found = session.scalar(wanted)
    if found is None:
        return None
    probabilities = np.asarray(found.probabilities, np.float32)
    return ResultRow(
        found.model, found.model_name, tuple(found.columns), probabilities, found.scored, found.milliseconds
    )
