"""The list, its filters and its order, and who reads what; the same on both databases."""

import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from sqlalchemy import event, select, update
from worklist_rows import MODEL, NOON, add_study

from cxr.settings import ROOT
from cxr.worklist import studies
from cxr.worklist.claims import FurtherFilms, InReading, NoSuchStudy
from cxr.worklist.database import Database
from cxr.worklist.order import rank
from cxr.worklist.query import ABANDONED, Query
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import AuditLine, Film, Result, Study

EVERY = frozenset(Status)


def _names(database: Database, query: Query, **page: int) -> list[str]:
    return [row.name for row in studies.list_studies(database, query, **page)[0]]


def _events(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as session:
        lines = session.scalars(select(AuditLine).order_by(AuditLine.number)).all()
    return [(line.who, line.event, line.what) for line in lines]


def _silent_since(database: Database, number: int, moment: datetime) -> None:
    with database.writing() as session:
        session.execute(update(Study).where(Study.id == number).values(reading_since=moment))


@contextmanager
def _counted(database: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *others: object) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)


def test_the_list_is_in_the_order_of_the_rank(database: Database) -> None:
    rng = np.random.default_rng(1)
    expected = []
    for number in range(25):
        abnormal, waited = float(rng.random()), float(rng.random()) * 8
        critical = ["Effusion"] if rng.random() < 0.2 else []
        add_study(database, f"{number}", waited=waited, abnormal=abnormal, critical=critical)
        expected.append((-rank(abnormal, bool(critical), waited), f"{number}"))
    rows, found = studies.list_studies(database, Query())
    assert found == 25
    assert [row.name for row in rows] == [name for _, name in sorted(expected)]
    assert [row.rank for row in rows] == sorted((row.rank for row in rows), reverse=True)


def test_equal_ones_keep_their_order_over_the_pages(database: Database) -> None:
    for number in range(12):
        add_study(database, f"{number:02}", abnormal=0.5)
    pages = [name for offset in range(0, 12, 5) for name in _names(database, Query(), offset=offset, limit=5)]
    assert pages == [f"{number:02}" for number in range(12)]
    assert studies.list_studies(database, Query(), offset=50) == ([], 12)


def test_a_page_takes_as_many_statements_as_a_study(database: Database) -> None:
    for number in range(30):
        add_study(database, f"{number}", films=2, abnormal=0.5)
    with _counted(database) as one:
        studies.list_studies(database, Query(), limit=1)
    with _counted(database) as many:
        rows, _ = studies.list_studies(database, Query(), limit=30)
    assert len(rows) == 30
    assert len(one) == len(many) == 4


def test_a_row_has_all_that_the_list_shows(database: Database) -> None:
    flagged = [["Effusion", 0.9, True], ["Mass", 0.2, False]]
    number = add_study(
        database, "a", waited=4, films=2, now=datetime.now(UTC), abnormal=0.8, critical=["Effusion"], findings=flagged
    )
    row = studies.study(database, number)
    assert (row.status, row.verdict, row.abnormal, row.model) == (Status.WAITING, "uncertain", 0.8, MODEL)
    assert row.critical == ("Effusion",)
    assert row.findings == (studies.FindingRow("Effusion", 0.9, True), studies.FindingRow("Mass", 0.2, False))
    assert row.rank == pytest.approx(0.8 + 2 + 1, abs=1e-3)
    assert row.analysed
    assert [film.name for film in row.films] == ["a-0.png", "a-1.png"]
    film = row.films[0]
    assert (film.state, film.view, film.width, film.height, film.model) == (FilmState.SCORED, "PA", 600, 500, MODEL)


