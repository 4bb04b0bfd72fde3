"""The audit trail: who saw, scored, changed, exported, promoted or deleted what, and when.

Every line holds the digest of the line before it, so that none can be edited, removed, inserted or moved afterwards
without the chain showing it, and a file beside the database holds the last digest, so that the end can't be cut off
either (`cxr.worklist.audit_head`). Triggers of the database refuse UPDATE and DELETE, and an INSERT that does not go on
with the chain. All this shows that somebody tampered. It does not hold against somebody who may write everywhere and
computes the whole chain anew: against him, note elsewhere what `verify` gives as the head, and ask for it later.

The digest of a line is the SHA-256 of the JSON array [number, time, who, event, what, detail, previous] in ASCII
without spaces and with sorted keys; time is ISO 8601 in UTC with microseconds, the first `previous` is 64 zeros.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import String, insert, select, text, type_coerce
from sqlalchemy import event as hooks
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cxr.worklist.audit_events import Event, NotForTheTrail, Plain, check
from cxr.worklist.audit_head import START, Head, HeadDamaged, advance, begin, head_file, read_head
from cxr.worklist.database import WRITING, Database, DatabaseUnavailable, database, engine_of
from cxr.worklist.tables import AuditLine

__all__ = ["Event", "NotForTheTrail", "NotRecorded", "Verification", "audited", "last_lines", "record", "verify"]

WAITING: Final = "audit lines to write"
WRITTEN: Final = "audit head to write"
"""Keys in `Session.info`."""
LOCK: Final = 0x6378_7261
"""Number of the advisory lock under which PostgreSQL lets one transaction at a time append."""
BATCH: Final = 1000
"""How many lines `verify` holds at a time."""


class NotRecorded(RuntimeError):
    """An act was not begun, because its audit line can't be written; the message says so and why."""


@dataclass(frozen=True)
class Verification:
    """What is to be said of the trail.

    Attributes:
        lines: how many were read.
        first_bad: number of the first line that is not as it was written, or that is missing; None: all is well.
        why: one sentence; None if all is well.
        head: digest of the last line; 64 zeros if there is none.
    """

    lines: int
    first_bad: int | None
    why: str | None
    head: str


def record(session: Session, *, who: str, event: Event, what: str, **detail: Plain) -> None:
    """Append a line in the caller's transaction: both are kept, or neither is.

    It is checked now, and written as the last thing before the transaction commits, so that nobody waits longer than
    that for the end of the chain.

    Args:
        session: of `Database.writing`, and in no savepoint now.
        who: the person or process.
        what: "study 12", "film 3", "job 0007-lung", "model default"; see `cxr.worklist.audit_events.WHAT`.
        detail: what `cxr.worklist.audit_events.ALLOWED` has for the event; one that is None is left out.

    Raises:
        NotForTheTrail: something is not allowed in a line.
        RuntimeError: it is another session.
    """
    check(who, event, what, detail)
    if session.in_nested_transaction() or not engine_of(session).get_execution_options().get(WRITING):
        # Else the line would be lost without anybody noticing.
        raise RuntimeError("An audit line needs a transaction that writes, and is none of a savepoint's.")
    kept = {key: value for key, value in detail.items() if value is not None}
    session.info.setdefault(WAITING, []).append((who, event, what, kept))


@contextmanager
def audited(*, who: str, event: Event, what: str, **detail: Plain) -> Iterator[None]:
    """For an act outside the database: its line is safe on disk before the act begins, or the act does not begin.

    An act that raises is followed by a line which says that it failed.

    Raises:
        NotRecorded: the line can't be written.
    """
    _record_alone(who, event, what, detail)
    try:
        yield
    except BaseException:
        _record_alone(who, Event.FAILED, what, {"act": event.value})
        raise


def _record_alone(who: str, event: Event, what: str, detail: Mapping[str, Plain]) -> None:
    try:
        with database().writing() as session:
            record(session, who=who, event=event, what=what, **detail)
    except (NotForTheTrail, DatabaseUnavailable, SQLAlchemyError, OSError) as error:
        raise NotRecorded(f"The audit trail can't be written, so this was not done. {error}") from error


