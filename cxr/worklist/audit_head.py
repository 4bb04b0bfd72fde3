"""The head of the audit trail: a file beside the database that holds the last line's number and digest.

It is written after the commit, so a process that is killed in between leaves it behind the table, and the next line
that is written brings it up again. It never runs ahead, and it is only ever moved along the chain: where the line that
it names is missing or another, it stays as it is, for it is the proof that the end was cut off.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Engine

from cxr.files import replace_file
from cxr.lock import locked
from cxr.settings import settings

START: Final = "0" * 64
"""What comes before the first line."""
HEAD_FILE: Final = "audit.head"
LINE: Final = re.compile(r"(\d{1,18}) ([0-9a-f]{64})\n")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """A line of the chain: its number, 0 before the first, and its digest."""

    number: int
    digest: str


class HeadDamaged(ValueError):
    """The file does not hold a head; the message is one sentence."""


def head_file(engine: Engine) -> Path | None:
    """Where the head of a database's trail is kept; None for a database in memory."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return None if url.database in (None, "", ":memory:") else Path(url.database).absolute().with_name(HEAD_FILE)
    # A folder that SQLite was used in before has the head of that trail. The server is not part of the name: a database
    # that moves to another one keeps its trail.
    return settings().worklist_dir / f"audit-{quote(url.database or '', safe='')}.head"


def read_head(file: Path) -> Head | None:
    """The head that a file holds; None if there is no file.

    Raises:
        HeadDamaged: it holds something else.
        OSError: it can't be read.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    found = LINE.fullmatch(content.decode("ascii", "replace"))
    if found is None:
        raise HeadDamaged(f"The file {file} does not hold the number and the digest of an audit line.")
    return Head(int(found[1]), found[2])


def begin(file: Path) -> None:
    """Make the file before the first line is kept, so that a missing one always means that somebody removed it.

    Raises:
        OSError: it can't be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, _line(Head(0, START)))


def advance(file: Path, head: Head) -> None:
    """Move the head on to a line that is committed; never back.

    A head that can't be written stays behind, as after a kill; the line itself is safe, so that is logged only.
    """
    try:
        with locked(file.with_name(f".{file.name}.lock")):
            before = read_head(file)
            if before is not None and before.number < head.number:
                replace_file(file, _line(head))
    except (OSError, HeadDamaged) as error:
        _log.error("The head of the audit trail stays behind line %d: %s", head.number, error)


def _line(head: Head) -> bytes:
    return f"{head.number} {head.digest}\n".encode()
