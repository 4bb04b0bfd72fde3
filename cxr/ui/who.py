"""Who is asking, and what they may do."""

import time

import streamlit as st

from cxr.account import account
from cxr.ui.addresses import FORWARDED, only_this_machine
from cxr.ui.identity import Person, Role, person_of
from cxr.ui.login import ended, login


def asking() -> Person:
    """Who is asking: by their login; without one, on one's own machine, the administrator. Through a proxy, or on
    another address, nobody is anybody without a login."""
    if login() is not None:
        return person_of(st.user.to_dict(), time.time(), ended())
    if forwarded := FORWARDED & {name.lower() for name in st.context.headers}:
        return Person("", None, behind_a_proxy(forwarded))
    address = str(st.get_option("server.address") or "")
    if not only_this_machine(address):
        return Person("", None, on_another_address(address))
    name = account("local administrator")
    return Person(
        name,
        Role.ADMINISTRATOR,
        f"The app answers this machine only ({address}) and has no login, so {name} is its administrator.",
    )


def behind_a_proxy(headers: frozenset[str]) -> str:
    """Why a request with these headers gets no answer where there is no login."""
    return (
        f"The request came through a proxy ({', '.join(sorted(headers))}) and this app has no login: open it on its "
        "own machine, or set up a login (README)."
    )


def on_another_address(address: str) -> str:
    """Why the app is not served on this address ("": all) without a login."""
    where = f"on {address}" if address else "on every network of this machine"
    return (
        f"The app would answer {where} and has no login, so anybody there would be its administrator: start it on "
        "127.0.0.1, or set up a login (README)."
    )
