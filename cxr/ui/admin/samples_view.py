"""What a job's model says of a few validation films, epoch after epoch."""

import numpy as np
import pandas as pd
import streamlit as st

from cxr import jobs
from cxr.findings import CATEGORIES, FINDING_INDICES, NO_FINDING_INDEX, display_name
from cxr.jobs import Job
from cxr.report.csv_cells import harmless_table
from cxr.ui.chart import BLUE, GREY, Chart, draw, show_chart

TOP = 3


def show_samples(job: Job) -> None:
    """The abnormal score of each film by epoch, and what stands out in the last one."""
    found = jobs.samples(job)
    if found is None or not found.epochs:
        st.info("The first epoch is not complete.", icon=":material/image_search:")
        return
    abnormal = found.labels[:, NO_FINDING_INDEX] == 0
    scores = 1 - found.probabilities[..., NO_FINDING_INDEX]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": image_id,
            "x": list(found.epochs),
            "y": scores[:, k].tolist(),
            "line": {"color": BLUE if abnormal[k] else GREY, "dash": "solid" if abnormal[k] else "dot"},
        }
        for k, image_id in enumerate(found.image_ids)
    ]
    title = "Abnormal score of a few validation films (solid: abnormal; dotted: no finding)"
    figure = draw(
        traces,
        title,
        320,
        {"title": "Epoch"},
        {"title": "Score, not calibrated yet", "range": [0, 1]},
        showlegend=False,
    )
    table = pd.DataFrame(scores, columns=list(found.image_ids)).assign(Epoch=list(found.epochs))
    show_chart(Chart("sample-scores", figure, table, "Abnormal score of each sample film by epoch."))
    st.dataframe(
        harmless_table(
            pd.DataFrame(
                [
                    {
                        "Film": image_id,
                        "Labels": ", ".join(display_name(CATEGORIES[c]) for c in np.flatnonzero(found.labels[k])),
                        "Abnormal score": float(scores[-1, k]),
                        "Highest findings": _highest(found.probabilities[-1, k]),
                    }
                    for k, image_id in enumerate(found.image_ids)
                ]
            )
        ),
        hide_index=True,
        height="content",
        column_config={"Abnormal score": st.column_config.ProgressColumn(format="%.2f", min_value=0, max_value=1)},
    )
    st.caption(
        f"After epoch {found.epochs[-1]}. Films of validation patients, always the same; scores as the network gives "
        "them, before calibration."
    )


def _highest(probabilities: np.ndarray) -> str:
    findings = np.array(FINDING_INDICES)
    order = findings[np.argsort(-probabilities[findings])][:TOP]
    return ", ".join(f"{display_name(CATEGORIES[c])} {probabilities[c]:.2f}" for c in order)
