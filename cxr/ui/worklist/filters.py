"""What the list shows, and in which order: kept for the session."""

from collections.abc import Mapping
from typing import Final, Literal

import streamlit as st

from cxr.findings import FINDINGS, display_name
from cxr.settings import settings
from cxr.ui.words import title_of
from cxr.worklist.query import Query
from cxr.worklist.status import Status

STATUSES: Final = {"To read": {Status.WAITING, Status.READING}, "Read": {Status.READ}, "All": set(Status)}
NOT_ANALYSED: Final = "not analysed"
VERDICTS: Final = ("abnormal", "uncertain", "no finding", NOT_ANALYSED)
ORDERS: Final[dict[str, Literal["risk", "arrival"]]] = {"By risk": "risk", "By arrival": "arrival"}


def show_filters(*, blind: bool) -> tuple[frozenset[Status], str | None, str | None]:
    """Draw the filters; returns the status, the verdict and the flagged finding that they ask for.

    Args:
        blind: what the model says is not to be seen, so nothing may be filtered by it.
    """
    if blind:
        st.caption("Filters by verdict and finding are off in blind reading.")
        return frozenset(STATUSES[_status()]), None, None
    status = _status()
    verdict = st.selectbox(
        "Verdict",
        VERDICTS,
        index=None,
        format_func=_verdict_title,
        placeholder="Any verdict",
        key="worklist-verdict",
        persist_state="session",
    )
    finding = st.selectbox(
        "Flagged finding",
        FINDINGS,
        index=None,
        format_func=display_name,
        placeholder="Any finding",
        key="worklist-finding",
        persist_state="session",
    )
    return frozenset(STATUSES[status]), verdict, finding


def _status() -> str:
    return st.segmented_control(
        "Status",
        list(STATUSES),
        default="To read",
        required=True,
        key="worklist-status",
        persist_state="session",
        width="stretch",
    )


def _verdict_title(verdict: str) -> str:
    return "Not analysed" if verdict == NOT_ANALYSED else title_of(verdict, settings().worklist_point)


def show_search() -> tuple[str, Literal["risk", "arrival"]]:
    """Search and order; returns both."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="worklist-bar"):
        text = st.text_input(
            "Search",
            key="worklist-search",
            placeholder="Search name, patient or accession number",
            label_visibility="collapsed",
            icon=":material/search:",
            live="300ms",
            persist_state="session",
        )
        order = st.segmented_control(
            "Order",
            list(ORDERS),
            default="By risk",
            required=True,
            key="worklist-order",
            persist_state="session",
            label_visibility="collapsed",
        )
    return text, ORDERS[order]


def query_of(
    status: frozenset[Status], verdict: str | None, finding: str | None, text: str, order: Literal["risk", "arrival"]
) -> Query:
    """What the list is asked for."""
    analysed = False if verdict == NOT_ANALYSED else None
    named = None if verdict == NOT_ANALYSED else verdict
    return Query(status=status, text=text.strip(), finding=finding, verdict=named, analysed=analysed, order=order)


def counts_in_words(found: Mapping[Status, int]) -> str:
    """As in "12 waiting, 1 in reading, 30 read"."""
    return ", ".join(f"{found.get(status, 0):,} {status.value}" for status in Status)
