"""An empty worklist on each of the two databases; the settings point to it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from cxr.settings import settings
from cxr.worklist import database as module
from cxr.worklist.database import Database, opened
from cxr.worklist.film_folder import FilmFolder, film_folder
from scripts.throwaway_postgres import FAST, programs, running_server, statement

USED = "cxr_used"
TABLES = ("result", "film", "opinion", "study", "audit")
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A server with one database that has the newest schema; one test after the other has it, and finds it empty."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running_server(found, FAST) as url:
        statement(url, f"CREATE DATABASE {USED}")
        opened(url.set(database=USED), tmp_path_factory.mktemp("used")).dispose()
        yield url


def _emptied(server: URL) -> URL:
    """The database without rows, and with numbers from 1; much faster than a new one."""
    url = server.set(database=USED)
    # Neither the audit trail's own triggers nor cascades, which are triggers too.
    steps = ["SET session_replication_role = replica", *(f"DELETE FROM {table}" for table in TABLES)]  # noqa: S608
    steps += [f"ALTER SEQUENCE {table}_id_seq RESTART" for table in TABLES if table != "audit"]
    statement(url, "; ".join(steps))
    return url


@pytest.fixture
def bare_postgresql(postgresql_server: URL) -> Iterator[URL]:
    """A database without tables."""
    name = f"cxr_{next(numbers)}"
    statement(postgresql_server, f"CREATE DATABASE {name}")
    yield postgresql_server.set(database=name)
    statement(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database file with the newest schema."""
    folder = tmp_path_factory.mktemp("template")
    file = folder / "template.sqlite3"
    opened(URL.create("sqlite", database=str(file)), folder).dispose()
    return file.read_bytes()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, changed_settings: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Database]:
    """The empty database of the settings; whatever else takes the settings' database gets the same one."""
    folder = tmp_path / "worklist"
    folder.mkdir()
    changed_settings.setenv("CXR_WORKLIST_DIR", str(folder))
    if request.param == "sqlite":
        (folder / module.FILE).write_bytes(request.getfixturevalue("sqlite_template"))
        changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    else:
        url = _emptied(request.getfixturevalue("postgresql_server"))
        changed_settings.setenv("CXR_DATABASE_URL", url.render_as_string())
    settings.cache_clear()
    found = module.database()
    yield found
    found.dispose()
    module._opened.clear()


@pytest.fixture
def films(database: Database) -> FilmFolder:
    """The folder of films of the settings."""
    return film_folder()
