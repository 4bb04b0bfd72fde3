"""How long the dataset page takes to answer a click, what a session costs, how fast films are found and read.

    python -m benchmarks.dataset --data DIR [--turns 5] [--json benchmarks/dataset.json]

DIR holds NIH's three tables and `.tfrec` shards in the Kaggle layout. All in one run on one machine:

- Server time of all 15 charts (filter, count, draw, turn into JSON) on the full table, unfiltered and filtered, against
  plain pandas at every rerun (`benchmarks/dataset_pandas.py`), in turns; both must show the same numbers.
- A running app in a real browser: from the click on a filter to the end of the redraw, for each section; and the memory
  that a further open session costs the server.
- Index of the shards, per GB, with the shards' pages in memory; and films read at random, decoded to thumbnails or not.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import plotly.io
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import dataset_pandas
from cxr.dataset.filters import Filters, select
from cxr.dataset.index import film_store, index_shards
from cxr.dataset.kaggle import load_folder
from cxr.dataset.shards import find_shards
from cxr.dataset.statistics import split_leak
from cxr.dataset.summary import summarise
from cxr.dataset.table import FilmTable
from cxr.evaluation.baselines import baselines
from cxr.findings import CATEGORIES
from cxr.radiograph import thumbnail
from cxr.settings import ROOT
from cxr.ui.chart import Chart
from cxr.ui.dataset import group_charts, label_charts, trap_charts

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SECTIONS = ("Labels", "Together", "Patients", "Boxes", "Before you trust a score", "Films")
SESSIONS = 10
FOLLOWED = ["No Finding", "Infiltration", "Effusion", "Atelectasis"]


def our_charts(table: FilmTable, view: str | None) -> list[Chart]:
    """Every chart of the page, from the click on."""
    rows = select(table, Filters(views=() if view is None else (view,)))
    counted = summarise(table, rows)
    return [
        label_charts.counts_chart(counted),
        label_charts.any_finding_chart(counted),
        label_charts.number_chart(counted),
        label_charts.findings_chart(counted),
        label_charts.upset_chart(counted),
        label_charts.matrix_chart(counted, "Correlation"),
        group_charts.prevalence_chart(counted, "view"),
        group_charts.prevalence_chart(counted, "sex"),
        group_charts.age_chart(counted, FOLLOWED),
        group_charts.ages_chart(counted),
        group_charts.patients_chart(counted),
        group_charts.follow_up_chart(counted, FOLLOWED),
        group_charts.boxes_chart(table.boxes[np.isin(table.box_row, rows)]),
        trap_charts.baselines_chart(baselines(counted)),
        trap_charts.leak_chart(split_leak(counted)),
    ]


def check_same(ours: list[Chart], theirs: dict[str, tuple[object, object]]) -> None:
    """Raise `AssertionError` where both ways do not show the same numbers."""
    tables = {chart.name: chart.table for chart in ours}
    np.testing.assert_equal(set(tables), set(theirs))
    for name, column in (("categories", "films"), ("combinations", "films"), ("films-per-patient", "patients")):
        np.testing.assert_array_equal(tables[name][column], theirs[name][1][column])
    for by in ("view", "sex"):
        keys = ["category", "group"]
        mine, other = (t.sort_values(keys) for t in (tables[f"prevalence-by-{by}"], theirs[f"prevalence-by-{by}"][1]))
        for column in ("films", "positives", "share", "low", "high"):
            np.testing.assert_allclose(mine[column], other[column])
    names = list(CATEGORIES)
    np.testing.assert_allclose(tables["correlation"][names], theirs["correlation"][1][names], atol=1e-12)
    np.testing.assert_allclose(tables["follow-ups"][names], theirs["follow-ups"][1][names])
    np.testing.assert_allclose(tables["baselines"]["auroc"], theirs["baselines"][1]["auroc"])
    np.testing.assert_allclose(tables["split-leak"]["share"][:2], theirs["split-leak"][1]["share"])
    np.testing.assert_equal(len(tables["boxes"]), len(theirs["boxes"][1]))


def timed(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    run()
    return perf_counter() - start


def server_times(folder: Path, turns: int) -> dict[str, dict[str, float]]:
    """Milliseconds of all charts, our way and with pandas, unfiltered and filtered."""
    table = load_folder(folder)
    films, boxes = dataset_pandas.read(folder)
    found: dict[str, dict[str, float]] = {}
    for name, view in (("unfiltered", None), ("filtered to AP", "AP")):

        def ours(view: str | None = view) -> None:
            for chart in our_charts(table, view):
                plotly.io.to_json(chart.figure, validate=False)

        def theirs(view: str | None = view) -> None:
            for figure, _ in dataset_pandas.charts(films, boxes, view).values():
                plotly.io.to_json(figure, validate=False)

        check_same(our_charts(table, view), dataset_pandas.charts(films, boxes, view))
        times = [(timed(ours), timed(theirs)) for _ in range(turns)]
        mine, other = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        found[name] = {"ms": mine, "pandas_ms": other, "ratio": other / mine}
    return found


def settled(page: Page) -> None:
    """Wait until the app has drawn what it was asked for."""
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
        " && !document.querySelector('[data-stale=true]')"
    )


def opened(browser: Browser, address: str) -> Page:
    """The dataset page in a session of its own."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{address}/dataset")
    page.get_by_text("Films with each category").wait_for()
    settled(page)
    return page


