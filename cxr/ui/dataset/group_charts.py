"""Charts of who the films are of: prevalence by view, sex and age, films per patient, follow-ups, boxes."""

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cxr.dataset import statistics
from cxr.dataset.summary import DECADES, Summary
from cxr.dataset.table import FILM_SIDE, UNKNOWN
from cxr.findings import FINDINGS, display_name
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, laid_out

COLOURS: Final = {"PA": BLUE, "AP": ORANGE, "F": ORANGE, "M": BLUE, UNKNOWN: GREY}
NAMES: Final = {"F": "Women and girls", "M": "Men and boys", UNKNOWN: "Unknown"}
CELLS: Final = 32
"""Cells along a side of the pictures of where boxes lie: 32 pixels of a film of 1024."""
# Not one of Plotly's: Streamlit takes almost black colours of a figure for places of its theme's.
HEAT: Final = ["#14181e", "#6b2f14", "#e0913c", "#fff3d0"]
LINES: Final = ("#4a9be0", "#e0913c", "#5cb85c", "#c074d8", "#d9534f")


def prevalence_chart(summary: Summary, by: str) -> Chart:
    """Share of each category by "view" or "sex", with Wilson intervals."""
    table = statistics.prevalence(summary, by)
    figure = go.Figure()
    order = statistics.category_counts(summary).sort_values().index
    for group, rows in table.groupby("group", sort=False):
        rows = rows.set_index("category").loc[order]
        figure.add_scatter(
            x=rows["share"].to_numpy(),
            y=[display_name(name) for name in order],
            error_x=_interval(rows),
            mode="markers",
            marker={"size": 8, "color": COLOURS[str(group)]},
            name=NAMES.get(str(group), str(group)),
            customdata=rows[["positives", "films", "low", "high"]].to_numpy(),
            hovertemplate=(
                "%{y}, %{fullData.name}: %{x:.2%} (95%: %{customdata[2]:.2%} to %{customdata[3]:.2%}), "
                "%{customdata[0]:,} of %{customdata[1]:,} films<extra></extra>"
            ),
        )
    laid_out(figure, f"Share of films with each category, by {by}", 480, "Share of films of the group, 95% interval")
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    groups = " and ".join(NAMES.get(str(group), str(group)).lower() for group in table["group"].unique())
    return Chart(f"prevalence-by-{by}", figure, table, f"Dots with intervals: share of each category for {groups}")


def age_chart(summary: Summary, categories: list[str]) -> Chart:
    """Share of chosen categories by age, with Wilson intervals."""
    table = statistics.prevalence(summary, "age")
    table = table[table["category"].isin(categories)]
    figure = go.Figure()
    for number, category in enumerate(categories):
        rows = table[table["category"] == category]
        figure.add_scatter(
            x=rows["group"].to_numpy(),
            y=rows["share"].to_numpy(),
            error_y=_interval(rows),
            mode="lines+markers",
            line_color=LINES[number % len(LINES)],
            name=display_name(category),
            customdata=rows[["positives", "films", "low", "high"]].to_numpy(),
            hovertemplate=(
                "%{fullData.name}, %{x} years: %{y:.2%} (95%: %{customdata[2]:.2%} to %{customdata[3]:.2%}), "
                "%{customdata[0]:,} of %{customdata[1]:,} films<extra></extra>"
            ),
        )
    laid_out(figure, "Share of films by age", 380, "Age in years", "Share of films, 95% interval")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    _short_ages(figure)
    listed = ", ".join(display_name(name) for name in categories)
    return Chart("prevalence-by-age", figure, table, f"Lines of the share of films by age for {listed}")


def ages_chart(summary: Summary) -> Chart:
    """Films by age."""
    films = statistics.films_by_group(summary, "age")
    figure = go.Figure(
        go.Bar(
            x=list(films.index),
            y=films.to_numpy(),
            marker_color=BLUE,
            customdata=(films / summary.films).to_numpy(),
            hovertemplate="%{x} years: %{y:,} films, %{customdata:.1%}<extra></extra>",
        )
    )
    laid_out(figure, "Films by age of the patient", 380, "Age in years", "Films")
    _short_ages(figure)
    table = films.rename("films").rename_axis("age").reset_index()
    return Chart("ages", figure, table, f"Bars of films by age; most, {films.max():,}, at {films.idxmax()} years")


