"""The jobs as a table that keeps itself up to date."""

import hashlib
from typing import Final

import pandas as pd
import streamlit as st

from cxr import jobs
from cxr.jobs import Job, State
from cxr.ui.admin.selection import NEW, choose_job, chosen_job, open_next
from cxr.ui.admin.wording import moment, progress, share_done

EVERY_SECONDS: Final = 3
COLUMNS: Final = {
    "Job": st.column_config.TextColumn(width="medium"),
    "Done": st.column_config.ProgressColumn(format="%d%%", min_value=0, max_value=100, width="small"),
    "Where it is": st.column_config.TextColumn(width="large"),
}


def show_jobs_table() -> None:
    """All jobs, the newest first; a click on a row opens the job."""
    if not jobs.jobs():
        st.info("There are no jobs yet.", icon=":material/inbox:")
        if st.button("New job", type="primary", icon=":material/add:"):
            open_next(NEW)
            st.rerun()
        return
    _table()


@st.fragment(run_every=EVERY_SECONDS)
def _table() -> None:
    found = jobs.jobs()
    # Rows are marked by their number: with other jobs in the table the mark would mean another one.
    key = hashlib.sha256(",".join(job.id for job in found).encode()).hexdigest()[:12]
    picked = st.dataframe(
        pd.DataFrame([_row(job) for job in found]),
        hide_index=True,
        column_config=COLUMNS,
        on_select="rerun",
        selection_mode="single-row",
        height=min(36 * len(found) + 38, 290),
        key=f"jobs-table-{key}",
        alt="Jobs with their state",
    )
    rows = picked.selection.rows
    if rows and rows[0] < len(found) and found[rows[0]].id != chosen_job():
        choose_job(found[rows[0]].id)
        st.rerun()


def _row(job: Job) -> dict[str, object]:
    place = jobs.queue_place(job) if job.state == State.QUEUED else None
    where = progress(job) if place is None else f"{place} before it" if place else "next"
    return {
        "Job": job.id,
        "State": f"{job.state}, stopping" if job.stopping else str(job.state),
        "Done": round(100 * share_done(job)),
        "Where it is": where if job.state in (State.RUNNING, State.QUEUED) else job.cause,
        "Model": job.spec.model,
        "By": job.spec.by,
        "Created": moment(job.created),
    }
