"""The list of studies: rows with thumbnails, by keyboard and by mouse."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import streamlit as st

HERE: Final = Path(__file__).resolve().parent
_LIST: Final = st.components.v2.component(
    "study_list",
    html=(HERE / "study_list.html").read_text(),
    css=(HERE / "study_list.css").read_text(),
    js=(HERE / "study_list.js").read_text(),
)


@dataclass(frozen=True)
class Row:
    """A study as the list shows it.

    Attributes:
        id: of the study, given to whoever opens it.
        spoken: what a screen reader says.
        picture: the thumbnail as a data URL; empty where there is none.
        name, identity: what it is called, and the line below.
        verdict, tone: in words, and in which colour: "abnormal", "uncertain", "without" or "none".
        probability: that it is abnormal, 0..1; None where it is not known or not to be seen.
        critical: critical findings that are flagged, in words, with their probabilities.
        findings, more: the most probable ones of the other flagged findings, and how many there are besides.
        note: a sentence in place of the findings, or below them.
        waited: whole minutes in the list.
        status, reader: what becomes of it, and who does it; `mine`: the one who is looking does.
    """

    id: int
    spoken: str
    picture: str
    name: str
    identity: str
    verdict: str
    tone: str
    probability: float | None
    critical: tuple[tuple[str, float], ...]
    findings: tuple[tuple[str, float], ...]
    more: int
    note: str
    waited: int
    status: str
    reader: str
    mine: bool


def study_list(
    rows: Sequence[Row], key: str, on_opened: Callable[[int], None], *, current: int | None, likelihood: str, empty: str
) -> None:
    """Show studies; `on_opened` is called with the id of the one that was clicked, or opened with Enter.

    Args:
        rows: in the order in which they are shown.
        key: of the component, unique on the page.
        on_opened: called before the next run.
        current: the study that is marked at first.
        likelihood: heading of the column with the verdict and its probability.
        empty: what is said where there is no row.
    """

    def opened() -> None:
        study = st.session_state[key].opened
        if study is not None:
            on_opened(int(study))

    _LIST(
        data={
            "rows": [asdict(row) for row in rows],
            "current": current,
            "likelihood": likelihood,
            "empty": empty,
            "search": ".st-key-worklist-search input",
        },
        key=key,
        on_opened_change=opened,
    )
