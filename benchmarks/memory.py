"""Whether the memory of a process stays where it is when thousands of films go through it.

    python -m benchmarks.memory [--films 3000] [--ways answer session worklist] [--json benchmarks/memory.json]

Distinct films, made on the spot in another process: PNG, JPEG, 16-bit PNG and DICOM in turn, 400 to 2,200 pixels. Three
ways through the product: `answer` in one process (what the command line does); one browser session of the running app,
in batches of ten that are removed again; the running app's worklist, twenty dropped at a time and scored in the
background. Resident memory is noted after every batch, and of each hundred films the median taken, because a process
breathes while it reads; the figure is that of the last hundred over that of the second.
"""

import argparse
import json
import multiprocessing
import sqlite3
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from benchmarks.altered_films import KINDS, altered_film
from benchmarks.page_client import PageClient, Upload
from cxr.classify import answer
from cxr.model.engine import Engine
from cxr.registry import chosen_bundle
from cxr.settings import ROOT
from cxr.worklist.database import FILE

# The app is started as its tests start it; `tests` itself is the name of a package of somebody else.
sys.path.append(str(ROOT / "tests"))
from served import free_port, running_app

EVERY: Final = 100
SIDES: Final = (400, 2200)
AHEAD: Final = 12
BATCH: Final = 10
DROPPED: Final = 20
PATIENCE: Final = 600.0


def films(count: int) -> Iterator[Upload]:
    """Distinct films, made a few ahead in another process."""
    made: deque[tuple[str, Future[bytes]]] = deque()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for number in range(count + AHEAD):
            if number < count:
                kind = KINDS[number % len(KINDS)]
                made.append((f"film{number}.{kind[-3:]}", pool.submit(altered_film, number, kind, SIDES)))
            if number >= AHEAD:
                name, data = made.popleft()
                yield Upload(name, data.result())


def batches(films: Iterator[Upload], size: int) -> Iterator[list[Upload]]:
    """Some at a time."""
    while batch := list(islice(films, size)):
        yield batch


def _resident(process: psutil.Process) -> int:
    """Bytes; none where it has ended meanwhile, as decoders do."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


class Notes:
    """Resident memory, the median of every hundred films, megabytes; of the process's children apart."""

    def __init__(self, process: psutil.Process):
        self._process, self._films, self._start = process, 0, time.monotonic()
        self._since: list[tuple[float, float]] = []
        self.series: list[tuple[int, int, int]] = []

    def add(self, count: int) -> None:
        before, self._films = self._films, self._films + count
        children = sum(map(_resident, self._process.children(recursive=True)))
        self._since.append((self._process.memory_info().rss / 1e6, children / 1e6))
        if self._films // EVERY > before // EVERY:
            own, others = (round(median(values)) for values in zip(*self._since, strict=True))
            self.series.append((self._films, own, others))
            self._since.clear()
            print(*self.series[-1], f"{self._films / (time.monotonic() - self._start):.1f} films/s", flush=True)

    def summary(self) -> dict[str, Any]:
        first, last = self.series[min(1, len(self.series) - 1)][1], self.series[-1][1]
        return {
            "films": self._films,
            "megabytes after the first hundred": first,
            "megabytes at the end": last,
            "growth": round(last / first - 1, 3),
            "films, megabytes, megabytes of its children": self.series,
        }


def by_answer(count: int) -> dict[str, Any]:
    """Through `answer` in this process."""
    engine = Engine(chosen_bundle(None))
    notes = Notes(psutil.Process())
    for film in films(count):
        answer(engine, film.name, film.data)
        notes.add(1)
    return notes.summary()


@contextmanager
def app() -> Iterator[tuple[str, psutil.Process, Path]]:
    """The app with an empty worklist: its address, its process, its folder."""
    with tempfile.TemporaryDirectory() as folder:
        place, port = Path(folder), free_port()
        with running_app(place, port) as process:
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid), place


def by_session(count: int) -> dict[str, Any]:
    """Through one browser session."""
    with app() as (address, process, _), PageClient(address, "read_film") as page:
        notes = Notes(process)
        for batch in batches(films(count), BATCH):
            page.drop("Films (DICOM, PNG, JPEG)", batch)
            page.press("Remove all")
            notes.add(len(batch))
        return notes.summary()


def by_worklist(count: int) -> dict[str, Any]:
    """Through the worklist: dropped into its page, scored in the background."""
    with app() as (address, process, place), PageClient(address) as page:
        notes = Notes(process)
        for batch in batches(films(count), DROPPED):
            page.drop("Add films", batch)
            page.press("Seen")
            _until_scored(place / "worklist" / FILE)
            notes.add(len(batch))
        return notes.summary()


def _until_scored(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        while db.execute("SELECT count(*) FROM film WHERE state IN ('queued', 'scoring')").fetchone()[0]:
            if time.monotonic() > deadline:
                raise TimeoutError("The worklist is not scored.")
            time.sleep(0.2)


WAYS: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "answer": by_answer,
    "session": by_session,
    "worklist": by_worklist,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=3000)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for way in given.ways:
        print(way, flush=True)
        found[way] = WAYS[way](given.films)
        print(json.dumps({key: value for key, value in found[way].items() if not isinstance(value, list)}))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
