"""Could a model take work away? Films set aside, and the order in which films are read."""

import streamlit as st

from cxr.evaluation.metrics import Resamples
from cxr.evaluation.report import Report
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.simulation import AGEING_RULE, Inputs, Simulation, Spread, simulate
from cxr.evaluation.words import TOO_FEW
from cxr.evaluation.workload import WorkloadCurve, cost_of, set_aside_at, workload_curve
from cxr.ui.chart import show_chart
from cxr.ui.evaluation.triage_charts import turnaround_chart, workload_chart
from cxr.ui.words import percent, whole


@st.cache_data(max_entries=16, show_spinner="Counting")
def _curve(key: str, prevalence: float | None, _films: ScoredFilms, _resamples: Resamples) -> WorkloadCurve | None:
    # `key` changes with the films and their scores.
    return workload_curve(_films.abnormal, _films.abnormal_probability, _resamples, prevalence=prevalence)


def show_workload(report: Report, films: ScoredFilms, resamples: Resamples) -> None:
    """The founding question: could 70% of the films be set aside?"""
    own = float(films.abnormal.mean())
    if st.toggle("At another share of abnormal films", key="workload-other"):
        share = st.slider("Abnormal films where you work", 1, 99, 30, format="%d%%", key="workload-share") / 100
    else:
        share = None
    curve = _curve(films.digest, share, films, resamples)
    if curve is None:
        st.info(f"The abnormal films are of too few patients: {TOO_FEW}.", icon=":material/info:")
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show_chart(workload_chart(curve))
    with right:
        cost = cost_of(films.abnormal, films.abnormal_probability, resamples, 0.7, share)
        if cost is not None:
            st.markdown(
                f"**Setting aside 70% of the films would miss {percent(cost.missed)} of the abnormal ones**; of each "
                f"100 films set aside, {whole(cost.abnormal_per_100)} would be abnormal."
            )
        for sensitivity in (0.99, 0.98, 0.95):
            aside = set_aside_at(films.abnormal, films.abnormal_probability, resamples, sensitivity, share)
            could = f"{percent(aside)} of the films could be set aside" if aside else TOO_FEW
            st.markdown(f"- At sensitivity {sensitivity:.0%}: {could}.")
        st.caption(
            f"At {own if share is None else share:.0%} abnormal films. Thresholds are chosen on these very films: this "
            "is what the scores could do, not what a threshold fixed before will do. Nobody should set films aside by "
            "this."
        )


def show_simulation(films: ScoredFilms) -> None:
    """A day in a reading room, in two orders."""
    st.subheader("The order of reading, simulated", anchor=False)
    st.markdown(
        f"{AGEING_RULE} Arrivals, films and reading times are the same in both orders. Order is not outcome: "
        "whether an earlier report helps a patient is not simulated."
    )
    with st.form("simulation"):
        columns = st.columns(6)
        rate = columns[0].number_input("Films an hour", 1.0, 500.0, 20.0, 1.0)
        share = columns[1].number_input("Abnormal, %", 1, 99, 30)
        readers = columns[2].number_input("Readers", 1, 50, 1)
        minutes = columns[3].number_input("Minutes a film", 0.1, 60.0, 2.5, 0.1)
        ageing = columns[4].number_input("Ageing, minutes", 1.0, 10_000.0, 60.0, 10.0)
        seed = columns[5].number_input("Seed", 0, 999_999, 0)
        wanted = st.form_submit_button("Simulate 200 days of 200 films", icon=":material/play_arrow:")
    abnormal = films.abnormal == 1
    if abnormal.all() or not abnormal.any():
        st.info("All these films are of one class; there is no order to simulate.", icon=":material/info:")
        return
    if wanted:
        inputs = Inputs(rate, share / 100, int(readers), minutes, ageing_minutes=ageing, seed=int(seed))
        scores = films.abnormal_probability
        with st.spinner("Simulating"):
            st.session_state["simulated"] = films.digest, simulate(inputs, scores[abnormal], scores[~abnormal])
    made_of, result = st.session_state.get("simulated", ("", None))
    # What was simulated with another model's scores says nothing of these.
    if made_of == films.digest:
        _show_result(result)


def _show_result(result: Simulation) -> None:
    if result.overloaded:
        st.warning(
            f"The readers are asked for {result.utilisation:.0%} of what they can do: waiting grows all day long.",
            icon=":material/warning:",
        )
    show_chart(turnaround_chart(result))
    st.markdown(
        f"By the model's order, abnormal films are reported {_change(result.abnormal_change)} and films without "
        f"findings {_change(result.normal_change)} (mean over the days, and the middle 95% of them). "
        f"The readers are busy {min(result.utilisation, 1):.0%} of the time. Nabulsi et al. 2021 (Scientific Reports "
        "11:15523) simulated 7 to 28% sooner for abnormal films with their model."
    )


def _change(spread: Spread | None) -> str:
    if spread is None:
        return "at an unknown time"
    sooner = "sooner" if spread.value < 0 else "later"
    return f"{abs(spread.value):.0f}% {sooner} ({spread.low:+.0f}% to {spread.high:+.0f}%)"
