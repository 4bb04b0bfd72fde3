"""What goes wrong behind the list: with scoring, with the inbox, with deleting what is too old."""

from typing import Final

import streamlit as st

from cxr.ui.words import plain
from cxr.worklist.background import problems

MOST: Final = 6


def show_problems() -> None:
    """One warning for all of it; nothing where all is well."""
    found = problems()
    lines = [plain(sentence) for sentence in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"And {len(found) - MOST} more.")
    if lines:
        st.warning(lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines), icon=":material/warning:")
