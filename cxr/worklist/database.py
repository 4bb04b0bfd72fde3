"""The worklist's database: SQLite by itself, or a PostgreSQL server; opened, brought up to date, used the same way.

What a `writing()` block did is durable when the block has ended, whatever ends the process afterwards; of a block that
raised, or was killed, nothing stays.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.orm import Session

from cxr.lock import locked
from cxr.settings import settings
from cxr.worklist.migrations import NewerSchema, is_current, migrate

BUSY_SECONDS: Final = 30
"""How long a writer waits for another one before it gives up."""
CONNECT_SECONDS: Final = 5
FILE: Final = "worklist.sqlite3"
LOCK: Final = ".database.lock"
POSTGRESQL: Final = ("postgresql", "postgresql+psycopg", "postgres")
WRITING: Final = "cxr_writing"
PLAIN: Final = "cxr_plain"
"""Options of a connection: it writes; it takes SQLite's statements as they come, in no transaction."""


class DatabaseUnavailable(RuntimeError):
    """The database can't be used; the message is one sentence for the reader, without the password."""


class Database:
    """Sessions on one database; may be used by many threads at once.

    Attributes:
        engine: to which the tests and the benchmark talk directly.
        name: what messages call it; never holds a password.
        sqlite: whether it is SQLite.
    """

    def __init__(self, url: URL, busy_seconds: float = BUSY_SECONDS) -> None:
        self.sqlite = url.get_backend_name() == "sqlite"
        self.name = str(url.database) if self.sqlite else _without_password(url)
        self._password = url.password
        self._busy_seconds = busy_seconds
        # Statements in messages and logs go without their values, which are of patients.
        self.engine = create_engine(url, hide_parameters=True, **self._options(busy_seconds))
        event.listen(self.engine, "connect", self._prepare)
        if self.sqlite:
            event.listen(self.engine, "begin", _begin)
            self._reader = self.engine
        else:
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writer = self.engine.execution_options(**{WRITING: True})

    def _options(self, busy_seconds: float) -> dict[str, Any]:
        if self.sqlite:
            return {"connect_args": {"timeout": busy_seconds}}
        # A server that was restarted is noticed before a statement is lost to a dead connection.
        connect = {"connect_timeout": CONNECT_SECONDS, "application_name": "cxr"}
        return {"connect_args": connect, "pool_pre_ping": True}

    def _prepare(self, connection: Any, record: object) -> None:
        """Settle a connection that was just made."""
        if not self.sqlite:
            connection.autocommit = True
            connection.execute(f"SET lock_timeout = '{round(1000 * self._busy_seconds)}ms'")
            connection.autocommit = False
            return
        # Python's own idea of when a transaction begins is turned off; `_begin` says it.
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session in which everything is seen as of one moment; it can't change anything.

        Raises:
            DatabaseUnavailable: it can't be reached or read.
        """
        with self.explained(), Session(self._reader, autoflush=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in one transaction: committed at the end of the block, undone by any exception.

        In SQLite nobody else writes meanwhile; in PostgreSQL lock what you read and then change (`with_for_update`).

        Raises:
            DatabaseUnavailable: it can't be reached or written, or another writer held it for too long.
        """
        with self.explained(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what a driver says of an unusable database into one sentence; errors of a statement stay as they are."""
        try:
            yield
        except NoConnectionFree as error:
            raise DatabaseUnavailable(f"The worklist's database {self.name} has no connection to spare.") from error
        except DBAPIError as error:
            sentence = self._sentence(error)
            if sentence is None:
                raise
            raise DatabaseUnavailable(sentence) from error

    def _sentence(self, error: DBAPIError) -> str | None:
        code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or ""
        if isinstance(error, IntegrityError | DataError):
            return None
        if isinstance(error, ProgrammingError) and code != "42501":
            return None
        if code.startswith("SQLITE_BUSY") or code in ("55P03", "40P01"):
            return f"The worklist's database {self.name} is busy: another program has held it for too long. Try again."
        if code.startswith("SQLITE_READONLY") or code in ("25006", "42501"):
            return f"The worklist's database {self.name} can't be written: it is read-only for this program."
        if code.startswith("SQLITE_FULL") or code == "53100":
            return f"The worklist's database {self.name} can't be written: its disk is full. Make room, then try again."
        return f"The worklist's database {self.name} can't be used: {self._said(error)}."

    def _said(self, error: BaseException) -> str:
        """The first line of what the driver says."""
        cause = getattr(error, "orig", None) or error
        line = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        if self._password:
            line = line.replace(str(self._password), "***")
        return line.removesuffix(".")

    def upgrade(self) -> None:
        """Bring the tables to the newest schema.

        Raises:
            DatabaseUnavailable: as ever, or a newer version of the program made them, or they are something else's.
        """
        try:
            with self.explained(), self.engine.connect() as connection:
                current = is_current(connection)
            if not current:
                self._migrate()
        except NewerSchema as error:
            raise DatabaseUnavailable(
                f"The worklist's database {self.name} was made by a newer version of this program (schema {error}); "
                "update this one."
            ) from error

    def _migrate(self) -> None:
        try:
            with self.explained(), self._writer.connect() as connection:
                if self.sqlite:
                    # Else a step that rebuilds a table would delete what refers to its rows. Nothing but the driver's
                    # own connection takes this outside a transaction; it is closed afterwards, and not used again.
                    driver: Any = connection.connection.dbapi_connection
                    driver.execute("PRAGMA foreign_keys = OFF")
                    connection.detach()
                with connection.begin():
                    migrate(connection)
        except DBAPIError as error:
            raise DatabaseUnavailable(
                f"The tables of the worklist can't be made in {self.name}: {self._said(error)}."
            ) from error

    def leave_traces(self, session: Session) -> None:
        """Note, in a transaction that deletes, that `scrub` is due; it stays due if the process ends before."""
        if self.sqlite:
            session.connection().exec_driver_sql("PRAGMA user_version = 1")

    def has_traces(self) -> bool:
        """Whether something was deleted and `scrub` did not follow."""
        with self.reading() as session:
            return self.sqlite and bool(session.connection().exec_driver_sql("PRAGMA user_version").scalar())

    def scrub(self) -> None:
        """Clear what deleted rows left behind in the database's own files.

        SQLite: the file is written anew without gaps and the write-ahead log emptied, so that no byte of a deleted
        row stays in either. PostgreSQL: the tables are vacuumed, so that the rows are beyond reach of any query and
        their place is free to be written over; its write-ahead log and backups keep to the server's own rules.

        Raises:
            DatabaseUnavailable: as ever, or another program kept the log open for too long.
        """
        if not self.sqlite:
            with self.explained(), self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text("VACUUM study, film, result, opinion"))
            return
        with self.explained(), self.engine.execution_options(**{PLAIN: True}).connect() as connection:
            connection.exec_driver_sql("VACUUM")
            if connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                raise DatabaseUnavailable(
                    f"What was deleted is gone from the worklist, but traces stay in the log of {self.name}, because "
                    "another program keeps it open; they go with the next deletion."
                )
            connection.exec_driver_sql("PRAGMA user_version = 0")

    def dispose(self) -> None:
        """Close all connections that are not in use."""
        self.engine.dispose()


def _begin(connection: Connection) -> None:
    """SQLite: a writer takes its turn at once, not when it first writes, which could be too late; a reader can't."""
    options = connection.get_execution_options()
    writing, plain = options.get(WRITING, False), options.get(PLAIN, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writing or plain else 'ON'}")
    if not plain:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _without_password(url: URL) -> str:
    """An address for messages. A password may stand among the options at its end, too."""
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database).render_as_string()


