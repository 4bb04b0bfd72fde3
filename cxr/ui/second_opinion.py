"""Heatmaps of the same finding by tf-keras-vis, when the reader asks for them."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from cxr.classify import HEATMAP_OPACITY, Reading
from cxr.findings import display_name
from cxr.model.bundle import Bundle, load_bundle
from cxr.model.card import Card
from cxr.model.heatmap import overlay, upsample
from cxr.ui.words import no_support

if TYPE_CHECKING:
    import keras

METHODS = ("Grad-CAM", "Grad-CAM++", "Score-CAM")


@st.cache_resource(max_entries=1, show_spinner="Loading TensorFlow and the Keras model")
def _keras_model(sha256: str, _bundle: Bundle) -> "keras.Model":
    from cxr.model.export import load_keras

    return load_keras(load_bundle(_bundle.path))


def show_second_opinion(key: str, reading: Reading, finding: str, bundle: Bundle) -> None:
    """A button, and behind it Grad-CAM, Grad-CAM++ and Score-CAM of the chosen finding side by side."""
    done: dict[str, dict[str, np.ndarray | None]] = st.session_state.setdefault("second_opinions", {})
    wanted = f"{bundle.sha256}-{key}-{finding}"
    with st.expander("Second opinion on the heatmap", icon=":material/compare:"):
        st.caption(
            "Other methods on the same model, by tf-keras-vis. Grad-CAM repeats the heatmap above by another road; "
            "Grad-CAM++ and Score-CAM weigh the features otherwise. Where they disagree, trust none of them."
        )
        label = f"Compute for {display_name(finding).lower()}"
        place = st.empty()
        if wanted not in done and place.button(label, icon=":material/play_arrow:", key=f"second-{wanted}"):
            done[wanted] = _compute(reading, finding, bundle)
            place.empty()
        if wanted in done:
            _show(reading, finding, done[wanted], bundle.card)


def _compute(reading: Reading, finding: str, bundle: Bundle) -> dict[str, np.ndarray | None]:
    progress = st.progress(0.0, "Loading TensorFlow")
    # Imported here: the serving path does without TensorFlow.
    from cxr.model.second_opinion import second_opinion

    model = _keras_model(bundle.sha256, bundle)
    maps: dict[str, np.ndarray | None] = {}
    progress.progress(0.1, f"Computing {METHODS[0]}")
    for method, grid in second_opinion(model, reading.prediction.square, finding, METHODS):
        maps[method] = grid
        following = METHODS[len(maps)] if len(maps) < len(METHODS) else ""
        progress.progress(len(maps) / len(METHODS), f"Computing {following}" if following else "Done")
    progress.empty()
    return maps


def _show(reading: Reading, finding: str, maps: dict[str, np.ndarray | None], card: Card) -> None:
    for column, (method, grid) in zip(st.columns(len(maps)), maps.items(), strict=True):
        if grid is None:
            column.markdown(f"**{method}**")
            column.caption(no_support(finding))
            continue
        height, width = reading.grey.shape
        heat = upsample(grid, height, width, card.map_shift)
        picture = overlay(reading.grey, heat, HEATMAP_OPACITY)
        picture.thumbnail((700, 700))
        column.image(picture, caption=method, width="stretch", alt=f"{method} of {display_name(finding).lower()}")
