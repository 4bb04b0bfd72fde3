"""Every page is entered through app.py."""

import runpy

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from cxr.settings import ROOT
from cxr.ui.who import Person, administrator


def enter() -> None:
    """The first statement of a page that is open to everybody who reaches the app.

    Streamlit takes a folder named `pages` for an app of its first kind, and runs a page without app.py when the page's
    address is the first that is opened after the start. Then app.py is run from here, and runs the page in its turn.
    """
    if PagesManager.uses_pages_directory:
        runpy.run_path(str(ROOT / "app.py"))
        st.stop()


def enter_as_administrator() -> Person:
    """The first statement of a page for administrators: anybody else gets a sentence, and nothing of the page runs."""
    person = administrator()
    enter()
    return person
