"""What a reader says of a study: abnormal or not, finding by finding, in words; every change is sent at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st

from cxr.worklist.opinions import Stage, View

HERE: Final = Path(__file__).resolve().parent
_FORM: Final = st.components.v2.component(
    "opinion_form",
    html=(HERE / "opinion_form.html").read_text(),
    css=(HERE / "opinion_form.css").read_text(),
    js=(HERE / "opinion_form.js").read_text(),
)


@dataclass(frozen=True)
class FindingLine:
    """A finding in the form.

    Attributes:
        name, label: as the data set spells it, and as a reader sees it.
        probability: of the model, 0..1; None where it has not this finding, or it is not to be seen.
        flagged: by the model; None where it says nothing.
        map: whether a click on the name shows where in the film the model finds support.
    """

    name: str
    label: str
    probability: float | None = None
    flagged: bool | None = None
    map: bool = False


@dataclass(frozen=True)
class Form:
    """What the form shows.

    Attributes:
        id: of study, reader and stage: with another one the form starts from `view`, else what stands in it stays.
        view: what was given so far.
        lines: the findings, in their order.
        finding: of which the map is shown.
        likelihood: what the model's numbers are.
        disabled: nothing can be changed.
        saved, failed: when it was saved last, or why it was not.
    """

    id: str
    view: View
    lines: Sequence[FindingLine]
    finding: str | None
    likelihood: str
    disabled: bool
    saved: str
    failed: bool


def opinion_form(form: Form, key: str, on_sent: Callable[[View, str | None], None]) -> None:
    """Show the form.

    Args:
        form: what it shows.
        key: of the component, unique on the page.
        on_sent: called before the next run with what the reader says now, and with what he wants: "done", "show",
            "back", "map " and a finding, or None for a mere change. The view is of the stage that the reader saw.
    """

    def sent() -> None:
        message = st.session_state[key].sent
        # A message from the form of another study, sent as the page changed, is of that study and comes too late.
        if message is not None and message["id"] == form.id:
            on_sent(_view(form.view.stage, message["view"]), message["act"])

    view = form.view
    _FORM(
        data={
            "id": form.id,
            "view": {
                "valid": view.valid,
                "abnormal": view.abnormal,
                "findings": dict(view.findings),
                "text": view.text,
            },
            "rows": [asdict(line) for line in form.lines],
            "informed": view.stage == "informed",
            "finding": form.finding,
            "likelihood": form.likelihood,
            "disabled": form.disabled,
            "saved": form.saved,
            "failed": form.failed,
        },
        key=key,
        on_sent_change=sent,
    )


def _view(stage: Stage, given: Mapping[str, Any]) -> View:
    """What came from the browser, checked by `View`."""
    return View(stage, bool(given["valid"]), given["abnormal"], dict(given["findings"]), str(given["text"]))
