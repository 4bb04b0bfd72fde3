"""Who reads which study: steps of a transaction that take one, put it back, or say that it is read.

Two who want the same study at once are told apart by the database: the row is locked before it is looked at.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr.worklist.audit import Event, record
from cxr.worklist.query import ABANDONED
from cxr.worklist.status import Status
from cxr.worklist.tables import Study


class NoSuchStudy(LookupError):
    """There is no study of this number, or no more."""

    def __init__(self, number: int) -> None:
        super().__init__(f"There is no study {number} in the worklist; it may have been deleted.")
        self.number = number


class InReading(RuntimeError):
    """Somebody else reads the study.

    Attributes:
        number: of the study.
        by, since: who reads it, and when he gave the last sign of it.
    """

    def __init__(self, number: int, by: str, since: datetime) -> None:
        super().__init__(f"Study {number} is being read by {by} since {since.astimezone():%H:%M}.")
        self.number, self.by, self.since = number, by, since


def begin_reading(session: Session, number: int, reader: str, force: bool) -> None:
    """Waiting or read -> in reading; see `cxr.worklist.studies.claim`."""
    now = datetime.now(UTC)
    study = _locked(session, number)
    holder = _holder(study)
    if holder is not None and holder != reader:
        lately = study.reading_since is not None and study.reading_since >= now - ABANDONED
        if lately and not force:
            raise InReading(number, holder, study.reading_since or now)
        record(session, who=reader, event=Event.CLAIMED, what=f"study {number}", taken_from=holder, forced=lately)
    elif holder is None:
        record(session, who=reader, event=Event.CLAIMED, what=f"study {number}")
    study.status, study.reader, study.reading_since = Status.READING, reader, now


class FurtherFilms(RuntimeError):
    """Films of the study came in that the reader was not shown."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Further films of study {number} came in meanwhile; look at them before it counts as read.")
        self.number = number


def put_back(session: Session, number: int, reader: str) -> None:
    """In reading -> read, or waiting where a film has come in since it was read; see `cxr.worklist.studies.release`."""
    study = _locked(session, number)
    if _holder(study) == reader:
        read_at = study.read_at
        unread = read_at is None or any(film.arrived > read_at for film in study.films)
        _let_go(study, Status.WAITING if unread else Status.READ)
        record(session, who=reader, event=Event.RELEASED, what=f"study {number}")


def finish_reading(session: Session, number: int, reader: str, shown: Collection[int]) -> None:
    """In reading -> read; see `cxr.worklist.studies.finish`."""
    now = datetime.now(UTC)
    study = _locked(session, number)
    refuse_others(study, reader)
    if not {film.id for film in study.films} <= set(shown):
        raise FurtherFilms(number)
    _let_go(study, Status.READ)
    study.read_by, study.read_at = reader, now
    record(session, who=reader, event=Event.READ, what=f"study {number}")


def refuse_others(study: Study, reader: str) -> None:
    """Raise `InReading` if somebody else reads a locked study: what is done to it now would be done behind his back."""
    holder = _holder(study)
    if holder is not None and holder != reader:
        raise InReading(study.id, holder, study.reading_since or datetime.now(UTC))


def _locked(session: Session, number: int) -> Study:
    """A study that nobody else changes before the transaction has ended."""
    found = session.scalar(select(Study).where(Study.id == number).with_for_update())
    if found is None:
        raise NoSuchStudy(number)
    return found


def _holder(study: Study) -> str | None:
    return study.reader if study.status == Status.READING else None


def _let_go(study: Study, status: Status) -> None:
    study.status, study.reader, study.reading_since = status, None, None
