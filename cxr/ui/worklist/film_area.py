"""The film of a study in the viewer, with its maps, and the same patient's previous one beside it."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import streamlit as st

from cxr.evaluation.report import Report
from cxr.findings import FINDINGS, display_name
from cxr.model.heatmap import supporting_map
from cxr.radiograph import UnreadableFilm
from cxr.radiograph.full_depth import FullDepth
from cxr.radiograph.isolated import decoder
from cxr.radiograph.placement import Placement
from cxr.ui.evaluation.source import report_of
from cxr.ui.viewer import ViewerFilm, film_viewer
from cxr.ui.words import map_note, plain
from cxr.ui.worklist.said import FilmSaid, StudySaid
from cxr.worklist.database import Database
from cxr.worklist.film_folder import FilmFolder, FilmLost
from cxr.worklist.studies import FilmRow, StudyRow, previous_studies

HEIGHT: Final = "max(560px, calc(100vh - 180px))"
LOWER: Final = "max(500px, calc(100vh - 226px))"
"""Of the viewer; and below a line that says that the film seems to lie wrong."""


@st.cache_resource(max_entries=6, show_spinner="Reading the film")
def _depth(root: str, sha256: str, placement: Placement, _films: FilmFolder) -> FullDepth:
    # The others are the cache's key; the bytes of a film never change.
    return placement.depth(decoder().full_depth(_films.bytes(sha256)))


def show_film(
    films: FilmFolder,
    film: FilmRow,
    earlier: StudyRow | None,
    said: StudySaid | None,
    finding: str | None,
    keys: Mapping[str, str],
) -> None:
    """The viewer.

    Args:
        film: of the study.
        earlier: another study of the patient, whose first film can be seen beside it.
        said: what the model said; None where there is nothing, or it is not to be seen.
        finding: of which the map is asked for.
        keys: of the page, to be listed with the viewer's own.
    """
    try:
        shown = _viewer_film(films, film, said.of(film) if said is not None else None, _report(said))
    except (UnreadableFilm, FilmLost, OSError) as error:
        st.error(_sentence(error), icon=":material/broken_image:")
        return
    beside = None
    if earlier is not None:
        try:
            beside = _viewer_film(films, earlier.films[0])
        except (UnreadableFilm, FilmLost, OSError) as error:
            st.warning(f"The previous film can't be shown. {_sentence(error)}", icon=":material/broken_image:")
    height = HEIGHT if film.seems is None else LOWER
    film_viewer(shown, "worklist-viewer", previous=beside, finding=finding, height=height, keys=keys)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The film can't be read: {error.strerror or 'unknown error'}."
    return plain(str(error))


def chosen_film(study: StudyRow) -> FilmRow:
    """The film of a study that is looked at: a choice where there are several."""
    if len(study.films) == 1:
        return study.films[0]
    numbers = {film.id: f"{number} {film.view or ''}".strip() for number, film in enumerate(study.films, 1)}
    chosen = st.segmented_control(
        "Film",
        list(numbers),
        default=study.films[0].id,
        required=True,
        format_func=lambda number: numbers[number],
        key=f"worklist-film-{study.id}",
        label_visibility="collapsed",
    )
    return next(film for film in study.films if film.id == chosen)


def chosen_previous(db: Database, study: StudyRow) -> StudyRow | None:
    """The earlier study that the viewer shows beside this one when it is asked to; the latest at first."""
    earlier = {other.id: other for other in previous_studies(db, study.id)}
    if not earlier:
        return None
    chosen = st.selectbox(
        "Previous film of the patient beside it",
        list(earlier),
        format_func=lambda number: (
            "Previous: " + ", ".join(filter(None, (earlier[number].name, earlier[number].acquired)))
        ),
        help="Press p in the viewer to see it beside.",
        key=f"worklist-previous-{study.id}",
        label_visibility="collapsed",
        width=300,
    )
    return earlier[chosen]


def _report(said: StudySaid | None) -> Report | None:
    """What is known of the maps of the model that scored; of another one that has its name by now it says nothing."""
    return None if said is None or said.bundle is None else report_of(said.name)


def _viewer_film(
    films: FilmFolder, film: FilmRow, said: FilmSaid | None = None, report: Report | None = None
) -> ViewerFilm:
    depth = _depth(str(films.root), film.sha256, film.placement, films)
    maps: dict[str, np.ndarray | None] = {}
    captions: dict[str, str] = {}
    notes: dict[str, str] = {}
    square, shift = None, (0.0, 0.0)
    stored = None if said is None else films.result(film.sha256, said.result.model)
    if said is not None and stored is not None:
        square, shift = stored.prediction.square.astype(np.uint8), stored.map_shift
        for name in sorted(_present(said), key=lambda name: -_probability(said, name)):
            grid = maps[name] = supporting_map(stored.prediction.evidence(name))
            notes[name] = map_note(name, report, empty=grid is None)
            captions[name] = f"{display_name(name)}, {_probability(said, name):.3f}{_flag(said, name)}"
    return ViewerFilm(
        # One that was turned is another film to the viewer, which remembers where it was zoomed in.
        id="-".join((film.sha256, *film.placement.steps)), title=film.name, depth=depth, heatmaps=maps, map_shift=shift,
        captions=captions, notes=notes, square=square,
    )  # fmt: skip


def _present(said: FilmSaid) -> list[str]:
    return [name for name in FINDINGS if name in said.result.columns and np.isfinite(_probability(said, name))]


def _probability(said: FilmSaid, name: str) -> float:
    return float(said.result.probabilities[said.result.columns.index(name)])


def _flag(said: FilmSaid, name: str) -> str:
    flagged = said.verdict is not None and any(found.name == name for found in said.verdict.flagged)
    return ", flagged" if flagged else ""
