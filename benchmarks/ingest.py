"""How many films a second come into the worklist, against the bare model.

    python -m benchmarks.ingest [--films 60] [--data FOLDER] [--turns 3] [--json benchmarks/ingest.json]

Each turn takes the same films through three ways, in one run on one machine, and the order changes from turn to turn:
the loop that knows no worklist (`cxr.classify.answer` on bytes in memory: decode, resize, graph, calibrate, all maps);
from bytes to a durable row (`take_in`: hashed, identified, on the disk, in the database, with its audit line); and from
bytes to a scored study (`take_in`, then `score_queued`: result, maps and thumbnail on the disk, the study's columns).
Medians over the turns. The films are those of a folder (PNG, JPEG, DICOM), else 1024 px PNGs made of the shipped DICOM
film with another noise each. The database is that of CXR_DATABASE_URL, which should be empty; else a new SQLite file.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from cxr.classify import answer
from cxr.model.engine import Engine
from cxr.radiograph import read_radiograph
from cxr.registry import serving_bundle
from cxr.samples import FOLDER
from cxr.settings import settings
from cxr.worklist.database import database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.scoring import score_queued

SIDE = 1024
KINDS = {".png", ".jpg", ".jpeg", ".dcm"}
BARE, DURABLE, SCORED = "bytes to answer, no worklist", "bytes to durable row", "bytes to scored study"


def made(count: int, seed: int) -> list[bytes]:
    """Films of the size of ChestX-ray14's, PNG, no two alike."""
    pixels = read_radiograph((FOLDER / "adult_pa.dcm").read_bytes()).grey
    image = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE)), np.int16)
    rng = np.random.default_rng(seed)
    films = []
    for _ in range(count):
        file = io.BytesIO()
        noisy = np.clip(image + rng.integers(-2, 3, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(file, "PNG", compress_level=1)
        films.append(file.getvalue())
    return films


def of_folder(folder: Path, count: int, turn: int) -> list[bytes]:
    """Films of a folder; a turn gets others than the one before, as far as there are any."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in KINDS)
    return [file.read_bytes() for file in files[turn * count : (turn + 1) * count]]


def seconds(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def measure(films_of: Callable[[int], list[bytes]], turns: int) -> dict[str, list[float]]:
    """Films a second of each way, one value a turn."""
    engine, db, folder = Engine(serving_bundle()), database(), film_folder()
    found: dict[str, list[float]] = {BARE: [], DURABLE: [], SCORED: []}
    for turn in range(turns):
        films = films_of(turn)
        if not films:
            break

        def bare(films: list[bytes] = films) -> None:
            for data in films:
                answer(engine, "film", data)

        def durable(films: list[bytes] = films) -> None:
            for data in films:
                name = f"{hashlib.sha256(data).hexdigest()[:8]}.png"
                take_in(db, folder, name, data, who="benchmark", source="command line")

        def worklist() -> tuple[float, float]:
            taking = seconds(durable)
            return taking, taking + seconds(lambda: score_queued(db, folder, engine))

        answer(engine, "film", films[0])
        if turn % 2:
            taken, scored = worklist()
            alone = seconds(bare)
        else:
            alone = seconds(bare)
            taken, scored = worklist()
        for name, time in ((BARE, alone), (DURABLE, taken), (SCORED, scored)):
            found[name].append(len(films) / time)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=60, help="a turn (default: 60)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="films to be used (default: made on the spot)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["CXR_WORKLIST_DIR"] = scratch
        settings.cache_clear()
        rates = measure(
            lambda turn: made(args.films, turn) if args.data is None else of_folder(args.data, args.films, turn),
            args.turns,
        )
    if not rates[BARE]:
        parser.error(f"there are no films in {args.data}")
    medians = {name: round(statistics.median(values), 2) for name, values in rates.items()}
    # Of each turn by itself: what slows the machine down for a while slows both ways down.
    ratios = {
        name: round(statistics.median(rate / bare for rate, bare in zip(values, rates[BARE], strict=True)), 3)
        for name, values in rates.items()
    }
    print("| way | films/s, median | as a share of the bare model |\n|---|---:|---:|")
    for name, value in medians.items():
        print(f"| {name} | {value:.1f} | {ratios[name]:.2f} |")
    if args.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        kind = "PostgreSQL" if settings().database_url else "SQLite"
        record = {"machine": machine, "database": kind, "films": args.films, "turns": args.turns,
                  "films_per_second": medians, "ratio": ratios}  # fmt: skip
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
