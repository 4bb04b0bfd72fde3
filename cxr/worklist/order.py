"""In which order studies are read: the rule in numbers, in SQL and in words.

rank = abnormal probability + 2 where a critical finding is flagged + hours of waiting / hours of ageing

The highest comes first. A study of which no film was analysed, or not yet, counts with a probability of 0.5. Because
waiting grows the rank of every study by the same amount in the same time, the order of two studies never changes by
itself, and one without findings is overtaken only by those that arrive within three times the hours of ageing: it
never waits for ever.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Double, case, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cxr.findings import display_name
from cxr.settings import settings
from cxr.worklist.tables import Study

UNKNOWN: Final = 0.5
"""Probability with which a study counts that has none."""
CRITICAL: Final = 2.0
"""What a critical finding adds: more than any difference of probabilities."""
HOUR: Final = 3600.0


class _Seconds(FunctionElement[float]):
    """Seconds since 1970 of a column of times."""

    type = Double()
    inherit_cache = True


@compiles(_Seconds, "sqlite")
def _seconds_sqlite(element: _Seconds, compiler: SQLCompiler, **options: Any) -> str:
    # Julian days are precise to about 40 microseconds, and SQLite reads milliseconds of the text.
    return f"((julianday({compiler.process(element.clauses, **options)}) - 2440587.5) * 86400.0)"


@compiles(_Seconds, "postgresql")
def _seconds_postgresql(element: _Seconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)}) AS DOUBLE PRECISION)"


def rank(abnormal: float | None, critical: bool, waiting_hours: float) -> float:
    """Rank of a study; the highest is read first.

    Args:
        abnormal: probability that it is abnormal, 0..1; None: not known.
        critical: whether a critical finding is flagged.
        waiting_hours: since it arrived.
    """
    known = UNKNOWN if abnormal is None else abnormal
    return known + (CRITICAL if critical else 0.0) + waiting_hours / settings().ageing_hours


def rank_sql() -> ColumnElement[float]:
    """The rank of a row of `Study` up to a number that is the same for all of them at one moment."""
    critical = case((func.json_array_length(Study.critical) > 0, CRITICAL), else_=0.0)
    waited = _Seconds(Study.arrived) / (HOUR * settings().ageing_hours)
    return func.coalesce(Study.abnormal, UNKNOWN) + critical - waited


def rule_in_words() -> str:
    """The rule for the reader, with the numbers of the settings."""
    hours = settings().ageing_hours
    names = [display_name(name).lower() for name in settings().critical_findings]
    ahead = f"{' or '.join(names)} is flagged" if names else "a critical finding is flagged (none is set)"
    return (
        f"The most probably abnormal first. A study in which {ahead} goes ahead as if its probability were 2 higher; "
        f"every {hours:g} hours of waiting count as much as a probability of 1, so no study waits for ever. One that "
        "was not analysed, or not yet, counts as 0.5. Equal ones go by arrival."
    )
