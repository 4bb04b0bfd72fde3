"""Nothing is done by a single click: what is about to happen is said, and confirmed."""

from collections.abc import Callable

import streamlit as st

from cxr.ui.words import plain

SAID = "admin-said"


def ask(title: str, said: str, act: str, action: Callable[[], str]) -> None:
    """Open a dialog that says what will happen.

    Args:
        title: of the dialog.
        said: what will happen, in one sentence of Markdown.
        act: on the button that does it.
        action: does it; returns what then has happened. `ValueError`, `RuntimeError`, `LookupError` and `OSError` are
            shown in the dialog, where the reader can try again.
    """

    @st.dialog(title)
    def dialog() -> None:
        st.markdown(said)
        if st.button(act, type="primary", key="confirm-act"):
            perform(action)

    dialog()


def perform(action: Callable[[], str]) -> None:
    """Do something, keep what happened for the next run of the page, and run it."""
    try:
        with st.spinner("Working"):
            done = action()
    except (ValueError, RuntimeError, LookupError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.session_state[SAID] = done
    st.rerun()


def show_what_happened() -> None:
    """What the last action did, once."""
    if SAID in st.session_state:
        st.toast(plain(st.session_state.pop(SAID)), icon=":material/check:")