def test_a_study_that_was_not_analysed_says_why(database: Database) -> None:
    number = add_study(database, "a", films=3)
    assert studies.study(database, number).reason is None
    for film, reason in enumerate(["It is blank.", "It is blank.", "It is damaged."], 1):
        with database.writing() as session:
            session.execute(update(Film).where(Film.id == film).values(state=FilmState.REFUSED, reason=reason))
    row = studies.study(database, number)
    assert not row.analysed
    assert row.reason == "It is blank. It is damaged."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100%", {"100%_a"}),
        ("%", {"100%_a"}),
        ("_", {"100%_a", "under_score"}),
        ("O'Neil", {'O\'Neil "x"'}),
        ('"', {'O\'Neil "x"'}),
        ("\\", {"back\\slash"}),
        ("UNDER", {"under_score"}),
        ("slash ACC-7", {"back\\slash"}),
        ("pat-3", {"under_score"}),
        ("score-1.png", {"under_score"}),
        ("under 100", set()),
        ("  ", {"100%_a", "under_score", 'O\'Neil "x"', "back\\slash"}),
        ("under\0score", {"under_score"}),
        ("under \udcff", {"under_score"}),
        ("'; DROP TABLE study; --", set()),
    ],
)
def test_a_search_means_what_is_typed(database: Database, text: str, expected: set[str]) -> None:
    add_study(database, "100%_a")
    add_study(database, "under_score", patient="PAT-3", films=2)
    add_study(database, 'O\'Neil "x"')
    add_study(database, "back\\slash", accession="ACC-7")
    rows, found = studies.list_studies(database, Query(text=text))
    assert {row.name for row in rows} == expected
    assert found == len(expected)


def test_filters_narrow_the_list(database: Database) -> None:
    add_study(database, "flagged", abnormal=0.9, verdict="abnormal", findings=[["Mass", 0.9, True]])
    add_study(database, "below", abnormal=0.2, verdict="no finding", findings=[["Mass", 0.1, False], ["Hernia", 1, 1]])
    add_study(database, "unknown")
    add_study(database, "done", abnormal=0.9, status=Status.READ, findings=[["Mass", 0.9, True]])
    assert _names(database, Query(finding="Mass")) == ["flagged"]
    assert set(_names(database, Query(EVERY, finding="Mass"))) == {"flagged", "done"}
    assert _names(database, Query(finding="Mass' OR 1=1 --")) == []
    assert _names(database, Query(verdict="no finding")) == ["below"]
    assert _names(database, Query(analysed=False)) == ["unknown"]
    assert set(_names(database, Query(analysed=True))) == {"flagged", "below"}
    assert _names(database, Query(frozenset({Status.READ}))) == ["done"]
    assert _names(database, Query(frozenset())) == []


def test_by_arrival_the_oldest_comes_first(database: Database) -> None:
    for name, waited in (("b", 2.0), ("c", 1.0), ("a", 3.0)):
        add_study(database, name, waited=waited, abnormal=1 / waited)
    assert _names(database, Query(order="arrival")) == ["a", "b", "c"]


def test_counts_and_progress(database: Database) -> None:
    assert studies.counts(database) == dict.fromkeys(Status, 0)
    assert studies.pending(database) == studies.Pending(0, 0, 0, None)
    add_study(database, "a", now=datetime.now(UTC), abnormal=0.1)
    add_study(database, "of yesterday", now=datetime.now(UTC) - timedelta(days=1), abnormal=0.1, status=Status.READ)
    add_study(database, "b", films=2)
    with database.writing() as session:
        session.execute(update(Film).where(Film.name == "b-1.png").values(state=FilmState.SCORING))
    assert studies.counts(database) == {Status.WAITING: 2, Status.READING: 0, Status.READ: 1}
    assert studies.pending(database) == studies.Pending(1, 1, 1, 40.0)


def test_a_study_is_taken_put_back_and_read(database: Database) -> None:
    number = add_study(database, "a", abnormal=0.5)
    row = studies.claim(database, number, "Dr A")
    assert (row.status, row.reader, row.abandoned) == (Status.READING, "Dr A", False)
    with pytest.raises(InReading, match=r"Study 1 is being read by Dr A since \d\d:\d\d\.") as caught:
        studies.claim(database, number, "Dr B")
    assert (caught.value.by, caught.value.since) == ("Dr A", row.reading_since)
    with pytest.raises(InReading):
        studies.finish(database, number, "Dr B", films_of(database, number))
    # Who does not read it can't put it back.
    studies.release(database, number, "Dr B")
    assert studies.study(database, number).reader == "Dr A"
    studies.release(database, number, "Dr A")
    assert studies.study(database, number).status == Status.WAITING
    studies.claim(database, number, "Dr B")
    read = studies.finish(database, number, "Dr B", films_of(database, number))
    assert (read.status, read.reader, read.reading_since, read.read_by) == (Status.READ, None, None, "Dr B")
    # To look at it again leaves it as read as it was.
    studies.claim(database, number, "Dr A")
    studies.release(database, number, "Dr A")
    again = studies.study(database, number)
    assert (again.status, again.read_by, again.read_at) == (Status.READ, "Dr B", read.read_at)
    assert _events(database) == [
        ("Dr A", "Reading begun", "study 1"),
        ("Dr A", "Reading put back", "study 1"),
        ("Dr B", "Reading begun", "study 1"),
        ("Dr B", "Reading finished", "study 1"),
        ("Dr A", "Reading begun", "study 1"),
        ("Dr A", "Reading put back", "study 1"),
    ]


