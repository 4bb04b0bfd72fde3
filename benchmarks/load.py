"""Many readers at a time, each with films of his own, over real websockets; what they saw is compared with single use.

    python -m benchmarks.load [--users 20] [--minutes 10] [--json benchmarks/load.json]

The app is started with an empty worklist. Before that every film is answered by `answer` in this process: that is what
its reader has to see, to the digit. Each reader drops one to three films into "Read a film", waits for the verdicts,
compares names, probabilities, the record for other programs and every pixel that the viewer is given with what he
expects, looks for the names of other readers' films, removes his own, and goes on without a pause. A fifth of the
readers drop films into the worklist instead, whose background scoring takes turns with the others. Readers and app
share the machine's processors.
"""

import argparse
import json
import os
import re
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.altered_films import KINDS, altered_film, relabelled
from benchmarks.page_client import PageClient, Upload
from cxr.classify import Reading, answer, as_json
from cxr.model.engine import Engine
from cxr.model.verdict import decide
from cxr.radiograph import full_depth
from cxr.registry import chosen_bundle
from cxr.settings import ROOT
from cxr.ui.refusal_words import short
from cxr.ui.viewer.packing import pack
from cxr.worklist.database import FILE

# The app is started as its tests start it; `tests` itself is the name of a package of somebody else.
sys.path.append(str(ROOT / "tests"))
from served import free_port, running_app

FILMS: Final = 8
"""Distinct films of each reader; he drops each many times, the worklist's ones each time as another file."""
UPLOADER: Final = "Films (DICOM, PNG, JPEG)"
WORKLIST_UPLOADER: Final = "Add films"
OF_OTHERS: Final = re.compile(rb"reader(\d+)-film")
BEFORE: Final = re.compile(r"(\d+) films? of others (?:is|are) before")
MEMORY_SECONDS: Final = 5.0
DROP_SECONDS: Final = 4.0
"""How long who fills the worklist rests between two drops."""


@dataclass(frozen=True)
class Known:
    """A film with what single use gives for it: its line in the list, its record, and the pixels in the viewer."""

    upload: Upload
    listed: str
    record: dict[str, Any] | None
    pixels: bytes


@dataclass
class Seen:
    """What the readers saw. Threads append."""

    seconds: list[tuple[int, float]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    full: int = 0
    stored: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)


def known_films(reader: int, engine: Engine, count: int, kinds: Sequence[str]) -> list[Known]:
    """The films of a reader, and what has to come back."""
    films = [(number, kinds[(reader + number) % len(kinds)]) for number in range(count)]
    return [
        known(Upload(f"reader{reader}-film{n}.{kind[-3:]}", altered_film(1000 * reader + n, kind)), engine)
        for n, kind in films
    ]


def known(upload: Upload, engine: Engine) -> Known:
    """A film as `answer` answers it in this process, alone."""
    given = answer(engine, upload.name, upload.data)
    if not isinstance(given, Reading):
        return Known(upload, short(given.kind), None, b"")
    depth = full_depth(upload.data)
    verdict = decide(given.prediction.probabilities, engine.bundle.card.operating_point("balanced"))
    record = json.loads(json.dumps(as_json(given, verdict, engine.bundle, given.scope)))
    listed = f"{verdict.abnormal_probability:.3f}"
    return Known(upload, listed, record | {"milliseconds": None}, pack(depth.levels, depth.curve).data)


