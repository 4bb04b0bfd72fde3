"""The models: which serves, what the gate says of the others, promotion and its reverse, and the record of both."""

from pathlib import Path
from typing import Final

import pandas as pd
import streamlit as st

from cxr import registry
from cxr.evaluation.neither import comparison_file
from cxr.evaluation.words import interval
from cxr.model.bundle import CARD_FILE, BundleRejected, bundle_names, bundle_path
from cxr.promotion import PromotionRefused, gate_report, going_back, promote, roll_back
from cxr.registry import Check, GateReport, Model
from cxr.report.csv_cells import harmless_table
from cxr.settings import settings
from cxr.ui.admin.cards import card_of
from cxr.ui.admin.confirm import perform
from cxr.ui.identity import Person
from cxr.ui.words import plain

CANDIDATE: Final = "candidate"
"""The candidate that is looked at, in the session."""


def show_models(person: Person) -> None:
    """All of it; a record that can't be read is said, and nothing can be changed then."""
    try:
        serving = registry.serving_name()
        candidates = registry.candidates()
        history = registry.history()
    except BundleRejected as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    try:
        registry.serving_bundle()
    except BundleRejected as error:
        st.error(f"{plain(str(error))} No film can be read until this is mended.", icon=":material/error:")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    left.markdown(f"**{plain(serving)}** serves.")
    if right.button("Roll back", icon=":material/undo:", width="stretch", key="roll-back", disabled=not history):
        _ask_roll_back(person)
    if settings().model is not None:
        st.info(
            f"The operator has set CXR_MODEL to {plain(serving)}: it serves whatever is promoted.",
            icon=":material/lock:",
        )
    models = pd.DataFrame([_row(name, serving) for name in bundle_names()])
    st.dataframe(harmless_table(models), hide_index=True, height="content")
    st.subheader("The gate", anchor=False)
    if not candidates:
        st.info("There is no candidate. A finished job makes one.", icon=":material/inbox:")
    else:
        if st.session_state.get(CANDIDATE) not in candidates:
            st.session_state[CANDIDATE] = candidates[-1]
        _show_candidate(st.selectbox("Candidate", candidates, key=CANDIDATE), person)
    st.subheader("Record", anchor=False)
    if not history:
        st.caption("Nothing was promoted yet.")
        return
    st.dataframe(
        harmless_table(
            pd.DataFrame(
                [
                    {
                        "When": entry.when.replace("T", " ").removesuffix("+00:00") + " UTC",
                        "Who": entry.who,
                        "What": entry.action,
                        "From": entry.from_model.name,
                        "To": entry.to_model.name,
                        "Why": entry.why,
                        "Gate": "" if entry.gate is None else _summary(entry.gate),
                    }
                    for entry in reversed(history)
                ]
            )
        ),
        hide_index=True,
        height="content",
    )


def _row(name: str, serving: str) -> dict[str, object]:
    role = "serves" if name == serving else "candidate"
    try:
        card = card_of(name)
    except BundleRejected as error:
        return {"Model": name, "Role": "can't be used", "From": str(error)}
    overall = None if card.evaluation is None else card.evaluation.overall
    return {
        "Model": name,
        "Role": role,
        "Made": card.created[:10],
        "Backbone": f"{card.backbone}, {card.input_size} px",
        "From": card.initial_weights,
        "AUROC abnormal, own test patients": "not measured" if overall is None else interval(overall.abnormal_auroc),
        "Macro-AUROC": "not measured" if overall is None else interval(overall.macro_auroc),
        "Test films": None if overall is None else overall.films,
    }


@st.cache_data(max_entries=50, show_spinner="Asking the gate")
def _gate(name: str, state: tuple[str, ...]) -> GateReport:
    # `state` is for the cache's key.
    return gate_report(name)


