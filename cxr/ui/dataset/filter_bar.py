"""The filters of the dataset page. They stay as they are while the reader is on another page."""

import streamlit as st

from cxr.dataset.filters import MODES, Filters, Mode
from cxr.dataset.table import SEXES, VIEWS, FilmTable
from cxr.findings import CATEGORIES, display_name


def show_filters(table: FilmTable) -> Filters:
    """Draw the filters; returns what they say."""
    categories = st.multiselect(
        "Findings",
        CATEGORIES,
        format_func=display_name,
        key="filter-findings",
        persist_state="session",
        placeholder="Whatever the labels",
    )
    mode: Mode = st.segmented_control(
        "Films with … of them",
        MODES,
        default="any",
        required=True,
        key="filter-mode",
        persist_state="session",
        width="stretch",
        disabled=not categories,
    )
    left, right = st.columns(2)
    views = left.pills("View", VIEWS, selection_mode="multi", key="filter-view", persist_state="session")
    sexes = right.pills("Sex", SEXES, selection_mode="multi", key="filter-sex", persist_state="session")
    ages = _ages(table)
    patient = st.number_input(
        "Patient",
        min_value=1,
        value=None,
        step=1,
        key="filter-patient",
        persist_state="session",
        placeholder="Number, such as 13118",
    )
    boxed = st.toggle("Only films with boxes", key="filter-boxes", persist_state="session")
    first = st.toggle(
        "Only each patient's first film",
        key="filter-first",
        persist_state="session",
        help="Films of one patient are alike. With one film of each, the intervals mean what they say.",
    )
    st.button(
        "Reset filters", on_click=reset, args=(_known_ages(table),), icon=":material/filter_alt_off:", width="stretch"
    )
    return Filters(
        categories=tuple(categories),
        mode=mode,
        views=tuple(views),
        sexes=tuple(sexes),
        ages=ages,
        patient=None if patient is None else int(patient),
        boxed=boxed,
        first=first,
    )


def _ages(table: FilmTable) -> tuple[int, int] | None:
    """The chosen range of ages; None if it is the whole, which keeps films of unknown age."""
    whole = _known_ages(table)
    if whole[0] == whole[1]:
        return None
    chosen: tuple[int, int] = st.slider(
        "Age in years", *whole, value=whole, key=_age_key(whole), persist_state="session"
    )
    return None if chosen == whole else chosen


def _age_key(ages: tuple[int, int]) -> str:
    # Another table may have other ages, among which the chosen ones do not exist.
    return f"filter-age-{ages[0]}-{ages[1]}"


def _known_ages(table: FilmTable) -> tuple[int, int]:
    known = table.films["age"].dropna()
    return (0, 0) if known.empty else (int(known.min()), int(known.max()))


def reset(ages: tuple[int, int]) -> None:
    """Take all filters back; `ages` is the whole range of the table."""
    nothing: dict[str, object] = {
        "filter-findings": [],
        "filter-mode": "any",
        "filter-view": [],
        "filter-sex": [],
        "filter-patient": None,
        "filter-boxes": False,
        "filter-first": False,
        _age_key(ages): ages,
    }
    for key, value in nothing.items():
        st.session_state[key] = value
