"""The verdict in words, and the 14 findings with their numbers."""

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from cxr.classify import Reading
from cxr.evaluation.words import NOT_IN_MODEL
from cxr.findings import display_name
from cxr.model.bundle import Bundle
from cxr.model.card import Card, Estimate, OperatingPoint
from cxr.model.verdict import RESEARCH_NOTICE, FindingVerdict, Verdict
from cxr.ui.words import (
    contradiction,
    plain,
    point_meaning,
    uncertain_meaning,
    verdict_reason,
    verdict_title,
)

COLOURS = {"abnormal": "red", "no finding": "blue", "uncertain": "orange"}
ROW_HEIGHT = 32


def show_verdict(reading: Reading, verdict: Verdict, bundle: Bundle) -> None:
    """Verdict, its reason, what the operating point means, whose it is, warnings, findings, facts of the film."""
    card = bundle.card
    show_words(verdict, bundle.name, card, reading.warnings)
    st.subheader("Findings", anchor=False)
    _show_findings(verdict, card)
    with st.expander("About this film", icon=":material/info:"):
        st.markdown(_facts(reading))


def show_words(verdict: Verdict, model: str, card: Card, warnings: Iterable[str]) -> None:
    """Verdict, its reason, what the operating point means, which model says so, and what there is to beware of."""
    colour = COLOURS[verdict.name]
    st.header(f":{colour}[{verdict_title(verdict)}]", anchor=False)
    uncertain = "" if card.evaluation is None else uncertain_meaning(verdict.point)
    st.markdown(f"{verdict_reason(verdict)} {point_meaning(verdict.point, card)} {uncertain}")
    st.caption(f":material/science: {RESEARCH_NOTICE} Read by the model **{plain(model)}**.")
    if explanation := contradiction(verdict):
        st.warning(explanation, icon=":material/warning:")
    for warning in warnings:
        st.warning(plain(warning), icon=":material/warning:")


def show_labels(key: str, labels: tuple[str, ...] | None) -> None:
    """What the film's data set says of it, hidden until the reader asks: first one's own look, then the answer."""
    if labels is None:
        return
    if st.toggle("Show the labels of the data set", key=f"labels-{key}"):
        st.markdown(f"**{', '.join(map(display_name, labels))}**. Text-mined from the report: often right, not always.")


def _show_findings(verdict: Verdict, card: Card) -> None:
    rows = [_finding_row(finding, verdict.point, card) for finding in verdict.findings]
    rows += [{"Finding": display_name(name), "Flag": NOT_IN_MODEL} for name in verdict.absent]
    _show_rows(rows, card, "The 14 findings with probability, threshold and flag, most probable first")
    if verdict.extra:
        st.caption("Pathologies of this model that are not among the 14:")
        others = [_finding_row(finding, verdict.point, card) for finding in verdict.extra]
        _show_rows(others, card, "Other pathologies with score and flag, highest first")


def _show_rows(rows: list[dict[str, object]], card: Card, alt: str) -> None:
    imported = card.data is None
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=(len(rows) + 1) * ROW_HEIGHT + 3,
        row_height=ROW_HEIGHT,
        alt=alt,
        column_config={
            "Finding": st.column_config.TextColumn(width=180 if imported else 118),
            "Probability": st.column_config.ProgressColumn(
                "Score" if imported else None,
                format="%.3f",
                min_value=0,
                max_value=1,
                width=100,
                help="The checkpoint's score, scaled so that its threshold is 0.5; not calibrated."
                if imported
                else "Calibrated on patients that trained nothing.",
            ),
            "Threshold": st.column_config.NumberColumn(
                format="%.3f",
                width=68,
                help="At and above it the finding is flagged, at the chosen operating point.",
            ),
            "Flag": st.column_config.TextColumn(width=130 if imported else 54),
            "Catches": st.column_config.TextColumn(
                width=58,
                help="Sensitivity: of the held-out films with the finding, the share that this threshold flagged. "
                "The model card has intervals.",
            ),
            "Spares": st.column_config.TextColumn(
                width=58,
                help="Specificity: of the held-out films without the finding, the share that this threshold left "
                "unflagged. The model card has intervals.",
            ),
        },
    )


def _finding_row(finding: FindingVerdict, point: OperatingPoint, card: Card) -> dict[str, object]:
    said: dict[str, object] = {"Finding": display_name(finding.name), "Probability": finding.probability}
    flag = {"Flag": "flagged" if finding.flagged else ""}
    if card.evaluation is None:
        # The thresholds of an imported model are all the same, and nobody has measured what they do.
        return said | flag
    measured = point.findings[finding.name]
    shares = {"Catches": _share(measured.sensitivity), "Spares": _share(measured.specificity)}
    return said | {"Threshold": finding.threshold} | flag | shares


def _share(estimate: Estimate | None) -> str:
    return "too few" if estimate is None else f"{estimate.value:.0%}"


def _facts(reading: Reading) -> str:
    facts = reading.facts
    spacing = None if facts.pixel_spacing is None else "{:g} x {:g} mm".format(*facts.pixel_spacing)
    shown = {
        "Kind": facts.kind,
        "Size": f"{facts.width} x {facts.height} pixels, {facts.bits} bits, {facts.photometric}",
        "Modality": facts.modality,
        "View": facts.view,
        "Body part": facts.body_part,
        "Pixel spacing": spacing,
        "Grey levels": facts.window,
        "Time from bytes to verdict": f"{reading.milliseconds:.0f} ms",
    }
    return "\n".join(f"- {name}: {'not stated' if value is None else plain(value)}" for name, value in shown.items())
