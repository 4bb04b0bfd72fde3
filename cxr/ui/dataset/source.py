"""Which table the dataset page shows, and where its films lie."""

from pathlib import Path
from typing import Final

import streamlit as st

from cxr.dataset.csv_file import InvalidTable
from cxr.dataset.index import FilmStore, film_store, fingerprint, index_shards, unindexed
from cxr.dataset.shards import find_shards
from cxr.dataset.table import FilmTable, release
from cxr.settings import settings
from cxr.ui.words import plain

UPLOAD: Final = "dataset-upload"
PROBLEMS: Final = "dataset-problems"
UPLOADER: Final = "dataset-uploader"


@st.cache_resource(max_entries=2, show_spinner="Reading the table")
def _folder_table(folder: str, state: str) -> FilmTable:
    # `state` is for the cache's key: it changes with the files.
    from cxr.dataset.kaggle import load_folder

    return load_folder(Path(folder))


def _state(folder: Path) -> str:
    return fingerprint(sorted(folder.glob("*.csv*")))


def current_table() -> FilmTable:
    """The table of this session: one that was uploaded, or that of the folder `data`, or NIH's as it ships.

    A folder that can't be used is said so above NIH's table.
    """
    if UPLOAD in st.session_state:
        uploaded: FilmTable = st.session_state[UPLOAD]
        return uploaded
    folder = settings().data
    if folder is None:
        return release()
    try:
        return _folder_table(str(folder), _state(folder))
    except InvalidTable as error:
        _show_problems(error, f"Shown instead: {release().name} as it ships with the app.")
    except OSError as error:
        st.error(f"{plain(str(folder))} can't be read: {error.strerror}. Shown instead: {release().name} as it ships.")
    return release()


def show_upload() -> None:
    """Where a table of one's own comes in. A bad one leaves the table as it is."""
    with st.expander("Another table", icon=":material/table:"):
        key = f"dataset-file-{st.session_state.get(UPLOADER, 0)}"
        st.file_uploader(
            "A CSV in the layout of preprocessed_data.csv",
            type="csv",
            key=key,
            on_change=_take,
            args=(key,),
            help="Image ids in a first column without a name, then the 15 columns of 0 and 1. It is kept nowhere.",
        )
        if UPLOAD in st.session_state:
            st.button("Back to the table before", on_click=_forget, width="stretch")


def show_problems(table: FilmTable) -> None:
    """What is wrong with the table that was uploaded last, until the next one comes or the reader has seen it."""
    if PROBLEMS in st.session_state:
        _show_problems(st.session_state[PROBLEMS], f"Still shown: {table.name}.")
        st.button("Dismiss", on_click=_dismiss)


def _dismiss() -> None:
    del st.session_state[PROBLEMS]


def _take(key: str) -> None:
    from cxr.dataset.kaggle import load_upload

    upload = st.session_state[key]
    if upload is None:
        return
    st.session_state.pop(PROBLEMS, None)
    try:
        st.session_state[UPLOAD] = load_upload(upload.getvalue(), upload.name)
    except InvalidTable as error:
        st.session_state[PROBLEMS] = error
    # What lay in the uploader is taken over or refused; the next run shows an empty one.
    st.session_state[UPLOADER] = st.session_state.get(UPLOADER, 0) + 1


def _forget() -> None:
    st.session_state.pop(UPLOAD, None)
    st.session_state.pop(PROBLEMS, None)


def _show_problems(error: InvalidTable, consequence: str) -> None:
    listed = "\n".join(f"- {plain(str(problem))}" for problem in error.problems)
    st.error(f"**{plain(error.name)}** can't be used. {plain(consequence)}\n\n{listed}", icon=":material/error:")


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(folder: str, state: str, digest: str, _table: FilmTable) -> FilmStore:
    # `state` and `digest` are for the cache's key: they change with the shards and with the table.
    return film_store(index_shards(find_shards(Path(folder)), settings().cache_dir), _table)


def current_store(table: FilmTable) -> FilmStore | None:
    """Where the films of the table lie; None without shards. Indexes shards that are new, with progress."""
    folder = settings().data
    shards = find_shards(folder) if folder is not None else []
    if folder is None or not shards:
        return None
    if new := unindexed(shards, settings().cache_dir):
        progress = st.empty()

        def show(done: int, of: int) -> None:
            progress.progress(done / of, f"Finding the films in {of} new shards: {done} done")

        index_shards(new, settings().cache_dir, show)
        progress.empty()
    return _store(str(folder), fingerprint(shards), table.digest, table)
