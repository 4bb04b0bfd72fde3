"""A study in the words of the list."""

import base64
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import streamlit as st

from cxr.findings import display_name
from cxr.radiograph.isolated import decoder
from cxr.radiograph.placement import Placement
from cxr.settings import settings
from cxr.ui.words import title_of
from cxr.ui.worklist.study_list import Row
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import StudyRow

MOST_FINDINGS: Final = 4
"""That a row names, the critical ones among them."""
SIDE: Final = 112
"""Pixels of a thumbnail in the list: twice what it takes, for sharp screens."""
TONES: Final = {"abnormal": "abnormal", "uncertain": "uncertain", "no finding": "without"}
HIDDEN: Final = "Hidden until you have given your own reading."


@st.cache_data(max_entries=5000, show_spinner=False)
def _picture(root: str, sha256: str, placement: Placement, waits: bool, _films: FilmFolder) -> str:
    # The others are the cache's key: until a film that was turned is scored anew, its thumbnail is that of before.
    stored = _films.thumbnail(sha256)
    if stored is None:
        raise LookupError
    return f"data:image/jpeg;base64,{base64.b64encode(decoder().thumbnail(stored, SIDE)).decode()}"


def picture_of(study: StudyRow, films: FilmFolder) -> str:
    """The thumbnail of a study's first film as a data URL; empty where there is none, or none yet."""
    for film in study.films:
        try:
            waits = film.state in (FilmState.QUEUED, FilmState.SCORING)
            return _picture(str(films.root), film.sha256, film.placement, waits, films)
        except LookupError:
            continue
    return ""


def rows_of(
    studies: Sequence[StudyRow], films: FilmFolder, reader: str, now: datetime, hidden: Collection[int]
) -> list[Row]:
    """The rows of some studies.

    Args:
        studies: in the order of the list.
        films: where their thumbnails are.
        reader: who is looking.
        now: UTC.
        hidden: ids of those of which what the model says is not to be seen.
    """
    return [_row(study, picture_of(study, films), reader, now, study.id in hidden) for study in studies]


def _row(study: StudyRow, picture: str, reader: str, now: datetime, hidden: bool) -> Row:
    said = study.abnormal is not None and not hidden
    verdict, tone = _verdict(study, hidden)
    urgent = set(study.critical) if said else set()
    critical = tuple((display_name(f.name), f.probability) for f in study.findings if f.name in urgent)
    flagged = [f for f in study.findings if f.flagged and f.name not in urgent] if said else []
    room = max(0, MOST_FINDINGS - len(critical))
    note = HIDDEN if hidden and study.analysed else _note(study)
    if said and not flagged and not critical and not note:
        note = "None"
    waited = max(0, int((now - study.arrived).total_seconds() // 60))
    status, by = status_words(study, reader)
    spoken = ", ".join(filter(None, (study.name, verdict, *(f"critical: {name}" for name, _ in critical), status, by)))
    return Row(
        id=study.id,
        spoken=spoken,
        picture=picture,
        name=study.name,
        identity=identity_words(study),
        verdict=verdict,
        tone=tone,
        probability=study.abnormal if said else None,
        critical=critical,
        findings=tuple((display_name(f.name), f.probability) for f in flagged[:room]),
        more=max(0, len(flagged) - room),
        note=note,
        waited=waited,
        status=status,
        reader=by,
        mine=study.status == Status.READING and study.reader == reader,
    )


def _verdict(study: StudyRow, hidden: bool) -> tuple[str, str]:
    if study.analysed and hidden:
        return "Not shown", "none"
    if study.verdict is not None:
        return title_of(study.verdict, settings().worklist_point), TONES[study.verdict]
    if study.analysed:
        return "No verdict", "none"
    states = {film.state for film in study.films}
    if FilmState.SCORING in states:
        return "Being scored", "none"
    return ("Waits for its score" if FilmState.QUEUED in states else "Not analysed"), "none"


def _note(study: StudyRow) -> str:
    """Why a film of it was not analysed."""
    reasons = [film.reason for film in study.films if film.state == FilmState.REFUSED and film.reason]
    if not reasons:
        return ""
    if len(study.films) == 1:
        return reasons[0]
    return f"{len(reasons)} of {len(study.films)} films not analysed: {reasons[0]}"


def identity_words(study: StudyRow) -> str:
    """Patient, accession number, date and number of films, as far as they are known."""
    known = (
        f"Patient {study.patient}" if study.patient else "",
        f"accession {study.accession}" if study.accession else "",
        study.acquired or "",
        f"{len(study.films)} films" if len(study.films) > 1 else "",
    )
    words = ", ".join(part for part in known if part)
    return words[:1].upper() + words[1:]


def status_words(study: StudyRow, reader: str) -> tuple[str, str]:
    """What becomes of a study, and who does it."""
    if study.status == Status.READING:
        if study.reader == reader:
            return "In reading", "by you"
        return "In reading", f"by {study.reader}{', no sign of late' if study.abandoned else ''}"
    if study.status == Status.READ:
        return "Read", f"by {study.read_by}" if study.read_by else ""
    return "Waiting", ""
