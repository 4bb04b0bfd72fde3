"""A chart as the pages show it: figure, words for those who do not see it, and its numbers as CSV."""

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from cxr.report.csv_cells import csv_text
from cxr.ui.downloads import lasting

BLUE: Final = "#4a9be0"
ORANGE: Final = "#e0913c"
GREY: Final = "#8a93a0"
Axis = dict[str, Any]
CONFIG: Final = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


@dataclass(frozen=True, eq=False)
class Chart:
    """What `show_chart` shows.

    Attributes:
        name: of the CSV file, without its ending; unique on the page.
        figure: with a title, axis titles with units, and hover texts.
        table: the numbers that the figure is drawn from.
        alt: what the figure shows, in one sentence.
    """

    name: str
    figure: go.Figure
    table: pd.DataFrame
    alt: str


def show_chart(chart: Chart) -> None:
    """The figure, with a button below it for its numbers."""
    with st.container(gap=None):
        st.plotly_chart(chart.figure, key=f"chart-{chart.name}", config=CONFIG, alt=chart.alt)
        st.download_button(
            "CSV",
            lasting(lambda: csv_text(chart.table), f"{chart.name}.csv", "text/csv"),
            f"{chart.name}.csv",
            "text/csv",
            key=f"csv-{chart.name}",
            help=f"The numbers of “{chart.figure.layout.title.text}”",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )


def draw(traces: list[dict[str, Any]], title: str, height: int, x: Axis, y: Axis, **layout: Any) -> go.Figure:
    """A figure with the look that all have.

    Made from plain dictionaries in one step: with Plotly's own objects and their `update_…` methods it takes about
    ten times as long, which would be most of the time of a page.

    Args:
        traces: as Plotly's JSON has them, with their `type`.
        title: what the figure shows.
        height: pixels.
        x, y: properties of the axes; `title` is their words, with the unit.
        layout: further properties of the layout.
    """
    named = sum("name" in trace for trace in traces) > 1
    common = {
        "title": {"text": title, "font": {"size": 15}},
        "height": height,
        # Room for a legend below the title, where there is one.
        "margin": {"l": 8, "r": 16, "t": 70 if named else 44, "b": 8},
        "showlegend": named,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "hoverlabel": {"align": "left"},
        "xaxis": {"automargin": True, **x, "title": {"text": x.get("title")}},
        "yaxis": {"automargin": True, **y, "title": {"text": y.get("title")}},
    }
    return go.Figure({"data": traces, "layout": common | layout})
