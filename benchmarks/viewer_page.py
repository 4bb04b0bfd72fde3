"""The page that `benchmarks.viewer` measures: one film, shown when it is asked for."""

import os
from pathlib import Path

import streamlit as st

from benchmarks.viewer_film import maps
from cxr.radiograph import full_depth
from cxr.ui.viewer import ViewerFilm, film_viewer


@st.cache_resource
def depth():
    return full_depth(Path(os.environ["VIEWER_FILM"]).read_bytes())


st.set_page_config(layout="wide")
depth()
if st.button("Show"):
    film_viewer(ViewerFilm("film", "Film", depth(), heatmaps=maps()), "viewer", height=860)
