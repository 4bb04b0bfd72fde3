"""Who is asking, and what they may do."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import streamlit as st

from cxr.account import account

FORWARDED: Final = {"forwarded", "x-forwarded-for", "x-real-ip"}
"""Headers that a proxy adds: behind it, the loopback address says nothing of who is asking."""


@dataclass(frozen=True)
class Person:
    """Somebody at a browser.

    Attributes:
        name: under which actions are recorded.
        administrator: may start jobs and decide which model serves.
        why: why they are what they are, in one sentence.
    """

    name: str
    administrator: bool
    why: str


def asking() -> Person:
    """Who is asking. There is no login: on one's own machine everybody is the administrator; elsewhere, and through a
    proxy, nobody is."""
    address = str(st.get_option("server.address") or "")
    if forwarded := FORWARDED & {name.lower() for name in st.context.headers}:
        return Person(
            "somebody",
            False,
            f"The request came through a proxy ({', '.join(sorted(forwarded))}) and the app has no login, so nobody is "
            "an administrator here; open it on its own machine.",
        )
    if only_this_machine(address):
        name = account("local administrator")
        return Person(name, True, f"The app answers this machine only ({address}), so {name} is its administrator.")
    where = f"on {address}" if address else "on every network of this machine"
    return Person(
        "somebody",
        False,
        f"The app answers {where} and has no login, so nobody is an administrator here; start it on 127.0.0.1.",
    )


def only_this_machine(address: str) -> bool:
    """Whether a server that is bound to an address (a name or number; "": all) answers its own machine only."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def administrator() -> Person:
    """The administrator who is asking; anybody else gets a sentence, and the page ends there."""
    person = asking()
    if not person.administrator:
        st.error(person.why, icon=":material/lock:")
        st.stop()
    return person