def patients_chart(summary: Summary) -> Chart:
    """Patients by how many films they have in the selection."""
    counts = summary.films_per_patient
    films = np.flatnonzero(counts)
    figure = go.Figure(
        go.Bar(
            x=films, y=counts[films], marker_color=BLUE, hovertemplate="%{y:,} patients with %{x} films<extra></extra>"
        )
    )
    laid_out(figure, "Patients by number of films", 380, "Films of the patient", "Patients (log scale)")
    figure.update_yaxes(type="log", dtick=1)
    table = pd.DataFrame({"films": films, "patients": counts[films]})
    alone = counts[1] / summary.patients
    return Chart(
        "films-per-patient", figure, table, f"Bars: {alone:.0%} of the patients have one film, one has {films[-1]}"
    )


def follow_up_chart(summary: Summary, categories: list[str]) -> Chart:
    """Share of chosen categories by place in the order of the patient's films."""
    table = statistics.by_follow_up(summary)
    figure = go.Figure()
    for number, category in enumerate(categories):
        figure.add_scatter(
            x=list(table.index),
            y=table[category].to_numpy(),
            mode="lines+markers",
            line_color=LINES[number % len(LINES)],
            name=display_name(category),
            customdata=table["films"].to_numpy(),
            hovertemplate="%{fullData.name}, film %{x} of a patient: %{y:.1%} of %{customdata:,} films<extra></extra>",
        )
    laid_out(
        figure, "Share of films over follow-ups", 380, "Place in the order of the patient's films", "Share of films"
    )
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(type="category", tickvals=list(table.index), tickangle=0)
    figure.update_xaxes(ticktext=[name.replace(" to ", "–").replace(" and later", "+") for name in table.index])
    listed = ", ".join(display_name(name) for name in categories)
    return Chart("follow-ups", figure, table.rename_axis("place").reset_index(), f"Lines over follow-ups for {listed}")


def boxes_chart(boxes: pd.DataFrame) -> Chart:
    """Where the boxes of each finding lie on the film."""
    counts = boxes["finding"].value_counts()
    present = [name for name in counts.index if name in FINDINGS]
    columns = 4
    rows = -(-len(present) // columns)
    figure = go.Figure()
    width, height = 1 / columns, 1 / max(rows, 1)
    layout: dict[str, object] = {}
    edges = (np.arange(CELLS) + 0.5) * FILM_SIDE / CELLS
    titles = []
    for place, name in enumerate(present):
        row, column = divmod(place, columns)
        axis = "" if place == 0 else str(place + 1)
        covered = statistics.box_coverage(boxes[boxes["finding"] == name], FILM_SIDE, CELLS)
        figure.add_heatmap(
            z=covered, x=edges, y=edges, xaxis=f"x{axis}", yaxis=f"y{axis}", colorscale=HEAT, zmin=0,
            showscale=False, name=display_name(name),
            hovertemplate="%{z:.0%} of the boxes cover x %{x:.0f}, y %{y:.0f} (pixels of 1024)",
        )  # fmt: skip
        left, top = column * width, 1 - row * height
        layout[f"xaxis{axis}"] = {"domain": [left, left + 0.94 * width], "visible": False, "anchor": f"y{axis}"}
        layout[f"yaxis{axis}"] = {
            "domain": [top - 0.88 * height, top - 0.08 * height], "visible": False, "anchor": f"x{axis}",
            "autorange": "reversed", "scaleanchor": f"x{axis}",
        }  # fmt: skip
        titles.append(
            {
                "text": f"{display_name(name)}, {counts[name]}", "x": left + 0.47 * width, "y": top - 0.07 * height,
                "xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom", "showarrow": False,
            }
        )  # fmt: skip
    laid_out(figure, "Where boxes lie on the film: share of a finding's boxes that cover a point", 120 + 270 * rows)
    figure.update_layout(layout, annotations=titles)
    alt = f"{len(present)} small heatmaps of where boxes lie: " + ", ".join(f"{n} {counts[n]} boxes" for n in present)
    return Chart("boxes", figure, boxes, alt)


def _short_ages(figure: go.Figure) -> None:
    names = [*DECADES, UNKNOWN]
    short = [name.replace(" to ", "–").replace(" and older", "+") for name in names]
    figure.update_xaxes(tickvals=names, ticktext=short, tickangle=0)


def _interval(rows: pd.DataFrame) -> dict[str, object]:
    return {
        "type": "data",
        "array": (rows["high"] - rows["share"]).to_numpy(),
        "arrayminus": (rows["share"] - rows["low"]).to_numpy(),
        "thickness": 1,
        "width": 3,
    }
