"""The study on the reader's desk: opened by the address, claimed while it lies there, given back afterwards."""

from collections.abc import Collection
from typing import Final

import streamlit as st

from cxr.ui.admin.confirm import SAID
from cxr.worklist.claims import InReading, NoSuchStudy
from cxr.worklist.database import Database
from cxr.worklist.query import Query
from cxr.worklist.status import Status
from cxr.worklist.studies import StudyRow, claim, finish, next_study, release

PARAMETER: Final = "study"
HELD: Final = "worklist-held"
LAST: Final = "worklist-last"
QUERY: Final = "worklist-query"
"""Where the session keeps what it holds and for whom, the study that it opened last, and the list that it came from."""


def open_study(study: int | None) -> None:
    """Put a study on the desk, or with None clear it. The address says which, so a reload comes back to it."""
    if study is None:
        st.query_params.pop(PARAMETER, None)
    else:
        st.query_params[PARAMETER] = str(study)
        st.session_state[LAST] = study


def open_now() -> int | None:
    """The study that the address names; None: the list."""
    given = st.query_params.get(PARAMETER, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 18 else None


def last_opened() -> int | None:
    """The study that this session opened last."""
    return st.session_state.get(LAST)


def clear_desk(db: Database, study: int | None, name: str) -> None:
    """Give back what this session holds and what is not open any more, by whichever way it was left."""
    held: tuple[int, str] | None = st.session_state.get(HELD)
    if held is None or held == (study, name):
        return
    del st.session_state[HELD]
    try:
        release(db, *held)
    except NoSuchStudy:
        # Deleted meanwhile.
        return


def take(db: Database, study: StudyRow, name: str, *, force: bool = False) -> StudyRow:
    """Claim a study for this session, once; returns it as it then is.

    Raises:
        InReading: another reads it, or took it over.
    """
    if st.session_state.get(HELD) == (study.id, name) and not force:
        if study.status == Status.READING and study.reader == name:
            return study
        if study.status == Status.READING and study.reader is not None and study.reading_since is not None:
            del st.session_state[HELD]
            raise InReading(study.id, study.reader, study.reading_since)
    claimed = claim(db, study.id, name, force=force)
    st.session_state[HELD] = study.id, name
    return claimed


def done(db: Database, study: int, name: str, films: Collection[int]) -> None:
    """This study is read; the next one of the list comes onto the desk, or the list where there is none.

    Args:
        films: numbers of those that the page showed.

    Raises:
        NoSuchStudy, InReading, FurtherFilms: it can't be said to be read.
    """
    finish(db, study, name, films)
    st.session_state.pop(HELD, None)
    query: Query = st.session_state.get(QUERY, Query())
    following = next_study(db, query, study, name)
    if following is None:
        st.session_state[SAID] = "That was the last one of this list."
    open_study(following)
