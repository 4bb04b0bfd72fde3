"""Tabs of which only the open one is drawn, and which are as they were when the reader comes back to the page."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def open_section(sections: Sequence[str], key: str) -> tuple[str, DeltaGenerator]:
    """Show tabs; returns the name of the open one and the place for what it holds.

    Args:
        sections: names of the tabs.
        key: of the tabs, unique in the app. The session keeps the open section under `key` + "-open".
    """
    remembered, first = f"{key}-open", f"{key}-first"
    if key not in st.session_state:
        # Tabs forget which is open when another page is. They are told once: another default would make them others.
        st.session_state[first] = st.session_state.get(remembered, sections[0])
    tabs = st.tabs(sections, default=st.session_state[first], key=key, on_change="rerun")
    name, place = next((name, tab) for name, tab in zip(sections, tabs, strict=True) if tab.open)
    st.session_state[remembered] = name
    return name, place
