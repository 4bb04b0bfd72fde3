"""Dataset: what is in NIH ChestX-ray14 or in a table of one's own, and the films themselves. Open to everybody."""

import numpy as np
import streamlit as st

from cxr.dataset import statistics
from cxr.dataset.filters import select
from cxr.dataset.summary import Summary, summarise
from cxr.dataset.table import FilmTable
from cxr.evaluation.baselines import baselines
from cxr.findings import CATEGORIES, NO_FINDING, display_name
from cxr.ui.chart import show_chart
from cxr.ui.dataset import group_charts as groups
from cxr.ui.dataset import label_charts as labels
from cxr.ui.dataset import trap_charts as traps
from cxr.ui.dataset.film_browser import show_browser
from cxr.ui.dataset.filter_bar import show_filters
from cxr.ui.dataset.source import current_store, current_table, show_problems, show_upload
from cxr.ui.front_door import enter
from cxr.ui.sections import open_section
from cxr.ui.words import plain

enter()

SECTIONS = ("Labels", "Together", "Patients", "Boxes", "Before you trust a score", "Films")
FOLLOWED = [NO_FINDING, "Infiltration", "Effusion", "Atelectasis"]


def show_heading(table: FilmTable, summary: Summary) -> None:
    """Which table, and how much of it the filters leave."""
    st.title(f"Dataset: {plain(table.name)}", anchor=False)
    if table.notes:
        st.caption(f":material/info: {plain(' '.join(table.notes))}")
    any_finding = statistics.any_finding(summary)["Any finding"]
    views = statistics.films_by_group(summary, "view")
    with st.container(horizontal=True):
        st.metric("Films", f"{summary.films:,}", help=f"Of {len(table):,} in the table.")
        st.metric("Patients", f"{summary.patients:,}", help=f"Of {len(table.patient[0]):,} in the table.")
        st.metric("With any finding", f"{any_finding / max(summary.films, 1):.1%}")
        st.metric("Films per patient", f"{summary.films / max(summary.patients, 1):.1f}")
        st.metric("PA films", f"{views.get('PA', 0) / max(summary.films, 1):.1%}")


def show_labels(summary: Summary) -> None:
    """How often each label stands."""
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(labels.counts_chart(summary))
    with right:
        show_chart(labels.any_finding_chart(summary))
        show_chart(labels.number_chart(summary))
    show_chart(labels.findings_chart(summary))


def show_together(summary: Summary) -> None:
    """Which labels stand together."""
    show_chart(labels.upset_chart(summary))
    measure = st.segmented_control(
        "Measure", list(labels.MATRICES), default="Correlation", required=True, key="measure"
    )
    show_chart(labels.matrix_chart(summary, measure))
    st.caption(labels.strongest(summary))


def show_patients(summary: Summary) -> None:
    """Who the films are of."""
    st.caption(
        "Intervals are Wilson's for films that are independent of each other. Films of one patient are not: "
        "with “Only each patient's first film” they mean what they say."
    )
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(groups.prevalence_chart(summary, "view"))
    with right:
        show_chart(groups.prevalence_chart(summary, "sex"))
    chosen = st.multiselect(
        "Categories below", CATEGORIES, FOLLOWED, format_func=display_name, max_selections=5, key="followed"
    )
    left, right = st.columns(2, gap="medium")
    with left:
        show_chart(groups.age_chart(summary, chosen))
        show_chart(groups.ages_chart(summary))
    with right:
        show_chart(groups.follow_up_chart(summary, chosen))
        show_chart(groups.patients_chart(summary))


def show_boxes(table: FilmTable, rows: np.ndarray) -> None:
    """Where radiologists drew boxes."""
    boxes = table.boxes[np.isin(table.box_row, rows)]
    if boxes.empty:
        st.info("None of these films has a box.", icon=":material/select:")
        return
    st.caption(
        f"{len(boxes):,} boxes on {boxes['image_id'].nunique():,} films. The patient's right side is on the left of "
        "the film. Boxes exist for some films of eight findings only, so they say where a finding was marked, not how "
        "often it occurs there."
    )
    show_chart(groups.boxes_chart(boxes))


def show_traps(summary: Summary) -> None:
    """What a model scores without looking, and what a split by film does."""
    scores = baselines(summary)
    if any(np.isnan(value) for value in vars(scores).values()):
        st.info("All these films are of one kind; there is nothing to tell apart.", icon=":material/info:")
        return
    st.markdown(
        f"Pooled over all labels, a model that has learned nothing and gives every film the same shares scores an AUC "
        f"of {scores.pooled_15:.3f} ({scores.pooled_14:.3f} over the 14 findings), because frequent labels rank above "
        f"rare ones; the notebook that this project began from printed {traps.NOTEBOOK} pooled over the 14 and called "
        f"it accuracy. The mean over the findings one by one gives the same model 0.5, which is what it is worth."
    )
    show_chart(traps.baselines_chart(scores))
    leak = statistics.split_leak(summary)
    st.markdown(
        f"Split by film, 80 to 20, {leak.films_on_both_sides:.1%} of the films have their patient on both sides, "
        f"and {leak.test_films_known:.1%} of the test films show a patient whom the model was trained on. "
        f"Everything in this app is split by patient."
    )
    show_chart(traps.leak_chart(leak))


table = current_table()
with st.sidebar:
    filters = show_filters(table)
    show_upload()
rows = select(table, filters)
summary = summarise(table, rows)
show_problems(table)
show_heading(table, summary)
section, place = open_section(SECTIONS, "section")
with place:
    if not len(rows) and section != "Films":
        st.info("No film satisfies these filters.", icon=":material/filter_alt_off:")
    elif section == "Labels":
        show_labels(summary)
    elif section == "Together":
        show_together(summary)
    elif section == "Patients":
        show_patients(summary)
    elif section == "Boxes":
        show_boxes(table, rows)
    elif section == "Films":
        show_browser(table, current_store(table), rows)
    else:
        show_traps(summary)
