"""Model card: what the serving model is made from, how good it is on whom, and its limits. Open to everybody."""

import json

import streamlit as st

from cxr.report.markdown import to_markdown
from cxr.report.model_card import document, sections
from cxr.ui.card_view import show_blocks, show_finding_thresholds, show_points, show_training
from cxr.ui.front_door import enter
from cxr.ui.model import serving_engine
from cxr.ui.sections import open_section

enter()

# Sections of the card by tab; every section is in one.
FINDINGS, CLAIM = "Finding by finding", "CLAIM checklist"
TABS = {
    "Model and use": (
        "Model details",
        "Intended use",
        "What it refuses",
        "Caveats and recommendations",
        "Ethical considerations",
    ),
    "How well it works": ("Quantitative analyses", "Metrics"),
    FINDINGS: (FINDINGS,),
    "Thresholds and probabilities": ("Operating points", "Honesty of the probabilities"),
    "Data and training": ("Factors", "Evaluation data", "Training data"),
    CLAIM: (CLAIM,),
}

bundle = serving_engine().bundle
card = bundle.card
parts = sections(card)

heading, as_markdown, as_json = st.columns([4, 1, 1], vertical_alignment="bottom")
heading.title(f"Model card: {bundle.name}", anchor=False)
as_markdown.download_button(
    "Markdown",
    to_markdown(document(card, bundle.sha256)),
    f"{bundle.name}-card.md",
    "text/markdown",
    icon=":material/download:",
    width="stretch",
)
as_json.download_button(
    "JSON",
    json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False),
    f"{bundle.name}-card.json",
    "application/json",
    icon=":material/download:",
    width="stretch",
)
tab, place = open_section(tuple(TABS), key="card-section")
with place:
    for name in TABS[tab]:
        if name != tab:
            st.header(name, anchor=False)
        if name == "Operating points":
            show_points(card)
        show_blocks(parts[name])
        if name == FINDINGS:
            show_finding_thresholds(card)
        if name == "Training data":
            show_training(card)
st.caption(f"SHA-256 {bundle.sha256}")
