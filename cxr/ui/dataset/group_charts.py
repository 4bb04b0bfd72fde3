"""Charts of who the films are of: prevalence by view, sex and age, films per patient, follow-ups, boxes."""

from typing import Any, Final

import numpy as np
import pandas as pd

from cxr.dataset import statistics
from cxr.dataset.summary import DECADES, Summary
from cxr.dataset.table import FILM_SIDE, UNKNOWN
from cxr.findings import FINDINGS, display_name
from cxr.ui.chart import BLUE, GREY, ORANGE, Axis, Chart, draw

COLOURS: Final = {"PA": BLUE, "AP": ORANGE, "F": ORANGE, "M": BLUE, UNKNOWN: GREY}
NAMES: Final = {"F": "Women and girls", "M": "Men and boys", UNKNOWN: "Unknown"}
CELLS: Final = 32
"""Cells along a side of the pictures of where boxes lie: 32 pixels of a film of 1024."""
COLUMNS: Final = 4
"""Pictures of where boxes lie beside each other."""
# Not one of Plotly's: Streamlit takes almost black colours of a figure for places of its theme's.
HEAT: Final = ["#14181e", "#6b2f14", "#e0913c", "#fff3d0"]
LINES: Final = (BLUE, ORANGE, "#5cb85c", "#c074d8", "#d9534f")
OF_FILMS: Final = (
    "{value} (95%: %{{customdata[2]:.2%}} to %{{customdata[3]:.2%}}), "
    "%{{customdata[0]:,}} of %{{customdata[1]:,}} films<extra></extra>"
)


def prevalence_chart(summary: Summary, by: str) -> Chart:
    """Share of each category by "view" or "sex", with Wilson intervals."""
    table = statistics.prevalence(summary, by)
    order = statistics.category_counts(summary).sort_values().index
    groups = [str(group) for group in table["group"].unique()]
    traces = []
    for group in groups:
        rows = table[table["group"] == group].set_index("category").loc[order]
        traces.append(
            {
                "type": "scatter",
                "x": rows["share"],
                "y": [display_name(name) for name in order],
                "error_x": _interval(rows),
                "mode": "markers",
                "marker": {"size": 8, "color": COLOURS[group]},
                "name": NAMES.get(group, group),
                "customdata": rows[["positives", "films", "low", "high"]].to_numpy(),
                "hovertemplate": "%{y}, %{fullData.name}: " + OF_FILMS.format(value="%{x:.2%}"),
            }
        )
    axis = {"title": "Share of films of the group, 95% interval", "tickformat": ".0%", "rangemode": "tozero"}
    figure = draw(traces, f"Share of films with each category, by {by}", 480, axis, {})
    listed = " and ".join(NAMES.get(group, group).lower() for group in groups)
    return Chart(f"prevalence-by-{by}", figure, table, f"Dots with intervals: share of each category for {listed}")


def age_chart(summary: Summary, categories: list[str]) -> Chart:
    """Share of chosen categories by age, with Wilson intervals."""
    table = statistics.prevalence(summary, "age")
    table = table[table["category"].isin(categories)]
    traces = []
    for number, category in enumerate(categories):
        rows = table[table["category"] == category]
        traces.append(
            _line(number, category, rows["group"], rows["share"])
            | {
                "error_y": _interval(rows),
                "customdata": rows[["positives", "films", "low", "high"]].to_numpy(),
                "hovertemplate": "%{fullData.name}, %{x} years: " + OF_FILMS.format(value="%{y:.2%}"),
            }
        )
    axis = {"title": "Share of films, 95% interval", "tickformat": ".0%", "rangemode": "tozero"}
    figure = draw(traces, "Share of films by age", 380, _age_axis(), axis)
    listed = ", ".join(display_name(name) for name in categories)
    return Chart("prevalence-by-age", figure, table, f"Lines of the share of films by age for {listed}")


def ages_chart(summary: Summary) -> Chart:
    """Films by age."""
    films = statistics.films_by_group(summary, "age")
    bars = {
        "type": "bar",
        "x": list(films.index),
        "y": films.to_numpy(),
        "marker": {"color": BLUE},
        "customdata": films / summary.films,
        "hovertemplate": "%{x} years: %{y:,} films, %{customdata:.1%}<extra></extra>",
    }
    figure = draw([bars], "Films by age of the patient", 380, _age_axis(), {"title": "Films"})
    table = films.rename("films").rename_axis("age").reset_index()
    return Chart("ages", figure, table, f"Bars of films by age; most, {films.max():,}, at {films.idxmax()} years")


