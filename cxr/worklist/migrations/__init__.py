"""How the worklist's tables came to be what they are: one step a file in `versions`, run by `cxr.worklist.database`.

A new step, after a change of `tables.py` (a test compares the two on both databases): a file with `revision`,
`down_revision` and `upgrade()`, of which SQLite's part uses `op.batch_alter_table`. There are no steps back; that is
what a backup is for.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

ADVISORY_LOCK: Final = 0x6378725F6D696772
"""PostgreSQL's number of the lock under which tables are changed: "cxr_migr"."""


class NewerSchema(RuntimeError):
    """The tables are of a version that this program does not know; the message is its name."""


@lru_cache(maxsize=1)
def _config() -> Config:
    config = Config()
    # A percent sign in a path would be taken for a reference.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


@lru_cache(maxsize=1)
def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def newest() -> str:
    """Name of the newest schema."""
    return str(_script().get_current_head())


def is_current(connection: Connection) -> bool:
    """Whether the tables are of the newest schema.

    Raises:
        NewerSchema: they are of one that this program does not know.
    """
    found = MigrationContext.configure(connection).get_current_heads()
    known = {script.revision for script in _script().walk_revisions()}
    for name in found:
        if name not in known:
            raise NewerSchema(name)
    return found == (newest(),)


def migrate(connection: Connection) -> None:
    """Make the tables, or bring them to the newest schema, in the transaction that the connection is in.

    Raises:
        NewerSchema: they are of one that this program does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ADVISORY_LOCK})
    # Another program may have done it while this one waited.
    if not is_current(connection):
        config = _config()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        finally:
            del config.attributes["connection"]
