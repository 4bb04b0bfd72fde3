"""One film with its heatmap, downloads and second opinion."""

import io
import json

import numpy as np
import streamlit as st

from cxr.classify import HEATMAP_OPACITY, Reading, as_json, heatmap, png_note
from cxr.findings import display_name
from cxr.model.bundle import Bundle
from cxr.model.card import Card
from cxr.model.heatmap import overlay, shrunk, supporting_map, upsample
from cxr.model.verdict import Verdict
from cxr.ui.evaluation.source import report_of
from cxr.ui.readings import Readings
from cxr.ui.second_opinion import show_second_opinion
from cxr.ui.words import map_trust, no_support, plain


@st.fragment
def show_film(session: Readings, key: str, verdict: Verdict, bundle: Bundle) -> None:
    """The film, large, with the heatmap of a chosen finding over it or beside it.

    Opacity starts at 0: first the film, then the evidence.
    """
    reading = session.answers.get(key)
    if not isinstance(reading, Reading):
        st.rerun()
    st.caption(f"**{plain(session.label(key))}**, {reading.facts.width} x {reading.facts.height} pixels")
    film_place = st.container()
    pick, fade, where = st.columns([4.5, 3.5, 4], vertical_alignment="bottom")
    names = [finding.name for finding in (*verdict.findings, *verdict.extra)]
    finding = pick.selectbox(
        "Heatmap of",
        names,
        format_func=lambda name: _option(name, verdict),
        key=f"finding-{key}",
        help="Where in the film the model finds support for one finding.",
    )
    opacity = fade.slider("Opacity", 0, 100, 0, 5, format="%d%%", key=f"opacity-{key}") / 100
    side = where.segmented_control("Heatmap", ["Over", "Beside"], default="Over", required=True, key=f"side-{key}")
    grid = supporting_map(reading.prediction.evidence(finding))
    with film_place:
        _show_pictures(reading.grey, grid, finding, opacity, bundle.card, beside=side == "Beside")
    if grid is None:
        st.caption(f":material/info: {no_support(finding)}")
    else:
        trust = map_trust(finding, report_of(bundle.name))
        st.caption(f"Scaled to its own strongest region: it shows where, not how much. {trust}")
    _show_downloads(key, reading, verdict, bundle, finding, available=grid is not None)
    show_second_opinion(session.second_opinions.setdefault(key, {}), reading, finding, bundle)


def _show_pictures(
    grey: np.ndarray, grid: np.ndarray | None, finding: str, opacity: float, card: Card, beside: bool
) -> None:
    film = shrunk(grey)
    heat = None if grid is None or opacity == 0 else upsample(grid, film.shape[0], film.shape[1], card.map_shift)
    alt = f"The film, heatmap of {display_name(finding).lower()} at {opacity:.0%} opacity"
    if not beside:
        st.image(overlay(film, heat, opacity), width="stretch", alt=alt)
        return
    left, right = st.columns(2)
    left.image(overlay(film, None, 0), width="stretch", alt="The film")
    right.image(overlay(film, heat, opacity), width="stretch", alt=alt)


def _option(name: str, verdict: Verdict) -> str:
    found = next(f for f in (*verdict.findings, *verdict.extra) if f.name == name)
    return f"{display_name(name)}, {found.probability:.3f}{', flagged' if found.flagged else ''}"


def _show_downloads(
    key: str, reading: Reading, verdict: Verdict, bundle: Bundle, finding: str, available: bool
) -> None:
    def result() -> str:
        return json.dumps(as_json(reading, verdict, bundle), ensure_ascii=False, indent=1)

    def picture() -> bytes:
        file = io.BytesIO()
        heat = heatmap(reading, finding, bundle.card)
        overlay(reading.grey, heat, HEATMAP_OPACITY).save(file, "PNG", pnginfo=png_note())
        return file.getvalue()

    with st.container(horizontal=True):
        st.download_button(
            "Result (JSON)", result, f"{reading.name}.json", "application/json",
            icon=":material/download:", key=f"json-{key}", on_click="ignore",
        )  # fmt: skip
        st.download_button(
            "Heatmap (PNG)", picture, f"{reading.name}-{finding}.png", "image/png",
            icon=":material/download:", key=f"png-{key}", on_click="ignore", disabled=not available,
        )  # fmt: skip
