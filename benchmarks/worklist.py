"""How long the worklist's database takes to answer a page, on SQLite and on PostgreSQL.

    python -m benchmarks.worklist [--studies 2000 50000] [--json benchmarks/worklist.json]

Made-up studies of one film each, a tenth of them in reading, half of them read. Each question is asked seven times, in
turn with a bare SELECT of the 50 studies of the first page by their numbers in the same database; what counts is the
ratio of the two. PostgreSQL is a server from Debian's package, as it comes, and is left out where that is missing.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import URL, Engine, bindparam, insert, text

from cxr.findings import FINDINGS
from cxr.settings import settings
from cxr.worklist.database import FILE, opened
from cxr.worklist.query import Query
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import claim, counts, finish, list_studies, next_study, study
from cxr.worklist.tables import Film, Result, Study
from scripts.throwaway_postgres import programs, running_server

ROUNDS = 7
PAGE = 50
EVERY = frozenset(Status)


def fill(engine: Engine, studies: int) -> None:
    """Put studies into an empty database."""
    rng = np.random.default_rng(0)
    now = datetime.now(UTC)
    rows: dict[Any, list[dict[str, Any]]] = {Study: [], Film: [], Result: []}
    for number in range(1, studies + 1):
        probabilities = rng.random(len(FINDINGS)) ** 3
        abnormal = float(probabilities.max())
        arrived = now - timedelta(hours=float(rng.random()) * 48)
        status = (Status.READ, Status.READING, *4 * [Status.WAITING], *4 * [Status.READ])[number % 10]
        findings = [[name, float(p), bool(p > 0.5)] for name, p in zip(FINDINGS, probabilities, strict=True)]
        rows[Study].append(
            {
                "id": number,
                "key": f"film:{number:064x}",
                "name": f"{number:08d}_000.png",
                "patient": f"{number // 3:08d}",
                "arrived": arrived,
                "status": status,
                "reader": "somebody else" if status == Status.READING else None,
                "reading_since": now if status == Status.READING else None,
                "model": "5" * 64,
                "abnormal": abnormal,
                "verdict": "abnormal" if abnormal > 0.5 else "uncertain",
                "critical": ["Effusion"] if probabilities[FINDINGS.index("Effusion")] > 0.8 else [],
                "findings": sorted(findings, key=lambda finding: -finding[1]),
            }
        )
        rows[Film].append(
            {
                "id": number,
                "study_id": number,
                "sha256": f"{number:064x}",
                "name": f"{number:08d}_000.png",
                "source": "inbox",
                "size": 400_000,
                "arrived": arrived,
                "state": FilmState.SCORED,
                "attempts": 1,
                "facts": {"kind": "PNG", "width": 1024, "height": 1024, "view": "PA"},
                "warnings": [],
            }
        )
        rows[Result].append(
            {
                "film_id": number,
                "model": "5" * 64,
                "model_name": "default",
                "scored": arrived,
                "milliseconds": 40.0,
                "columns": list(FINDINGS),
                "probabilities": probabilities.tolist(),
            }
        )
    with engine.execution_options(cxr_writing=True).begin() as connection:
        for table, values in rows.items():
            connection.execute(insert(table), values)
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))


def _milliseconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - start)


def measured(url: URL, folder: Path, studies: int) -> dict[str, Any]:
    """Medians of milliseconds, and how many times as long as the bare SELECT each is."""
    db = opened(url, folder)
    fill(db.engine, studies)
    rows, _ = list_studies(db, Query())
    numbers = [row.id for row in rows]
    bare_statement = text("SELECT * FROM study WHERE id IN :numbers").bindparams(bindparam("numbers", expanding=True))

    def bare() -> None:
        with db.reading() as session:
            session.execute(bare_statement, {"numbers": numbers}).all()

    free = iter([number for number in range(1, studies + 1) if number % 10 in (2, 3, 4, 5)])

    def claim_and_finish() -> None:
        number = next(free)
        claim(db, number, "Dr A")
        finish(db, number, "Dr A", [film.id for film in study(db, number).films])

    questions: dict[str, Callable[[], object]] = {
        "page": lambda: list_studies(db, Query(), 0, PAGE),
        "last_page": lambda: list_studies(db, Query(), studies // 2 - PAGE, PAGE),
        "page_of_all_by_finding": lambda: list_studies(db, Query(EVERY, finding="Mass"), 0, PAGE),
        "search": lambda: list_studies(db, Query(EVERY, text="00000123"), 0, PAGE),
        "counts": lambda: counts(db),
        "next_study": lambda: next_study(db, Query(), numbers[0], "Dr A"),
        "claim_and_finish": claim_and_finish,
    }
    bare()
    result: dict[str, Any] = {}
    every_bare = []
    for name, ask in questions.items():
        ask()
        times = []
        for _ in range(ROUNDS):
            every_bare.append(_milliseconds(bare))
            times.append(_milliseconds(ask))
        result[name] = {"milliseconds": median(times)}
    result["bare_select"] = {"milliseconds": median(every_bare)}
    result["clear_traces_of_a_deletion"] = {"milliseconds": _milliseconds(db.scrub)}
    db.dispose()
    for entry in result.values():
        entry["times_bare_select"] = round(entry["milliseconds"] / median(every_bare), 1)
        entry["milliseconds"] = round(entry["milliseconds"], 2)
    return result


def on_both(studies: int) -> dict[str, Any]:
    """All that is measured with that many studies."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CXR_WORKLIST_DIR"] = name
        settings.cache_clear()
        result["sqlite"] = measured(URL.create("sqlite", database=str(folder / FILE)), folder, studies)
        result["sqlite"]["megabytes"] = round((folder / FILE).stat().st_size / 1e6, 1)
        found = programs()
        if found is None:
            print("PostgreSQL is not installed, and left out.")
        else:
            with running_server(found, {}) as url:
                result["postgresql"] = measured(url, folder, studies)
    return result


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = [
        "| studies | database | what | milliseconds | times a bare SELECT of the page |",
        "|---:|---|---|---:|---:|",
    ]
    for studies, databases in results.items():
        for database, entries in databases.items():
            lines += [
                f"| {int(studies):,} | {database} | {name.replace('_', ' ')} | {entry['milliseconds']} | "
                f"{entry['times_bare_select']} |"
                for name, entry in entries.items()
                if isinstance(entry, dict)
            ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, nargs="+", default=[2000, 50_000])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {str(studies): on_both(studies) for studies in args.studies}
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
