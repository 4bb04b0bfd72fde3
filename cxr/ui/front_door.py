"""Every page is entered through app.py, by those who may."""

import runpy

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from cxr.settings import ROOT
from cxr.ui.identity import Person, Role
from cxr.ui.login_page import show_login
from cxr.ui.who import asking
from cxr.ui.words import plain


def enter(needed: Role = Role.VIEWER) -> Person:
    """The first statement of a page: lets in whoever may see it, and nobody else.

    Streamlit takes a folder named `pages` for an app of its first kind, and runs a page without app.py when the page's
    address is the first that is opened after the start. Then app.py is run from here, and runs the page in its turn.
    """
    person = asking()
    if person.role is None:
        show_login(person)
        st.stop()
    if PagesManager.uses_pages_directory:
        runpy.run_path(str(ROOT / "app.py"))
        st.stop()
    if not person.may(needed):
        st.error(f"This page is for {needed}s. {plain(person.why)}", icon=":material/lock:")
        st.stop()
    return person


def enter_as_reader() -> Person:
    """The first statement of a page that says whose films they are."""
    return enter(Role.READER)


def enter_as_administrator() -> Person:
    """The first statement of a page for administrators."""
    return enter(Role.ADMINISTRATOR)
