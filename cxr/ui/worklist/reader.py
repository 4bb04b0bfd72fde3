"""Who reads, and whether blind first: kept for the session, and in the address so that a reload does not lose it."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from cxr.settings import settings
from cxr.ui.who import asking

READER: Final = "worklist-reader"
BLIND: Final = "worklist-blind"
PARAMETERS: Final = {READER: "reader", BLIND: "blind"}
LONGEST: Final = 80


@dataclass(frozen=True)
class Reader:
    """Who reads, under which name, and whether he wants to see the film before the verdict.

    Attributes:
        name: "" where nobody knows it: several may be at the app, and none has said who he is.
    """

    name: str
    blind: bool


def reader() -> Reader:
    """Who reads in this session. There is no login: on one's own machine the account that runs the app, unless he says
    another name; elsewhere only who says his name."""
    kept = {key: _kept(key, parameter) for key, parameter in PARAMETERS.items()}
    name = " ".join("".join(c if c.isprintable() else " " for c in kept[READER]).split())[:LONGEST]
    person = asking()
    if not name and person.administrator:
        name = person.name
    return Reader(name, kept[BLIND] == "1" if kept[BLIND] else settings().blind_first)


def _kept(key: str, parameter: str) -> str:
    """What the session keeps, or after a reload the address; both know it from then on."""
    if key not in st.session_state:
        st.session_state[key] = str(st.query_params.get(parameter, ""))
    value = str(st.session_state[key])
    if value and st.query_params.get(parameter) != value:
        st.query_params[parameter] = value
    elif not value:
        st.query_params.pop(parameter, None)
    return value


def show_reader(who: Reader) -> None:
    """Where the reader says who he is, and how he wants to read."""
    name, blind = f"{READER}-field", f"{BLIND}-field"

    def changed() -> None:
        st.session_state[READER] = st.session_state[name].strip()
        st.session_state[BLIND] = "1" if st.session_state[blind] else "0"

    st.text_input(
        "Reading as",
        # As a default, and not put into the session: a browser that missed the one run that says so would send back "".
        value=who.name,
        key=name,
        max_chars=LONGEST,
        on_change=changed,
        help="The app has no login. Under this name you claim studies, and your readings and the audit trail have it.",
    )
    st.toggle(
        "Blind first",
        value=who.blind,
        key=blind,
        on_change=changed,
        help="The verdict, the findings and the heatmaps of a study stay hidden until you have said what you see. Both "
        "readings are kept: the one before, and the one after. By risk, the place in the list still tells something; "
        "order by arrival to know nothing.",
    )