def verify(db: Database, noted: Head | None = None) -> Verification:
    """Go through the whole trail, in time that grows with its length and in memory that does not.

    Args:
        db: whose trail it is.
        noted: a line as it was given before and noted elsewhere; it must still be there.

    Raises:
        DatabaseUnavailable, sqlalchemy.exc.SQLAlchemyError: the database can't be read.
    """
    lines, digest = 0, START

    def bad(number: int, why: str) -> Verification:
        return Verification(lines, number, why, digest)

    file = head_file(db.engine)
    try:
        # Before the table: it is written after it, so what it names is there by now.
        head = None if file is None else read_head(file)
    except (HeadDamaged, OSError) as error:
        return bad(1, str(error))
    known = [] if noted is None else [(noted, "that was noted before")]
    if head is not None:
        known.append((head, "that the head file names"))
    columns = (
        AuditLine.number,
        # As they are stored: an edit may have made something of them that is no time and no JSON.
        type_coerce(AuditLine.time, String),
        AuditLine.who,
        AuditLine.event,
        AuditLine.what,
        type_coerce(AuditLine.detail, String),
        AuditLine.previous,
        AuditLine.digest,
    )
    statement = select(*columns).order_by(AuditLine.number).execution_options(yield_per=BATCH)
    with db.reading() as session:
        for number, time, who, event, what, detail, previous, stored in session.execute(statement):
            if number != lines + 1:
                return bad(lines + 1, f"Line {lines + 1} is missing.")
            if previous != digest:
                return bad(number, f"Line {number} does not follow the line before it.")
            if stored != _digest_of_stored(number, time, who, event, what, detail, previous):
                return bad(number, f"Line {number} was changed after it was written.")
            for other, which in known:
                if other.number == number and other.digest != stored:
                    return bad(number, f"Line {number} is not the one {which}.")
            lines, digest = number, stored
    for other, which in known:
        if other.number > lines:
            return bad(lines + 1, f"The end was cut off: line {other.number}, {which}, and those before it from "
                       f"{lines + 1} on are missing.")  # fmt: skip
    if file is not None and head is None and lines:
        return bad(lines + 1, f"The file {file} is missing, so nobody can tell whether the end was cut off.")
    return Verification(lines, None, None, digest)


def last_lines(session: Session, count: int) -> list[AuditLine]:
    """The last lines of the trail, the oldest of them first."""
    found = session.scalars(select(AuditLine).order_by(AuditLine.number.desc()).limit(count)).all()
    return list(reversed(found))


def digest_of(
    number: int, time: datetime, who: str, event: str, what: str, detail: Mapping[str, Plain], previous: str
) -> str:
    """See the head of this file. Raises `TypeError` or `ValueError` for what JSON has no word for."""
    moment = time.astimezone(UTC).isoformat(timespec="microseconds")
    line = [number, moment, who, event, what, detail, previous]
    return hashlib.sha256(json.dumps(line, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def _digest_of_stored(
    number: int, time: Any, who: Any, event: Any, what: Any, detail: Any, previous: str
) -> str | None:
    """Of a line as the driver gives it; None if it is nothing that was ever written as a line."""
    try:
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        if isinstance(detail, str):
            detail = json.loads(detail)
        return digest_of(number, time, who, event, what, detail, previous)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


@hooks.listens_for(Session, "before_commit")
def _append(session: Session) -> None:
    if session.in_nested_transaction() or not session.info.get(WAITING):
        return
    # What the transaction changes is locked first, then the end of the chain: always in this order, or two would wait
    # for each other.
    session.flush()
    if engine_of(session).dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    newest = select(AuditLine.number, AuditLine.digest).order_by(AuditLine.number.desc()).limit(1)
    last = Head(*(session.execute(newest).one_or_none() or (0, START)))
    head_follows = _head_follows(session, last)
    rows: list[dict[str, Any]] = []
    for who, event, what, detail in session.info.pop(WAITING):
        line = {"number": last.number + 1, "time": datetime.now(UTC), "who": who, "event": event.value, "what": what,
                "detail": detail, "previous": last.digest}  # fmt: skip
        last = Head(last.number + 1, digest_of(**line))
        rows.append(line | {"digest": last.digest})
    session.execute(insert(AuditLine), rows)
    session.info[WRITTEN] = last if head_follows else None


def _head_follows(session: Session, last: Head) -> bool:
    """Whether the head's file may be moved on: what it names is a line of this chain. It is made before the first."""
    file = head_file(engine_of(session))
    if file is None:
        return False
    try:
        head = read_head(file)
    except HeadDamaged:
        return False
    if head is None:
        if last.number:
            return False
        begin(file)
        return True
    if head.number == last.number:
        return head == last
    stored = session.scalar(select(AuditLine.digest).where(AuditLine.number == head.number))
    return head.digest == (START if head.number == 0 else stored)


@hooks.listens_for(Session, "after_commit")
def _move_head(session: Session) -> None:
    head = session.info.pop(WRITTEN, None)
    file = head_file(engine_of(session))
    if head is not None and file is not None:
        advance(file, head)


@hooks.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, transaction: object) -> None:
    if not session.in_nested_transaction():
        session.info.pop(WAITING, None)
        session.info.pop(WRITTEN, None)
