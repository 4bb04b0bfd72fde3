"""A study's films without whose they are, to take away: looked through first, then downloaded."""

from contextlib import AbstractContextManager
from typing import Final

import numpy as np
import streamlit as st
from PIL import Image

from cxr.radiograph.box import Box
from cxr.report.deidentify import FilmCopy, copies_of, export_zip, new_key
from cxr.turns import LineFull, reading_line
from cxr.ui.downloads import lasting
from cxr.ui.waiting import turn_of
from cxr.ui.words import plain
from cxr.worklist.audit import NotRecorded
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.studies import StudyRow

PREVIEW: Final = 420
"""Longer side of the pictures, pixels."""
FRAME: Final = (255, 191, 0)
PROMISE: Final = (
    "Names, numbers, dates, identifiers and free text are taken out of the files (DICOM PS3.15, basic profile). Text "
    "in the pixels is looked for by a program, which overlooks some: look at each film before you pass it on."
)


def show_copy(films: FilmFolder, study: StudyRow, who: str) -> None:
    """The button that opens it."""
    if st.button("De-identified copy", icon=":material/no_accounts:", help="The films without whose they are"):
        _dialog(films, study, who)


@st.dialog("De-identified copy", width="large")
def _dialog(films: FilmFolder, study: StudyRow, who: str) -> None:
    st.caption(PROMISE)
    black_out = st.toggle(
        "Make text that is seen black",
        key=f"worklist-copy-black-{study.id}",
        help="Otherwise a film in which text is seen is held back.",
    )
    try:
        copies = _looked_through(films, study, black_out)
    except LineFull as full:
        st.warning(plain(str(full)), icon=":material/hourglass_top:")
        st.button("Try again", icon=":material/refresh:", key=f"worklist-copy-again-{study.id}")
        return
    except OSError as error:
        st.error(f"The films can't be read: {plain(error.strerror or 'unknown error')}.", icon=":material/error:")
        return
    for start in range(0, len(copies), 2):
        for place, copy in zip(st.columns(2), copies[start : start + 2], strict=False):
            with place:
                _show(copy, start + 1 + (copies[start] is not copy))
    leave = [copy for copy in copies if copy.data is not None]
    name = "films.zip"
    st.download_button(
        "Download (zip)" if len(leave) in (0, len(copies)) else f"Download {len(leave)} of {len(copies)} films (zip)",
        lasting(lambda: _zip(study, copies, who), name, "application/zip"),
        name,
        "application/zip",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
        disabled=not leave,
        help=None if leave else "No film of this study may leave as it is",
    )


def _looked_through(films: FilmFolder, study: StudyRow, black_out: bool) -> tuple[FilmCopy, ...]:
    """The copies, each made when it is its turn among the films that are read. Raises `LineFull`, `OSError`."""
    progress, count = st.progress(0.0), len(study.films)
    try:
        with reading_line().joined() as place:

            def turn(number: int) -> AbstractContextManager[None]:
                counted = f"film {number} of {count}"
                return turn_of(place, progress, (number - 1) / count, counted, f"Looking through {counted}")

            return copies_of(films, study, new_key(), black_out, turn)
    finally:
        progress.empty()


def _zip(study: StudyRow, copies: tuple[FilmCopy, ...], who: str) -> bytes:
    try:
        return export_zip(study, copies, who)
    except NotRecorded as error:
        st.error(plain(str(error)), icon=":material/error:")
        raise


def _show(copy: FilmCopy, number: int) -> None:
    if copy.grey is not None:
        st.image(_picture(copy.grey, copy.seen), caption=f"Film {number}")
    else:
        st.markdown(f"Film {number}")
    if copy.blocked is not None:
        st.error(f"Held back. {plain(copy.blocked)}", icon=":material/block:")
    elif copy.blanked:
        st.success("Text was made black where it was seen.", icon=":material/check:")
    elif copy.note is not None:
        st.warning(plain(copy.note), icon=":material/visibility:")
    else:
        st.success("No text was seen.", icon=":material/check:")


def _picture(grey: np.ndarray, seen: tuple[Box, ...]) -> Image.Image:
    """A film, small, with a frame around the text that was seen in it."""
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    thick = max(2, max(grey.shape) // 200)
    for box in seen:
        top, left = max(0, box.top - thick), max(0, box.left - thick)
        inner = colour[box.top : box.bottom, box.left : box.right].copy()
        colour[top : box.bottom + thick, left : box.right + thick] = FRAME
        colour[box.top : box.bottom, box.left : box.right] = inner
    picture = Image.fromarray(colour)
    picture.thumbnail((PREVIEW, PREVIEW))
    return picture
