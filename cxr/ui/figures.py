"""Plotly figures that pages share, and the tables they are drawn from."""

import pandas as pd
import plotly.graph_objects as go

from cxr.model.card import Card

MACRO = "Macro-AUROC over the findings"
ABNORMAL = "AUROC for abnormal"


def course_table(card: Card) -> pd.DataFrame:
    """The course of training, one row an epoch."""
    return pd.DataFrame(
        {
            "Epoch": [epoch.number for epoch in card.epochs],
            "Training loss": [epoch.loss for epoch in card.epochs],
            MACRO: [epoch.macro_auroc for epoch in card.epochs],
            ABNORMAL: [epoch.abnormal_auroc for epoch in card.epochs],
            "Seconds": [round(epoch.seconds) for epoch in card.epochs],
        }
    ).round(4)


def course_figure(card: Card) -> go.Figure:
    """Validation scores by epoch, with the epoch that was kept."""
    table = course_table(card)
    figure = go.Figure(
        [go.Scatter(x=table["Epoch"], y=table[name], name=name, mode="lines+markers") for name in (MACRO, ABNORMAL)]
    )
    figure.add_vline(x=card.best_epoch, line_dash="dot", line_color="#8a93a0", annotation_text="kept")
    figure.update_layout(
        title="Course of training, on the validation patients",
        xaxis={"title": "Epoch", "dtick": max(1, len(table) // 15)},
        yaxis={"title": "AUROC", "rangemode": "normal"},
        legend={"orientation": "h", "y": -0.25},
        hovermode="x unified",
        height=380,
    )
    return figure