def _url() -> URL:
    given = settings().database_url
    if given is None:
        return URL.create("sqlite", database=str((settings().worklist_dir / FILE).resolve()))
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in POSTGRESQL or url.database is None:
        # What was given is not repeated: it may hold a password.
        raise DatabaseUnavailable("CXR_DATABASE_URL has to be of the form postgresql://user:password@host/database.")
    return url.set(drivername="postgresql+psycopg")


_opened: dict[tuple[int, str], Database] = {}
_opening = threading.Lock()


def opened(url: URL, folder: Path) -> Database:
    """A database with the newest schema.

    Args:
        url: of it.
        folder: where the lock lies under which it is brought up to date; made if missing.

    Raises:
        DatabaseUnavailable: it can't be.
    """
    found = Database(url)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / LOCK):
            found.upgrade()
    except OSError as error:
        raise DatabaseUnavailable(f"The worklist's folder {folder} can't be used: {error.strerror}.") from error
    return found


def database() -> Database:
    """The database of the settings, opened at the first use in this process.

    Raises:
        DatabaseUnavailable: it can't be reached, written or understood; the next call tries again.
    """
    url = _url()
    # A process that was forked off can't use its parent's connections.
    key = (os.getpid(), url.render_as_string(hide_password=False))
    with _opening:
        if key not in _opened:
            _opened[key] = opened(url, settings().worklist_dir)
        return _opened[key]


def engine_of(session: Session) -> Engine:
    """The engine that a session talks to, with its options."""
    bind = session.get_bind()
    return bind if isinstance(bind, Engine) else bind.engine
