"""Turning a film of the worklist: the offer where it seems to lie wrong, and the menu for every other one."""

from functools import partial

import streamlit as st

from cxr.classify import LIES, TURNED
from cxr.radiograph.placement import Placement
from cxr.ui.turning import Place, show_menu, show_offer
from cxr.ui.words import plain
from cxr.worklist.claims import InReading
from cxr.worklist.database import Database, DatabaseUnavailable
from cxr.worklist.studies import FilmRow
from cxr.worklist.turning import NoSuchFilm, turn_film


def show_turn_offer(db: Database, film: FilmRow, reader: str, *, disabled: bool) -> None:
    """What a film seems to lie like, and one click to have it right for everybody; nothing where nothing seems wrong.

    Args:
        film: that is looked at.
        reader: who is looking; goes into the audit trail.
        disabled: somebody else reads the study.
    """
    if film.seems not in LIES:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":orange[:material/warning: **{plain(LIES[film.seems])}.**]", width="content")
        asks = film.refused_as == TURNED
        show_offer(film.seems, film.placement, _place(db, film, reader), f"film-{film.id}", ask=asks, disabled=disabled)


def show_turn_menu(db: Database, film: FilmRow, reader: str, *, disabled: bool) -> None:
    """Every way to turn a film; arguments as of `show_turn_offer`."""
    show_menu(film.placement, _place(db, film, reader), f"film-{film.id}", disabled=disabled)


def _place(db: Database, film: FilmRow, reader: str) -> Place:
    return partial(_turn, db, film.id, reader)


def _turn(db: Database, film: int, reader: str, placement: Placement) -> None:
    try:
        turn_film(db, film, placement, reader)
    except (DatabaseUnavailable, InReading, NoSuchFilm) as error:
        st.toast(f"Not changed. {error}", icon=":material/error:")
