"""Read a film: drop in films, get verdicts with their evidence. Open to everybody who may use the app."""

import streamlit as st

from cxr.classify import Refusal
from cxr.model.verdict import Verdict, decide
from cxr.samples import SAMPLES
from cxr.ui.film_view import show_film
from cxr.ui.front_door import enter
from cxr.ui.model import serving_engine
from cxr.ui.readings import CHOSEN, Film, Readings, read_new, readings, take_in, verdicts
from cxr.ui.refusal_view import show_refusal, show_refused_film
from cxr.ui.refusal_words import short
from cxr.ui.uploads import let_go
from cxr.ui.verdict_view import show_labels, show_verdict
from cxr.ui.words import plain, verdict_title

enter()

POINT_HELP = (
    "For the verdict: rule-out is made to miss few abnormal films, and flags many without findings; rule-in is made to "
    "flag few without findings, and misses more. What each threshold did on held-out patients stands beside it."
)


def show_intake(session: Readings) -> None:
    """Uploader and samples."""
    uploads = st.file_uploader(
        "Films (DICOM, PNG, JPEG)",
        accept_multiple_files=True,
        key=f"films-{session.uploader}",
        help="Films stay in this browser session's memory and are written nowhere.",
    )
    came = take_in(session, (Film(upload.name, upload.getvalue()) for upload in uploads))
    # What lay in the uploader is in the session now; the next run shows an empty one.
    session.uploader += bool(uploads)
    let_go(uploads)
    with st.popover("Try a sample", icon=":material/radiology:", width="stretch"):
        for sample in SAMPLES:
            if st.button(sample.label, help=sample.source, width="stretch"):
                came += take_in(session, [Film(sample.file, sample.read(), sample.warning)])
    read_new(session, engine)
    if came:
        # What came just now is what the reader wants to see: of several, the most probably abnormal.
        ranked = verdicts(session, engine, card.operating_points[0].name)
        # Where the line is full, none of them is read yet.
        st.session_state[CHOSEN] = next((key for key in ranked if key in came), st.session_state.get(CHOSEN))
        st.rerun()


def show_list(session: Readings, decided: dict[str, Verdict | None]) -> str:
    """All films with their verdicts; returns the id of the chosen one."""
    if st.session_state.get(CHOSEN) not in decided:
        st.session_state[CHOSEN] = next(iter(decided))
    chosen = st.radio(
        f"{len(decided)} {'film' if len(decided) == 1 else 'films'}, most probably abnormal first",
        list(decided),
        format_func=lambda key: plain(session.label(key)),
        captions=[_caption(session, key, verdict) for key, verdict in decided.items()],
        key=CHOSEN,
        persist_state="session",
    )
    with st.container(horizontal=True):
        st.button("Remove this film", on_click=session.remove, args=([chosen],))
        st.button("Remove all", on_click=session.remove, args=(list(decided),))
    return chosen


def _caption(session: Readings, key: str, verdict: Verdict | None) -> str:
    """A film's verdict and probability below its name in the list; of a refused one why, and no number."""
    given = session.answers[key]
    if verdict is None:
        return short(given.kind if isinstance(given, Refusal) else None)
    return f"{verdict_title(verdict)}, {verdict.abnormal_probability:.3f}"


engine = serving_engine()
card = engine.bundle.card
session = readings()
list_place, film_place, verdict_place = st.columns([2.5, 5.7, 4.6], gap="medium")

with list_place:
    show_intake(session)
    point = st.segmented_control(
        "Operating point",
        [p.name for p in card.operating_points],
        default="balanced",
        required=True,
        format_func=str.capitalize,
        help=POINT_HELP,
        key="operating-point",
        persist_state="session",
        width="stretch",
    )
    decided = verdicts(session, engine, point)
    chosen = show_list(session, decided) if decided else None

if chosen is None:
    with film_place:
        st.header("Drop in a chest film", anchor=False)
        st.markdown(
            "Frontal chest films (PA or AP) as DICOM, PNG or JPEG, one or many. Each gets a verdict, "
            f"{'calibrated probabilities' if card.data else 'uncalibrated scores'} for {len(card.findings)} findings, "
            "and heatmaps that show where in the film a finding is seen. "
            "No film at hand? Try a sample."
        )
    st.stop()

given = session.answers[chosen]
if isinstance(given, Refusal):
    seen = given.grey is not None
    if seen:
        with film_place:
            show_refused_film(session, chosen, given)
    with verdict_place if seen else film_place:
        show_refusal(session, chosen, given)
    st.stop()

verdict = decide(given.prediction.probabilities, card.operating_point(point))
with film_place:
    show_film(session, chosen, verdict, engine.bundle)
with verdict_place:
    show_verdict(given, verdict, engine.bundle)
    show_labels(chosen, session.films[chosen].labels)
