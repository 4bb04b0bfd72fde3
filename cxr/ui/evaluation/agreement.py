"""What the readers of the worklist said, beside what the model said."""

from typing import Final

import pandas as pd
import streamlit as st

from cxr.evaluation.words import interval
from cxr.findings import display_name
from cxr.model.bundle import Bundle
from cxr.report.csv_cells import harmless_table
from cxr.ui.chart import show_chart
from cxr.ui.evaluation.agreement_charts import change_chart, kappa_chart, time_chart
from cxr.ui.words import plain
from cxr.worklist.agreement import (
    QUESTIONS,
    Agreement,
    Change,
    Readings,
    after_verdict,
    fitting_step,
    model_names,
    over_time,
    readings,
    state,
    with_model,
)
from cxr.worklist.database import DatabaseUnavailable, database
from cxr.worklist.opinions import Stage

ALL: Final = "all"
DIGITS: Final = 12
"""Of a SHA-256, for the reader."""
STAGES: Final[dict[Stage, str]] = {"blind": "Before the verdict was shown", "informed": "After"}


@st.cache_resource(max_entries=2, show_spinner="Reading what the readers said")
def _readings(name: str, now: tuple[int, int, str]) -> tuple[Readings, dict[str, str]]:
    # `name` and `now` are for the cache's key: another database, or another opinion in it.
    db = database()
    return readings(db), model_names(db)


@st.cache_data(max_entries=16, show_spinner="Counting")
def _with_model(name: str, now: tuple[int, int, str], model: str, stage: Stage, _found: Readings) -> list[Agreement]:
    return list(with_model(_found, stage))


@st.cache_data(max_entries=8, show_spinner="Counting")
def _changes(name: str, now: tuple[int, int, str], model: str, _found: Readings) -> list[Change]:
    return list(after_verdict(_found))


def show_agreement(bundle: Bundle) -> None:
    """Readers and model: how far they agree, over time too, and what seeing the verdict changes."""
    try:
        db = database()
        now = state(db)
        found, names = _readings(db.name, now)
    except DatabaseUnavailable as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if not len(found):
        st.info(
            "No reader has said anything of a study in the worklist yet. What readers say there is compared here with "
            "what the model says.",
            icon=":material/info:",
        )
        return
    model, stage = _choices(found, names, bundle)
    if model != ALL:
        found = found.where(found.model == model)
    rows = _with_model(db.name, now, model, stage, found)
    _show_all(rows, found, stage)
    _show_time(found, stage)
    _show_changes(_changes(db.name, now, model, found))


def _choices(found: Readings, names: dict[str, str], bundle: Bundle) -> tuple[str, Stage]:
    names = {bundle.sha256: bundle.name} | names
    models = sorted({str(model) for model in found.model} - {""}, key=lambda sha256: names.get(sha256, sha256))

    def called(model: str) -> str:
        return "All models" if model == ALL else f"{names.get(model, 'a model')} ({model[:DIGITS]})"

    left, right = st.columns([2, 3], vertical_alignment="bottom")
    options = [ALL, *models]
    first = options.index(bundle.sha256) if bundle.sha256 in models else 0
    model = left.selectbox("Compared with", options, first, called, key=f"agreement-model-{bundle.sha256}")
    stage = right.segmented_control(
        "What the reader said", list(STAGES), format_func=lambda key: STAGES[key], default="blind",
        required=True, key="agreement-stage",
    )  # fmt: skip
    return model, stage


def _show_all(rows: list[Agreement], found: Readings, stage: Stage) -> None:
    overall, readers = rows[0], len(set(found.reader.tolist()))
    read = f"{len(found):,} reading{'' if len(found) == 1 else 's'} by {readers:,} reader{'' if readers == 1 else 's'}"
    both = f"in {overall.readings:,} of them reader and model both said whether the study is abnormal"
    st.markdown(
        f"{read}; {both}. Share of the same answer: {interval(overall.agreement)}. "
        f"Cohen's kappa: {interval(overall.kappa)}."
    )
    if stage == "informed":
        st.caption("These readers had seen the verdict: that they agree with it does not show that it is right.")
    show_chart(kappa_chart(rows))
    table = [
        {
            "Question": display_name(row.question),
            "Readings": row.readings,
            "Patients": row.patients,
            "Both yes": row.both,
            "Reader only": row.reader_only,
            "Model only": row.model_only,
            "Both no": row.neither,
            "Unsure": row.unsure,
            "The same": interval(row.agreement),
            "Kappa": interval(row.kappa),
        }
        for row in rows
    ]
    st.dataframe(harmless_table(pd.DataFrame(table)), hide_index=True, alt="Readers and model, question by question")
    st.caption(
        "A reader who says that there is no finding has said so of each. What a reader did not mention, what one was "
        "unsure of, and a verdict of uncertain are not compared. Intervals: 95%, bootstrap over patients. Kappa is "
        "low where a finding is rare, even if most answers are the same. No reader is the truth."
    )


def _show_time(found: Readings, stage: Stage) -> None:
    st.subheader("Over time", anchor=False)
    question = st.selectbox("Question", QUESTIONS, format_func=display_name, key="agreement-question")
    if not len(found):
        return
    step = fitting_step(found)
    show_chart(time_chart(over_time(found, stage, question, step), step, question))


def _show_changes(rows: list[Change]) -> None:
    st.subheader("What seeing the verdict changes", anchor=False)
    overall = rows[0]
    if not max(row.readings for row in rows):
        st.info("No study has been read both before and after the verdict was shown.", icon=":material/info:")
        return
    st.markdown(
        f"Whether a film is abnormal: of {overall.readings:,} readings before and after, {overall.changed:,} changed "
        f"({interval(overall.changed_share)}). Of {overall.apart:,} answers that differed from the model's, "
        f"{overall.joined:,} became the model's ({interval(overall.joined_share)}); of {overall.together:,} that were "
        f"the model's, {overall.left:,} became another ({interval(overall.left_share)})."
    )
    show_chart(change_chart(rows))
    st.caption("“Unsure” and “uncertain” count as answers here. A change towards the model may be for better or worse.")
