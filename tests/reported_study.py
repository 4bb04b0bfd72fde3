"""A study as it stands in the list, for what is written of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cxr.worklist.opinions import OpinionRow, View
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import FilmRow, StudyRow

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def film_row(view: str | None = "PA", number: int = 1, **changed: Any) -> FilmRow:
    film = FilmRow(number, "ab" * 32, "DOE^JANE.dcm", FilmState.SCORED, None, view, 3000, 2500, (), AT, "cd" * 32)
    return replace(film, **changed)


def study_row(*views: str | None, **changed: Any) -> StudyRow:
    """Of a patient whose name stands in the name of the file."""
    facts: dict[str, Any] = {
        "id": 12, "name": "DOE^JANE.dcm", "patient": "MRN-4711", "accession": "A-17", "acquired": "2026-03-01",
        "arrived": AT, "status": Status.READ, "reader": None, "reading_since": None, "read_by": "Dr Ada", "read_at": AT,
        "verdict": "uncertain", "abnormal": 0.4567, "critical": (), "findings": (), "model": "cd" * 32,
        "films": tuple(film_row(view, number) for number, view in enumerate(views, 1)), "rank": 0.5, "abandoned": False,
    }  # fmt: skip
    return StudyRow(**(facts | changed))


def opinion_row(view: View, reader: str = "Dr Ada", written: datetime = AT) -> OpinionRow:
    """On the study above."""
    return OpinionRow(7, 12, reader, written, view, None)
