"""Model card: what the serving model is made from, how good it is on whom, and its limits. Open to everybody."""

import json

import streamlit as st

from cxr.ui.card_view import show_data, show_findings, show_groups, show_points, show_reliability, show_training
from cxr.ui.front_door import enter
from cxr.ui.model import serving_engine

enter()

bundle = serving_engine().bundle
card = bundle.card

st.title(f"Model card: {bundle.name}", anchor=False)
st.markdown(
    "For research on the triage of frontal chest films of adults. Not for diagnosis, not for children, not for lateral "
    "films. Labels were text-mined from reports: “No Finding” does not mean that the patient was healthy, and the "
    "probabilities hold for films with about the share of abnormal films that the calibration patients had."
)
discrimination, probabilities, making = st.tabs(
    ["How well it separates", "Thresholds and probabilities", "What it is made from"]
)
with discrimination:
    show_groups(card)
    show_findings(card)
with probabilities:
    show_points(card)
    show_reliability(card)
with making:
    show_data(card)
    show_training(card)
st.download_button(
    "Card (JSON)",
    json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False),
    f"{bundle.name}-card.json",
    "application/json",
    icon=":material/download:",
)
st.caption(f"SHA-256 {bundle.sha256}")
