"""What a model does to a worklist: films set aside, and time to report."""

from typing import Any

import pandas as pd

from cxr.evaluation.robustness import Robustness
from cxr.evaluation.simulation import Simulation, Spread
from cxr.evaluation.workload import WorkloadCurve
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, draw

BAND = "rgba(74,155,224,0.25)"


def workload_chart(curve: WorkloadCurve) -> Chart:
    """Share of films set aside against abnormal films missed among them."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "x": [*curve.share, *curve.share[::-1]],
            "y": [*curve.missed_high, *curve.missed_low[::-1]],
            "fill": "toself",
            "fillcolor": BAND,
            "line": {"width": 0},
            "hoverinfo": "skip",
            "name": "95% interval",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": curve.share,
            "y": curve.missed,
            "line": {"color": BLUE},
            "name": "Lowest scores set aside",
            "hovertemplate": "%{x:.0%} of films set aside: %{y:.1%} of the abnormal films missed<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 1],
            "y": [0, 1],
            "line": {"color": GREY, "dash": "dot"},
            "name": "Set aside at random",
            "hoverinfo": "skip",
        },
    ]
    share = {"tickformat": ".0%", "range": [0, 1]}
    axes = (
        {"title": "Films set aside as “no finding”", **share},
        {"title": "Abnormal films among them, of all abnormal", **share},
    )
    figure = draw(traces, "What it costs to set films aside", 430, *axes)
    table = pd.DataFrame(
        {"set_aside": curve.share, "missed": curve.missed, "low": curve.missed_low, "high": curve.missed_high}
    )
    return Chart("workload", figure, table, "Curve of abnormal films missed against films set aside, with 95% band")


def turnaround_chart(result: Simulation) -> Chart:
    """Minutes from arrival to report under both orders of reading."""
    rows = []
    for order, name in ((result.as_they_come, "As they come"), (result.by_model, "By the model")):
        for kind, turnaround in (("Abnormal", order.abnormal), ("Without findings", order.normal)):
            if turnaround is not None:
                rows.append((name, f"{kind}, mean", turnaround.mean))
                rows.append((name, f"{kind}, 90th percentile", turnaround.p90))
    traces = []
    for order_name, colour in (("As they come", GREY), ("By the model", ORANGE)):
        own: list[tuple[str, Spread]] = [(what, spread) for name, what, spread in rows if name == order_name]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "x": [s.value for _, s in own],
                "y": [what for what, _ in own],
                "name": order_name,
                "marker": {"color": colour},
                "error_x": {
                    "type": "data",
                    "array": [s.high - s.value for _, s in own],
                    "arrayminus": [s.value - s.low for _, s in own],
                    "thickness": 1,
                },
                "hovertemplate": "%{y}, %{fullData.name}: %{x:.0f} minutes<extra></extra>",
            }
        )
    figure = draw(
        traces,
        "Time from arrival to report",
        360,
        {"title": "Minutes; lines: the middle 95% of the days"},
        {"autorange": "reversed"},
    )
    table = pd.DataFrame(
        [{"order": o, "what": w, "minutes": s.value, "low": s.low, "high": s.high} for o, w, s in rows]
    )
    return Chart("turnaround", figure, table, "Bars of minutes to report for abnormal and other films, in both orders")


def robustness_chart(rows: tuple[Robustness, ...], measure: str) -> Chart:
    """A measure against severity, a line for each corruption.

    Args:
        rows: of an evaluation, the clean films among them.
        measure: "abnormal_auroc" or "calibration_error".
    """
    words, span = {
        "abnormal_auroc": ("AUROC for abnormal", [0.3, 1]),
        "calibration_error": ("Expected calibration error", [0, 0.5]),
    }[measure]
    clean = next(row for row in rows if row.severity == 0)
    names = list(dict.fromkeys(row.corruption for row in rows if row.severity))
    traces = []
    for name in names:
        own = [clean, *(row for row in rows if row.corruption == name)]
        known = [(row.severity, e) for row in own if (e := getattr(row, measure)) is not None]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [severity for severity, _ in known],
                "y": [estimate.value for _, estimate in known],
                "customdata": [(e.low, e.high) for _, e in known],
                "hovertemplate": "%{fullData.name}, severity %{x}: %{y:.3f} (95%: %{customdata[0]:.3f} to "
                "%{customdata[1]:.3f})<extra></extra>",
            }
        )
    axes = {"title": "Severity (0: the film as it is)", "dtick": 1}, {"title": words, "range": span}
    figure = draw(traces, f"Films made worse: {words}", 430, *axes)
    return Chart(f"robustness-{measure.replace('_', '-')}", figure, _table(rows), f"Lines of {words} against severity")


def _table(rows: tuple[Robustness, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "corruption": row.corruption,
                "severity": row.severity,
                "auroc": row.abnormal_auroc and row.abnormal_auroc.value,
                "change": row.auroc_change and row.auroc_change.value,
                "change_low": row.auroc_change and row.auroc_change.low,
                "change_high": row.auroc_change and row.auroc_change.high,
                "macro_auroc": row.macro_auroc,
                "calibration_error": row.calibration_error.value,
                "mean_probability": row.abnormal_probability,
            }
            for row in rows
        ]
    )
