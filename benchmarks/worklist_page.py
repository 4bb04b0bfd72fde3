"""How long the page Worklist takes to redraw its list with many studies, in a real browser.

    python -m benchmarks.worklist_page [--studies 50 2000] [--turns 7] [--json benchmarks/worklist_page.json]

Made-up studies (`benchmarks.worklist`), each with a thumbnail. From the click, or from the first letter of a
search, to the moment at which other rows stand in the page; medians over the turns. What counts is how little 2,000
studies differ from 50, of which fewer than a page wait. To move in the list by a key asks nothing of the app.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import URL, update

from benchmarks.dataset import FLAGS, wait_for
from benchmarks.worklist import fill
from cxr.model.bundle import bundle_path, load_bundle
from cxr.settings import ROOT
from cxr.worklist.database import FILE, opened
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.tables import Result, Study

ROWS_OF = """() => [...document.querySelectorAll('[data-testid^=stBidiComponent]')]
  .flatMap((host) => [host, ...host.querySelectorAll('*')])
  .map((one) => one.shadowRoot).filter(Boolean)
  .flatMap((root) => [...root.querySelectorAll('.row')].map((row) => row.id)).join()"""
"""The rows that stand in the page, as text."""
TIMED = """async ([act, rows]) => {
  const shown = eval(rows)
  const before = shown()
  const start = performance.now()
  eval(act)
  while (shown() === before) await new Promise(requestAnimationFrame)
  return performance.now() - start
}"""
KEYED = """async (key) => {
  const start = performance.now()
  document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))
  return performance.now() - start
}"""


def button(key: str, words: str) -> str:
    """JavaScript that presses a button of the page."""
    return (
        f"[...document.querySelectorAll('.st-key-{key} button')]"
        f".find((one) => one.innerText.trim() === '{words}' || one.ariaLabel === '{words}').click()"
    )


def prepared(folder: Path, studies: int) -> None:
    """A worklist with that many studies, scored by the model that ships, each with a thumbnail."""
    db = opened(URL.create("sqlite", database=str(folder / FILE)), folder)
    fill(db.engine, studies)
    model = load_bundle(bundle_path("default")).sha256
    with db.writing() as session:
        # Else the app would begin to score them.
        session.execute(update(Study).values(model=model))
        session.execute(update(Result).values(model=model))
    films = FilmFolder(folder / "films")
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    grey.save(file, "JPEG", quality=80)
    for number in range(1, studies + 1):
        sha256 = f"{number:064x}"
        place = films.folder(sha256)
        place.mkdir(parents=True)
        (place / "film").write_bytes(b"")
        (place / "thumbnail.jpg").write_bytes(file.getvalue())


def redraws(page: Page, turns: int) -> dict[str, float]:
    """Median milliseconds of what a reader does to the list."""

    def timed(act: str) -> float:
        page.wait_for_timeout(300)
        return float(page.evaluate(TIMED, [act, ROWS_OF]))

    search = page.locator(".st-key-worklist-search input")
    times: dict[str, list[float]] = {"order": [], "next page": [], "status": [], "search": []}
    for _ in range(turns):
        times["order"] += [timed(button("worklist-order", words)) for words in ("By arrival", "By risk")]
        times["status"] += [timed(button("worklist-status", words)) for words in ("Read", "To read")]
        forth = "document.querySelector('[data-testid=stPagination] button:last-of-type').click()"
        if page.get_by_test_id("stPagination").count():
            times["next page"].append(timed(forth))
            timed("document.querySelector('[data-testid=stPagination] button').click()")
        before = page.evaluate(ROWS_OF)
        start = page.evaluate("performance.now()")
        search.press_sequentially("0000001")
        page.wait_for_function(f"(was) => ({ROWS_OF})() !== was", arg=before)
        times["search"].append(page.evaluate("performance.now()") - start)
        search.fill("")
        page.wait_for_function(f"(was) => ({ROWS_OF})() === was", arg=before)
    found = {name: round(statistics.median(values)) for name, values in times.items() if values}
    keys = [page.evaluate(KEYED, "j") for _ in range(20)]
    return found | {"key j": round(statistics.median(keys), 2)}


def in_browser(studies: int, turns: int, port: int = 8766) -> dict[str, float]:
    """What is measured with that many studies."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        prepared(Path(name), studies)
        environment = os.environ | {"CXR_WORKLIST_DIR": name}
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
        app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            wait_for(f"http://127.0.0.1:{port}")
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(180_000)
            page.goto(f"http://127.0.0.1:{port}")
            page.locator(".row").first.wait_for()
            page.wait_for_timeout(3000)
            return redraws(page, turns)
        finally:
            app.terminate()
            app.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, nargs="+", default=[50, 2000])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = {"cores": os.cpu_count(), "milliseconds": {str(n): in_browser(n, args.turns) for n in args.studies}}
    written = json.dumps(result, indent=1)
    print(written)
    if args.json:
        args.json.write_text(written + "\n")


if __name__ == "__main__":
    main()