class Reader(threading.Thread):
    """Somebody at a browser who reads until the end."""

    def __init__(self, number: int, address: str, films: list[Known], until: float, seen: Seen):
        super().__init__(name=f"reader{number}", daemon=True)
        self._number, self._address, self._films, self._until, self._seen = number, address, films, until, seen
        self._rng = np.random.default_rng(number)

    def run(self) -> None:
        try:
            with PageClient(self._address, "read_film", self._note) as page:
                while time.monotonic() < self._until:
                    count = int(self._rng.choice([1, 1, 1, 2, 3]))
                    self._read(page, [self._films[n] for n in self._rng.permutation(len(self._films))[:count]])
        except Exception as error:  # noqa: BLE001 - one reader's trouble is a line of the result
            self._seen.errors.append(f"{self.name}: {type(error).__name__}: {error}")

    def _note(self, text: str) -> None:
        if (before := BEFORE.search(text)) is not None:
            self._seen.places.append(int(before[1]))

    def _read(self, page: PageClient, films: Sequence[Known]) -> None:
        start = time.monotonic()
        page.drop(UPLOADER, [film.upload for film in films])
        while any(button.label == "Try again" for button in page.found("button")):
            self._seen.full += 1
            time.sleep(self._rng.uniform(0.5, 1.5))
            page.press("Try again")
        self._seen.seconds.append((len(films), time.monotonic() - start))
        self._compare(page, films)
        page.press("Remove all")
        if page.found("radio"):
            self._different("films are left after all were removed")

    def _different(self, what: str) -> None:
        self._seen.differences.append(f"{self.name}: {what}")

    def _compare(self, page: PageClient, films: Sequence[Known]) -> None:
        for element in page.elements.values():
            numbers = {int(found) for found in OF_OTHERS.findall(element.SerializeToString())}
            if numbers - {self._number}:
                self._seen.foreign.append(f"{self.name} sees a film of {sorted(numbers - {self._number})}")
        radio = page.found("radio")[0]
        shown = dict(zip((name.replace("\\", "") for name in radio.options), radio.captions, strict=True))
        if set(shown) != {film.upload.name for film in films}:
            self._different(f"the list shows {sorted(shown)}")
            return
        for film in films:
            if film.listed not in shown[film.upload.name]:
                self._different(f"{film.upload.name} is listed as {shown[film.upload.name]}, not {film.listed}")
        viewer = page.component("film_viewer")
        if viewer is None:
            return
        film = next(film for film in films if film.upload.name == viewer["film"]["title"])
        if film.record is None:
            return
        record = json.loads(page.download("Result (JSON)")) | {"milliseconds": None}
        if film.record is not None and record != film.record:
            keys = [key for key in film.record if record.get(key) != film.record[key]]
            self._different(f"{film.upload.name}: the record differs in {keys}")
        if page.fetch(viewer["film"]["pixels"]["url"]) != film.pixels:
            self._different(f"{film.upload.name}: the viewer has other pixels")


class Filler(Reader):
    """Somebody who drops films into the worklist."""

    def run(self) -> None:
        try:
            with PageClient(self._address) as page:
                round_ = 0
                while time.monotonic() < self._until:
                    films = self._films[round_ % len(self._films) :][:2]
                    again = [
                        Upload(f"{self.name}-round{round_}-{upload.name}", relabelled(upload.data, str(round_)))
                        for upload in (film.upload for film in films)
                    ]
                    page.drop(WORKLIST_UPLOADER, again)
                    if f"{len(again)} film{'s' * (len(again) > 1)} stored" not in page.words():
                        self._different("the worklist did not say that it stored the films")
                    self._seen.stored += len(again)
                    page.press("Seen")
                    round_ += 1
                    time.sleep(DROP_SECONDS)
        except Exception as error:  # noqa: BLE001 - see above
            self._seen.errors.append(f"{self.name}: {type(error).__name__}: {error}")


def megabytes(app: psutil.Process) -> float:
    """Resident memory of the app's process alone; its decoders are recycled."""
    return app.memory_info().rss / 1e6


def watch(app: psutil.Process, seen: Seen, ended: threading.Event) -> None:
    """Note the memory, every few seconds."""
    start = time.monotonic()
    while not ended.wait(MEMORY_SECONDS):
        seen.memory.append((time.monotonic() - start, megabytes(app)))


def compare_worklist(folder: Path, fillers: dict[int, list[Known]], seen: Seen, seconds: float) -> dict[str, int]:
    """Wait for the background to score what was dropped, as long as that takes, and compare it with single use."""
    deadline = time.monotonic() + seconds
    query = "SELECT film.name, film.state, result.probabilities FROM film LEFT JOIN result ON result.film_id = film.id"
    with sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True) as db:
        while True:
            rows = db.execute(query).fetchall()
            left = sum(state in ("queued", "scoring") for _, state, _ in rows)
            if not left or time.monotonic() > deadline:
                break
            time.sleep(1)
    expected = {film.upload.name: film.record for films in fillers.values() for film in films}
    for name, _, probabilities in rows:
        record = expected[name.partition("-round")[2].partition("-")[2]]
        if probabilities is None or record is None:
            continue
        if round(1 - json.loads(probabilities)[0], 4) != record["abnormal_probability"]:
            seen.differences.append(f"worklist: {name} has another probability than in single use")
    return {"dropped": seen.stored, "in the worklist": len(rows), "still unscored": left}


