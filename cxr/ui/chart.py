"""A chart as the pages show it: figure, words for those who do not see it, and its numbers as CSV."""

from dataclasses import dataclass
from typing import Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

BLUE: Final = "#4a9be0"
ORANGE: Final = "#e0913c"
GREY: Final = "#8a93a0"
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
            lambda: chart.table.to_csv(index=False),
            f"{chart.name}.csv",
            "text/csv",
            key=f"csv-{chart.name}",
            help=f"The numbers of “{chart.figure.layout.title.text}”",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )


def laid_out(figure: go.Figure, title: str, height: int, x: str | None = None, y: str | None = None) -> go.Figure:
    """Give a figure its title, the titles of its axes with their units, and its height in pixels."""
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        height=height,
        # Room for a legend below the title, where there is one.
        margin={"l": 8, "r": 16, "t": 70 if len(figure.data) > 1 and figure.data[0].name else 44, "b": 8},
        xaxis={"title": {"text": x}, "automargin": True},
        yaxis={"title": {"text": y}, "automargin": True},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        hoverlabel={"align": "left"},
    )
    return figure
