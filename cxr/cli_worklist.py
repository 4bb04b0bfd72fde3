"""`python -m cxr ingest` and `worklist`: films into the worklist, and the list itself."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.account import account
from cxr.files import printable

if TYPE_CHECKING:
    from cxr.worklist.database import Database
    from cxr.worklist.film_folder import FilmFolder
    from cxr.worklist.studies import StudyRow


def add_worklist_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ingest` and `worklist` to the commands of `python -m cxr`."""
    ingest = commands.add_parser("ingest", help="take films into the worklist and score them")
    ingest.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="films, zip archives, and folders of both")
    ingest.add_argument("--no-score", action="store_true", help="leave the scoring to the app")
    ingest.add_argument("--by", metavar="PERSON", default=account(), help="who brings them (default: your account)")
    ingest.add_argument("--json", action="store_true", help="one JSON object a file on standard output")
    ingest.set_defaults(run=_ingest)

    worklist = commands.add_parser("worklist", help="the studies that wait, those to be read first at the top")
    worklist.add_argument("--all", action="store_true", help="also those that were read")
    worklist.add_argument("--order", choices=("risk", "arrival"), default="risk", help="(default: risk)")
    worklist.add_argument("--limit", type=int, default=50, metavar="N", help="how many (default: 50)")
    worklist.add_argument("--json", action="store_true", help="one JSON object a study on standard output")
    worklist.set_defaults(run=_worklist)


@dataclass
class _Count:
    """Of the films of one call: how many were new, known, and not taken in."""

    new: int = 0
    known: int = 0
    failed: int = 0


def _ingest(args: argparse.Namespace) -> int:
    from cxr.model.bundle import BundleRejected
    from cxr.worklist.database import DatabaseUnavailable, database
    from cxr.worklist.film_folder import film_folder
    from cxr.worklist.intake import sweep

    count = _Count()
    try:
        db, films = database(), film_folder()
        sweep(db, films)
        for path in args.paths:
            for file in _files(path):
                _ingest_file(db, films, file, args, count)
        if not args.no_score:
            _score(db, films, args.json)
    except (DatabaseUnavailable, BundleRejected) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The folder of films can't be used: {error.strerror or error}.", file=sys.stderr)
        return 1
    if not args.json:
        print(f"{count.new} new, {count.known} known before, {count.failed} not taken in")
    return 1 if count.failed else 0


def _files(path: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders in the order of their names; of anything else itself."""
    if not path.is_dir():
        yield path
        return
    for place, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def _ingest_file(db: "Database", films: "FilmFolder", file: Path, args: argparse.Namespace, count: _Count) -> None:
    from cxr.worklist.identity import NotAFilm
    from cxr.worklist.intake import take_in
    from cxr.worklist.unpack import Refused, expand

    def refuse(name: str, reason: str) -> None:
        count.failed += 1
        record = {"file": name, "status": "refused", "reason": reason}
        print(json.dumps(record) if args.json else f"{printable(name)}: not taken in. {reason}", flush=True)

    parts = expand(str(file), file)
    while True:
        try:
            # Here the file is read; what fails further below is the folder of films, which is no matter of this file.
            part = next(parts, None)
        except OSError as error:
            refuse(str(file), f"The file can't be read: {error.strerror or 'unknown error'}.")
            return
        if part is None:
            return
        if isinstance(part, Refused):
            refuse(part.name, part.reason)
            continue
        try:
            taken = take_in(db, films, part.name, part.data, who=args.by, source="command line")
        except NotAFilm as error:
            refuse(part.name, str(error))
            continue
        count.new += taken.new
        count.known += not taken.new
        record = {
            "file": part.name,
            "status": "new" if taken.new else "known",
            "study": taken.study,
            "film": taken.film,
        }
        text = f"{printable(part.name)}: study {taken.study}" + ("" if taken.new else ", known before")
        print(json.dumps(record) if args.json else text, flush=True)


def _score(db: "Database", films: "FilmFolder", quiet: bool) -> None:
    """Score what waits."""
    from cxr.model.engine import Engine
    from cxr.registry import serving_bundle
    from cxr.worklist.scoring import score_queued

    engine = Engine(serving_bundle())
    scored = score_queued(db, films, engine)
    if not quiet:
        print(f"{scored} scored by the model {engine.bundle.name}")


def _worklist(args: argparse.Namespace) -> int:
    from cxr.worklist.database import DatabaseUnavailable, database
    from cxr.worklist.status import Status
    from cxr.worklist.studies import Query, list_studies

    query = Query(order=args.order)
    if args.all:
        query = Query(status=frozenset(Status), order=args.order)
    try:
        rows, count = list_studies(database(), query, limit=args.limit)
    except DatabaseUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    for row in rows:
        print(json.dumps(_facts(row)) if args.json else _line(row))
    if not args.json:
        print(f"{len(rows)} of {count}" if count else "No study waits.")
    return 0


def _facts(row: "StudyRow") -> dict[str, Any]:
    """A study for programs. Who is asked for a list of studies is told no Patient ID."""
    return {
        "study": row.id,
        "name": row.name,
        "status": row.status,
        "arrived": row.arrived.isoformat(),
        "acquired": row.acquired,
        "reader": row.reader,
        "verdict": row.verdict,
        "abnormal_probability": None if row.abnormal is None else round(row.abnormal, 4),
        "critical": list(row.critical),
        "findings": {
            found.name: {"probability": round(found.probability, 4), "flagged": found.flagged} for found in row.findings
        },
        "not_analysed": row.reason,
        "model": row.model,
        "films": len(row.films),
        "rank": round(row.rank, 4),
    }


def _line(row: "StudyRow") -> str:
    """A study for people."""
    if row.analysed and row.abnormal is not None:
        flagged = ", ".join(found.name for found in row.findings if found.flagged) or "none"
        critical = f"; critical: {', '.join(row.critical)}" if row.critical else ""
        said = f"{row.verdict or 'no verdict'} ({row.abnormal:.2f}); flagged: {flagged}{critical}"
    else:
        said = f"not analysed. {row.reason}" if row.reason else "not scored yet"
    hours = (datetime.now(UTC) - row.arrived).total_seconds() / 3600
    reader = f" by {row.reader}" if row.reader else ""
    return f"study {row.id}  {row.name}  {row.status}{reader}, came {hours:.1f} h ago: {said}"
