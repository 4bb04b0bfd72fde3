"""Which section of the page is open and which job is looked at; kept in the session."""

from typing import Final

import streamlit as st

SECTION: Final = "admin-section"
JOBS: Final = "Jobs"
NEW: Final = "New job"
COMPARE: Final = "Compare"
MODELS: Final = "Models"
MACHINE: Final = "Machine"
SECTIONS: Final = (JOBS, NEW, COMPARE, MODELS, MACHINE)
_CHOSEN: Final = "admin-job"
_WANTED: Final = "admin-wanted"


def choose_job(job_id: str) -> None:
    """Look at a job when the page is drawn next."""
    st.session_state[_CHOSEN] = job_id
    open_next(JOBS)


def chosen_job() -> str | None:
    """The id of the job that is looked at."""
    return st.session_state.get(_CHOSEN)


def forget_job() -> None:
    """Look at no job."""
    st.session_state.pop(_CHOSEN, None)


def open_next(section: str) -> None:
    """Open a section when the page is drawn next."""
    st.session_state[_WANTED] = section


def section_bar() -> str:
    """The bar of sections; returns the open one."""
    if _WANTED in st.session_state:
        st.session_state[SECTION] = st.session_state.pop(_WANTED)
    kept = st.session_state.get(f"{SECTION}-open", JOBS)
    chosen = st.segmented_control(
        "Section",
        SECTIONS,
        default=None if SECTION in st.session_state else kept,
        required=True,
        key=SECTION,
        label_visibility="collapsed",
    )
    st.session_state[f"{SECTION}-open"] = chosen
    return str(chosen)