def test_one_who_left_is_succeeded(database: Database) -> None:
    number = add_study(database, "a")
    studies.claim(database, number, "Dr A")
    _silent_since(database, number, datetime.now(UTC) - ABANDONED - timedelta(seconds=1))
    assert studies.study(database, number).abandoned
    # A sign of the reader himself keeps it.
    studies.claim(database, number, "Dr A")
    with pytest.raises(InReading):
        studies.claim(database, number, "Dr B")
    _silent_since(database, number, datetime.now(UTC) - ABANDONED - timedelta(seconds=1))
    assert studies.claim(database, number, "Dr B").reader == "Dr B"
    assert studies.claim(database, number, "Dr C", force=True).reader == "Dr C"
    with database.reading() as session:
        details = session.scalars(select(AuditLine.detail).order_by(AuditLine.number)).all()
    assert details == [{}, {"taken_from": "Dr A", "forced": False}, {"taken_from": "Dr B", "forced": True}]


def films_of(database: Database, number: int) -> list[int]:
    return [film.id for film in studies.study(database, number).films]


def add_film(database: Database, number: int) -> None:
    """A further film of a study, as it comes in."""
    with database.writing() as session:
        known = session.get_one(Study, number)
        if known.status == Status.READ:
            known.status = Status.WAITING
        now = datetime.now(UTC)
        film = Film(sha256="f" * 64, name="lateral", source="drop", size=1, arrived=now, state=FilmState.QUEUED)
        known.films.append(film)


def test_a_film_that_comes_in_while_a_study_is_read_is_not_passed_over(database: Database) -> None:
    number = add_study(database, "a", abnormal=0.5)
    studies.claim(database, number, "Dr A")
    shown = films_of(database, number)
    add_film(database, number)
    with pytest.raises(FurtherFilms, match=f"Further films of study {number} came in meanwhile"):
        studies.finish(database, number, "Dr A", shown)
    assert studies.study(database, number).status == Status.READING
    assert studies.finish(database, number, "Dr A", films_of(database, number)).status == Status.READ


def test_a_film_that_came_in_after_the_reading_keeps_the_study_waiting_who_only_looks_at_it(database: Database) -> None:
    number = add_study(database, "a", abnormal=0.5)
    studies.finish(database, number, "Dr A", films_of(database, number))
    add_film(database, number)
    studies.claim(database, number, "Dr B")
    studies.release(database, number, "Dr B")
    assert studies.study(database, number).status == Status.WAITING


@pytest.mark.parametrize("act", [studies.claim, studies.release, partial(studies.finish, shown=[])])
def test_a_study_that_is_gone_is_named(database: Database, act: "type[studies.claim]") -> None:
    with pytest.raises(NoSuchStudy, match=re.escape("There is no study 7 in the worklist; it may have been deleted.")):
        act(database, 7, "Dr A")
    with pytest.raises(NoSuchStudy):
        studies.study(database, 7)
    assert _events(database) == []


RACE = """
import sys
from cxr.worklist.claims import InReading
from cxr.worklist.database import database
from cxr.worklist.studies import claim
db = database()
print("ready", flush=True)
sys.stdin.readline()
for number in range(1, 21):
    try:
        claim(db, number, "other process")
        print(number, flush=True)
    except InReading:
        pass
"""


