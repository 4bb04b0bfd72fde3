"""Who reads, and whether blind first: kept for the session, and in the address so that a reload does not lose it."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from cxr.settings import settings
from cxr.ui.identity import LONGEST, Person

READER: Final = "worklist-reader"
BLIND: Final = "worklist-blind"
PARAMETERS: Final = {READER: "reader", BLIND: "blind"}


@dataclass(frozen=True)
class Reader:
    """Who reads, under which name, and whether he wants to see the film before the verdict.

    Attributes:
        person: who is asking.
        name: the person's own where they logged in; on one's own machine whatever they say it is.
    """

    person: Person
    name: str
    blind: bool


def reader(person: Person) -> Reader:
    """Who reads in this session: who logged in; without a login the account that runs the app, unless he says another
    name."""
    blind = _kept(BLIND)
    name = ""
    if person.login is None:
        name = " ".join("".join(c if c.isprintable() else " " for c in _kept(READER)).split())[:LONGEST]
    return Reader(person, name or person.name, blind == "1" if blind else settings().blind_first)


def _kept(key: str) -> str:
    """What the session keeps, or after a reload the address; both know it from then on."""
    parameter = PARAMETERS[key]
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
        st.session_state[READER] = st.session_state.get(name, "").strip()
        st.session_state[BLIND] = "1" if st.session_state[blind] else "0"

    if who.person.login is None:
        st.text_input(
            "Reading as",
            # As a default, and not put into the session: a browser that missed the one run that says so would send
            # back "".
            value=who.name,
            key=name,
            max_chars=LONGEST,
            on_change=changed,
            help="There is no login. Under this name you claim studies, and your readings and the audit trail have it.",
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