def _report(name: str) -> GateReport:
    """What the gate says; asked anew when anything has changed that its answer depends on."""
    champion = registry.serving()
    files = [
        *sorted(bundle_path(name).iterdir()),
        settings().models_dir / champion.name / CARD_FILE,
        comparison_file(name, champion.name),
    ]
    return _gate(name, (str(champion), *(f"{file},{_changed(file)}" for file in files)))


def _changed(file: Path) -> int:
    """When a file was changed; 0 if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _show_candidate(name: str, person: Person) -> None:
    try:
        report = _report(name)
    except (BundleRejected, PromotionRefused, OSError) as error:
        st.error(f"{plain(str(error))} It can't be promoted.", icon=":material/error:")
        return
    verdict = "passes the gate" if report.passed else "does not pass the gate"
    st.markdown(
        f"**{plain(name)}** {verdict} against **{plain(report.champion.name)}**"
        + (f", on {report.films:,} films of {report.patients:,} patients." if report.films else ".")
    )
    for check in report.checks:
        _show_check(check)
    if report.by_source:
        with st.expander("By source of the films (for the reader; it decides nothing)"):
            for check in report.by_source:
                st.markdown(f"- **{plain(check.name)}**: {plain(check.said)}")
    if st.button(
        "Promote" if report.passed else "Promote in spite of the gate",
        type="primary" if report.passed else "secondary",
        icon=":material/upgrade:",
        key="promote",
    ):
        _ask_promote(name, report, person)


def _show_check(check: Check) -> None:
    icon = ":green[:material/check_circle:]" if check.passed else ":red[:material/cancel:]"
    margin = "" if check.margin is None else f" (may be worse by {check.margin:g})"
    st.markdown(f"{icon} **{plain(check.name)}**{margin}: {plain(check.said)}")


def _summary(report: GateReport) -> str:
    if report.passed:
        return f"passed {len(report.checks)} checks"
    return "not passed: " + ", ".join(check.name for check in report.failed)


@st.dialog("Promote this model?", width="medium")
def _ask_promote(name: str, report: GateReport, person: Person) -> None:
    st.markdown(
        f"**{plain(name)}** serves instead of **{plain(report.champion.name)}** from the next film on, with its own "
        "operating points. Open sessions read their films anew, and say so."
    )
    if report.failed:
        st.warning(
            "The gate is not passed: "
            + plain(", ".join(check.name for check in report.failed))
            + ". If you promote it "
            "all the same, that is recorded as an override with your name.",
            icon=":material/warning:",
        )
    who = st.text_input("Who decides", person.name, key="promote-who")
    why = st.text_area("Why", key="promote-why", placeholder="What speaks for it", height="content")
    sure = not report.failed or st.checkbox("I override the gate", key="promote-override")
    if st.button("Promote", type="primary", key="promote-act", disabled=not sure):
        perform(lambda: _promoted(name, who, why, report))


def _promoted(name: str, who: str, why: str, seen: GateReport) -> str:
    entry = promote(name, who, why, override=bool(seen.failed), seen=seen)
    return f"{entry.to_model.name} serves now; before it was {entry.from_model.name}."


def _ask_roll_back(person: Person) -> None:
    """Asked about one model: were it looked for in each run of the dialog, a second click could go back one further."""
    try:
        target = going_back()
    except (PromotionRefused, BundleRejected) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    _ask_to_go_back_to(target, person)


@st.dialog("Roll back?", width="medium")
def _ask_to_go_back_to(target: Model, person: Person) -> None:
    st.markdown(f"**{plain(target.name)}** serves again from the next film on, with its own operating points.")
    who = st.text_input("Who decides", person.name, key="back-who")
    why = st.text_area("Why", key="back-why", placeholder="What went wrong", height="content")
    if st.button("Roll back", type="primary", key="back-act"):
        perform(lambda: _rolled_back(who, why, target))


def _rolled_back(who: str, why: str, target: Model) -> str:
    entry = roll_back(who, why, to=target)
    return f"{entry.to_model.name} serves again."
