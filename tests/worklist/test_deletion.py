"""Of what is deleted no byte stays, and what is not to be deleted stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select
from worklist_rows import add_opinion, add_study

from cxr.settings import settings
from cxr.worklist import deletion, studies
from cxr.worklist.claims import NoSuchStudy
from cxr.worklist.database import Database, DatabaseUnavailable
from cxr.worklist.deletion import delete_expired, delete_study
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.query import Query
from cxr.worklist.status import Status
from cxr.worklist.tables import AuditLine, Film, Opinion, Result, Study


def _fill(database: Database, films: FilmFolder, mark: str, **columns: object) -> int:
    """A study of two films all of whose texts and bytes have a mark in them."""
    number = add_study(database, f"name {mark}", films=2, patient=f"patient {mark}", abnormal=0.5, **columns)
    add_opinion(database, number, f"text {mark} " + "x" * 1500)
    for film in studies.study(database, number).films:
        films.put(film.sha256, f"film {mark}".encode())
        films.put_thumbnail(film.sha256, f"thumbnail {mark}".encode())
    return number


def _files_with(mark: str) -> list[Path]:
    """All files of the worklist's folder that hold a mark or have it in their names."""
    found = [file for file in settings().worklist_dir.rglob("*") if file.is_file()]
    assert found
    return [file for file in found if mark in str(file) or mark.encode() in file.read_bytes()]


def test_nothing_of_a_deleted_study_stays(database: Database, films: FilmFolder) -> None:
    """Whatever came and went meanwhile: pages of the database that were split or moved hold old rows, too."""
    marks = {f"MARK{number:03}X": 0 for number in range(16)}
    rng = np.random.default_rng(1)
    for mark in marks:
        marks[mark] = _fill(database, films, mark, accession="z" * int(rng.integers(900)))
    assert len(_files_with("MARK003X")) >= (5 if database.sqlite else 4)
    gone = [str(mark) for mark in rng.choice(sorted(marks), 4, replace=False)]
    for mark in gone:
        sha256s = [film.sha256 for film in studies.study(database, marks[mark]).films]
        delete_study(database, films, marks[mark], "Dr A")
        assert _files_with(mark) == []
        assert not [sha for sha in sha256s if films.folder(sha).exists() or _files_with(sha)]
    assert not database.has_traces()
    with database.reading() as session:
        left = [session.scalar(select(func.count()).select_from(table)) for table in (Study, Film, Result, Opinion)]
        lines = session.scalars(select(AuditLine).where(AuditLine.event == "Study deleted")).all()
    assert left == [12, 24, 24, 12]
    assert {line.what for line in lines} == {f"study {marks[mark]}" for mark in gone}
    assert lines[0].detail == {"films": 2, "cause": "asked for"}
    stays = next(mark for mark in marks if mark not in gone)
    assert all(films.folder(film.sha256).exists() for film in studies.study(database, marks[stays]).films)


def test_a_number_is_not_given_again(database: Database, films: FilmFolder) -> None:
    number = add_study(database, "a")
    delete_study(database, films, number, "Dr A")
    assert add_study(database, "b") == number + 1
    with pytest.raises(NoSuchStudy):
        delete_study(database, films, number, "Dr A")
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(AuditLine)) == 1


def test_only_what_is_too_old_expires(
    database: Database, films: FilmFolder, changed_settings: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    day = 24.0
    for name, days in (("old", 31), ("young", 29), ("read", 40), ("in reading", 50), ("left", 60)):
        number = add_study(database, name, now=now, waited=day * days)
        if name in ("in reading", "left"):
            studies.claim(database, number, "Dr A")
    with database.writing() as session:
        session.scalars(select(Study).where(Study.name == "left")).one().reading_since = now - timedelta(hours=1)
        session.scalars(select(Study).where(Study.name == "read")).one().status = Status.READ
    assert delete_expired(database, films) == 0, "without CXR_KEEP_DAYS nothing does"
    changed_settings.setenv("CXR_KEEP_DAYS", "30")
    settings.cache_clear()
    assert delete_expired(database, films) == 3
    left, _ = studies.list_studies(database, Query(frozenset(Status)))
    assert {row.name for row in left} == {"young", "in reading"}
    with database.reading() as session:
        line = session.scalars(select(AuditLine).order_by(AuditLine.number.desc())).first()
    assert line is not None
    assert (line.who, line.detail) == ("retention", {"films": 1, "cause": "retention", "keep_days": 30})
    assert delete_expired(database, films, now + timedelta(days=2)) == 1


def test_a_deletion_that_fails_leaves_the_study_whole(
    database: Database, films: FilmFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = _fill(database, films, "MARK")

    def fail(*others: object, **more: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(deletion, "record", fail)
    with pytest.raises(RuntimeError):
        delete_study(database, films, number, "Dr A")
    assert all(films.folder(film.sha256).exists() for film in studies.study(database, number).films)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_traces_that_another_program_kept_go_later(database: Database, films: FilmFolder) -> None:
    """Somebody who reads for long keeps the log of SQLite open. (PostgreSQL's vacuum waits for nobody.)"""
    number = _fill(database, films, "MARK")
    impatient = Database(database.engine.url, busy_seconds=0.05)
    with database.reading() as session:
        assert session.get(Study, number) is not None
        with pytest.raises(DatabaseUnavailable, match="gone from the worklist, but traces stay in the log"):
            delete_study(impatient, films, number, "Dr A")
    assert impatient.has_traces()
    assert _files_with("MARK")
    assert delete_expired(impatient, films) == 0
    assert not impatient.has_traces()
    assert _files_with("MARK") == []
    impatient.dispose()
