"""One study on the reader's desk: the film at the left, the verdict and the reader's own words at the right."""

from datetime import UTC, datetime
from typing import Final

import streamlit as st

from cxr.findings import FINDINGS, display_name
from cxr.ui.admin.confirm import ask
from cxr.ui.model import likelihood_words
from cxr.ui.words import plain
from cxr.ui.worklist.copy_view import show_copy
from cxr.ui.worklist.desk import done, open_study, take
from cxr.ui.worklist.film_area import chosen_film, chosen_previous, show_film
from cxr.ui.worklist.opinion_form import FindingLine, Form, opinion_form
from cxr.ui.worklist.paper import show_delete, show_paper
from cxr.ui.worklist.reader import Reader
from cxr.ui.worklist.rows import identity_words, status_words
from cxr.ui.worklist.said import StudySaid, said_of, shown_to_reader
from cxr.ui.worklist.turn_view import show_turn_menu, show_turn_offer
from cxr.ui.worklist.verdict_panel import show_blind, show_verdict
from cxr.worklist.audit import Event, record
from cxr.worklist.blind import seen_by
from cxr.worklist.claims import FurtherFilms, InReading, NoSuchStudy
from cxr.worklist.database import Database, DatabaseUnavailable
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.opinions import InvalidOpinion, OpinionRow, Said, Stage, View, latest, save
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import FilmRow, StudyRow, claim, study

DONE: Final = "done, next study"
SHOW: Final = "show the verdict, after a blind reading"
BACK: Final = "back to the list"
KEYS: Final = {
    "y": "abnormal",
    "j": "unsure whether it is abnormal",
    "k": "not abnormal",
    "n": DONE,
    "d": SHOW,
    "u": BACK,
}
SIGN_SECONDS, SCORE_SECONDS = 60.0, 2.0
"""After how long the page says that the study is still being read, and looks whether its films were scored."""
SHOWN: Final = "worklist-shown"
MAP: Final = "worklist-map"
NOT_SAVED: Final = "worklist-not-saved"
"""Where the session keeps the studies whose verdict it showed, the finding whose map is asked for, and why the last
change was not saved."""


def show_study(db: Database, films: FilmFolder, number: int, who: Reader) -> None:
    """Everything of one study."""
    try:
        found = study(db, number)
    except NoSuchStudy as error:
        st.error(str(error), icon=":material/search_off:")
        st.button("Worklist", icon=":material/arrow_back:", on_click=open_study, args=(None,))
        return
    other = None
    try:
        found = take(db, found, who.name)
    except InReading as error:
        other = error
    stage = _stage(db, number, who)
    _access(db, number, who.name, stage)
    opinion = latest(db, number, who.name)
    said = said_of(db, found) if stage == "informed" else None
    film, earlier = _show_heading(db, films, found, who, said, opinion, stage, locked=other is not None)
    if earlier is not None:
        _access(db, earlier.id, who.name, "blind")
    if other is not None:
        _show_other(db, number, who.name, other)
    else:
        waits = any(one.state in (FilmState.QUEUED, FilmState.SCORING) for one in found.films)
        st.fragment(_keep, run_every=SCORE_SECONDS if waits else SIGN_SECONDS)(db, found, who.name)
    film_place, words_place = st.columns([7, 4.2], gap="medium")
    with film_place:
        show_turn_offer(db, film, who.name, disabled=other is not None)
        chosen = st.session_state.get(MAP) if stage == "informed" else None
        show_film(films, film, earlier, said, chosen, KEYS)
    with words_place:
        with st.container(key="worklist-verdict"):
            if stage == "blind":
                show_blind(found)
            else:
                show_verdict(found, said)
        _show_form(db, found, who.name, stage, opinion, disabled=other is not None)


def _given(view: View) -> bool:
    """Whether it says enough to be a reading."""
    return not view.valid or view.abnormal is not None


def _stage(db: Database, number: int, who: Reader) -> Stage:
    """Whether this reader is still to read it blind. What he has seen can't be unseen."""
    shown: set[tuple[int, str]] = st.session_state.setdefault(SHOWN, set())
    if who.blind and (number, who.name) not in shown and not seen_by(db, [number], who.name):
        return "blind"
    shown.add((number, who.name))
    return "informed"


def _access(db: Database, number: int, name: str, stage: Stage) -> None:
    """Once a session, reader and stage: the audit trail keeps who looked at what."""
    looked: set[tuple[int, str, Stage]] = st.session_state.setdefault("worklist-looked", set())
    if (number, name, stage) not in looked:
        with db.writing() as session:
            record(session, who=name, event=Event.INSTANCES_ACCESSED, what=f"study {number}", stage=stage)
        looked.add((number, name, stage))


