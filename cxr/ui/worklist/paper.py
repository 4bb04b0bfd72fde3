"""What leaves the reading view: the draft of a report, the study on paper, its record; and the deletion of a study."""

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cxr.classify import UNREADABLE, as_json
from cxr.findings import display_name
from cxr.model.heatmap import supporting_map
from cxr.radiograph.isolated import decoder
from cxr.report.draft import report_text
from cxr.report.study_report import ModelSaid, PrintedFilm, study_pdf
from cxr.ui.admin.confirm import ask
from cxr.ui.downloads import lasting
from cxr.ui.words import plain
from cxr.ui.worklist.desk import open_study
from cxr.ui.worklist.said import FilmSaid, StudySaid
from cxr.worklist.audit import Event, record
from cxr.worklist.database import Database
from cxr.worklist.deletion import delete_study
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.opinions import OpinionRow, Stage, latest
from cxr.worklist.status import FilmState
from cxr.worklist.studies import FilmRow, StudyRow


@dataclass(frozen=True)
class _Record:
    """Of a film, for `as_json`."""

    name: str
    warnings: tuple[str, ...]
    milliseconds: float
    corrected: tuple[str, ...]


def show_paper(
    db: Database,
    films: FilmFolder,
    study: StudyRow,
    said: StudySaid | None,
    opinion: OpinionRow | None,
    reader: str,
    *,
    stage: Stage,
) -> None:
    """The draft to copy, and downloads.

    Args:
        said: what the model said; None where there is nothing, or it is not to be seen yet.
        opinion: of this reader; None where he said nothing yet.
        stage: "blind": what the model said is not to be seen, so there is the draft alone.
    """
    with st.popover("Report", icon=":material/description:"):
        st.caption("A draft from your own words and marks alone; copy it with the button at its corner.")
        st.code(report_text(study, opinion), language=None, wrap_lines=True, height=320)
        if stage == "blind":
            st.caption("The study on paper and its record hold the verdict: they can be had once it is shown.")
            return
        if said is not None and said.verdict is None:
            st.caption(f"The thresholds of the model {plain(said.name)} can't be had any more, so nothing is printed.")
            return
        flagged = [] if said is None else _flagged(said)
        overlays = st.multiselect(
            "Overlays in the PDF",
            flagged,
            format_func=display_name,
            placeholder="None: the bare film",
            key=f"worklist-overlays-{study.id}",
            disabled=not flagged,
        )
        pdf, result = (f"study-{study.id}.pdf", "application/pdf"), (f"study-{study.id}.json", "application/json")
        with st.container(horizontal=True):
            st.download_button(
                "Study (PDF)",
                lasting(lambda: _pdf(db, films, study, said, reader, overlays), *pdf),
                *pdf,
                icon=":material/download:",
                on_click="ignore",
            )
            st.download_button(
                "Result (JSON)",
                lasting(lambda: _json(db, study, said, reader), *result),
                *result,
                icon=":material/download:",
                on_click="ignore",
                disabled=said is None,
            )


def _flagged(said: StudySaid) -> list[str]:
    """What is flagged on any film, the most probable first."""
    found = [finding for given in said.films if given.verdict is not None for finding in given.verdict.flagged]
    return list(dict.fromkeys(finding.name for finding in sorted(found, key=lambda f: -f.probability)))


def _exported(db: Database, study: StudyRow, reader: str, kind: str) -> None:
    with db.writing() as session:
        record(session, who=reader, event=Event.EXPORT, what=f"study {study.id}", kind=kind)


def _pdf(
    db: Database, films: FilmFolder, study: StudyRow, said: StudySaid | None, reader: str, overlays: list[str]
) -> bytes:
    given = {film.id: None if said is None else said.of(film) for film in study.films}
    printed = {
        film.id: _printed(films, film, given[film.id], overlays)
        for film in study.films
        # One that is to be scored anew was read before, and so was one that a scope check refused.
        if film.state == FilmState.SCORED or given[film.id] is not None or film.refused_as not in (None, UNREADABLE)
    }
    verdicts = {film: one.verdict for film, one in given.items() if one is not None and one.verdict is not None}
    model = None
    if said is not None and said.bundle is not None and verdicts:
        model = ModelSaid(verdicts, said.name, said.model, calibrated=said.bundle.card.data is not None)
    document = study_pdf(study, printed, reader, latest(db, study.id, reader), model)
    _exported(db, study, reader, "report")
    return document


def _printed(films: FilmFolder, film: FilmRow, said: FilmSaid | None, overlays: list[str]) -> PrintedFilm:
    whole = decoder().read(films.bytes(film.sha256))
    grey = film.placement.film(whole).grey
    stored = None if said is None else films.result(film.sha256, said.result.model)
    if stored is None:
        return PrintedFilm(grey)
    maps = {name: supporting_map(stored.prediction.evidence(name)) for name in overlays}
    return PrintedFilm(grey, {name: grid for name, grid in maps.items() if grid is not None}, stored.map_shift)


def _film_json(film: FilmRow, name: str, said: StudySaid | None) -> dict[str, Any]:
    """The record of a film. What its file is called stays here: it may be a patient's name."""
    given = None if said is None else said.of(film)
    if said is not None and said.bundle is not None and given is not None and given.verdict is not None:
        answer = as_json(
            _Record(name, film.warnings, given.result.milliseconds, film.placement.steps), given.verdict, said.bundle
        )
    elif film.state == FilmState.REFUSED:
        answer = {"file": name, "status": "refused", "reason": film.reason, "kind": film.refused_as}
    else:
        answer = {"file": name, "status": "no verdict" if film.state == FilmState.SCORED else "waiting"}
    return answer | {"sha256": film.sha256}


def _json(db: Database, study: StudyRow, said: StudySaid | None, reader: str) -> str:
    films = [_film_json(film, f"film {number}", said) for number, film in enumerate(study.films, 1)]
    opinion = latest(db, study.id, reader)
    view = None if opinion is None else opinion.view
    whole = {
        "study": study.id,
        "accession": study.accession,
        "films": films,
        "reader": None
        if view is None
        else {
            "name": reader,
            "stage": view.stage,
            "valid": view.valid,
            "abnormal": view.abnormal,
            "findings": dict(view.findings),
            "text": view.text,
        },
    }
    _exported(db, study, reader, "result")
    return json.dumps(whole, ensure_ascii=False, indent=1)


def show_delete(db: Database, films: FilmFolder, study: StudyRow, who: str) -> None:
    """A button that asks before it deletes."""

    def act() -> str:
        delete_study(db, films, study.id, who)
        open_study(None)
        return "The study was deleted."

    if st.button("Delete", icon=":material/delete:", help="Delete this study for good"):
        count = len(study.films)
        ask(
            "Delete this study?",
            f"**{plain(study.name)}**: {'its film' if count == 1 else f'its {count} films'}, what the model said, and "
            "every reading of it go for good. The audit trail keeps that you deleted it.",
            "Delete for good",
            act,
        )
