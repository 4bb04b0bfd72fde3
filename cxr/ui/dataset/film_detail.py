"""One film of a data set: large, with its boxes, its metadata, and the same patient's other films."""

from hashlib import sha256
from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from cxr.dataset.index import FilmStore
from cxr.dataset.shards import Record
from cxr.dataset.table import FILM_SIDE, UNKNOWN, FilmTable
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import display_name
from cxr.radiograph import FullDepth, UnreadableFilm
from cxr.radiograph.isolated import decoder
from cxr.ui.dataset.film_grid import film_grid, thumbs
from cxr.ui.readings import CHOSEN, Film, readings, take_in
from cxr.ui.viewer import Box, ViewerFilm, film_viewer
from cxr.ui.words import plain

FILM: Final = "dataset-film"
"""Where the session keeps the image id of the film that is open, or None."""
HEIGHT: Final = 680
"""Of the viewer, pixels."""
OTHERS: Final = 12
SEEN: Final = (
    "A film of a data set: if the model was trained on this patient, its verdict looks better than on a new one."
)


def open_film(image_id: str | None) -> None:
    """Open a film, or with None the list again."""
    st.session_state[FILM] = image_id


def show_film_of_set(table: FilmTable, store: FilmStore | None, row: int, rows: np.ndarray) -> None:
    """The film of a row, with steps to its neighbours in `rows` (m,), the films in the order of the list."""
    image_id = str(table.films.index[row])
    _show_steps(table, row, rows)
    picture, words = st.columns([7, 4], gap="medium")
    record = _record(store, row, picture)
    boxes = table.boxes[table.box_row == row]
    with picture:
        if store is not None and record is not None:
            _show_picture(table, store, row, record)
    with words:
        st.header(plain(image_id), anchor=False)
        st.markdown(" ".join(f":blue-badge[{display_name(name)}]" for name in table.names(row)))
        st.table(_facts(table, row, record), border="horizontal", width="content")
        if len(boxes):
            st.dataframe(_box_table(boxes), hide_index=True, width="content", alt=f"Boxes on {image_id}")
        if record is not None and st.button("Read this film", type="primary", icon=":material/radiology:"):
            _read(record, table.names(row))
        if record is not None:
            st.caption("Opens it on the page Read a film, with its labels hidden until you ask for them.")
    _show_others(table, store, row)


def _show_steps(table: FilmTable, row: int, rows: np.ndarray) -> None:
    place = np.flatnonzero(rows == row)
    ids = table.films.index
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("All films", icon=":material/arrow_back:", on_click=open_film, args=(None,))
        if len(place):
            here = int(place[0])
            before, after = rows[here - 1] if here else None, rows[here + 1] if here + 1 < len(rows) else None
            for label, icon, to in (("Previous", "chevron_left", before), ("Next", "chevron_right", after)):
                st.button(
                    label, icon=f":material/{icon}:", disabled=to is None, on_click=open_film,
                    args=(None if to is None else str(ids[to]),),
                )  # fmt: skip
            st.caption(f"{here + 1:,} of {len(rows):,}")
        else:
            st.caption("Not among the films of the list.")


def _record(store: FilmStore | None, row: int, place: st.delta_generator.DeltaGenerator) -> Record | None:
    if store is None or not store.available[row]:
        place.info("The film itself is not in the shards; the table knows it.", icon=":material/hide_image:")
        return None
    try:
        return store.read(row)
    except UnreadableShard as error:
        place.error(f"{plain(str(error))} The other films are not affected.", icon=":material/broken_image:")
        return None


def _show_picture(table: FilmTable, store: FilmStore, row: int, record: Record) -> None:
    try:
        shown = _viewer_film(table, row, record)
    except UnreadableFilm as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return
    film_viewer(shown, "dataset-viewer", previous=_previous(table, store, row), height=HEIGHT)


def _viewer_film(table: FilmTable, row: int, record: Record) -> ViewerFilm:
    depth = _depth(sha256(record.image).hexdigest(), record.image)
    # Boxes are told in pixels of the film at 1024 x 1024.
    across, down = depth.facts.width / FILM_SIDE, depth.facts.height / FILM_SIDE
    boxes = tuple(
        Box(display_name(box["finding"]), box["x"] * across, box["y"] * down, box["w"] * across, box["h"] * down)
        for _, box in table.boxes[table.box_row == row].iterrows()
    )
    return ViewerFilm(id=record.image_id, title=record.image_id, depth=depth, boxes=boxes)


@st.cache_resource(max_entries=6, show_spinner=False)
def _depth(digest: str, _image: bytes) -> FullDepth:
    # `digest` is the cache's key.
    return decoder().full_depth(_image)


def _previous(table: FilmTable, store: FilmStore, row: int) -> ViewerFilm | None:
    """The patient's film before this one, to be compared; None where there is none, or it can't be read."""
    code = table.patient[1]
    earlier = np.flatnonzero((code == code[row]) & (table.rank < table.rank[row]) & store.available)
    if not len(earlier):
        return None
    before = int(earlier[np.argmax(table.rank[earlier])])
    try:
        return _viewer_film(table, before, store.read(before))
    except (UnreadableShard, UnreadableFilm) as error:
        st.caption(f":material/broken_image: The film before it can't be compared. {plain(str(error))}")
        return None


def _facts(table: FilmTable, row: int, record: Record | None) -> dict[str, str]:
    film = table.films.iloc[row]
    same = int((table.patient[1] == table.patient[1][row]).sum())
    facts = {
        "Patient": f"{film['patient']}, {same} {'film' if same == 1 else 'films'}",
        "Follow-up": f"{film['follow_up']} ({table.rank[row] + 1} of {same} in order)",
        "Age": "unknown" if np.isnan(film["age"]) else f"{film['age']:.0f} years",
        "Sex": {"F": "female", "M": "male", UNKNOWN: UNKNOWN}[film["sex"]],
        "View": str(film["view"]),
    }
    return facts if record is None else facts | {"File": f"{len(record.image) / 1000:,.0f} kB"}


def _box_table(boxes: pd.DataFrame) -> pd.DataFrame:
    numbers = boxes[["x", "y", "w", "h"]].round().astype(int)
    numbers.columns = pd.Index(["Left", "Top", "Width", "Height"])
    return numbers.assign(Box=[display_name(name) for name in boxes["finding"]])[["Box", *numbers.columns]]


def _read(record: Record, labels: list[str]) -> None:
    taken = take_in(readings(), [Film(record.image_id, record.image, SEEN, tuple(labels))])
    if taken:
        st.session_state[CHOSEN] = taken[0]
        st.switch_page("pages/read_film.py")


def _show_others(table: FilmTable, store: FilmStore | None, row: int) -> None:
    code = table.patient[1]
    same = np.flatnonzero(code == code[row])
    same = same[np.argsort(table.rank[same])]
    if len(same) == 1:
        st.caption("The only film of this patient.")
        return
    st.subheader(f"All {len(same)} films of patient {table.films['patient'].iloc[row]}, in order", anchor=False)
    pages = -(-len(same) // OTHERS)
    page = int(np.flatnonzero(same == row)[0]) // OTHERS
    if pages > 1:
        page = st.pagination(pages, default=page + 1, key=f"others-{row}") - 1
    shown = [int(other) for other in same[page * OTHERS : (page + 1) * OTHERS]]
    film_grid(thumbs(table, store, shown), "others", open_film, str(table.films.index[row]))
