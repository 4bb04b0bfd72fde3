"""What the list is asked for, as SQL: filters, search and order are the database's work, never the page's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Boolean, ColumnElement, and_, bindparam, exists, false, not_, or_, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cxr.worklist.order import rank_sql
from cxr.worklist.status import Status
from cxr.worklist.tables import Film, Study

ABANDONED: Final = timedelta(minutes=30)
"""A reader who gave no sign for this long is thought to have left; somebody else may then take the study."""


@dataclass(frozen=True)
class Query:
    """Which studies, and in which order.

    Attributes:
        status: those in one of these.
        text: words, each of which is in the name of the study or of one of its films, its patient's number or its
            accession number; upper and lower case are the same. Nothing in it is a wildcard.
        finding: those in which this finding is flagged.
        verdict: those with this verdict.
        analysed: those of which a film was analysed, or those of which none was; None: both.
        order: "risk" (`cxr.worklist.order`) or "arrival", the oldest first.
    """

    status: frozenset[Status] = frozenset({Status.WAITING, Status.READING})
    text: str = ""
    finding: str | None = None
    verdict: str | None = None
    analysed: bool | None = None
    order: Literal["risk", "arrival"] = "risk"


class _Flagged(FunctionElement[bool]):
    """Whether a finding is flagged in a column like `Study.findings`."""

    type = Boolean()
    inherit_cache = True


@compiles(_Flagged, "sqlite")
def _flagged_sqlite(element: _Flagged, compiler: SQLCompiler, **options: Any) -> str:
    column, name = (compiler.process(clause, **options) for clause in element.clauses)
    # The name is a parameter of the statement by now, not its text.
    return (
        f"EXISTS (SELECT 1 FROM json_each({column}) AS finding WHERE "  # noqa: S608
        f"json_extract(finding.value, '$[0]') = {name} AND json_extract(finding.value, '$[2]'))"
    )


@compiles(_Flagged, "postgresql")
def _flagged_postgresql(element: _Flagged, compiler: SQLCompiler, **options: Any) -> str:
    column, name = (compiler.process(clause, **options) for clause in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_array_elements({column}) AS finding WHERE "  # noqa: S608
        f"finding.value ->> 0 = {name} AND CAST(finding.value ->> 2 AS BOOLEAN))"
    )


def _words(text: str) -> list[str]:
    """The words of a search, without what no database keeps as text."""
    return text.replace("\0", " ").encode("utf-8", "ignore").decode().split()


def _has(word: str) -> ColumnElement[bool]:
    texts = (Study.name, Study.patient, Study.accession)
    own = (column.icontains(word, autoescape=True) for column in texts)
    of_a_film = exists().where(Film.study_id == Study.id, Film.name.icontains(word, autoescape=True))
    return or_(*own, of_a_film)


def matching(query: Query) -> ColumnElement[bool]:
    """The condition on a row of `Study`."""
    conditions: list[ColumnElement[bool]] = [
        Study.status.in_(sorted(query.status)) if query.status else false(),
        *map(_has, _words(query.text)),
    ]
    if query.finding is not None:
        conditions.append(_Flagged(Study.findings, bindparam("finding", query.finding)))
    if query.verdict is not None:
        conditions.append(Study.verdict == query.verdict)
    if query.analysed is not None:
        conditions.append(Study.abnormal.is_not(None) if query.analysed else Study.abnormal.is_(None))
    return and_(true(), *conditions)


def ordering(query: Query) -> tuple[ColumnElement[Any], ...]:
    """By what the rows are sorted; no two are equal."""
    oldest = (Study.arrived.asc(), Study.id.asc())
    return oldest if query.order == "arrival" else (rank_sql().desc(), *oldest)


def following(query: Query, at: float, arrived: datetime, number: int) -> ColumnElement[bool]:
    """The condition that a row comes after another one in the order.

    Args:
        query: whose order it is.
        at: `rank_sql` of the other row.
        arrived: of the other row.
        number: the other row's.
    """
    later = or_(Study.arrived > arrived, and_(Study.arrived == arrived, Study.id > number))
    if query.order == "arrival":
        return later
    return or_(rank_sql() < at, and_(rank_sql() == at, later))


def in_reading(now: datetime) -> ColumnElement[bool]:
    """The condition that somebody reads it, and gave a sign of it lately."""
    return and_(
        Study.status == Status.READING, Study.reading_since.is_not(None), Study.reading_since >= now - ABANDONED
    )


def free_for(reader: str, now: datetime) -> ColumnElement[bool]:
    """The condition that nobody but this reader reads it at the moment."""
    return or_(not_(in_reading(now)), Study.reader == reader)
