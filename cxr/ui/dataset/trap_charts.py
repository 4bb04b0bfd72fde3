"""Charts of what makes a score on this data set look better than it is."""

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from cxr.dataset.statistics import Leak
from cxr.evaluation.baselines import MACRO_OF_NOTHING, Baselines
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, laid_out

NOTEBOOK: Final = 0.8237
"""The pooled AUC over 14 labels that the notebook this project began from printed for its test films, and called
"0.82 accuracy"."""


def baselines_chart(scores: Baselines) -> Chart:
    """What a model scores that looks at no film."""
    rows = [
        ("Pooled over 15 columns", "the shares alone", scores.pooled_15, GREY),
        ("Pooled over 14 findings", "the shares alone", scores.pooled_14, GREY),
        ("Mean over 14 findings (macro)", "the shares alone", MACRO_OF_NOTHING, GREY),
        ("Pooled over 14 findings", "the view alone", scores.view_pooled_14, ORANGE),
        ("Mean over 14 findings (macro)", "the view alone", scores.view_macro, ORANGE),
        ("Any finding against none", "the view alone", scores.view_abnormal, ORANGE),
    ]
    table = pd.DataFrame([row[:3] for row in rows], columns=["score", "knowing", "auroc"])
    figure = go.Figure(
        go.Bar(
            x=table["auroc"],
            y=[f"{score}<br>from {knowing}" for score, knowing in zip(table["score"], table["knowing"], strict=True)],
            orientation="h",
            marker_color=[row[3] for row in rows],
            text=[f"{value:.3f}" for value in table["auroc"]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: AUROC %{x:.4f}<extra></extra>",
        )
    )
    laid_out(figure, "AUROC of models that look at no film", 400, "AUROC (0.5 is chance)")
    figure.update_xaxes(range=[0.4, 1])
    figure.update_yaxes(autorange="reversed")
    figure.add_vline(
        x=NOTEBOOK,
        line_dash="dot",
        line_color=BLUE,
        annotation_text=f"the notebook's {NOTEBOOK}, pooled",
        annotation_position="bottom right",
    )
    words = ", ".join(f"{row[0].lower()} from {row[1]} {row[2]:.3f}" for row in rows)
    return Chart("baselines", figure, table, f"Bars: {words}")


def leak_chart(leak: Leak) -> Chart:
    """What a split by film does to the patients, and what a split by patient does."""
    table = pd.DataFrame(
        {
            "split": ["by film", "by film", "by patient", "by patient"],
            "measure": ["Films whose patient is on both sides", "Test films whose patient is in training"] * 2,
            "share": [leak.films_on_both_sides, leak.test_films_known, 0.0, 0.0],
        }
    )
    figure = go.Figure()
    for split, colour in (("by film", ORANGE), ("by patient", BLUE)):
        rows = table[table["split"] == split]
        figure.add_bar(
            x=rows["share"], y=rows["measure"], orientation="h", name=f"Split {split}", marker_color=colour,
            text=[f"{value:.1%}" for value in rows["share"]], textposition="outside", cliponaxis=False,
            hovertemplate="%{y}, %{fullData.name}: %{x:.1%}<extra></extra>",
        )  # fmt: skip
    laid_out(figure, "A random 80/20 split", 260, "Share of films, expected")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    alt = (
        f"A split by film leaves {leak.films_on_both_sides:.1%} of films with a patient on both sides, by patient none"
    )
    return Chart("split-leak", figure, table, alt)
