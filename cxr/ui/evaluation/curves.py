"""ROC, precision-recall, reliability and forest plots of an evaluation."""

from typing import Any, Final

import numpy as np
import pandas as pd

from cxr.evaluation.precision import pr_points, roc_points
from cxr.evaluation.report import Group, Report
from cxr.evaluation.words import TOO_FEW, interval
from cxr.findings import display_name
from cxr.model.card import Estimate
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, draw

SHARE: Final = {"tickformat": ".0%", "range": [0, 1]}
NEAR_THE_EDGE: Final = 0.85


def roc_chart(labels: np.ndarray, scores: np.ndarray, thresholds: dict[str, float], title: str, words: str) -> Chart:
    """ROC curve with the operating points on it.

    Args:
        labels: (n,) 0 or 1; scores: (n,).
        thresholds: by name of operating point; flagged at and above.
        title: of the figure.
        words: the AUROC with its interval.
    """
    curve = roc_points(labels, scores)
    points = {
        name: (float((scores[labels == 0] >= t).mean()), float((scores[labels == 1] >= t).mean()))
        for name, t in thresholds.items()
    }
    traces = [
        _line(curve.x, curve.y, "Model", BLUE)
        | {"hovertemplate": "sensitivity %{y:.1%} at false alarms %{x:.1%}<extra></extra>"},
        _line([0, 1], [0, 1], "Chance", GREY) | {"line": {"color": GREY, "dash": "dot"}, "hoverinfo": "skip"},
        _points(points),
    ]
    axes = {"title": "False alarms: flagged among films without", **SHARE}, {"title": "Sensitivity", **SHARE}
    figure = draw(traces, f"{title}: AUROC {words}", 430, *axes)
    table = pd.DataFrame({"false_alarms": curve.x, "sensitivity": curve.y})
    return Chart("roc", figure, table, f"ROC curve, AUROC {words}, with the operating points {', '.join(points)}")


def pr_chart(labels: np.ndarray, scores: np.ndarray, thresholds: dict[str, float], title: str, words: str) -> Chart:
    """Precision-recall curve with the operating points on it, beside what the share of positives alone gives."""
    curve = pr_points(labels, scores)
    share = float(labels.mean())
    points = {}
    for name, t in thresholds.items():
        flagged = scores >= t
        if flagged.any():
            points[name] = (float(flagged[labels == 1].mean()), float(labels[flagged].mean()))
    traces = [
        _line(curve.x, curve.y, "Model", BLUE)
        | {"hovertemplate": "right when flagged %{y:.1%} at sensitivity %{x:.1%}<extra></extra>"},
        _line([0, 1], [share, share], "Share of these films", GREY)
        | {"line": {"color": GREY, "dash": "dot"}, "hoverinfo": "skip"},
        _points(points),
    ]
    axes = {"title": "Sensitivity (recall)", **SHARE}, {"title": "Right when flagged (precision)", **SHARE}
    figure = draw(traces, f"{title}: AUPRC {words}", 430, *axes)
    table = pd.DataFrame({"recall": curve.x, "precision": curve.y})
    return Chart("precision-recall", figure, table, f"Precision-recall curve, AUPRC {words}, share {share:.1%}")


