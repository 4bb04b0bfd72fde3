"""A grid of thumbnails to choose a film from."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st

from cxr.dataset.index import FilmStore
from cxr.dataset.table import UNKNOWN, FilmTable
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import display_name
from cxr.radiograph import UnreadableFilm
from cxr.radiograph.isolated import decoder

HERE: Final = Path(__file__).resolve().parent
SIDE: Final = 240
_GRID: Final = st.components.v2.component(
    "film_grid",
    html='<div class="grid"></div>',
    css=(HERE / "film_grid.css").read_text(),
    js=(HERE / "film_grid.js").read_text(),
)


@dataclass(frozen=True)
class Thumb:
    """A film as the grid shows it.

    Attributes:
        id: image id, given to whoever chooses it.
        title: what a screen reader says.
        labels, facts: two lines below the picture.
        picture: as a data URL; empty where there is none.
        missing: why there is none.
    """

    id: str
    title: str
    labels: str
    facts: str
    picture: str
    missing: str


@st.cache_data(max_entries=4000, show_spinner=False)
def _picture(shard: str, changed: int, offset: int, _store: FilmStore, _row: int) -> tuple[str, str]:
    # `shard`, `changed` and `offset` are for the cache's key.
    try:
        small = decoder().thumbnail(_store.read(_row).image, SIDE)
    except (UnreadableShard, UnreadableFilm) as error:
        return "", str(error)
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}", ""


def thumbs(table: FilmTable, store: FilmStore | None, rows: Sequence[int]) -> list[Thumb]:
    """The films of some rows of a table. One that can't be read says so in its place; the others are not affected."""
    return [_thumb(table, store, row) for row in rows]


def _thumb(table: FilmTable, store: FilmStore | None, row: int) -> Thumb:
    film = table.films.iloc[row]
    image_id = str(film.name)
    labels = ", ".join(map(display_name, table.names(row)))
    facts = ", ".join(
        part
        for part in (
            f"{film['age']:.0f} years" if film["age"] == film["age"] else "",
            "" if film["sex"] == UNKNOWN else str(film["sex"]),
            "" if film["view"] == UNKNOWN else str(film["view"]),
            "boxes" if table.has_box[row] else "",
        )
        if part
    )
    picture, missing = "", "Not in the shards"
    if store is not None and store.available[row]:
        shard = store.shards[store.shard[row]]
        try:
            changed = shard.stat().st_mtime_ns
        except OSError as error:
            missing = f"{shard.name}: {error.strerror}"
        else:
            picture, missing = _picture(str(shard), changed, int(store.offset[row]), store, row)
    return Thumb(image_id, f"{image_id}: {labels}; {facts}", labels, facts, picture, missing)


def film_grid(films: Sequence[Thumb], key: str, on_chosen: Callable[[str], None], current: str | None = None) -> None:
    """Show films; `on_chosen` is called with the image id of the one that was clicked.

    Args:
        films: in the order in which they are shown.
        key: of the component, unique on the page.
        on_chosen: called before the next run.
        current: image id of the film that is marked.
    """

    def chosen() -> None:
        image_id = st.session_state[key].chosen
        if image_id is not None:
            on_chosen(str(image_id))

    _GRID(data={"films": [vars(film) for film in films], "current": current}, key=key, on_chosen_change=chosen)