def _show_heading(
    db: Database,
    films: FilmFolder,
    found: StudyRow,
    who: Reader,
    said: StudySaid | None,
    opinion: OpinionRow | None,
    stage: Stage,
    *,
    locked: bool,
) -> tuple[FilmRow, StudyRow | None]:
    """Which study it is, and what can be done with it; returns the film and the earlier study that are to be shown."""
    with st.container(horizontal=True, vertical_alignment="center", key="worklist-heading"):
        st.button(
            "Worklist", icon=":material/arrow_back:", on_click=open_study, args=(None,), help="Back to the list (u)"
        )
        st.markdown(f"**{plain(found.name)}**", width="content")
        status, by = status_words(found, who.name)
        before = f"read before by {found.read_by}" if found.read_by and found.status != Status.READ else ""
        facts = (identity_words(found), f"{status} {by}".strip(), before)
        st.caption(plain(" · ".join(filter(None, facts))), width="content")
        st.space("stretch")
        film, earlier = chosen_film(found), chosen_previous(db, found)
        show_turn_menu(db, film, who.name, disabled=locked)
        show_paper(db, films, found, said, opinion, who.name, stage=stage)
        show_copy(films, found, who.name)
        if who.person.administrator:
            show_delete(db, films, found, who.name)
    return film, earlier


def _show_other(db: Database, number: int, name: str, other: InReading) -> None:
    """Another one reads it: it can be looked at, or taken over."""

    def act() -> str:
        claim(db, number, name, force=True)
        return "The study is yours."

    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(
            f"In reading by {plain(other.by)}, since {other.since.astimezone():%H:%M}. You can look at it; to say "
            "anything of it, take it over.",
            icon=":material/lock:",
        )
        if st.button("Take over"):
            ask(
                "Take this study over?",
                f"{plain(other.by)} reads it now and can't go on with it then. What was said so far is kept.",
                "Take over",
                act,
            )


def _keep(db: Database, shown: StudyRow, name: str) -> None:
    """Say now and then that the study is still being read; draw the page anew when it is not this reader's any more, or
    its films were scored meanwhile."""
    try:
        now = study(db, shown.id)
        if now.status != Status.READING or now.reader != name or (now.model, now.films) != (shown.model, shown.films):
            st.rerun()
        if now.reading_since is None or (datetime.now(UTC) - now.reading_since).total_seconds() > SIGN_SECONDS / 2:
            claim(db, shown.id, name)
    except (NoSuchStudy, InReading):
        st.rerun()


def _show_form(
    db: Database, found: StudyRow, name: str, stage: Stage, opinion: OpinionRow | None, *, disabled: bool
) -> None:
    said = shown_to_reader(found) if stage == "informed" else None
    start = View(stage) if opinion is None else _as(stage, opinion.view)

    def sent(view: View, act: str | None) -> None:
        if not disabled:
            _sent(db, found, name, view, said, act)
        elif act == "back":
            open_study(None)

    number, failed = st.session_state.get(NOT_SAVED, (found.id, None))
    failed = failed if number == found.id else None
    saved = "" if opinion is None else f"Saved {_time(opinion.written)}"
    opinion_form(
        Form(
            id=f"{found.id} {stage} {name}",
            view=start,
            lines=_lines(found, stage),
            finding=st.session_state.get(MAP),
            likelihood=likelihood_words(),
            disabled=disabled,
            saved=failed or saved,
            failed=failed is not None,
        ),
        "worklist-opinion",
        sent,
    )


def _as(stage: Stage, view: View) -> View:
    return View(stage, view.valid, view.abnormal, view.findings, view.text)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"


def _lines(found: StudyRow, stage: Stage) -> list[FindingLine]:
    """The 14 findings: the most probable first, or in a blind reading in the order of the data set."""
    if stage == "blind" or not found.analysed:
        return [FindingLine(name, display_name(name)) for name in FINDINGS]
    known = [FindingLine(f.name, display_name(f.name), f.probability, f.flagged, map=True) for f in found.findings]
    named = {line.name for line in known}
    return known + [FindingLine(name, display_name(name)) for name in FINDINGS if name not in named]


def _sent(db: Database, shown: StudyRow, name: str, view: View, said: Said | None, act: str | None) -> None:
    """Keep what the reader says of the study as it was shown to him, and do what he wants; nothing is done that leaves
    the study before it is kept."""
    number = shown.id
    st.session_state.pop(NOT_SAVED, None)
    try:
        if act is not None and act.startswith("map "):
            finding = act.removeprefix("map ")
            st.session_state[MAP] = None if st.session_state.get(MAP) == finding else finding
        before = latest(db, number, name)
        if view != (View(view.stage) if before is None else _as(view.stage, before.view)):
            save(db, number, name, view, said)
        if act == "show" and _given(view):
            # From here on he has seen it, whatever he says of it.
            found = study(db, number)
            save(db, number, name, _as("informed", view), shown_to_reader(found))
        elif act == "back":
            open_study(None)
        elif act == "done" and _given(view):
            done(db, number, name, [film.id for film in shown.films])
    except (DatabaseUnavailable, NoSuchStudy, InReading, InvalidOpinion) as error:
        st.session_state[NOT_SAVED] = number, f"Not saved. {error}"
    except FurtherFilms as error:
        st.session_state[NOT_SAVED] = number, str(error)