def measure(
    users: int, fill: int, seconds: float, alone: float, count: int, settings: dict[str, str]
) -> dict[str, Any]:
    """The whole test: one reader alone, then all of them.

    Args:
        users: how many at a time.
        fill: of them, how many drop films into the worklist.
        seconds: how long.
        alone: seconds that one reader has to himself before.
        count: distinct films of each.
        settings: of the app, `CXR_*` variables.
    """
    engine = Engine(chosen_bundle(None))
    films = {number: known_films(number, engine, count, KINDS) for number in range(users - fill)}
    fillers = {number: known_films(number, engine, count, ["png"]) for number in range(users - fill, users)}
    start = time.monotonic()
    for film in films[0]:
        answer(engine, film.upload.name, film.upload.data)
    bare = count / (time.monotonic() - start)
    with tempfile.TemporaryDirectory() as folder:
        place, port = Path(folder), free_port()
        address = f"http://127.0.0.1:{port}"
        with running_app(place, port, **settings) as process:
            app = psutil.Process(process.pid)
            single = Seen()
            one = Reader(0, address, films[0], time.monotonic() + alone, single)
            one.start()
            one.join()
            seen, ended = Seen(), threading.Event()
            watcher = threading.Thread(target=watch, args=(app, seen, ended), daemon=True)
            watcher.start()
            until = time.monotonic() + seconds
            readers = [Reader(number, address, own, until, seen) for number, own in films.items()]
            readers += [Filler(number, address, own, until, seen) for number, own in fillers.items()]
            begun = time.monotonic()
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            lasted = time.monotonic() - begun
            worklist = compare_worklist(place / "worklist", fillers, seen, 60 + seconds) if fillers else {}
            ended.set()
            watcher.join()
            seen.memory.append((time.monotonic() - begun, megabytes(app)))
        log = (place / "log.txt").read_text()
    return summary(users, lasted, bare, single, seen) | {"worklist": worklist, "errors in the log": _errors(log)}


def _errors(log: str) -> list[str]:
    # uvicorn names the logger of everything, also of what went well, "uvicorn.error".
    lines = (line.replace("uvicorn.error", "uvicorn") for line in log.splitlines())
    found = [line for line in lines if re.search("error|traceback|exception", line, re.IGNORECASE)]
    return [*found[:20], f"{len(found)} lines"] if found else []


def summary(users: int, lasted: float, bare: float, alone: Seen, seen: Seen) -> dict[str, Any]:
    """The figures."""
    films, first = sum(count for count, _ in seen.seconds), [rss for at, rss in seen.memory if at <= lasted / 10 + 5]
    single = [seconds for count, seconds in seen.seconds if count == 1]
    return {
        "users": users,
        "seconds": round(lasted, 1),
        "films read": films,
        "errors": alone.errors + seen.errors,
        "films of others seen": alone.foreign + seen.foreign,
        "differences from single use": (alone.differences + seen.differences)[:20],
        "times told that the line is full": seen.full,
        "greatest number of films of others before one": max(seen.places, default=0),
        "seconds to verdict, one film dropped": _spread(single),
        "seconds to verdicts, one to three films dropped": _spread([seconds for _, seconds in seen.seconds]),
        "seconds to verdict alone": _spread([seconds for count, seconds in alone.seconds if count == 1]),
        "films a second": round(films / lasted, 2),
        "films a second, one reader alone": _rate(alone),
        "films a second, bare answer": round(bare, 2),
        "megabytes after a tenth of the time": round(first[-1] if first else 0),
        "megabytes at the end": round(seen.memory[-1][1]),
        "most megabytes": round(max(rss for _, rss in seen.memory)),
        "processors": os.cpu_count(),
    }


def _rate(seen: Seen) -> float:
    return round(sum(count for count, _ in seen.seconds) / max(sum(lasted for _, lasted in seen.seconds), 1e-9), 2)


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, [50, 95])
    return {"median": round(float(p50), 2), "p95": round(float(p95), 2), "most": round(max(values), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--alone-seconds", type=float, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--setting", action="append", default=[], metavar="CXR_NAME=VALUE")
    given = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in given.setting)
    found = measure(given.users, given.users // 5, 60 * given.minutes, given.alone_seconds, FILMS, settings)
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if found["errors"] or found["films of others seen"] or found["differences from single use"]:
        raise SystemExit("The load test failed.")


if __name__ == "__main__":
    main()
