"""Charts of what makes a score on this data set look better than it is."""

from typing import Final

import pandas as pd

from cxr.dataset.statistics import Leak
from cxr.evaluation.baselines import MACRO_OF_NOTHING, Baselines
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, draw

NOTEBOOK: Final = 0.8237
"""The pooled AUC over 14 labels that the notebook this project began from printed for its test films, and called
"0.82 accuracy"."""


def baselines_chart(scores: Baselines) -> Chart:
    """What a model scores that looks at no film."""
    rows = [
        ("Pooled over 15 columns", "the shares alone", scores.pooled_15),
        ("Pooled over 14 findings", "the shares alone", scores.pooled_14),
        ("Mean over 14 findings (macro)", "the shares alone", MACRO_OF_NOTHING),
        ("Pooled over 14 findings", "the view alone", scores.view_pooled_14),
        ("Mean over 14 findings (macro)", "the view alone", scores.view_macro),
        ("Any finding against none", "the view alone", scores.view_abnormal),
    ]
    table = pd.DataFrame(rows, columns=["score", "knowing", "auroc"])
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": table["auroc"],
        "y": [f"{score}<br>from {knowing}" for score, knowing, _ in rows],
        "marker": {"color": [ORANGE if knowing == "the view alone" else GREY for _, knowing, _ in rows]},
        "text": [f"{value:.3f}" for value in table["auroc"]],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: AUROC %{x:.4f}<extra></extra>",
    }
    line = {"x0": NOTEBOOK, "x1": NOTEBOOK, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": BLUE, "dash": "dot"}}
    note = {
        "text": f"the notebook's {NOTEBOOK}, pooled",
        "x": NOTEBOOK,
        "y": 0,
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }
    figure = draw(
        [bars],
        "AUROC of models that look at no film",
        400,
        {"title": "AUROC (0.5 is chance)", "range": [0.4, 1]},
        {"autorange": "reversed"},
        shapes=[{"type": "line", **line}],
        annotations=[note],
    )
    words = ", ".join(f"{score.lower()} from {knowing} {value:.3f}" for score, knowing, value in rows)
    return Chart("baselines", figure, table, f"Bars: {words}")


def leak_chart(leak: Leak) -> Chart:
    """What a split by film does to the patients, and what a split by patient does."""
    measures = ["Films whose patient is on both sides", "Test films whose patient is in training"]
    shares = {"by film": [leak.films_on_both_sides, leak.test_films_known], "by patient": [0.0, 0.0]}
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": values,
            "y": measures,
            "name": f"Split {split}",
            "marker": {"color": ORANGE if split == "by film" else BLUE},
            "text": [f"{value:.1%}" for value in values],
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": "%{y}, %{fullData.name}: %{x:.1%}<extra></extra>",
        }
        for split, values in shares.items()
    ]
    axis = {"title": "Share of films, expected", "tickformat": ".0%", "range": [0, 1]}
    figure = draw(traces, "A random 80/20 split", 260, axis, {})
    alt = (
        f"A split by film leaves {leak.films_on_both_sides:.1%} of films with a patient on both sides, by patient none"
    )
    table = pd.DataFrame(
        [(split, m, v) for split, values in shares.items() for m, v in zip(measures, values, strict=True)]
    )
    return Chart("split-leak", figure, table.set_axis(["split", "measure", "share"], axis=1), alt)
