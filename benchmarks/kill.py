"""Kill -9 at random moments of everything that a worklist does, and what is left then.

    python -m benchmarks.kill [--times 200] [--seed 1] [--databases sqlite,postgresql] [--json benchmarks/kill.json]

Half of the kills hit `python -m cxr ingest`, half a process that does at once what an app does: films come in, are
scored with the serving model, are read, deleted, exported (`benchmarks.kill_child`). The moment is random, between the
process's first word and some seconds after. After each kill the worklist is opened anew and looked through
(`benchmarks.kill_check`), and goes on from there; at the end what waits is scored, so that nothing is stuck.

A kill ends a process, not the machine: what has been handed to the operating system is not lost with it, so this says
nothing of a power cut. PostgreSQL's server is not killed.
"""

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import func, select

from benchmarks.kill_check import Acknowledged, faults
from cxr.model.engine import Engine
from cxr.radiograph import read_radiograph
from cxr.registry import serving_bundle
from cxr.samples import FOLDER
from cxr.settings import ROOT, settings
from cxr.worklist.database import Database, database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.scoring import score_queued
from cxr.worklist.tables import AuditLine, Film, Opinion
from scripts.throwaway_postgres import FAST, programs, running_server

SIDE = 320
FILMS_A_KILL = 30
OF_OTHER_PIXELS = (
    "WindowCenter",
    "WindowWidth",
    "VOILUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
)
"""What a header says of how its pixels are shown, which are no longer there: the films would be white."""
LONGEST = 5.0
"""Seconds from a process's first word to its end."""


def make_films(folder: Path, count: int) -> dict[str, str]:
    """Films, no two alike, of the shipped one with another noise each, each of a study of its own; as DICOM, which
    alone says that a film is frontal, as feedback has to know. SHA-256 by the name of the file."""
    film = dcmread(FOLDER / "adult_pa.dcm")
    grey = Image.fromarray(read_radiograph((FOLDER / "adult_pa.dcm").read_bytes()).grey).resize((SIDE, SIDE))
    image, rng, content = np.asarray(grey, np.int16), np.random.default_rng(0), {}
    film.Rows = film.Columns = SIDE
    film.SamplesPerPixel, film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 1, 8, 8, 7, 0
    film.PhotometricInterpretation, film.ViewPosition = "MONOCHROME2", "PA"
    for keyword in OF_OTHER_PIXELS:
        if keyword in film:
            delattr(film, keyword)
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for number in range(count):
        film.PixelData = np.clip(image + rng.integers(-2, 3, image.shape), 0, 255).astype(np.uint8).tobytes()
        film["PixelData"].VR = "OB"
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
        film.StudyInstanceUID, film.PatientID = f"1.2.3.5.{number}", f"P{number}"
        file = folder / f"{number:06d}.dcm"
        film.save_as(file, enforce_file_format=True)
        content[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return content


def command(folder: Path, first: int, ingest: bool) -> list[str]:
    """What is started: the command line on some of the films, or everything at once."""
    if ingest:
        some = sorted(folder.iterdir())[first : first + FILMS_A_KILL]
        return [sys.executable, "-m", "cxr", "ingest", "--json", *map(str, some)]
    return [sys.executable, "-m", "benchmarks.kill_child", str(folder), str(first)]


def run_and_kill(arguments: list[str], seconds: float, told: Acknowledged) -> bool:
    """Start a process, kill it some seconds after its first word, and take note of what it said.

    Returns:
        Whether it was killed; False: it had ended by itself.
    """
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)  # noqa: S603
        out = cast(IO[str], child.stdout)
        first = out.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0]
        errors.seek(0)
        if child.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"A process failed by itself: {errors.read()[-2000:]}")
    for line in (first + rest).splitlines(keepends=True):
        # Of the last line half may have come through.
        if line.endswith("\n"):
            told.hear(line)
    return child.returncode != 0


def ended(db: Database) -> dict[str, int]:
    """How many rows there are in the end."""
    with db.reading() as session:
        found = {kind.__tablename__: session.scalar(select(func.count()).select_from(kind)) or 0
                 for kind in (Film, Opinion, AuditLine)}  # fmt: skip
        states = Counter(str(state) for state in session.scalars(select(Film.state)))
    return found | {f"films {state}": count for state, count in sorted(states.items())}


def kill_often(
    times: int, rng: np.random.Generator, folder: Path, content: dict[str, str], longest: float = LONGEST
) -> dict[str, object]:
    """Kill processes on the worklist of the settings; what was seen, in numbers and sentences."""
    told, kinds, wrong, first = Acknowledged(), Counter[str](), list[str](), 0
    for turn in range(times):
        ingest = turn % 2 == 0
        killed = run_and_kill(command(folder, first, ingest), rng.uniform(0.0, longest), told)
        kinds[("ingest" if ingest else "all at once") + (", killed" if killed else ", had ended")] += 1
        # What came in is not brought again, but for the last two: taking a film in twice is no matter.
        highest = max((int(Path(name).stem) for name in told.films), default=0)
        first = min(max(0, highest - 1), len(content) - FILMS_A_KILL)
        for fault in faults(database(), film_folder(), told, content):
            wrong.append(f"after kill {turn + 1}: {fault}")
        told.failed.clear()
        if (turn + 1) % 10 == 0 or turn + 1 == times:
            print(f"{turn + 1} of {times}, {len(told.films)} films, {len(wrong)} faults", file=sys.stderr, flush=True)
    scored = score_queued(database(), film_folder(), Engine(serving_bundle()))
    wrong += [f"in the end: {fault}" for fault in faults(database(), film_folder(), told, content)]
    return {
        "processes": dict(kinds),
        "acknowledged": {
            "films": len(told.films), "opinions": len(told.opinions), "studies read": len(told.read),
            "studies deleted": len(told.deleted), "deletions begun": len(told.deleting), "exports": len(told.exports),
        },
        "scored at the end": scored,
        "in the end": ended(database()),
        "faults": wrong,
    }  # fmt: skip


@contextmanager
def worklist(kind: str) -> Iterator[None]:
    """An empty worklist on a database of its own, named by the settings of this and of all processes it starts."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        changed = {"CXR_WORKLIST_DIR": place}
        if kind == "postgresql":
            found = programs()
            if found is None:
                raise SystemExit("PostgreSQL is not installed (Debian: apt-get install postgresql)")
            changed["CXR_DATABASE_URL"] = stack.enter_context(running_server(found, FAST)).render_as_string()
        before = {name: os.environ.pop(name, None) for name in ("CXR_WORKLIST_DIR", "CXR_DATABASE_URL")}
        os.environ |= changed
        settings.cache_clear()
        try:
            yield
        finally:
            database().dispose()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            settings.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="on each database (default: 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        content = make_films(Path(scratch), min(4000, (args.times + 2) * FILMS_A_KILL))
        for kind in args.databases.split(","):
            with worklist(kind):
                found[kind] = kill_often(args.times, np.random.default_rng(args.seed), Path(scratch), content)
    machine = {"processors": os.cpu_count(), "machine": platform.machine()}
    report: dict[str, object] = {"times": args.times, "seed": args.seed} | machine | found
    text = json.dumps(report, indent=1)
    print(text)
    if args.json is not None:
        args.json.write_text(text + "\n")
    if any(part["faults"] for part in found.values() if isinstance(part, dict)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
