"""The audit trail: what it takes, that it is one chain whoever writes, and that nobody can tamper with it unseen."""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from cxr.settings import ROOT
from cxr.worklist import audit
from cxr.worklist.audit import Event, record, verify
from cxr.worklist.audit_head import Head, head_file, read_head
from cxr.worklist.database import Database
from cxr.worklist.tables import AuditLine

ZEROS = "0" * 64

ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what does not depend on which database it is."""


@pytest.fixture
def db(database: Database) -> Database:
    return database


def written(db: Database, count: int, who: str = "Ada") -> None:
    """That many lines, one a transaction."""
    for number in range(count):
        with db.writing() as session:
            record(session, who=who, event=Event.READ, what=f"study {number}", minutes=1.5)


def lines_of(db: Database) -> list[AuditLine]:
    with db.reading() as session:
        return audit.last_lines(session, 10_000)


def tamper(db: Database, *statements: str) -> None:
    """As somebody does who owns the database, and takes its triggers away first."""
    with db.writing() as session:
        if db.sqlite:
            for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                session.execute(text(f"DROP TRIGGER {name}"))
        else:
            session.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for statement in statements:
            session.execute(text(statement))


def test_a_line_holds_what_was_said_and_the_digest_of_the_line_before(db: Database) -> None:
    with db.writing() as session:
        record(session, who="Ünal", event=Event.CLAIMED, what="study 12", forced=True, taken_from=None)
        record(session, who="the scorer", event=Event.SCORED, what="film 3", study=12, abnormal=0.1, attempts=1)
    first, second = lines_of(db)
    assert (first.number, first.who, first.event, first.what) == (1, "Ünal", "Reading begun", "study 12")
    assert (first.detail, first.previous, second.previous) == ({"forced": True}, ZEROS, first.digest)
    moment = second.time.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
    by_hand = (
        f'[2,"{moment}","the scorer","Film scored","film 3",'
        f'{{"abnormal":0.1,"attempts":1,"study":12}},"{first.digest}"]'
    )
    assert second.digest == hashlib.sha256(by_hand.encode()).hexdigest()
    assert verify(db) == audit.Verification(2, None, None, second.digest)
    assert read_head(head_file(db.engine)) == Head(2, second.digest)


@ONE
def test_an_empty_trail_is_sound(db: Database) -> None:
    assert verify(db) == audit.Verification(0, None, None, ZEROS)


@ONE
def test_a_line_is_kept_with_what_it_tells_of_or_not_at_all(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.writing() as session:
        record(session, who="Ada", event=Event.READ, what="study 1")
        session.flush()
        _ = 1 / 0
    written(db, 1)
    assert [line.what for line in lines_of(db)] == ["study 0"]
    assert verify(db).why is None


@ONE
def test_a_line_that_would_be_lost_is_refused(db: Database) -> None:
    with db.reading() as session, pytest.raises(RuntimeError, match="transaction that writes"):
        record(session, who="Ada", event=Event.READ, what="study 1")
    with db.writing() as session, session.begin_nested(), pytest.raises(RuntimeError, match="savepoint"):
        record(session, who="Ada", event=Event.READ, what="study 1")
    assert lines_of(db) == []


def test_the_database_itself_refuses_all_but_the_next_line(db: Database) -> None:
    written(db, 3)
    before = [line.digest for line in lines_of(db)]
    third = "FROM audit WHERE number = 3"
    for statement in (
        "UPDATE audit SET who = 'nobody' WHERE number = 2",
        f"DELETE {third}",
        "DELETE FROM audit",
        # After a gap, and a second one after line 2.
        f"INSERT INTO audit SELECT 5, time, who, event, what, detail, digest, digest {third}",
        f"INSERT INTO audit SELECT 4, time, who, event, what, detail, previous, digest {third}",
        f"INSERT OR REPLACE INTO audit SELECT * {third}" if db.sqlite else "TRUNCATE audit",
    ):
        with pytest.raises(IntegrityError, match="audit trail"), db.writing() as session:
            session.execute(text(statement))
    assert [line.digest for line in lines_of(db)] == before


TAMPERED = (
    ("UPDATE audit SET who = 'Bob' WHERE number = 2", 2, "Line 2 was changed"),
    ("UPDATE audit SET what = 'study 7' WHERE number = 5", 5, "Line 5 was changed"),
    ("UPDATE audit SET event = 'Study deleted' WHERE number = 2", 2, "Line 2 was changed"),
    ("""UPDATE audit SET detail = '{"minutes" : 2}' WHERE number = 4""", 4, "Line 4 was changed"),
    ("UPDATE audit SET time = '2020-01-01 00:00:00.000000' WHERE number = 1", 1, "Line 1 was changed"),
    ("DELETE FROM audit WHERE number = 3", 3, "Line 3 is missing"),
    ("DELETE FROM audit WHERE number = 1", 1, "Line 1 is missing"),
    (
        "DELETE FROM audit WHERE number = 3; UPDATE audit SET number = 3 WHERE number = 4;"
        "UPDATE audit SET number = 4 WHERE number = 5",
        3,
        "Line 3 does not follow",
    ),
    (
        "UPDATE audit SET number = 9 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 3;"
        "UPDATE audit SET number = 3 WHERE number = 9",
        2,
        "Line 2 does not follow",
    ),
    (
        "UPDATE audit SET number = -number - 1 WHERE number > 2; UPDATE audit SET number = -number WHERE number < 0;"
        "INSERT INTO audit SELECT 3, time, who, event, what, detail, digest, digest FROM audit WHERE number = 2",
        3,
        "Line 3 was changed",
    ),
    ("DELETE FROM audit WHERE number > 3", 4, "The end was cut off: line 5, that the head file names"),
    ("DELETE FROM audit", 1, "The end was cut off"),
)
"""What is done to a trail of 5 lines, which line is then the first bad one, and what is said of it."""


def test_whatever_is_changed_is_found_and_named(db: Database) -> None:
    written(db, 5)
    tamper(db, "CREATE TABLE kept AS SELECT * FROM audit")
    for statements, number, why in TAMPERED:
        assert verify(db).why is None
        tamper(db, *statements.split(";"))
        found = verify(db)
        assert (found.first_bad, found.lines) == (number, number - 1), statements
        assert why in str(found.why)
        tamper(db, "DELETE FROM audit", "INSERT INTO audit SELECT * FROM kept")


@ONE
def test_what_no_line_ever_was_is_found_too(db: Database) -> None:
    """SQLite takes any text for a time or for JSON."""
    written(db, 3)
    for number, change in (
        (3, "UPDATE audit SET time = 'noon' WHERE number = 3"),
        (2, "UPDATE audit SET detail = '{' WHERE number = 2"),
    ):
        tamper(db, change)
        assert verify(db).first_bad == number


def _forge(db: Database, since: int) -> None:
    """Change a line, and compute its digest and all later ones anew."""
    previous = None
    tamper(db)
    for line in lines_of(db)[since - 1 :]:
        who = "Bob" if line.number == since else line.who
        previous = previous or line.previous
        told = [line.number, line.time.isoformat(timespec="microseconds"), who, line.event, line.what, line.detail]
        digest = hashlib.sha256(json.dumps([*told, previous], separators=(",", ":")).encode()).hexdigest()
        with db.writing() as session:
            changes = {"who": who, "previous": previous, "digest": digest}
            session.execute(update(AuditLine).where(AuditLine.number == line.number).values(changes))
        previous = digest


@ONE
def test_a_chain_that_was_computed_anew_ends_elsewhere_than_its_head(db: Database) -> None:
    written(db, 4)
    noted = Head(3, lines_of(db)[2].digest)
    _forge(db, 2)
    assert verify(db).why == "Line 4 is not the one that the head file names."
    # And somebody who forges the head as well can't forge what was noted elsewhere.
    head_file(db.engine).write_text(f"4 {lines_of(db)[-1].digest}\n")
    assert verify(db).why is None
    assert verify(db, noted).why == "Line 3 is not the one that was noted before."


@ONE
def test_a_cut_does_not_heal_when_more_is_written(db: Database) -> None:
    written(db, 4)
    tamper(db, "DELETE FROM audit WHERE number > 2")
    written(db, 3, who="Bob")
    assert len(lines_of(db)) == 5
    assert verify(db).why == "Line 4 is not the one that the head file names."


@ONE
def test_without_its_head_the_end_of_the_trail_is_not_known(db: Database) -> None:
    written(db, 2)
    file = head_file(db.engine)
    file.unlink()
    written(db, 1)
    assert "is missing, so nobody can tell" in str(verify(db).why)
    file.write_text("3 lines\n")
    written(db, 1)
    assert "does not hold the number and the digest" in str(verify(db).why)


@ONE
def test_without_a_place_for_the_head_nothing_is_written(db: Database) -> None:
    """Else a trail would begin whose end is not guarded."""
    head_file(db.engine).mkdir()
    with pytest.raises(OSError, match="directory"):
        written(db, 1)
    assert lines_of(db) == []


KILLED = """
import os, signal
from cxr.worklist import audit
from cxr.worklist.database import database
def gone(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
audit.advance = gone
with database().writing() as session:
    audit.record(session, who="Ada", event=audit.Event.READ, what="study 9")
"""


@ONE
def test_a_process_killed_between_commit_and_head_leaves_a_sound_trail(db: Database) -> None:
    written(db, 2)
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert read_head(head_file(db.engine)).number == 2
    assert (verify(db).lines, verify(db).why) == (3, None)
    written(db, 1)
    assert read_head(head_file(db.engine)).number == 4
    assert (verify(db).lines, verify(db).why) == (4, None)


OTHER = """
from concurrent.futures import ThreadPoolExecutor
from cxr.worklist import audit
from cxr.worklist.database import database
def written(who):
    for number in range(8):
        with database().writing() as session:
            audit.record(session, who=who, event=audit.Event.READ, what=f"study {number}", minutes=1.5)
database()
print("ready", flush=True)
input()
with ThreadPoolExecutor(2) as pool:
    list(pool.map(written, ("other process, first thread", "other process, second thread")))
"""


def test_many_writers_make_one_chain(db: Database) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER], cwd=ROOT, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None and other.stdout is not None
    assert other.stdout.readline() == b"ready\n"
    with ThreadPoolExecutor(2) as pool:
        other.stdin.write(b"\n")
        other.stdin.close()
        list(pool.map(lambda who: written(db, 8, who), ("first thread", "second thread")))
    assert other.wait() == 0
    other.stdout.close()
    lines = lines_of(db)
    assert [line.number for line in lines] == list(range(1, 33))
    writers = [line.who for line in lines]
    assert len(set(writers)) == 4
    for who in set(writers):
        assert [line.what for line in lines if line.who == who] == [f"study {number}" for number in range(8)]
    # They did write at the same time.
    assert sum(who != after for who, after in itertools.pairwise(writers)) > 3
    assert (verify(db).lines, verify(db).why) == (32, None)
    assert read_head(head_file(db.engine)).number == 32


def _peak_of_verify(db: Database) -> int:
    tracemalloc.start()
    try:
        assert verify(db).why is None
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_trail_is_verified_in_no_more_memory(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 50)
    peaks = []
    for count in (200, 1000):
        with db.writing() as session:
            for number in range(count):
                record(session, who="Ada", event=Event.READ, what=f"study {number}")
        # The first time what is kept for every statement is made as well.
        verify(db)
        # The least of some: other threads of the process take memory too.
        peaks.append(min(_peak_of_verify(db) for _ in range(3)))
    assert peaks[1] < 1.5 * peaks[0]


def test_the_head_lies_beside_the_database(db: Database, tmp_path: Path) -> None:
    file = head_file(db.engine)
    assert file.is_relative_to(tmp_path)
    assert file.name == "audit.head" if db.sqlite else file.name.startswith("audit-")
