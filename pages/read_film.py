"""Read a film: drop in films, get verdicts with their evidence. Open to everybody who may use the app."""

import streamlit as st

from cxr.classify import Refusal
from cxr.model.verdict import decide
from cxr.samples import SAMPLES
from cxr.ui.film_view import show_film
from cxr.ui.model import serving_engine
from cxr.ui.readings import Readings, add_sample, clear, readings, update, verdicts
from cxr.ui.verdict_view import show_verdict
from cxr.ui.words import VERDICT_TITLES, plain

POINT_HELP = (
    "Rule-out misses few abnormal films and flags many without findings; rule-in flags few without findings and "
    "misses more. Each threshold was chosen on calibration patients and measured on others."
)

engine = serving_engine()
card = engine.bundle.card
session = readings()
list_place, film_place, verdict_place = st.columns([2.6, 5.4, 4.2], gap="medium")


def show_intake(session: Readings) -> list[str]:
    """Uploader and samples; returns the ids of the films that came just now."""
    uploads = st.file_uploader(
        "Films (DICOM, PNG, JPEG)",
        accept_multiple_files=True,
        key=f"films-{session.uploader}",
        help="Films stay in this browser session's memory and are written nowhere.",
    )
    with st.popover("Try a sample", icon=":material/radiology:", width="stretch"):
        for sample in SAMPLES:
            st.button(sample.label, on_click=add_sample, args=(sample,), help=sample.source, width="stretch")
    return update(session, uploads, engine)


with list_place:
    new = show_intake(session)
    point = st.segmented_control(
        "Operating point",
        [p.name for p in card.operating_points],
        default="balanced",
        required=True,
        format_func=str.capitalize,
        help=POINT_HELP,
        key="operating-point",
        width="stretch",
    )
    decided = verdicts(session, engine, point)
    if new or st.session_state.get("chosen-film") not in decided:
        # What was dropped in just now is what the reader wants to see: of several, the most probably abnormal.
        st.session_state["chosen-film"] = next((key for key in decided if key in new), next(iter(decided), None))
    if decided:
        chosen = st.radio(
            f"{len(decided)} {'film' if len(decided) == 1 else 'films'}, most probably abnormal first",
            list(decided),
            format_func=lambda key: plain(session.answers[key].name),
            captions=[
                f"{VERDICT_TITLES[v.name]}, {v.abnormal_probability:.2f}" if v else "Not analysed"
                for v in decided.values()
            ],
            key="chosen-film",
        )
        st.button("Remove all films", icon=":material/delete:", on_click=clear, width="stretch")

if not decided:
    with film_place:
        st.header("Drop in a chest film", anchor=False)
        st.markdown(
            "Frontal chest films (PA or AP) as DICOM, PNG or JPEG, one or many. Each gets a verdict, calibrated "
            "probabilities for 14 findings, and heatmaps that show where in the film a finding is seen. "
            "No film at hand? Try a sample."
        )
    st.stop()

given = session.answers[chosen]
if isinstance(given, Refusal):
    with film_place:
        st.header("Not analysed", anchor=False)
        st.error(given.reason, icon=":material/block:")
        st.markdown(f"No verdict was given on **{plain(given.name)}**. The other films are not affected.")
    st.stop()

verdict = decide(given.prediction.probabilities, card.operating_point(point))
with film_place:
    show_film(chosen, given, verdict, engine.bundle)
with verdict_place:
    show_verdict(given, verdict, card)
