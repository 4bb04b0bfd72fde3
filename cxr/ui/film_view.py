"""One film with its heatmap, downloads and second opinion."""

import io
import json

import numpy as np
import streamlit as st
from PIL import Image

from cxr.classify import HEATMAP_OPACITY, Reading, as_json, heatmap, png_note
from cxr.findings import display_name
from cxr.model.bundle import Bundle
from cxr.model.heatmap import overlay
from cxr.model.verdict import Verdict
from cxr.ui.second_opinion import show_second_opinion
from cxr.ui.words import no_support, plain

LONGEST_SIDE = 1600
"""Films are shown with at most this many pixels on a side; the model and the downloads use the film itself."""


@st.fragment
def show_film(key: str, reading: Reading, verdict: Verdict, bundle: Bundle) -> None:
    """The film, large, with the heatmap of a chosen finding over it or beside it.

    Opacity starts at 0: first the film, then the evidence.
    """
    st.caption(f"**{plain(reading.name)}**, {reading.facts.width} x {reading.facts.height} pixels")
    film_place = st.container()
    pick, fade, where = st.columns([4, 4, 3], vertical_alignment="bottom")
    names = [finding.name for finding in verdict.findings]
    finding = pick.selectbox(
        "Heatmap of",
        names,
        format_func=lambda name: _option(name, verdict),
        key=f"finding-{key}",
        help="Where in the film the model finds support for one finding.",
    )
    opacity = fade.slider("Opacity", 0, 100, 0, 5, format="%d%%", key=f"opacity-{key}") / 100
    side = where.segmented_control("Heatmap", ["Over", "Beside"], default="Over", required=True, key=f"side-{key}")
    heat = heatmap(reading, finding, bundle.card)
    with film_place:
        _show_pictures(reading, finding, heat, opacity, beside=side == "Beside")
    if heat is None:
        st.caption(f":material/info: {no_support(finding)}")
    else:
        st.caption(
            "Scaled to its own strongest region: it shows where, not how much. "
            "Not yet measured against boxes that radiologists drew."
        )
    _show_downloads(key, reading, verdict, bundle, finding, heat)
    show_second_opinion(key, reading, finding, bundle)


def _show_pictures(reading: Reading, finding: str, heat: np.ndarray | None, opacity: float, beside: bool) -> None:
    over = _shrunk(overlay(reading.grey, heat, opacity))
    label = display_name(finding).lower()
    if not beside:
        st.image(over, width="stretch", alt=f"The film, heatmap of {label} at {opacity:.0%} opacity")
        return
    left, right = st.columns(2)
    left.image(_shrunk(overlay(reading.grey, None, 0)), width="stretch", alt="The film")
    right.image(over, width="stretch", alt=f"The film, heatmap of {label} at {opacity:.0%} opacity")


def _shrunk(picture: Image.Image) -> Image.Image:
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
    return picture


def _option(name: str, verdict: Verdict) -> str:
    found = next(f for f in verdict.findings if f.name == name)
    return f"{display_name(name)}, {found.probability:.2f}{', flagged' if found.flagged else ''}"


def _show_downloads(
    key: str, reading: Reading, verdict: Verdict, bundle: Bundle, finding: str, heat: np.ndarray | None
) -> None:
    def result() -> str:
        return json.dumps(as_json(reading, verdict, bundle), ensure_ascii=False, indent=1)

    def picture() -> bytes:
        file = io.BytesIO()
        overlay(reading.grey, heat, HEATMAP_OPACITY).save(file, "PNG", pnginfo=png_note())
        return file.getvalue()

    with st.container(horizontal=True):
        st.download_button(
            "Result (JSON)", result, f"{reading.name}.json", "application/json",
            icon=":material/download:", key=f"json-{key}", on_click="ignore",
        )  # fmt: skip
        st.download_button(
            "Heatmap (PNG)", picture, f"{reading.name}-{finding}.png", "image/png",
            icon=":material/download:", key=f"png-{key}", on_click="ignore", disabled=heat is None,
        )  # fmt: skip
