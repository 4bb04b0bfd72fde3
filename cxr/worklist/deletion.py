"""Deleting studies so that nothing of them stays: rows, films, thumbnails, maps and opinions.

What stays on purpose is the audit trail, which knows a study by its number alone. What is promised of the database's
own files is said at `Database.scrub`; of backups, and of blocks that a file system or a disk has given up, nothing is.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, not_, select

from cxr.settings import settings
from cxr.worklist.audit import Event, record
from cxr.worklist.claims import NoSuchStudy
from cxr.worklist.database import Database
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.query import in_reading
from cxr.worklist.tables import Film, Study


def delete_study(db: Database, films: FilmFolder, number: int, who: str) -> None:
    """Delete a study and all that belongs to it, whatever its status.

    A process that is killed on the way leaves the study whole, or bytes without a row, which the folder's next sweep
    and the next deletion remove.

    Args:
        db: the database.
        films: where its films lie.
        number: of the study.
        who: who wants it; goes into the audit trail.

    Raises:
        NoSuchStudy: there is none of this number.
        DatabaseUnavailable: the database can't be written, or not be cleared of traces, which the sentence says.
        OSError: a film's files can't be removed; the study is gone from the list.
    """
    if not _remove(db, films, number, who, None):
        raise NoSuchStudy(number)
    db.scrub()


def delete_expired(db: Database, films: FilmFolder, now: datetime | None = None, who: str = "retention") -> int:
    """Delete the studies that arrived more than `CXR_KEEP_DAYS` ago; none that somebody reads at the moment.

    Also clears traces that an earlier deletion had to leave.

    Args:
        db: the database.
        films: where the films lie.
        now: the moment from which to count back.
        who: goes into the audit trail.

    Returns:
        How many were deleted.

    Raises:
        DatabaseUnavailable, OSError: as `delete_study` does.
    """
    keep_days = settings().keep_days
    deleted = 0
    if keep_days is not None:
        before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
        old = select(Study.id).where(Study.arrived < before).order_by(Study.id)
        with db.reading() as session:
            numbers = session.scalars(old).all()
        deleted = sum(_remove(db, films, number, who, keep_days) for number in numbers)
    if deleted or db.has_traces():
        db.scrub()
    return deleted


def _remove(db: Database, films: FilmFolder, number: int, who: str, keep_days: int | None) -> bool:
    """Delete a study, if it is there and, where it is too old, if nobody reads it."""
    wanted = select(Study.id).where(Study.id == number).with_for_update()
    if keep_days is not None:
        # Somebody may have begun to read it since the list of the old ones was made.
        wanted = wanted.where(not_(in_reading(datetime.now(UTC))))
    with films.removing():
        with db.writing() as session:
            if session.scalar(wanted) is None:
                return False
            known = session.scalars(select(Film.sha256).where(Film.study_id == number)).all()
            # Films, results and opinions go with it, by the database's own rule.
            session.execute(delete(Study).where(Study.id == number))
            db.leave_traces(session)
            cause = "asked for" if keep_days is None else "retention"
            what = f"study {number}"
            record(session, who=who, event=Event.DELETED, what=what, films=len(known), cause=cause, keep_days=keep_days)
        for sha256 in known:
            films.remove(sha256)
    return True
