"""Films come in by the page: one or many, in folders or zips; each is on the disk before the page says so."""

from dataclasses import dataclass, field
from typing import Final

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cxr.ui.uploads import let_go
from cxr.ui.words import plain
from cxr.worklist.database import Database, DatabaseUnavailable
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.identity import NotAFilm
from cxr.worklist.intake import take_in
from cxr.worklist.unpack import Refused, Unpacked, expand

CAME: Final = "worklist-came"
UPLOADER: Final = "worklist-uploader"
MOST_SAID: Final = 8


@dataclass
class Came:
    """What became of the files that came last: films that are new, those that were known, and what was refused.

    Attributes:
        number: of the uploader that they came by.
        done: ids of the uploads that were dealt with; a run that is interrupted goes on with the others.
    """

    number: int
    done: set[str] = field(default_factory=set)
    new: int = 0
    known: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def show_intake(db: Database, films: FilmFolder, who: str) -> None:
    """The place to drop films, and what became of the last ones."""
    number = st.session_state.setdefault(UPLOADER, 0)
    files = st.file_uploader(
        "Add films",
        accept_multiple_files=True,
        key=f"worklist-films-{number}",
        help="DICOM, PNG and JPEG, and zips of them, as many as you like. They are kept in the worklist's folder on "
        "the machine that runs this app until their study is deleted.",
    )
    with st.expander("Add a whole folder", icon=":material/folder:"):
        folder = st.file_uploader(
            "Folder", accept_multiple_files="directory", key=f"worklist-folder-{number}", label_visibility="collapsed"
        )
    uploads = [*files, *folder]
    if uploads:
        _take_in(db, films, uploads, number, who)
        # What lay in the uploader is in the worklist now; the next run shows an empty one.
        st.session_state[UPLOADER] = number + 1
        let_go(uploads)
        st.rerun()
    if CAME in st.session_state:
        _show_came(st.session_state[CAME])


def _take_in(db: Database, films: FilmFolder, uploads: list[UploadedFile], number: int, who: str) -> None:
    came: Came | None = st.session_state.get(CAME)
    if came is None or came.number != number:
        came = st.session_state[CAME] = Came(number)
    progress = st.progress(0.0)
    for place, upload in enumerate(uploads):
        progress.progress(place / len(uploads), f"Storing {place + 1} of {len(uploads)}")
        if upload.file_id not in came.done:
            for part in expand(upload.name, upload.getvalue()):
                _take_part(db, films, part, came, who)
            came.done.add(upload.file_id)
    progress.empty()


def _take_part(db: Database, films: FilmFolder, part: Unpacked | Refused, came: Came, who: str) -> None:
    """Take one file in, or say why not; one that can't be kept does not stop the others."""
    if isinstance(part, Refused):
        came.refused.append(part)
        return
    try:
        taken = take_in(db, films, part.name, part.data, who=who, source="drop")
    except NotAFilm as error:
        came.refused.append(Refused(part.name, str(error)))
    except (DatabaseUnavailable, OSError) as error:
        came.refused.append(Refused(part.name, f"It was not stored: {_sentence(error)}"))
    else:
        if taken.new:
            came.new += 1
        else:
            came.known.append(part.name)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or 'unknown error'}."
    return str(error)


def _show_came(came: Came) -> None:
    """What became of the last files, until the reader has seen it."""
    with st.container(key="worklist-came"):
        if came.new or came.known:
            known = f" {_films(len(came.known))} known already." if came.known else ""
            stored = f"{_films(came.new)} stored." if came.new else "Nothing new."
            st.success(f"{stored}{known}", icon=":material/check:")
        if came.refused:
            lines = [f"- **{plain(r.name)}**: {plain(r.reason)}" for r in came.refused[:MOST_SAID]]
            more = len(came.refused) - MOST_SAID
            lines += [f"- and {more} more"] if more > 0 else []
            st.error("Not taken in:\n" + "\n".join(lines), icon=":material/block:")
        st.button("Seen", on_click=st.session_state.pop, args=(CAME, None), width="stretch")


def _films(count: int) -> str:
    return f"{count:,} {'film' if count == 1 else 'films'}"
