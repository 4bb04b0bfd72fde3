"""The list with what belongs to it: how far scoring is, the rows of a page, and the pages."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import streamlit as st

from cxr.ui.model import likelihood_words
from cxr.ui.words import plain
from cxr.ui.worklist.desk import QUERY, last_opened, open_now, open_study
from cxr.ui.worklist.filters import counts_in_words
from cxr.ui.worklist.reader import Reader
from cxr.ui.worklist.rows import rows_of
from cxr.ui.worklist.study_list import study_list
from cxr.worklist.blind import seen_by
from cxr.worklist.database import Database
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.order import rule_in_words
from cxr.worklist.query import Query
from cxr.worklist.studies import Pending, StudyRow, counts, list_studies, pending

ROWS: Final = 40
BUSY, IDLE = 2.0, 5.0
"""Seconds after which the list looks again, for scored films and for what other readers do."""
EMPTY: Final = "No study is as the filters ask for."
NO_FILMS: Final = "No films yet. Drop some at the left, or have a folder watched (CXR_INBOX)."
KEYS: Final = "Keys: j and k move, Enter opens, / searches, ? shows all."


def show_list(db: Database, films: FilmFolder, query: Query, who: Reader) -> None:
    """The studies that a query asks for. It looks again by itself; the mark and the place in the list stay."""
    st.session_state[QUERY] = query
    busy = _waiting(pending(db)) > 0
    st.fragment(_show_list, run_every=BUSY if busy else IDLE)(db, films, query, who, busy)


def _show_list(db: Database, films: FilmFolder, query: Query, who: Reader, busy: bool) -> None:
    state = pending(db)
    if open_now() is not None or busy != (_waiting(state) > 0):
        # A study was opened by the list itself; or it is to look again sooner, or later.
        st.rerun()
    _show_progress(state)
    place = st.container()
    page = int(st.session_state.get(_page_key(query), 1))
    studies, total = list_studies(db, query, offset=(page - 1) * ROWS, limit=ROWS)
    known = counts(db)
    pages = max(1, -(-total // ROWS))
    if page > pages:
        # Others read what stood on the last page.
        st.session_state[_page_key(query)] = pages
        studies, total = list_studies(db, query, offset=(pages - 1) * ROWS, limit=ROWS)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{_found(total)} {counts_in_words(known)} in all. {KEYS}")
        if pages > 1:
            st.pagination(pages, key=_page_key(query), persist_state="session")
    with place:
        study_list(
            rows_of(studies, films, who.name, datetime.now(UTC), _hidden(db, studies, who)),
            "worklist-list",
            open_study,
            current=last_opened(),
            likelihood=likelihood_words(),
            empty=EMPTY if any(known.values()) else NO_FILMS,
        )


def _page_key(query: Query) -> str:
    # Another query has other pages.
    return f"worklist-page-{hash(query)}"


def _found(total: int) -> str:
    return f"{total:,} {'study' if total == 1 else 'studies'} here;"


def _hidden(db: Database, studies: Sequence[StudyRow], who: Reader) -> set[int]:
    """Studies of a page of which the reader has still to give a blind reading."""
    if not who.blind:
        return set()
    ids = {study.id for study in studies}
    return ids - seen_by(db, ids, who.name)


def _waiting(state: Pending) -> int:
    return state.queued + state.scoring


def _show_progress(state: Pending) -> None:
    """How far scoring is, while there is something to score."""
    waiting, done = _waiting(state), state.done_recently
    if waiting:
        films = "film waits" if waiting == 1 else "films wait"
        st.progress(done / (done + waiting), f"Scoring: {waiting:,} {films}. Studies can be read meanwhile.")


def show_rule(query: Query) -> None:
    """The rule of the order, in words."""
    by_arrival = "By arrival: the study that came first stands first, whatever the model says."
    st.caption(plain(rule_in_words() if query.order == "risk" else by_arrival))
