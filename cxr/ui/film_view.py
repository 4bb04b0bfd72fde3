"""One film in the viewer, with its heatmaps, downloads and second opinion."""

import io
import json
from functools import partial
from typing import Final

import numpy as np
import streamlit as st

from cxr.classify import HEATMAP_OPACITY, Reading, as_json, heatmap, png_note
from cxr.findings import display_name
from cxr.model.bundle import Bundle
from cxr.model.heatmap import overlay, supporting_map
from cxr.model.verdict import Verdict
from cxr.ui.downloads import lasting
from cxr.ui.evaluation.source import report_of
from cxr.ui.readings import Readings
from cxr.ui.second_opinion import show_second_opinion
from cxr.ui.turning import show_menu, show_offer
from cxr.ui.viewer import ViewerFilm, film_viewer
from cxr.ui.words import map_note, no_support, plain
from cxr.worklist.identity import clean_name

HEIGHT: Final = 690
"""Of the viewer, pixels."""


@st.fragment
def show_film(session: Readings, key: str, verdict: Verdict, bundle: Bundle) -> None:
    """The film in the viewer, with the heatmaps of all findings for whom the reader asks; then what can be taken along.

    The viewer starts without a heatmap: first the film, then the evidence.
    """
    reading = session.answers.get(key)
    if not isinstance(reading, Reading):
        st.rerun()
    place = partial(session.place, key)
    with st.container(horizontal=True, vertical_alignment="center"):
        size = f"{reading.facts.width} x {reading.facts.height} pixels"
        st.caption(f"**{plain(session.label(key))}**, {size}", width="stretch")
        show_offer(reading.turn, reading.placement, place, f"read-{key}", ask=False)
        show_menu(reading.placement, place, f"read-{key}")
    film_viewer(_viewer_film(session, key, reading, verdict, bundle), "read-film", height=HEIGHT)
    names = [finding.name for finding in (*verdict.findings, *verdict.extra)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        finding = st.selectbox(
            "Heatmap to download, or to compare",
            names,
            # Without the probability: the browser keeps what was chosen as it was written when it was.
            format_func=display_name,
            key=f"finding-{key}",
            help="For the picture beside this list and the second opinion below. The film above has a list of its own.",
        )
        available = supporting_map(reading.prediction.evidence(finding)) is not None
        _show_downloads(key, reading, verdict, bundle, finding, available)
    if not available:
        st.caption(f":material/info: {no_support(finding)}")
    show_second_opinion(session.second_opinions.setdefault(key, {}), reading, finding, bundle)


def _viewer_film(session: Readings, key: str, reading: Reading, verdict: Verdict, bundle: Bundle) -> ViewerFilm:
    report = report_of(bundle.name)
    names = [finding.name for finding in (*verdict.findings, *verdict.extra)]
    maps = {name: supporting_map(reading.prediction.evidence(name)) for name in names}
    return ViewerFilm(
        # One that was turned is another film to the viewer, which remembers where it was zoomed in.
        id="-".join((key, *reading.placement.steps)),
        title=session.label(key),
        depth=session.depth(key),
        heatmaps=maps,
        map_shift=bundle.card.map_shift,
        captions={name: _option(name, verdict) for name in names},
        notes={name: map_note(name, report, empty=grid is None) for name, grid in maps.items()},
        square=np.rint(reading.prediction.square).clip(0, 255).astype(np.uint8),
    )


def _option(name: str, verdict: Verdict) -> str:
    found = next(f for f in (*verdict.findings, *verdict.extra) if f.name == name)
    return f"{display_name(name)}, {found.probability:.3f}{', flagged' if found.flagged else ''}"


def _show_downloads(
    key: str, reading: Reading, verdict: Verdict, bundle: Bundle, finding: str, available: bool
) -> None:
    def result() -> str:
        return json.dumps(as_json(reading, verdict, bundle, reading.scope), ensure_ascii=False, indent=1)

    def picture() -> bytes:
        file = io.BytesIO()
        heat = heatmap(reading, finding, bundle.card)
        overlay(reading.grey, heat, HEATMAP_OPACITY).save(file, "PNG", pnginfo=png_note())
        return file.getvalue()

    st.download_button(
        "Heatmap (PNG)", lasting(picture, f"{clean_name(reading.name)}-{finding}.png", "image/png"),
        f"{clean_name(reading.name)}-{finding}.png", "image/png",
        icon=":material/download:", key=f"png-{key}", on_click="ignore", disabled=not available,
    )  # fmt: skip
    st.download_button(
        "Result (JSON)", lasting(result, f"{clean_name(reading.name)}.json", "application/json"),
        f"{clean_name(reading.name)}.json", "application/json",
        icon=":material/download:", key=f"json-{key}", on_click="ignore",
    )  # fmt: skip
