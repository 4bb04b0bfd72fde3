"""How far readers and model agree, finding by finding and over time, and what seeing the verdict changes."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import pandas as pd

from cxr.evaluation.words import TOO_FEW, interval
from cxr.findings import display_name
from cxr.model.card import Estimate
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, draw
from cxr.ui.evaluation.curves import forest_chart
from cxr.worklist.agreement import Agreement, Change, Period, Step

STEPS: Final = {"day": "Day", "week": "Week from", "month": "Month from"}


def kappa_chart(rows: Sequence[Agreement]) -> Chart:
    """Cohen's kappa of readers and model for each question, with the number of readings."""
    known: dict[str, Estimate | None] = {f"{display_name(row.question)} ({row.readings:,})": row.kappa for row in rows}
    lowest = min([0.0, *(kappa.low for kappa in known.values() if kappa is not None)])
    chart = forest_chart(
        "agreement-kappa", "Readers and model: Cohen's kappa", known, 0.0,
        "Kappa, 95% interval (readings); 0: as by chance, 1: always the same", max(lowest - 0.05, -1.0),
    )  # fmt: skip
    return Chart(chart.name, chart.figure, agreement_table(rows), chart.alt)


def agreement_table(rows: Sequence[Agreement]) -> pd.DataFrame:
    """The numbers behind the chart, a row for each question; shares and kappas with their intervals."""
    return pd.DataFrame(
        [
            {
                "question": row.question, "readings": row.readings, "patients": row.patients, "both": row.both,
                "reader_only": row.reader_only, "model_only": row.model_only, "neither": row.neither,
                "unsure": row.unsure, **_numbers("agreement", row.agreement), **_numbers("kappa", row.kappa),
            }
            for row in rows
        ]
    )  # fmt: skip


def time_chart(periods: Sequence[Period], step: Step, question: str) -> Chart:
    """Share of agreeing readings and kappa in each period, with intervals; n above each point.

    Args:
        periods: at least one.
        step: how long each is.
        question: that it is about.
    """
    parts: tuple[tuple[str, str, Callable[[Agreement], Estimate | None]], ...] = (
        ("Share that agrees", BLUE, lambda agreement: agreement.agreement),
        ("Kappa", ORANGE, lambda agreement: agreement.kappa),
    )
    traces = [_over_time(periods, name, colour, value) for name, colour, value in parts]
    few = [period for period in periods if period.agreement.agreement is None]
    # A period without a point is not left out without a word.
    missing = [
        {"x": period.start.isoformat(), "y": 0.04, "text": f"{TOO_FEW} (n = {period.agreement.readings})",
         "showarrow": False, "textangle": -90, "yanchor": "bottom", "font": {"color": GREY, "size": 11}}
        for period in few
    ]  # fmt: skip
    title = f"{display_name(question)}: readers and model over time"
    lows = [kappa.low for period in periods if (kappa := period.agreement.kappa) is not None]
    figure = draw(
        traces,
        title,
        400,
        {"title": f"{STEPS[step]} (UTC); n: readings", "type": "category", "categoryorder": "array",
         "categoryarray": [period.start.isoformat() for period in periods]},
        {"title": "Share, and kappa; 95% intervals", "range": [max(-1.0, min([0.0, *lows]) - 0.02), 1.1]},
        annotations=missing,
    )  # fmt: skip
    table = agreement_table([period.agreement for period in periods])
    table.insert(0, "from", [period.start.isoformat() for period in periods])
    alt = f"{title}: {len(periods)} periods, {len(few)} of them with too few readings to say"
    return Chart("agreement-over-time", figure, table, alt)


def change_chart(rows: Sequence[Change]) -> Chart:
    """Of the blind answers that differed from the model's, the share that then became the model's."""
    known = {f"{display_name(row.question)} ({row.joined:,} of {row.apart:,})": row.joined_share for row in rows}
    chart = forest_chart(
        "agreement-change", "Answers that differed from the model's, and became the model's", known, None,
        "Share, 95% interval (readings)",
    )  # fmt: skip
    table = pd.DataFrame(
        [
            {
                "question": row.question, "readings": row.readings, "patients": row.patients, "changed": row.changed,
                **_numbers("changed_share", row.changed_share), "differed": row.apart, "became_the_models": row.joined,
                **_numbers("became_share", row.joined_share), "agreed": row.together, "left_the_model": row.left,
                **_numbers("left_share", row.left_share),
            }
            for row in rows
        ]
    )  # fmt: skip
    return Chart(chart.name, chart.figure, table, chart.alt)


def _over_time(
    periods: Sequence[Period], name: str, colour: str, value: Callable[[Agreement], Estimate | None]
) -> dict[str, Any]:
    known = [(period, found) for period in periods if (found := value(period.agreement)) is not None]
    return {
        "type": "scatter",
        "mode": "lines+markers+text" if colour == BLUE else "lines+markers",
        "name": name,
        "x": [period.start.isoformat() for period, _ in known],
        "y": [found.value for _, found in known],
        "text": [f"n = {period.agreement.readings:,}" for period, _ in known],
        "textposition": "top center",
        "marker": {"color": colour, "size": 8},
        "line": {"color": colour, "width": 1},
        "error_y": {
            "type": "data",
            "array": [found.high - found.value for _, found in known],
            "arrayminus": [found.value - found.low for _, found in known],
            "thickness": 1.5,
        },
        "customdata": [(interval(found), period.agreement.readings) for period, found in known],
        "hovertemplate": "%{x}, %{fullData.name}: %{customdata[0]}, %{customdata[1]} readings<extra></extra>",
    }


def _numbers(name: str, found: Estimate | None) -> dict[str, float | None]:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