def in_browser(folder: Path, turns: int, port: int = 8765) -> dict[str, object]:
    """Milliseconds from a click on a filter to the end of the redraw, by section, and MB per open session."""
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as cache, sync_playwright() as playwright:
        environment = os.environ | {"CXR_DATA": str(folder), "CXR_CACHE_DIR": cache}
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
        app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            wait_for(address)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = opened(browser, address)
            redraw = {section: section_time(page, section, turns) for section in SECTIONS}
            before = memory(app.pid)
            for _ in range(SESSIONS):
                opened(browser, address)
            after = memory(app.pid)
            return {"redraw_ms": redraw, "mb_per_session": (after - before) / SESSIONS, "mb_with_one_session": before}
        finally:
            app.terminate()
            app.wait()


def section_time(page: Page, section: str, turns: int) -> float:
    """Median milliseconds from the click on a filter to the new number of films and the end of the redraw."""
    page.get_by_role("tab", name=section, exact=True).click()
    settled(page)
    films = page.get_by_test_id("stMetricValue").first
    times = []
    for _ in range(2 * turns):
        before = films.inner_text()
        start = perf_counter()
        page.get_by_role("button", name="AP", exact=True).click()
        page.wait_for_function("([now, was]) => now.innerText !== was", arg=[films.element_handle(), before])
        settled(page)
        times.append(perf_counter() - start)
    return 1e3 * statistics.median(times)


def wait_for(address: str) -> None:
    """Return when the app answers."""
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read()  # noqa: S310
            return
        except OSError:
            sleep(0.3)
    raise TimeoutError(address)


def memory(pid: int) -> float:
    """Resident memory of a process, MB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def shard_times(folder: Path, turns: int) -> dict[str, float]:
    """Seconds per GB of indexing, and films per second of reading at random."""
    shards = find_shards(folder)
    size = sum(shard.stat().st_size for shard in shards) / 1e9
    building = []
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as cache:
            building.append(timed(lambda cache=cache: index_shards(shards, Path(cache))))
    with tempfile.TemporaryDirectory() as cache:
        store = film_store(index_shards(shards, Path(cache)), load_folder(folder))
    rows = np.random.default_rng(0).permutation(np.flatnonzero(store.available))
    read = statistics.median(timed(lambda: [store.read(row) for row in rows]) for _ in range(turns))
    small = timed(lambda: [thumbnail(store.read(row).image, 240) for row in rows])
    return {
        "films": len(rows),
        "gb": size,
        "index_seconds_per_gb": statistics.median(building) / size,
        "films_read_per_second": len(rows) / read,
        "thumbnails_per_second": len(rows) / small,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = {
        "machine": {"cores": os.cpu_count()},
        "server": server_times(args.data, args.turns),
        "browser": in_browser(args.data, args.turns),
        "shards": shard_times(args.data, args.turns),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