def test_of_many_who_take_a_study_at_once_one_has_it(database: Database) -> None:
    for number in range(1, 21):
        add_study(database, f"{number}")
    other = subprocess.Popen(
        [sys.executable, "-c", RACE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "ready\n"
    winners: Counter[int] = Counter()
    barrier = threading.Barrier(3)

    def take(reader: str) -> None:
        for number in range(1, 21):
            barrier.wait()
            try:
                studies.claim(database, number, reader)
                winners[number] += 1
            except InReading:
                pass

    threads = [threading.Thread(target=take, args=(f"Dr {letter}",)) for letter in "ABC"]
    other.stdin.write("\n")
    other.stdin.flush()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners.update(map(int, other.communicate()[0].split()))
    assert winners == dict.fromkeys(range(1, 21), 1)
    assert len(_events(database)) == 20


def test_the_next_study_is_the_first_that_nobody_else_reads(database: Database) -> None:
    numbers = [add_study(database, name, abnormal=0.9 - 0.2 * place) for place, name in enumerate("abcd")]
    a, b, c, d = numbers
    assert studies.next_study(database, Query(), None, "Dr A") == a
    studies.claim(database, a, "Dr B")
    assert studies.next_study(database, Query(), None, "Dr A") == b
    # One's own is still one's own, and one that was left is free.
    assert studies.next_study(database, Query(), None, "Dr B") == a
    _silent_since(database, a, datetime.now(UTC) - 2 * ABANDONED)
    assert studies.next_study(database, Query(), None, "Dr A") == a
    # Passing over leads through the whole list, and round again.
    walk = [a]
    for _ in range(4):
        walk.append(studies.next_study(database, Query(), walk[-1], "Dr A"))
    assert walk == [a, b, c, d, a]
    # After one that was read comes the first.
    studies.finish(database, c, "Dr A", films_of(database, c))
    assert studies.next_study(database, Query(), c, "Dr A") == a
    assert studies.next_study(database, Query(text="d"), d, "Dr A") is None


def test_passing_over_goes_through_equal_ones_by_arrival(database: Database) -> None:
    numbers = [add_study(database, f"{number}", abnormal=0.5) for number in range(3)]
    for order in ("risk", "arrival"):
        query = Query(order=order)
        assert [studies.next_study(database, query, n, "Dr A") for n in numbers] == [numbers[1], numbers[2], numbers[0]]


def test_earlier_studies_of_the_patient_come_latest_first(database: Database) -> None:
    add_study(database, "a", patient="P", acquired="2020-01-01", waited=1)
    add_study(database, "b", patient="P", acquired="2022-01-01", waited=3)
    now = add_study(database, "c", patient="P", acquired="2024-01-01", waited=9)
    add_study(database, "later", patient="P", acquired="2025-01-01", waited=20)
    add_study(database, "other", patient="Q", acquired="2021-01-01")
    stranger = add_study(database, "stranger")
    assert [row.name for row in studies.previous_studies(database, now)] == ["b", "a"]
    # Two of whom nothing is known are not the same patient.
    add_study(database, "stranger 2", now=NOON - timedelta(days=2))
    assert studies.previous_studies(database, stranger) == []
    with pytest.raises(NoSuchStudy):
        studies.previous_studies(database, 99)


def test_films_of_chestx_ray14_follow_their_numbers(database: Database) -> None:
    for name, waited in (("00000013_010.png", 9), ("00000013_002.png", 1), ("00000013_005.png", 30)):
        number = add_study(database, name, patient="00000013", waited=waited)
        if "010" in name:
            last = number
    earlier = [row.name for row in studies.previous_studies(database, last)]
    assert earlier == ["00000013_005.png", "00000013_002.png"]


def test_the_latest_result_is_of_the_last_model(database: Database) -> None:
    number = add_study(database, "a", abnormal=0.25)
    film = studies.study(database, number).films[0].id
    newer = Result(
        film_id=film,
        model="6" * 64,
        model_name="new",
        scored=NOON + timedelta(hours=1),
        milliseconds=30.0,
        columns=["No Finding", "Mass"],
        probabilities=[0.1, 0.9],
    )
    with database.writing() as session:
        session.add(newer)
    found = studies.latest_result(database, film)
    assert found is not None
    assert (found.model_name, found.columns, found.milliseconds) == ("new", ("No Finding", "Mass"), 30.0)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, [0.1, 0.9])
    of_the_old = studies.latest_result(database, film, MODEL)
    assert of_the_old is not None
    assert of_the_old.model_name == "default"
    assert studies.latest_result(database, film, "7" * 64) is None
    assert studies.study(database, number).films[0].model == "6" * 64
