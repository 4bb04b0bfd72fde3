"""The database is opened, migrated and used alike by every process, and says in one sentence when it can't be."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine, select, text
from sqlalchemy.exc import IntegrityError
from worklist_rows import NOON, add_study

from cxr.settings import ROOT, settings
from cxr.worklist import database as module
from cxr.worklist.database import Database, DatabaseUnavailable, opened
from cxr.worklist.migrations import newest
from cxr.worklist.studies import study
from cxr.worklist.tables import Base, Study
from scripts.throwaway_postgres import statement


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """A database without tables."""
    if request.param == "postgresql":
        return request.getfixturevalue("bare_postgresql")
    return URL.create("sqlite", database=str(tmp_path / "w.sqlite3"))


@pytest.fixture
def address(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """For tests that set CXR_DATABASE_URL."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path))
    yield changed_settings
    module._opened.clear()


def _process(program: str, *arguments: str, **pipes: int) -> "subprocess.Popen[str]":
    """Another Python with the settings of this one."""
    return subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT, text=True, **pipes)


def _columns(text_: str) -> str:
    return " ".join(text_.replace('"', "").replace("(", " ( ").replace(")", " ) ").split())


def test_migrations_make_the_tables_that_the_program_expects(bare: URL, tmp_path: Path) -> None:
    found = opened(bare, tmp_path)
    with found.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    found.dispose()


def test_sqlite_never_gives_the_number_of_a_deleted_row_again(tmp_path: Path) -> None:
    """Which the comparison above does not see."""
    opened(URL.create("sqlite", database=str(tmp_path / "migrated")), tmp_path).dispose()
    Base.metadata.create_all(create_engine(f"sqlite:///{tmp_path / 'expected'}"))

    def numbered(name: str) -> set[str]:
        found = sqlite3.connect(tmp_path / name).execute("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINC%'")
        return {row[0] for row in found}

    assert numbered("migrated") == numbered("expected") == {"study", "film", "result", "opinion"}


def test_two_processes_may_open_a_new_database_at_once(bare: URL, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sqlalchemy import make_url; "
        "from cxr.worklist.database import opened; opened(make_url(sys.argv[1]), Path(sys.argv[2]))"
    )
    started = [_process(program, bare.render_as_string(), str(tmp_path)) for _ in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]


def test_a_block_is_kept_whole_or_not_at_all(database: Database) -> None:
    add_study(database, "kept")
    with pytest.raises(KeyError), database.writing() as session:
        session.add(Study(key="k", name="lost", arrived=NOON, status="waiting"))
        session.flush()
        raise KeyError
    with database.reading() as session:
        assert session.scalars(select(Study.name)).all() == ["kept"]


def test_times_come_back_in_utc(database: Database) -> None:
    number = add_study(database, "a")
    with database.reading() as session:
        found = session.get_one(Study, number).arrived
    assert found == NOON
    assert found.utcoffset() == NOON.utcoffset()


def test_who_only_reads_can_change_nothing(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="can't be written"), database.reading() as session:
        session.add(Study(key="k", name="n", arrived=NOON, status="waiting"))
        session.flush()
    # The connection is as good as new for who writes next.
    add_study(database, "a")


def test_who_reads_sees_one_moment(database: Database) -> None:
    with database.reading() as session:
        assert session.scalars(select(Study.name)).all() == []
        add_study(database, "a")
        assert session.scalars(select(Study.name)).all() == []


def test_errors_name_no_values(database: Database) -> None:
    add_study(database, "a", patient="PATIENT-77")
    with pytest.raises(IntegrityError) as caught, database.writing() as session:
        session.add(Study(key="test:a", name="n", patient="PATIENT-77", arrived=NOON, status="waiting"))
    assert "PATIENT-77" not in str(caught.value)


def test_sqlite_is_durable_and_keeps_its_rules(tmp_path: Path) -> None:
    found = opened(URL.create("sqlite", database=str(tmp_path / "w.sqlite3")), tmp_path)
    with found.writing() as session:
        values = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    full = 2
    assert values == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 30_000,
    }


