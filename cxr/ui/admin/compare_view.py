"""Jobs beside each other: curves, what was chosen otherwise, what came of it."""

import pandas as pd
import streamlit as st

from cxr import jobs
from cxr.jobs import Job
from cxr.jobs.words import seconds_in_words
from cxr.ui.admin.curves import MOST_COMPARED, compared_chart
from cxr.ui.chart import show_chart


def show_compare() -> None:
    """Choose jobs, and see them over each other."""
    found = {job.id: job for job in jobs.jobs()}
    if len(found) < 2:
        st.info("There are not two jobs to compare yet.", icon=":material/compare_arrows:")
        return
    names = st.multiselect("Jobs", list(found), list(found)[:2], max_selections=MOST_COMPARED, key="compared-jobs")
    if not names:
        return
    chosen = {name: found[name] for name in names}
    curves = {name: jobs.curves(job) for name, job in chosen.items()}
    with st.grid(3, gap="medium"):
        for column, title, unit in (
            ("macro_auroc", "Validation macro-AUROC", "AUROC"),
            ("abnormal_auroc", "Validation AUROC for abnormal", "AUROC"),
            ("loss", "Training loss of the epoch", "Cross-entropy"),
        ):
            with st.container():
                show_chart(compared_chart(curves, column, title, unit))
    st.dataframe(
        pd.DataFrame([_row(job, curves[name].epochs) for name, job in chosen.items()]),
        hide_index=True,
        height="content",
    )
    if len({job.spec.data for job in chosen.values()}) > 1 or _splits_differ(chosen):
        st.warning(
            "These jobs have other data or other patients in validation: their scores can't be compared with each "
            "other.",
            icon=":material/warning:",
        )
    st.subheader("What was chosen otherwise", anchor=False)
    configs = pd.DataFrame(
        {name: {o: str(v) for o, v in job.spec.config.model_dump(mode="json").items()} for name, job in chosen.items()}
    )
    different = configs[configs.ne(configs.iloc[:, 0], axis=0).any(axis=1)]
    if different.empty:
        st.caption("Nothing: the configurations are the same.")
    else:
        st.dataframe(different.reset_index(names="Option"), hide_index=True, height="content")


def _splits_differ(chosen: dict[str, Job]) -> bool:
    keys = ("official_split", "split_seed", "fractions")
    return len({tuple(getattr(job.spec.config, key) for key in keys) for job in chosen.values()}) > 1


def _row(job: Job, epochs: pd.DataFrame) -> dict[str, object]:
    best = epochs["macro_auroc"].max() if len(epochs) else float("nan")
    abnormal = epochs["abnormal_auroc"].max() if len(epochs) else float("nan")
    return {
        "Job": job.id,
        "State": str(job.state),
        "Epochs": len(epochs),
        "Best macro-AUROC": None if pd.isna(best) else round(float(best), 3),
        "Best AUROC for abnormal": None if pd.isna(abnormal) else round(float(abnormal), 3),
        "Films a second": round(float(epochs["films_per_second"].mean()), 1) if len(epochs) else None,
        "Time in epochs": seconds_in_words(float(epochs["seconds"].sum())) if len(epochs) else "",
    }
