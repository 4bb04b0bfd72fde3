"""The front door: page configuration and navigation."""

import streamlit as st

from cxr.settings import ROOT
from cxr.ui.model import show_notice
from cxr.ui.uploads import keep_uploads_in_memory
from cxr.ui.who import asking
from cxr.ui.worklist.background import keep_working

# A Material icon here would be fetched from the internet; the icons inside the page come with Streamlit.
st.set_page_config(page_title="CXR Triage", page_icon=str(ROOT / "cxr" / "ui" / "icon.svg"), layout="wide")

keep_uploads_in_memory()
keep_working()
pages = [
    st.Page(
        "pages/worklist.py",
        title="Worklist",
        icon=":material/checklist:",
        help="The films that wait to be read, the most probably abnormal first, and the reading of one.",
        default=True,
    ),
    st.Page(
        "pages/read_film.py",
        title="Read a film",
        icon=":material/radiology:",
        help="Drop in chest films and get a verdict with probabilities for 14 findings and heatmaps.",
    ),
    st.Page(
        "pages/dataset.py",
        title="Dataset",
        icon=":material/database:",
        help="NIH ChestX-ray14 as numbers, as pictures, as pixels; or a table of your own.",
    ),
    st.Page(
        "pages/evaluation.py",
        title="How good is it?",
        icon=":material/monitoring:",
        help="How well the model separates, how honest its probabilities are, what it would do to a worklist.",
    ),
    st.Page(
        "pages/model_card.py",
        title="Model card",
        icon=":material/description:",
        help="What the serving model was trained on, how good it is on held-out patients, and its limits.",
    ),
]
if asking().administrator:
    pages.append(
        st.Page(
            "pages/admin.py",
            title="Admin",
            icon=":material/admin_panel_settings:",
            help="Fine-tuning jobs, the models that they make, and which of them serves.",
        )
    )
page = st.navigation(pages, position="top")
show_notice()
page.run()
