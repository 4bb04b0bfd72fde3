"""Rows for tests of the worklist."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cxr.worklist.database import Database
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Opinion, Result, Study

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MODEL = "5" * 64


def add_study(
    db: Database, name: str, *, waited: float = 0.0, films: int = 1, now: datetime = NOON, **columns: Any
) -> int:
    """Add a study with films that were scored, or were not where it has no probability; gives its number.

    Args:
        db: the database.
        name: of the study, and the first part of its films' names.
        waited: hours before `now` at which it arrived.
        films: how many.
        now: see there.
        columns: other columns of `Study`.
    """
    arrived = now - timedelta(hours=waited)
    scored = columns.get("abnormal") is not None
    if scored:
        columns = {"model": MODEL, "verdict": "uncertain"} | columns
    columns = {"status": Status.WAITING, "key": f"test:{name}"} | columns
    study = Study(name=name, arrived=arrived, **columns)
    for number in range(films):
        film = Film(
            sha256=sha256(f"{name} {number}".encode()).hexdigest(),
            name=f"{name}-{number}.png",
            source="drop",
            size=1000,
            arrived=arrived,
            state=FilmState.SCORED if scored else FilmState.QUEUED,
        )
        if scored:
            film.facts = {"view": "PA", "width": 600, "height": 500}
            film.results.append(_result(columns["abnormal"], arrived))
        study.films.append(film)
    with db.writing() as session:
        session.add(study)
        session.flush()
        return study.id


def _result(abnormal: float, scored: datetime) -> Result:
    return Result(
        model=MODEL,
        model_name="default",
        scored=scored,
        milliseconds=40.0,
        columns=["No Finding", "Mass"],
        probabilities=[1 - abnormal, abnormal],
    )


def add_opinion(db: Database, study: int, text: str) -> None:
    """Add what a reader says of a study."""
    opinion = Opinion(study_id=study, reader="Dr A", written=NOON, stage="blind", valid=True, text=text)
    with db.writing() as session:
        session.add(opinion)
