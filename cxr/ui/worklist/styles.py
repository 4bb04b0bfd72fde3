"""What the page wants of the app's looks: the width for a film or a list, and small print beside the film."""

from typing import Final

WIDE: Final = """
.stMainBlockContainer {padding-left: 1.6rem; padding-right: 1.6rem; padding-bottom: 1rem}
"""
READING: Final = """
section[data-testid="stSidebar"] {display: none}
.stMainBlockContainer [data-testid="stVerticalBlock"] {gap: 0.6rem}
.st-key-worklist-verdict p, .st-key-worklist-verdict [data-testid="stAlertContainer"] {font-size: 0.86rem}
.st-key-worklist-verdict p {line-height: 1.4}
.st-key-worklist-verdict h2 {padding: 0 0 0.9rem}
.st-key-worklist-verdict [data-testid="stAlertContainer"] {padding: 0.4rem 0.7rem}
"""
"""The list's sidebar holds nothing while a study is open."""


def styles(*, list_open: bool) -> str:
    """A style element for the list, or for the reading of a study."""
    return f"<style>{WIDE}{'' if list_open else READING}</style>"
