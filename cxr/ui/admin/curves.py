"""The curves of jobs: while they run, and over each other."""

from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from cxr.jobs import Curves
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, draw

HEIGHT: Final = 270
EPOCH: Final = "Epoch"
COLOURS: Final = (BLUE, ORANGE, "#5fb37c", "#c678dd", GREY)
MOST_COMPARED: Final = len(COLOURS)


def loss_chart(curves: Curves) -> Chart:
    """Training loss: within the epochs, and of each."""
    steps, epochs = curves.steps, curves.epochs
    traces = [
        _line(curves.drawn_steps, "place", "loss", "Since the last report", GREY, mode="lines", width=1),
        _line(epochs, "number", "loss", "Whole epoch", BLUE),
    ]
    table = steps[["place", "loss"]].rename(columns={"place": EPOCH, "loss": "Training loss"})
    return _chart("training-loss", "Training loss", "Cross-entropy", traces, table)


def score_chart(curves: Curves) -> Chart:
    """What each epoch scores on the validation patients."""
    epochs = curves.epochs
    traces = [
        _line(epochs, "number", "macro_auroc", "Macro over the findings", BLUE),
        _line(epochs, "number", "abnormal_auroc", "Abnormal", ORANGE),
    ]
    table = epochs[["number", "macro_auroc", "abnormal_auroc"]]
    table.columns = pd.Index([EPOCH, "Macro-AUROC", "AUROC for abnormal"])
    return _chart("validation-auroc", "AUROC on the validation patients", "AUROC", traces, table)


def rate_chart(curves: Curves) -> Chart:
    """The learning rate, step by step."""
    steps = curves.steps
    table = steps[["place", "learning_rate"]].rename(columns={"place": EPOCH, "learning_rate": "Learning rate"})
    trace = _line(curves.drawn_steps, "place", "learning_rate", "Learning rate", BLUE, mode="lines")
    return _chart("learning-rate", "Learning rate of the head", "Rate", [trace], table, exponents=True)


def speed_chart(curves: Curves) -> Chart:
    """Films a second, and the share of the time that waited for them."""
    steps = curves.steps
    waiting = _line(curves.drawn_steps, "place", "waiting", "Waiting for films", ORANGE, mode="lines") | {"yaxis": "y2"}
    traces = [_line(curves.drawn_steps, "place", "films_per_second", "Films a second", BLUE, mode="lines"), waiting]
    table = steps[["place", "films_per_second", "waiting"]]
    table.columns = pd.Index([EPOCH, "Films a second", "Share of the time waiting for films"])
    second = {
        "overlaying": "y",
        "side": "right",
        "range": [0, 1],
        "tickformat": ".0%",
        "dtick": 0.25,
        "showgrid": False,
        "title": {"text": "Share of the time"},
    }
    return _chart("speed", "Speed", "Films a second", traces, table, yaxis2=second)


def compared_chart(found: dict[str, Curves], column: str, title: str, unit: str) -> Chart:
    """One curve of several jobs over each other.

    Args:
        found: name of the job -> its curves; at most `MOST_COMPARED`.
        column: of `Curves.epochs`.
        title, unit: of the chart and of its upright axis.
    """
    traces = [
        _line(curves.epochs, "number", column, name, colour)
        for (name, curves), colour in zip(found.items(), COLOURS, strict=False)
    ]
    parts = [curves.epochs[["number", column]].assign(job=name) for name, curves in found.items()]
    table = pd.concat(parts).rename(columns={"number": EPOCH, column: title, "job": "Job"})
    return _chart(f"compared-{column}", title, unit, traces, table)


def _line(
    table: pd.DataFrame, x: str, y: str, name: str, colour: str, mode: str = "lines+markers", width: int = 2
) -> dict[str, Any]:
    shown = table[[x, y]].dropna()
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": shown[x].to_list(),
        "y": shown[y].to_list(),
        "line": {"color": colour, "width": width},
    }


def _chart(
    name: str,
    title: str,
    unit: str,
    traces: list[dict[str, Any]],
    table: pd.DataFrame,
    exponents: bool = False,
    **layout: Any,
) -> Chart:
    upright: dict[str, Any] = {"title": unit}
    if exponents:
        # Plotly's own way of writing 0.0004 is 400µ.
        upright |= {"tickformat": ".1e"}
    if not any(trace["x"] for trace in traces):
        # Before the first point Plotly would show numbers that mean nothing.
        upright["range"] = [0, 1]
    x = {"title": EPOCH, "rangemode": "tozero"}
    figure: go.Figure = draw(traces, title, HEIGHT, x, upright, hovermode="x unified", **layout)
    return Chart(name, figure, table, f"{title} by epoch.")