ADDS = """
import sys
from cxr.worklist.database import database
from cxr.worklist.tables import Study
from worklist_rows import add_study
db = database()
for number in range(20):
    print(add_study(db, f"study {number}"), flush=True)
with db.writing() as session:
    session.add(Study(key="unfinished", name="unfinished", arrived=__import__("worklist_rows").NOON, status="waiting"))
    session.flush()
    print("in the middle", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(
    database: Database, changed_settings: pytest.MonkeyPatch
) -> None:
    changed_settings.setenv("PYTHONPATH", str(ROOT / "tests"))
    process = _process(ADDS, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        if line.startswith("in the middle"):
            break
        told.append(int(line))
    process.send_signal(signal.SIGKILL)
    process.wait()
    with database.reading() as session:
        assert sorted(session.scalars(select(Study.id))) == told == list(range(1, 21))
    # Nobody waits for the dead one.
    assert add_study(database, "afterwards") > 20


def test_no_change_is_lost_between_those_who_write_at_once(database: Database) -> None:
    number = add_study(database, "a", accession="0")

    def count() -> None:
        for _ in range(10):
            with database.writing() as session:
                row = session.scalars(select(Study).where(Study.id == number).with_for_update()).one()
                row.accession = str(int(row.accession or 0) + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.get_one(Study, number).accession == "40"


def test_a_database_that_another_one_holds_is_busy(database: Database) -> None:
    number = add_study(database, "a")
    impatient = Database(database.engine.url, busy_seconds=0.05)
    wanted = select(Study).where(Study.id == number).with_for_update()
    with database.writing() as holder:
        holder.scalars(wanted).one()
        with pytest.raises(DatabaseUnavailable, match=r"is busy: .* Try again\.$"), impatient.writing() as session:
            session.scalars(wanted).one()
        # Who only reads does not wait.
        with impatient.reading() as session:
            assert session.get(Study, number) is not None
    impatient.dispose()


def test_the_settings_database_is_opened_once(database: Database) -> None:
    assert module.database() is database
    assert database.sqlite is (settings().database_url is None)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_an_unreachable_server_is_named_without_the_password(address: pytest.MonkeyPatch, scheme: str) -> None:
    address.setenv("CXR_DATABASE_URL", f"{scheme}://cxr:hunter2@127.0.0.1:1/worklist?password=hunter2")
    with pytest.raises(DatabaseUnavailable) as caught:
        module.database()
    sentence = str(caught.value)
    assert "postgresql+psycopg://cxr@127.0.0.1:1/worklist can't be used: connection failed" in sentence
    assert "hunter2" not in sentence + repr(settings())
    assert "\n" not in sentence


@pytest.mark.parametrize("url", ["mysql://a:hunter2@b/c", "hunter2", "postgresql://a:hunter2@b", "postgresql://b:x/c"])
def test_another_address_is_refused_without_repeating_it(address: pytest.MonkeyPatch, url: str) -> None:
    address.setenv("CXR_DATABASE_URL", url)
    with pytest.raises(DatabaseUnavailable, match="has to be of the form") as caught:
        module.database()
    assert "hunter2" not in str(caught.value)


def test_a_newer_schema_is_left_alone(bare: URL, tmp_path: Path) -> None:
    first = opened(bare, tmp_path)
    with first.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'v99_future'"))
    first.dispose()
    with pytest.raises(DatabaseUnavailable, match=r"made by a newer version of this program \(schema v99_future\)"):
        opened(bare, tmp_path)


def test_tables_of_something_else_are_left_alone(bare: URL, tmp_path: Path) -> None:
    engine = create_engine(bare)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE study (mine INTEGER)"))
    with pytest.raises(DatabaseUnavailable, match="already exists"):
        opened(bare, tmp_path)
    with engine.connect() as connection:
        assert list(connection.execute(text("SELECT * FROM study")).keys()) == ["mine"]
        # The steps before that one were undone.
        assert not engine.dialect.has_table(connection, "audit")
    engine.dispose()


STUDY_OF_THEN = (
    "INSERT INTO study (key, name, arrived, status, critical, findings) "
    "VALUES ('k', 'a.png', '2026-03-02 12:00:00+00:00', 'waiting', '[]', '[]')",
    "INSERT INTO film (study_id, sha256, name, source, size, arrived, state, reason, attempts, facts, warnings) "
    "VALUES (1, '1', 'a.png', 'drop', 1, '2026-03-02 12:00:00+00:00', 'scored', NULL, 0, '{}', '[]')",
    "INSERT INTO film (study_id, sha256, name, source, size, arrived, state, reason, attempts, facts, warnings) "
    "VALUES (1, '2', 'b.png', 'drop', 1, '2026-03-02 12:00:00+00:00', 'not analysed', 'No.', 0, '{}', '[]')",
)
"""Rows as the first schema had them, which today's tables would not write."""


def test_an_older_schema_is_brought_up_to_date(bare: URL, tmp_path: Path) -> None:
    from alembic import command

    from cxr.worklist.migrations import _config

    found = Database(bare)
    with found._writer.connect() as connection, connection.begin():
        _config().attributes["connection"] = connection
        command.upgrade(_config(), "v1_worklist")
        for statement_ in STUDY_OF_THEN:
            connection.exec_driver_sql(statement_)
    found.dispose()
    found = opened(bare, tmp_path)
    with found.reading() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar() == newest() != "v1_worklist"
    film, other = study(found, 1).films
    # What has come since is as if nobody had said anything of it.
    assert (film.state, film.refused_as, film.placement.steps, film.placement.lies_said, film.seems) == (
        "scored",
        None,
        (),
        False,
        None,
    )
    assert (other.state, other.reason, other.refused_as) == ("not analysed", "No.", None)
    found.dispose()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "w.sqlite3"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseUnavailable, match=r"w\.sqlite3 can't be used: file is not a database\.$"):
        opened(URL.create("sqlite", database=str(file)), tmp_path)


def test_a_folder_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match=r"folder .* can't be used: Not a directory"):
        opened(URL.create("sqlite", database=str(tmp_path / "file" / "w")), tmp_path / "file" / "folder")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_a_file_that_may_not_be_written_is_read_only(tmp_path: Path) -> None:
    file = tmp_path / "w.sqlite3"
    url = URL.create("sqlite", database=str(file))
    first = opened(url, tmp_path)
    add_study(first, "a")
    first.dispose()
    found = Database(url)
    parents = [*tmp_path.parents][:2]
    modes = [parent.stat().st_mode for parent in parents]
    for folder in (*parents, tmp_path):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(DatabaseUnavailable, match=r"can't be (written|used)"):
            add_study(found, "b")
    finally:
        os.seteuid(0)
        for parent, mode in zip(parents, modes, strict=True):
            parent.chmod(mode)


def test_a_server_that_only_reads_is_read_only(postgresql_server: URL, bare_postgresql: URL, tmp_path: Path) -> None:
    opened(bare_postgresql, tmp_path).dispose()
    statement(postgresql_server, f"ALTER DATABASE {bare_postgresql.database} SET default_transaction_read_only = on")
    # What is up to date is opened all the same.
    found = opened(bare_postgresql, tmp_path)
    with pytest.raises(DatabaseUnavailable, match="it is read-only for this program"):
        add_study(found, "a")
    found.dispose()
