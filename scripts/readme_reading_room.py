"""The part of README.md on how fast the worklist and the viewer are."""

import json
from typing import Any

from cxr.settings import ROOT

FIXED_FILM = "sample enlarged to 3000 x 3000"
STUDIES = "2000"
MEGABYTE = 1e6


def reading_room_speed() -> str:
    """Intake, the list and the viewer, each as measured by its own benchmark."""
    ingest, worklist, page, viewer = (_read(name) for name in ("ingest", "worklist", "worklist_page", "viewer"))
    rates, ratios = ingest["films_per_second"], ingest["ratio"]
    lines = ["| films into the worklist | films a second | times the bare model |", "|---|---:|---:|"]
    lines += [f"| {name} | {rate:.1f} | {ratios[name]:.2f} |" for name, rate in rates.items()]
    databases = worklist[STUDIES]
    said = "; ".join(
        f"{_named(name)} {found['page']['milliseconds']:.0f} ms for a page of the list "
        f"({found['page']['times_bare_select']:.0f} times a bare SELECT of it), "
        f"{found['next_study']['milliseconds']:.0f} ms for the next study"
        for name, found in databases.items()
    )
    few, many = (page["milliseconds"][count] for count in ("50", STUDIES))
    film = viewer["bytes"][FIXED_FILM]
    frames = {painter: _frames(found) for painter, found in viewer["browser"].items()}
    return "\n".join(
        [
            *lines,
            "",
            f"Of {int(STUDIES):,} studies the database takes: {said}. In a browser on the same {page['cores']} cores, from the "
            f"click to other rows on the screen: order {many['order']:.0f} ms (with 50 studies {few['order']:.0f}), filter by "
            f"status {many['status']:.0f} ({few['status']:.0f}), search {many['search']:.0f} ({few['search']:.0f}, the pause "
            f"after the last letter included); to move in the list by a key {many['key j']:.1f} ms.",
            "",
            f"The viewer on a 16-bit film of 3000 x 3000 pixels: {film['sent_bytes'] / MEGABYTE:.1f} MB are sent, once, "
            f"{film['sent_of_raw']:.0%} of its raw size and {film['sent_of_png']:.0%} of a 16-bit PNG; frames a second while "
            "dragging window, place and zoom, without and with a heatmap: "
            + "; ".join(f"{painter} {low:.0f} to {high:.0f}" for painter, (low, high) in frames.items())
            + f". Headless Chromium on {viewer['machine']['cores']} cores without a graphics card, where the viewer chooses the "
            "canvas by itself; on a graphics card nobody has measured it.",
        ]
    )


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())
    return found


def _named(database: str) -> str:
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]


def _frames(found: dict[str, Any]) -> tuple[float, float]:
    """The slowest and the fastest median of the movements."""
    medians = [part["median_fps"] for part in found.values() if isinstance(part, dict)]
    return min(medians), max(medians)
