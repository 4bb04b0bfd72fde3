"""Charts of the labels: how often each stands, how many on a film, and which together."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr.dataset import statistics
from cxr.dataset.summary import Summary
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING, display_name
from cxr.ui.chart import BLUE, GREY, ORANGE, Chart, draw

TOP: Final = 20
"""How many combinations the UpSet plot shows."""
PERCENT: Final = ".0%"
MATRICES: Final[dict[str, Callable[[Summary], pd.DataFrame]]] = {
    "Correlation": statistics.correlation,
    "Conditional probability": statistics.conditional,
    "Lift": statistics.lift,
}
"""How it can be measured that two categories go together."""


def counts_chart(summary: Summary) -> Chart:
    """Films with each of the 15 categories."""
    counts = statistics.category_counts(summary).sort_values()
    bars = _bars(counts.to_numpy(), [display_name(name) for name in counts.index]) | {
        "marker": {"color": [GREY if name == NO_FINDING else BLUE for name in counts.index]},
        "text": [f"{count:,}" for count in counts],
        "customdata": counts / summary.films,
        "hovertemplate": "%{y}: %{x:,} films, %{customdata:.1%} of all<extra></extra>",
    }
    figure = draw([bars], "Films with each category", 480, {"title": "Films"}, {})
    table = counts[::-1].rename("films").rename_axis("category").reset_index()
    first = ", ".join(f"{display_name(name)} {count:,}" for name, count in counts[::-1].head(4).items())
    return Chart("categories", figure, table, f"Bars of the number of films with each of 15 categories: {first}, …")


def any_finding_chart(summary: Summary) -> Chart:
    """Films without a finding against films with any."""
    counts = statistics.any_finding(summary)
    shares = counts / summary.films
    bars = _bars(counts.to_numpy(), list(counts.index)) | {
        "marker": {"color": [GREY, ORANGE]},
        "text": [f"{count:,} ({share:.1%})" for count, share in zip(counts, shares, strict=True)],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "insidetextfont": {"color": "#101418"},
        "hovertemplate": "%{y}: %{x:,} films<extra></extra>",
    }
    figure = draw([bars], "No finding against any finding", 190, {"title": "Films"}, {})
    table = counts.rename("films").rename_axis("group").reset_index().assign(share=shares.to_numpy())
    words = " and ".join(f"{name.lower()} {share:.1%}" for name, share in shares.items())
    return Chart("any-finding", figure, table, f"Two bars: {words} of the films")


def findings_chart(summary: Summary) -> Chart:
    """The 14 findings one by one: share of films, with count."""
    table = statistics.finding_counts(summary).sort_values("films")
    bars = _bars(table["of_all"].to_numpy(), [display_name(name) for name in table.index]) | {
        "text": [f"{share:.1%}" for share in table["of_all"]],
        "customdata": table[["films", "of_any_finding"]].to_numpy(),
        "hovertemplate": "%{y}: %{customdata[0]:,} films, %{x:.2%} of all, "
        "%{customdata[1]:.1%} of those with any finding<extra></extra>",
    }
    axis = {"title": "Share of films", "tickformat": PERCENT}
    figure = draw([bars], "The 14 findings: share of all films", 480, axis, {})
    rare = table.index[0]
    alt = f"Bars of the share of films with each finding, from {display_name(rare)} {table.loc[rare, 'of_all']:.1%} up"
    return Chart("findings", figure, table[::-1].rename_axis("finding").reset_index(), alt)


def number_chart(summary: Summary) -> Chart:
    """How many findings a film has."""
    films = statistics.findings_per_film(summary)
    bars = {
        "type": "bar",
        "x": films.index.to_numpy(),
        "y": films.to_numpy(),
        "marker": {"color": [GREY, *[BLUE] * (len(films) - 1)]},
        "text": [f"{count:,}" for count in films],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": films / summary.films,
        "hovertemplate": "%{x} findings: %{y:,} films, %{customdata:.2%} of all<extra></extra>",
    }
    axes = {"title": "Findings on the film", "dtick": 1}, {"title": "Films"}
    figure = draw([bars], "How many findings a film has", 290, *axes)
    several = films.iloc[2:].sum() / summary.films
    table = films.rename("films").rename_axis("findings").reset_index()
    return Chart("findings-per-film", figure, table, f"Bars of films by number of findings; {several:.1%} have several")


def upset_chart(summary: Summary) -> Chart:
    """The most frequent combinations of findings as an UpSet plot (Lex et al. 2014, doi:10.1109/TVCG.2014.2346248)."""
    table = statistics.combinations(summary, TOP)
    counts = {name: sum(name in found for found in table["findings"]) for name in FINDINGS}
    members = sorted((name for name in FINDINGS if counts[name]), key=counts.__getitem__)
    height = {name: y for y, name in enumerate(members)}
    words = [" + ".join(map(display_name, found)) for found in table["findings"]]
    grid = [(x, y) for x in range(len(table)) for y in range(len(members))]
    dots = [(x, height[name]) for x, found in enumerate(table["findings"]) for name in found]
    links: list[tuple[int | None, int | None]] = []
    for x, found in enumerate(table["findings"]):
        heights = [height[name] for name in found]
        links += [(x, min(heights)), (x, max(heights)), (None, None)]
    bars = {
        "type": "bar",
        "x": list(range(len(table))),
        "y": table["films"].to_numpy(),
        "marker": {"color": BLUE},
        "text": [f"{count:,}" for count in table["films"]],
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "customdata": list(zip(words, table["share"], strict=True)),
        "hovertemplate": "%{customdata[0]}<br>%{y:,} films, %{customdata[1]:.2%} of all<extra></extra>",
    }
    figure = draw(
        [
            bars,
            _below(grid, mode="markers", marker={"size": 9, "color": GREY, "opacity": 0.25}),
            _below(links, mode="lines", line={"color": BLUE}),
            _below(dots, mode="markers", marker={"size": 9, "color": BLUE}),
        ],
        f"The {len(table)} most frequent combinations of findings",
        520,
        {"visible": False, "anchor": "y2"},
        {"title": "Films", "domain": [0.52, 1.0]},
        yaxis2={
            "domain": [0.0, 0.48],
            "tickvals": list(height.values()),
            "ticktext": [display_name(name) for name in height],
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        },
    )
    alt = f"UpSet plot; the most frequent combinations are {'; '.join(words[:3])}" if words else "No film has a finding"
    return Chart("combinations", figure, table.assign(findings=words), alt)


def _below(points: list[Any], **style: Any) -> dict[str, Any]:
    x, y = zip(*points, strict=True) if points else ((), ())
    return {"type": "scatter", "x": list(x), "y": list(y), "yaxis": "y2", "hoverinfo": "skip", **style}


def matrix_chart(summary: Summary, measure: str) -> Chart:
    """How two categories go together, by one of `MATRICES`."""
    values, both = MATRICES[measure](summary), statistics.co_occurrence(summary)
    off = values.to_numpy(float, copy=True)
    np.fill_diagonal(off, np.nan)
    names = [display_name(name) for name in CATEGORIES]
    title, limits, scale, form = {
        "Correlation": ("Correlation (phi) of the categories", _symmetric(off), "RdBu_r", ".2f"),
        "Conditional probability": (
            "Share of the row's films that also have the column's category",
            (0, None),
            "Blues",
            PERCENT,
        ),
        "Lift": ("Lift: how many times as often together as by chance", (0, 2), "RdBu_r", ".1f"),
    }[measure]
    heat = {
        "type": "heatmap",
        "z": off,
        "x": names,
        "y": names,
        "zmin": limits[0],
        "zmax": limits[1],
        "colorscale": scale,
        "texttemplate": f"%{{z:{form}}}",
        "textfont": {"size": 10},
        "customdata": both.to_numpy(),
        "colorbar": {"thickness": 12, "tickformat": form},
        "hoverongaps": False,
        "hovertemplate": f"%{{y}} and %{{x}}: %{{z:{form}}}, %{{customdata:,}} films with both<extra></extra>",
    }
    figure = draw([heat], title, 560, {"tickangle": -40}, {"autorange": "reversed"})
    table = values.rename_axis("category").reset_index()
    name = measure.lower().replace(" ", "-")
    return Chart(name, figure, table, f"{title}, a 15 by 15 heatmap. {strongest(summary)}")


def _symmetric(values: np.ndarray) -> tuple[float, float]:
    # "No finding" is against everything else by definition; the scale is that of the findings among each other.
    findings = np.abs(values[1:, 1:])
    most = float(np.nanmax(findings)) if np.isfinite(findings).any() else 1.0
    return -most, most


def strongest(summary: Summary, top: int = 3) -> str:
    """The pairs of findings that correlate most, in words."""
    values = statistics.correlation(summary).loc[list(FINDINGS), list(FINDINGS)].to_numpy()
    above = [(values[a, b], FINDINGS[a], FINDINGS[b]) for a, b in zip(*np.triu_indices(len(FINDINGS), 1), strict=True)]
    pairs = sorted((pair for pair in above if pair[0] > 0), reverse=True)[:top]
    if not pairs:
        return "No two findings go together here more often than by chance."
    said = ", ".join(f"{display_name(a)} and {display_name(b).lower()} {value:.2f}" for value, a, b in pairs)
    return f"Findings that correlate most: {said}."


def _bars(values: np.ndarray, names: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": names,
        "marker": {"color": BLUE},
        "textposition": "outside",
        "cliponaxis": False,
    }
