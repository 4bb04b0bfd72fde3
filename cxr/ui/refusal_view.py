"""A film that got no verdict: itself, as far as it could be read, why, and what to do."""

from functools import partial

import streamlit as st

from cxr.classify import TURNED, UNREADABLE, Refusal
from cxr.model.verdict import RESEARCH_NOTICE
from cxr.radiograph import UnreadableFilm
from cxr.ui.readings import Readings
from cxr.ui.refusal_words import to_do
from cxr.ui.turning import show_menu, show_offer
from cxr.ui.viewer import ViewerFilm, film_viewer
from cxr.ui.words import plain

HEIGHT = 690
"""Of the viewer, pixels."""


def show_refused_film(session: Readings, key: str, refusal: Refusal) -> None:
    """What was refused, in the viewer: a reader wants to see it. Nothing of the model's is over it."""
    place = partial(session.place, key)
    with st.container(horizontal=True, vertical_alignment="center"):
        width, height = ("?", "?") if refusal.facts is None else (refusal.facts.width, refusal.facts.height)
        st.caption(f"**{plain(session.label(key))}**, {width} x {height} pixels", width="stretch")
        show_offer(refusal.turn, refusal.placement, place, f"refused-{key}", ask=refusal.kind == TURNED)
        show_menu(refusal.placement, place, f"refused-{key}")
    try:
        depth = session.depth(key)
    except UnreadableFilm as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return
    name = "-".join((key, *refusal.placement.steps))
    film_viewer(ViewerFilm(name, session.label(key), depth), "read-film", height=HEIGHT)


def show_refusal(session: Readings, key: str, refusal: Refusal) -> None:
    """Why there is no verdict, and what to do; no number."""
    st.header("Not analysed", anchor=False)
    st.error(plain(refusal.reason), icon=":material/block:")
    if refusal.kind == UNREADABLE:
        st.markdown(f"No verdict was given on **{plain(session.label(key))}**. The other films are not affected.")
        return
    st.markdown(plain(to_do(refusal.kind)))
    if refusal.placement.inverted:
        why = "as a reader said" if refusal.placement.grey_said else "since it seemed to be the wrong way round"
        st.caption(f"Its grey scale is shown inverted, {why}.")
    if done := refusal.placement.sentence:
        st.caption(plain(done))
    st.caption(f":material/science: {RESEARCH_NOTICE} No probability is shown where there is no verdict.")
