"""Heatmaps of the same finding by tf-keras-vis, when the reader asks for them."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cxr.classify import HEATMAP_OPACITY, Reading
from cxr.findings import display_name
from cxr.model.bundle import Bundle, BundleRejected
from cxr.model.card import Card
from cxr.model.heatmap import METHODS, overlay, shrunk, upsample
from cxr.model.second_opinion_process import NoSecondOpinion, second_opinions
from cxr.turns import LineFull, reading_line
from cxr.ui.readings import Maps
from cxr.ui.waiting import turn_of
from cxr.ui.words import no_support

PICTURE_SIDE = 700


def show_second_opinion(done: dict[str, Maps], reading: Reading, finding: str, bundle: Bundle) -> None:
    """A button, and behind it Grad-CAM, Grad-CAM++ and Score-CAM of the chosen finding side by side.

    Args:
        done: what was computed of this film before, by model and finding; gets what is computed now.
    """
    wanted = f"{bundle.sha256}-{finding}"
    with st.expander("Second opinion on the heatmap", icon=":material/compare:"):
        st.caption(
            "Other methods on the same model, by tf-keras-vis. Grad-CAM repeats the heatmap above by another road; "
            "Grad-CAM++ and Score-CAM weigh the features otherwise. Where they disagree, trust none of them."
        )
        label = f"Compute for {display_name(finding).lower()}"
        place = st.empty()
        if wanted not in done and place.button(label, icon=":material/play_arrow:"):
            progress = st.progress(0.0)
            try:
                done[wanted] = _compute(progress, reading, finding, bundle)
                place.empty()
            except LineFull as full:
                # The button stays, to try again.
                st.warning(str(full), icon=":material/hourglass_top:")
            except NoSecondOpinion as error:
                st.error(str(error), icon=":material/error:")
            except BundleRejected as error:
                place.empty()
                st.error(str(error), icon=":material/error:")
            progress.empty()
        if wanted in done:
            _show(reading, finding, done[wanted], bundle.card)


def _compute(progress: DeltaGenerator, reading: Reading, finding: str, bundle: Bundle) -> Maps:
    """The maps. It waits for a turn in the line of the films, each method for one of its own.

    Raises:
        LineFull: no more can wait.
        BundleRejected: the Keras model can't be had.
        NoSecondOpinion: the process that computes them failed.
    """
    maps: Maps = {}
    with reading_line().joined() as place:
        with turn_of(place, progress, 0.0, "the second opinion", "Loading TensorFlow"):
            second_opinions.load(bundle)
        for number, method in enumerate(METHODS):
            with turn_of(place, progress, max(0.1, number / len(METHODS)), method, f"Computing {method}"):
                maps[method] = second_opinions.heatmap(bundle, reading.prediction.square, finding, method)
    return maps


def _show(reading: Reading, finding: str, maps: Maps, card: Card) -> None:
    film = shrunk(reading.grey, PICTURE_SIDE)
    for column, (method, grid) in zip(st.columns(len(maps)), maps.items(), strict=True):
        if grid is None:
            column.markdown(f"**{method}**")
            column.caption(no_support(finding))
            continue
        picture = overlay(film, upsample(grid, film.shape[0], film.shape[1], card.map_shift), HEATMAP_OPACITY)
        column.image(picture, caption=method, width="stretch", alt=f"{method} of {display_name(finding).lower()}")
