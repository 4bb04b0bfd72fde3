"""Admin: fine-tuning jobs, from a click to a promoted model. For administrators."""

import streamlit as st

from cxr.ui.admin import selection
from cxr.ui.admin.compare_view import show_compare
from cxr.ui.admin.confirm import show_what_happened
from cxr.ui.admin.job_view import show_job
from cxr.ui.admin.jobs_table import show_jobs_table
from cxr.ui.admin.machine_view import show_machine
from cxr.ui.admin.models_view import show_models
from cxr.ui.admin.new_job import show_new_job
from cxr.ui.front_door import enter_as_administrator

person = enter_as_administrator()

heading, who = st.columns([3, 2], vertical_alignment="bottom")
heading.title("Admin", anchor=False)
who.caption(person.why)
show_what_happened()
match selection.section_bar():
    case selection.NEW:
        show_new_job(person)
    case selection.COMPARE:
        show_compare()
    case selection.MODELS:
        show_models(person)
    case selection.MACHINE:
        show_machine()
    case _:
        show_jobs_table()
        show_job(person)