def reliability_chart(report: Report) -> Chart:
    """Predicted against observed share of abnormal films."""
    bins = report.calibration.curve
    known = [(b.mean_probability, b.observed) for b in bins if b.observed is not None]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [p for p, _ in known],
            "y": [o.value for _, o in known],
            "error_y": _interval([o for _, o in known]),
            "marker": {"size": 9, "color": BLUE},
            "name": "Films of about the same probability",
            "customdata": [(b.films, b.observed.low, b.observed.high) for b in bins if b.observed is not None],
            "hovertemplate": "predicted %{x:.1%}, observed %{y:.1%} (95%: %{customdata[1]:.1%} to "
            "%{customdata[2]:.1%}), %{customdata[0]} films<extra></extra>",
        },
        _line([0, 1], [0, 1], "Honest", GREY) | {"line": {"color": GREY, "dash": "dot"}, "hoverinfo": "skip"},
    ]
    axes = {"title": "Predicted abnormal probability", **SHARE}, {"title": "Share that was abnormal", **SHARE}
    figure = draw(traces, "Reliability of the abnormal probability", 430, *axes)
    table = pd.DataFrame(
        [
            {"films": b.films, "predicted": b.mean_probability, "observed": b.observed and b.observed.value,
             "low": b.observed and b.observed.low, "high": b.observed and b.observed.high}
            for b in bins
        ]
    )  # fmt: skip
    return Chart("reliability", figure, table, f"Reliability in {len(bins)} groups of films, with 95% intervals")


def forest_chart(
    name: str, title: str, rows: dict[str, Estimate | None], reference: float | None, axis: str, lowest: float = 0.0
) -> Chart:
    """Estimates with their intervals, one below the other; too few to say stands as words."""
    known = {label: estimate for label, estimate in rows.items() if estimate is not None}
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [e.value for e in known.values()],
        "y": list(known),
        "error_x": _interval(list(known.values())),
        "marker": {"size": 9, "color": BLUE, "symbol": "square"},
        "customdata": [interval(e) for e in known.values()],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }
    missing = [
        {"text": TOO_FEW, "x": 0.02, "xref": "paper", "y": label, "showarrow": False, "xanchor": "left",
         "font": {"color": GREY}}
        for label, estimate in rows.items()
        if estimate is None
    ]  # fmt: skip
    line = [] if reference is None else [_vertical(reference)]
    figure = draw(
        [trace],
        title,
        110 + 27 * len(rows),
        {"title": axis, "range": [lowest, 1.0]},
        {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(rows)[::-1],
            "range": [-0.6, len(rows) - 0.4],
        },
        annotations=missing,
        shapes=line,
    )
    table = pd.DataFrame(
        [{"row": label, "value": e and e.value, "low": e and e.low, "high": e and e.high} for label, e in rows.items()]
    )
    worst = min(known, key=lambda label: known[label].value) if known else ""
    alt = f"{title}: {len(rows)} rows with 95% intervals" + (
        f"; lowest {worst} {known[worst].value:.2f}" if worst else ""
    )
    return Chart(name, figure, table, alt)


def groups_of(report: Report) -> dict[str, Group]:
    """All parts of the test films by name: sources, views, sexes and age groups with at least some films."""
    parts = {"Source": report.by_source, "View": report.by_view, "Sex": report.by_sex, "Age": report.by_age}
    return {f"{kind} {name}": group for kind, groups in parts.items() for name, group in groups.items()}


def finding_rows(report: Report, measure: str) -> dict[str, Estimate | None]:
    """ "auroc" or another estimate of every finding, by its display name."""
    return {display_name(name): getattr(task, measure) for name, task in report.findings.items()}


def _line(x: Any, y: Any, name: str, colour: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": {"color": colour}}


def _points(points: dict[str, tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [x for x, _ in points.values()],
        "y": [y for _, y in points.values()],
        "text": [name.capitalize() for name in points],
        # Right of a point at the right edge its name would be cut off.
        "textposition": ["bottom left" if x > NEAR_THE_EDGE else "bottom right" for x, _ in points.values()],
        "marker": {"size": 10, "color": ORANGE},
        "name": "Operating points",
        "hovertemplate": "%{text}: %{x:.1%}, %{y:.1%}<extra></extra>",
    }


def _vertical(x: float) -> dict[str, Any]:
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": GREY, "dash": "dot"}}


def _interval(estimates: list[Estimate]) -> dict[str, Any]:
    return {
        "type": "data",
        "array": [e.high - e.value for e in estimates],
        "arrayminus": [e.value - e.low for e in estimates],
        "thickness": 1.5,
        "width": 4,
    }
