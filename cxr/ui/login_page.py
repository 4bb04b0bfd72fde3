"""What stands there before somebody is let in, and who somebody is once they are."""

from typing import Final

import streamlit as st

from cxr.model.verdict import RESEARCH_NOTICE
from cxr.ui.identity import Person
from cxr.ui.login import login
from cxr.ui.words import plain

PLACE: Final = "person"


def show_login(person: Person) -> None:
    """The page of somebody who has no role here: what this software is, why they see nothing, and the way in."""
    st.badge(RESEARCH_NOTICE, icon=":material/science:", color="orange")
    _, middle, _ = st.columns([1, 1.4, 1])
    with middle:
        st.space("large")
        st.title("CXR Triage", anchor=False)
        if login() is None:
            st.error(plain(person.why), icon=":material/lock:")
        elif person.login is not None:
            st.error(plain(person.why), icon=":material/lock:")
            # As text, because an e-mail address would become a link.
            st.text(f"Logged in as {person.name}")
            st.markdown("Ask whoever runs this app for one, then log out and in again.")
            if st.button("Log out", icon=":material/logout:"):
                st.logout()
        else:
            if person.why:
                st.info(person.why, icon=":material/schedule:")
            st.markdown("Log in with your account. What you may do here depends on it.")
            if st.button("Log in", icon=":material/login:", type="primary"):
                st.login()


def show_person(person: Person) -> None:
    """A quiet line at the right of the navigation: who is asking and what they are, with the way out of a login."""
    st.html(person_styles())
    with st.container(key=PLACE, width="content"):
        if person.login is None:
            words = f":material/computer: {plain(person.name)}, administrator of this machine"
            st.caption(words, help=person.why, width="content")
            return
        with st.popover(f"{plain(person.name)}, {person.role}", icon=":material/account_circle:", type="tertiary"):
            st.caption(plain(person.why))
            if st.button("Log out", icon=":material/logout:", key="log-out", width="stretch"):
                st.logout()


def person_styles() -> str:
    """Where the line stands: beside the navigation and what Streamlit shows while a page runs, if there is room; else
    above the page."""
    return f"""<style>
@media (min-width: 1100px) {{
    [data-testid="stLayoutWrapper"]:has(> .st-key-{PLACE}) {{
        position: fixed; top: 1.9rem; right: 9rem; width: auto; transform: translateY(-50%); z-index: 999991;
    }}
}}
</style>"""