def patients_chart(summary: Summary) -> Chart:
    """Patients by how many films they have in the selection."""
    counts = summary.films_per_patient
    films = np.flatnonzero(counts)
    bars = {
        "type": "bar",
        "x": films,
        "y": counts[films],
        "marker": {"color": BLUE},
        "hovertemplate": "%{y:,} patients with %{x} films<extra></extra>",
    }
    axes = {"title": "Films of the patient"}, {"title": "Patients (log scale)", "type": "log", "dtick": 1}
    figure = draw([bars], "Patients by number of films", 380, *axes)
    table = pd.DataFrame({"films": films, "patients": counts[films]})
    alone = int(counts[1]) / summary.patients if len(counts) > 1 else 0.0
    return Chart(
        "films-per-patient", figure, table, f"Bars: {alone:.0%} of patients have one film, one has {films[-1]}"
    )


def follow_up_chart(summary: Summary, categories: list[str]) -> Chart:
    """Share of chosen categories by place in the order of the patient's films."""
    table = statistics.by_follow_up(summary)
    traces = [
        _line(number, category, table.index, table[category])
        | {
            "customdata": table["films"],
            "hovertemplate": "%{fullData.name}, film %{x} of a patient: %{y:.1%} of %{customdata:,}<extra></extra>",
        }
        for number, category in enumerate(categories)
    ]
    places = {
        "title": "Place in the order of the patient's films",
        "type": "category",
        "tickvals": list(table.index),
        "ticktext": [name.replace(" to ", "–").replace(" and later", "+") for name in table.index],
        "tickangle": 0,
    }
    axis = {"title": "Share of films", "tickformat": ".0%", "rangemode": "tozero"}
    figure = draw(traces, "Share of films over follow-ups", 380, places, axis)
    listed = ", ".join(display_name(name) for name in categories)
    return Chart("follow-ups", figure, table.rename_axis("place").reset_index(), f"Lines over follow-ups for {listed}")


def boxes_chart(boxes: pd.DataFrame) -> Chart:
    """Where the boxes of each finding lie on the film."""
    counts = boxes["finding"].value_counts()
    present = [str(name) for name in counts.index if name in FINDINGS]
    rows = -(-len(present) // COLUMNS)
    width, height = 1 / COLUMNS, 1 / max(rows, 1)
    centres = (np.arange(CELLS) + 0.5) * FILM_SIDE / CELLS
    traces: list[dict[str, Any]] = []
    titles: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for place, name in enumerate(present):
        row, column = divmod(place, COLUMNS)
        axis, left, top = str(place + 1) if place else "", column * width, 1 - row * height
        traces.append(
            {
                "type": "heatmap",
                "z": statistics.box_coverage(boxes[boxes["finding"] == name], FILM_SIDE, CELLS).round(3),
                "x": centres,
                "y": centres,
                "xaxis": f"x{axis}",
                "yaxis": f"y{axis}",
                "colorscale": HEAT,
                "zmin": 0,
                "showscale": False,
                "hovertemplate": f"{display_name(name)}: %{{z:.0%}} of the boxes cover x %{{x:.0f}}, y %{{y:.0f}} "
                "(pixels of 1024)<extra></extra>",
            }
        )
        across = {"domain": [left, left + 0.94 * width], "visible": False, "anchor": f"y{axis}"}
        down = {"domain": [top - 0.88 * height, top - 0.08 * height], "visible": False, "anchor": f"x{axis}"}
        axes |= {f"xaxis{axis}": across, f"yaxis{axis}": down | {"autorange": "reversed", "scaleanchor": f"x{axis}"}}
        titles.append(
            {
                "text": f"{display_name(name)}, {counts[name]}",
                "x": left + 0.47 * width,
                "y": top - 0.07 * height,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "center",
                "yanchor": "bottom",
                "showarrow": False,
            }
        )
    title = "Where boxes lie on the film: share of a finding's boxes that cover a point"
    figure = draw(traces, title, 120 + 270 * rows, {}, {}, annotations=titles, **axes)
    alt = f"{len(present)} small heatmaps of where boxes lie: " + ", ".join(f"{n} {counts[n]} boxes" for n in present)
    return Chart("boxes", figure, boxes, alt)


def _line(number: int, category: str, x: Any, y: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x),
        "y": y,
        "line": {"color": LINES[number % len(LINES)]},
        "name": display_name(category),
    }


def _age_axis() -> Axis:
    names = [*DECADES, UNKNOWN]
    short = [name.replace(" to ", "–").replace(" and older", "+") for name in names]
    return {"title": "Age in years", "tickvals": names, "ticktext": short, "tickangle": 0}


def _interval(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "data",
        "array": rows["high"] - rows["share"],
        "arrayminus": rows["share"] - rows["low"],
        "thickness": 1,
        "width": 3,
    }
