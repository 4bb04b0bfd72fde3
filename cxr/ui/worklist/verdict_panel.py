"""The verdict on a study and what belongs to it; or, in a blind reading, that it is hidden."""

import streamlit as st

from cxr.findings import display_name
from cxr.model.verdict import RESEARCH_NOTICE
from cxr.settings import settings
from cxr.ui.model import serving_now
from cxr.ui.refusal_words import to_do
from cxr.ui.verdict_view import COLOURS, show_words
from cxr.ui.words import plain, title_of
from cxr.ui.worklist.said import StudySaid
from cxr.worklist.columns import point_of, shortcomings
from cxr.worklist.status import FilmState
from cxr.worklist.studies import StudyRow


def show_blind(study: StudyRow) -> None:
    """In place of the verdict; what the films themselves give warning of is not the model's."""
    st.header("Blind reading", anchor=False)
    st.markdown("Say what you see. The model's verdict, findings and heatmaps are shown after that, and both are kept.")
    for warning in _warnings(study):
        st.warning(plain(warning), icon=":material/warning:")


def show_verdict(study: StudyRow, said: StudySaid | None) -> None:
    """The verdict in words, which model gave it, and the warnings of the films."""
    warnings = _warnings(study)
    if said is None:
        _show_unanalysed(study, warnings)
        return
    for number, film in enumerate(study.films, 1):
        if film.state == FilmState.REFUSED and film.reason:
            st.info(plain(f"Film {number} has no part in this: {film.reason}"), icon=":material/block:")
    if study.critical:
        _show_critical(study, said)
    if said.bundle is not None and said.verdict is not None:
        show_words(said.verdict, said.name, said.bundle.card, warnings)
    else:
        _show_stored(study, said, warnings)
    serving = serving_now()
    if serving is not None and serving.sha256 != said.model:
        st.info(
            f"Scored by the model **{plain(said.name)}** ({said.model[:12]}); by now **{plain(serving.name)}** "
            f"({serving.sha256[:12]}) serves.",
            icon=":material/swap_horiz:",
        )


def _show_critical(study: StudyRow, said: StudySaid) -> None:
    """Which critical findings put it ahead, and how often their thresholds were right."""
    names = ", ".join(display_name(name).lower() for name in study.critical)
    st.badge(
        f"Critical: {names}, at the {settings().critical_point} point", icon=":material/priority_high:", color="red"
    )
    point = None if said.bundle is None else point_of(said.bundle.card, settings().critical_point)
    if point is None:
        return
    measured = []
    for name in study.critical:
        found = point.findings.get(name)
        if found is not None and found.sensitivity is not None and found.specificity is not None:
            measured.append(
                f"{100 * found.sensitivity.value:.0f} of 100 held-out films with {display_name(name).lower()} and "
                f"{100 * (1 - found.specificity.value):.0f} of 100 without"
            )
    if measured:
        st.caption(f"These thresholds flagged {'; '.join(measured)}.")


def _warnings(study: StudyRow) -> list[str]:
    return list(dict.fromkeys(warning for film in study.films for warning in film.warnings))


def _show_unanalysed(study: StudyRow, warnings: list[str]) -> None:
    waits = any(film.state in (FilmState.QUEUED, FilmState.SCORING) for film in study.films)
    if waits or study.reason is None:
        st.header("Waits for its score", anchor=False)
        st.markdown("The verdict appears here when the film was scored. You can read it meanwhile.")
    else:
        st.header("Not analysed", anchor=False)
        st.error(plain(study.reason), icon=":material/block:")
        for sentence in filter(None, dict.fromkeys(to_do(film.refused_as) for film in study.films)):
            st.markdown(plain(sentence))
    st.caption(f":material/science: {RESEARCH_NOTICE}")
    for warning in warnings:
        st.warning(plain(warning), icon=":material/warning:")


def _show_stored(study: StudyRow, said: StudySaid, warnings: list[str]) -> None:
    """What the list keeps of a verdict, where its model can't be asked for its thresholds."""
    name = study.verdict
    title = "No verdict" if name is None else f":{COLOURS[name]}[{title_of(name, settings().worklist_point)}]"
    st.header(title, anchor=False)
    if said.bundle is None:
        why = "That model is not installed any more, so its thresholds can't be shown."
    else:
        why = " ".join(shortcomings(said.bundle.card)) or "It was decided at another operating point than is set now."
    st.markdown(f"The abnormal probability is {study.abnormal:.3f}. {plain(why)}")
    st.caption(f":material/science: {RESEARCH_NOTICE} Read by the model **{plain(said.name)}**.")
    for warning in warnings:
        st.warning(plain(warning), icon=":material/warning:")
