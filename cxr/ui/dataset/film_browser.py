"""The films of a selection, as pictures and as a table."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from cxr.dataset.index import FilmStore
from cxr.dataset.table import FilmTable
from cxr.findings import CATEGORIES, display_name
from cxr.report.csv_cells import csv_text, harmless_table
from cxr.ui.dataset.film_detail import FILM, open_film, show_film_of_set
from cxr.ui.dataset.film_grid import film_grid, thumbs
from cxr.ui.downloads import lasting
from cxr.ui.words import plain

PICTURES: Final = 24
ROWS: Final = 100
HOW_TO_GET: Final = (
    "The films themselves do not come with the app: download “NIH Chest X-rays TFRecords” from Kaggle and start with "
    "`CXR_DATA=/path/to/it make app`."
)
Order = Callable[[FilmTable, np.ndarray, int], np.ndarray]


def _by_patient(table: FilmTable, rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.lexsort((table.rank[rows], table.films["patient"].to_numpy()[rows]))]


def _shuffled(table: FilmTable, rows: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(rows)


def _most_findings(table: FilmTable, rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.argsort(-table.labels[rows, 1:].sum(axis=1, dtype=int), kind="stable")]


def _youngest(table: FilmTable, rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.argsort(table.films["age"].to_numpy()[rows], kind="stable")]


def _oldest(table: FilmTable, rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.argsort(-table.films["age"].to_numpy()[rows], kind="stable")]


ORDERS: Final[dict[str, Order]] = {
    "Shuffled": _shuffled,
    "By patient": _by_patient,
    "Most findings first": _most_findings,
    "Youngest first": _youngest,
    "Oldest first": _oldest,
}


def show_browser(table: FilmTable, store: FilmStore | None, rows: np.ndarray) -> None:
    """The films of the rows (m,) that the filters leave, or the one that is open."""
    for fault in () if store is None else store.faults:
        st.warning(plain(fault), icon=":material/broken_image:")
    ordered, view = _show_controls(table, store, rows)
    image_id = st.session_state.get(FILM)
    if image_id is not None and image_id in table.row.index:
        show_film_of_set(table, store, int(table.row[image_id]), ordered)
        return
    if image_id is not None:
        st.info(f"There is no film {plain(image_id)} in this table.", icon=":material/search_off:")
    if not len(ordered):
        what = "No film satisfies these filters." if not len(rows) else "None of these films is in the shards."
        st.info(what, icon=":material/hide_image:")
        return
    if view == "Pictures":
        _show_pictures(table, store, ordered)
    else:
        _show_rows(table, ordered)
    st.download_button(
        f"All {len(ordered):,} rows (CSV)",
        lasting(lambda: csv_text(_listed(table, ordered)), "films.csv", "text/csv"),
        "films.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _show_controls(table: FilmTable, store: FilmStore | None, rows: np.ndarray) -> tuple[np.ndarray, str]:
    """What is shown of the rows, in which order; "Pictures" or "Table"."""
    if store is None:
        st.info(HOW_TO_GET, icon=":material/download:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = "Table"
        if store is not None:
            view = st.segmented_control(
                "Show",
                ["Pictures", "Table"],
                default="Pictures",
                required=True,
                key="films-as",
                persist_state="session",
            )
        order = st.selectbox("Order", list(ORDERS), key="order", persist_state="session", width=210)
        seed = 0
        if order == "Shuffled":
            seed = st.number_input(
                "Seed", min_value=0, max_value=999_999, value=0, key="seed", persist_state="session", width=150,
                help="The same seed gives the same order again.",
            )  # fmt: skip
        here = rows if store is None or view == "Table" else rows[store.available[rows]]
        if store is not None:
            st.caption(f"{int(store.available[rows].sum()):,} of the {len(rows):,} selected films are in the shards.")
    return ORDERS[order](table, here, int(seed)), view


def _page(ordered: np.ndarray, size: int) -> list[int]:
    pages = max(1, -(-len(ordered) // size))
    # Its own place for each number of pages: the page that was looked at may not exist among others.
    page = st.pagination(pages, key=f"page-{pages}", persist_state="session") if pages > 1 else 1
    return [int(row) for row in ordered[(page - 1) * size : page * size]]


def _show_pictures(table: FilmTable, store: FilmStore | None, ordered: np.ndarray) -> None:
    place = st.container()
    shown = _page(ordered, PICTURES)
    with place:
        film_grid(thumbs(table, store, shown), "films", open_film)


def _show_rows(table: FilmTable, ordered: np.ndarray) -> None:
    place = st.container()
    shown = _listed(table, np.array(_page(ordered, ROWS), int))
    with place:
        chosen = st.dataframe(
            harmless_table(shown),
            hide_index=True,
            on_select="rerun",
            selection_mode="single-row",
            height=560,
            key="film-table",
            alt="Films with their labels, patient, follow-up, age, sex and view",
        )
    if chosen.selection.rows:
        open_film(str(shown["Film"].iloc[chosen.selection.rows[0]]))
        st.rerun()


def _listed(table: FilmTable, rows: np.ndarray) -> pd.DataFrame:
    kinds, kind = table.combination
    words = [", ".join(display_name(n) for n, value in zip(CATEGORIES, k, strict=True) if value) for k in kinds]
    films = table.films.iloc[rows]
    return pd.DataFrame(
        {
            "Film": films.index,
            "Labels": np.array(words, object)[kind[rows]],
            "Patient": films["patient"].to_numpy(),
            "Follow-up": films["follow_up"].to_numpy(),
            "Age": films["age"].to_numpy(),
            "Sex": films["sex"].astype(str).to_numpy(),
            "View": films["view"].astype(str).to_numpy(),
            "Boxes": np.bincount(table.box_row, minlength=len(table))[rows],
        }
    )
