"""The front door: page configuration and navigation; and, for who imports it, the app as it is served."""

import streamlit as st

from cxr.settings import ROOT
from cxr.ui.identity import Person, Role
from cxr.ui.model import show_notice
from cxr.ui.server import check_start, lifespan, middleware, routes
from cxr.ui.uploads import keep_uploads_in_memory
from cxr.ui.who import asking
from cxr.ui.worklist.background import keep_working

# Who may open it, its file, title and icon, and what it is; the first that somebody may open is where they begin.
PAGES = (
    (
        Role.READER, "worklist", "Worklist", "checklist",
        "The films that wait to be read, the most probably abnormal first, and the reading of one.",
    ),
    (
        Role.VIEWER, "read_film", "Read a film", "radiology",
        "Drop in chest films and get a verdict with probabilities for 14 findings and heatmaps.",
    ),
    (
        Role.VIEWER, "dataset", "Dataset", "database",
        "NIH ChestX-ray14 as numbers, as pictures, as pixels; or a table of your own.",
    ),
    (
        Role.VIEWER, "evaluation", "How good is it?", "monitoring",
        "How well the model separates, how honest its probabilities are, what it would do to a worklist.",
    ),
    (
        Role.VIEWER, "model_card", "Model card", "description",
        "What the serving model was trained on, how good it is on held-out patients, and its limits.",
    ),
    (
        Role.ADMINISTRATOR, "admin", "Admin", "admin_panel_settings",
        "Fine-tuning jobs, the models that they make, and which of them serves.",
    ),
)  # fmt: skip


def show(person: Person) -> None:
    """The page that the address names, under what stands above every page."""
    keep_uploads_in_memory()
    keep_working()
    first = next((file for needed, file, *_ in PAGES if person.may(needed)), PAGES[0][1])
    pages = [
        st.Page(
            f"pages/{file}.py",
            title=title if person.role else None,
            icon=f":material/{icon}:" if person.role else None,
            help=what if person.role else None,
            default=file == first,
            # One that is not for this person says so itself where its address is typed in.
            visibility="visible" if person.may(needed) else "hidden",
        )
        for needed, file, title, icon, what in PAGES
    ]
    page = st.navigation(pages, position="top")
    if person.role is not None:
        show_notice(person)
    page.run()


if __name__ == "app":
    # `streamlit run app.py` reads this file, finds that a served app is made here, imports it and serves that; the
    # served app runs this file as its script.
    check_start()
    app = st.App(ROOT / "app.py", middleware=middleware(), routes=routes(), lifespan=lifespan)
else:
    # A Material icon here would be fetched from the internet; the icons inside the page come with Streamlit.
    st.set_page_config(page_title="CXR Triage", page_icon=str(ROOT / "cxr" / "ui" / "icon.svg"), layout="wide")
    show(asking())
