"""One job: how it goes, what it says, what it was told to do, and what can be done with it."""

from typing import Final

import pandas as pd
import streamlit as st

from cxr import jobs
from cxr.jobs import Job, State
from cxr.jobs.words import seconds_in_words
from cxr.model.bundle import BundleRejected
from cxr.training.config import TrainingConfig
from cxr.ui.admin import curves as charts
from cxr.ui.admin.cards import card_of
from cxr.ui.admin.confirm import ask
from cxr.ui.admin.new_job import command, start_again
from cxr.ui.admin.samples_view import show_samples
from cxr.ui.admin.selection import MODELS, NEW, chosen_job, forget_job, open_next
from cxr.ui.admin.wording import COLOURS, ICONS, moment, progress, share_done
from cxr.ui.chart import show_chart
from cxr.ui.identity import Person
from cxr.ui.words import plain

EVERY_SECONDS: Final = 2
VIEWS: Final = ("Curves", "Samples", "Log", "Configuration", "History")
LOG_LINES: Final = 300


def show_job(person: Person) -> None:
    """The job that was chosen, if one was and is still there."""
    job_id = chosen_job()
    if job_id is None:
        return
    try:
        job = jobs.job(job_id)
    except jobs.NoSuchJob:
        forget_job()
        return
    st.subheader(f"Job {plain(job.id)}", anchor=False)
    _actions(job, person)
    # A job that is over does not change; one that is not is looked at again and again, and nothing else is redrawn.
    st.fragment(_live, run_every=EVERY_SECONDS if job.state.alive else None)(job.id, job.state)


def _live(job_id: str, drawn: State) -> None:
    try:
        job = jobs.job(job_id)
    except jobs.NoSuchJob:
        st.rerun()
    if job.state.alive != drawn.alive:
        # What can be done with it has changed.
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(str(job.state), icon=ICONS[job.state], color=COLOURS[job.state])
        st.markdown(plain(job.cause))
    if job.remark:
        st.caption(plain(job.remark))
    if job.stopping:
        st.caption("It was asked to stop: it saves a checkpoint first.")
    if job.state != State.QUEUED:
        st.progress(share_done(job), progress(job) or "Starting")
    _numbers(job)
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="job-view", label_visibility="collapsed"
    )
    if view == "Curves":
        _show_curves(job)
    elif view == "Samples":
        show_samples(job)
    elif view == "Log":
        _show_log(job)
    elif view == "Configuration":
        _show_configuration(job)
    else:
        _show_history(job)


def _numbers(job: Job) -> None:
    if job.live is None or job.live.at is None:
        return
    at = job.live.at
    epochs = jobs.curves(job).epochs
    macro = None if epochs.empty else epochs["macro_auroc"].iloc[-1]
    with st.grid(5, gap="small"):
        st.metric("Epoch", f"{at.epoch} of {at.epochs}")
        st.metric("Training loss", f"{at.loss:.4f}")
        st.metric(
            "Films a second", f"{at.films_per_second:.1f}", help=f"{at.waiting:.0%} of the time waiting for films."
        )
        st.metric(
            "Validation macro-AUROC",
            "none yet" if macro is None else "too few films" if pd.isna(macro) else f"{macro:.3f}",
        )
        if job.state == State.RUNNING and not job.live.trained:
            left = "not known yet" if at.seconds_left is None else seconds_in_words(at.seconds_left)
            told = None if at.epoch_seconds is None else f"An epoch takes {seconds_in_words(at.epoch_seconds)}."
            st.metric("Time left", left, help=told)
        else:
            st.metric("Time taken", seconds_in_words(job.running_seconds), help="While it ran, not while it waited.")


def _actions(job: Job, person: Person) -> None:
    """What can be done with the job as it is."""
    who, name = person.name, f"**{plain(job.id)}**"
    with st.container(horizontal=True):
        if job.state.alive and st.button("Cancel", icon=":material/cancel:", key="job-cancel", disabled=job.stopping):
            ask(
                "Cancel this job?",
                f"{name} saves a checkpoint and stops. It can be resumed from there.",
                "Cancel the job",
                lambda: _told(jobs.cancel(job.id, who)),
            )
        if job.resumable and st.button("Resume", icon=":material/play_arrow:", type="primary", key="job-resume"):
            ask(
                "Resume this job?",
                f"{name} goes on from its last checkpoint, or from the beginning if it has none.",
                "Resume the job",
                lambda: _told(jobs.resume(job.id, who)),
            )
        if job.state == State.FINISHED and st.button(
            "To the model", icon=":material/deployed_code:", type="primary", key="job-model"
        ):
            st.session_state["candidate"] = job.spec.model
            open_next(MODELS)
            st.rerun()
        if st.button("Start again with changes", icon=":material/content_copy:", key="job-clone"):
            start_again(jobs.spec_of(job, by=who))
            open_next(NEW)
            st.rerun()
        if not job.state.alive and st.button("Delete", icon=":material/delete:", key="job-delete"):
            ask(
                "Delete this job?",
                f"The folder of {name} goes, with its checkpoints, curves and log. The model that it made stays. This "
                "can't be undone.",
                "Delete the job",
                lambda: _deleted(job.id, who),
            )


def _told(job: Job) -> str:
    return f"{job.id} was asked to stop." if job.stopping else f"{job.id}: {job.cause}"


def _deleted(job_id: str, who: str) -> str:
    jobs.delete(job_id, who)
    forget_job()
    return f"{job_id} was deleted."


def _show_curves(job: Job) -> None:
    curves = jobs.curves(job)
    if curves.steps.empty and curves.epochs.empty:
        st.info("No step was made yet.", icon=":material/show_chart:")
        return
    with st.grid(2, gap="medium"):
        for chart in (charts.loss_chart, charts.score_chart, charts.rate_chart, charts.speed_chart):
            with st.container():
                show_chart(chart(curves))


def _show_log(job: Job) -> None:
    lines = jobs.log_tail(job, LOG_LINES)
    st.code("\n".join(lines) or "Nothing was written yet.", language=None, height=420, wrap_lines=True)
    st.caption(
        f"The last {LOG_LINES} lines of {job.folder / 'log.txt'}. TensorBoard: `tensorboard --logdir {job.folder}`."
    )


def _show_configuration(job: Job) -> None:
    before, words = _before(job)
    now = job.spec.config.model_dump(mode="json")
    changed = {name: (before.get(name, "not there"), value) for name, value in now.items() if before.get(name) != value}
    st.markdown(f"Differs from {words} in:" if changed else f"The same as {words}.")
    if changed:
        rows = [{"Option": n, "There": str(old), "Here": str(new)} for n, (old, new) in changed.items()]
        st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")
    st.markdown("The same from the command line:")
    st.code(command(job.spec), language="bash", wrap_lines=True)
    with st.expander("Everything"):
        st.json(job.spec.model_dump(mode="json"))


def _before(job: Job) -> tuple[dict[str, object], str]:
    """The configuration to compare with: of the job that it was made of, of its parent model, or the defaults."""
    if job.spec.cloned_from is not None:
        try:
            return jobs.job(job.spec.cloned_from).spec.config.model_dump(mode="json"), f"the job {job.spec.cloned_from}"
        except jobs.NoSuchJob:
            st.caption(f"The job that it was made of, {plain(job.spec.cloned_from)}, was deleted.")
    parent = job.spec.config.parent
    if parent is not None:
        try:
            return dict(card_of(parent).training), f"what its parent model {parent} was trained with"
        except BundleRejected as error:
            st.caption(plain(str(error)))
    return TrainingConfig().model_dump(mode="json"), "the defaults"


def _show_history(job: Job) -> None:
    rows = [{"When": moment(e.time), "State": str(e.state), "Who": e.who, "Cause": e.cause} for e in job.events]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")
    st.caption(f"Folder: {job.folder}")
