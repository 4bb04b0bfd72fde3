"""Everything at once that a worklist does, until somebody kills it: films come in and are scored, readers read them and
say what they see, studies are deleted, feedback is exported.

    python -m benchmarks.kill_child FOLDER FIRST

Films are those of FOLDER, from the number FIRST on. A line on standard output says what was done, after it was done;
of a deletion one says before that it begins. What the lines say is what `benchmarks.kill_check` expects to find.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cxr.settings import settings
from cxr.worklist.claims import FurtherFilms, InReading, NoSuchStudy
from cxr.worklist.database import DatabaseUnavailable, database
from cxr.worklist.deletion import delete_study
from cxr.worklist.feedback_set import ExportRefused, export
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.opinions import View, save
from cxr.worklist.query import Query
from cxr.worklist.scoring import Scorer, ServingEngine
from cxr.worklist.status import Status
from cxr.worklist.studies import claim, finish, list_studies

PAUSE = 0.02


def say(**what: object) -> None:
    """One line, in one write, so that a kill leaves no half of it that could be taken for a whole."""
    os.write(1, (json.dumps(what) + "\n").encode())


def take(folder: Path, first: int) -> None:
    """Take in one film after another."""
    for file in sorted(folder.iterdir())[first:]:
        taken = take_in(database(), film_folder(), file.name, file.read_bytes(), who="intake", source="inbox")
        say(did="took", file=file.name, study=taken.study, film=taken.film)


def read(reader: str, seed: int) -> None:
    """Claim a study, say something of it, and finish it; then the next."""
    rng = np.random.default_rng(seed)
    while True:
        rows, _ = list_studies(database(), Query(status=frozenset(Status)), limit=20)
        for row in rows:
            try:
                study = claim(database(), row.id, reader)
                words = f"{reader} {rng.integers(10**9)}"
                view = View("blind", abnormal="yes", findings={"Mass": "present"}, text=words)
                number = save(database(), row.id, reader, view, None)
                say(did="said", study=row.id, opinion=number, text=view.text)
                finish(database(), row.id, reader, [film.id for film in study.films])
                say(did="read", study=row.id)
            except (NoSuchStudy, InReading, FurtherFilms):
                continue
        time.sleep(PAUSE)


def delete() -> None:
    """Delete a study every now and then."""
    while True:
        time.sleep(10 * PAUSE)
        rows, count = list_studies(database(), Query(status=frozenset(Status), order="arrival"), limit=1)
        if count > 3:
            say(did="deletes", study=rows[0].id)
            delete_study(database(), film_folder(), rows[0].id, "Dr D")
            say(did="deleted", study=rows[0].id)


def send(folder: Path) -> None:
    """Export the feedback again and again."""
    number = 0
    while True:
        number += 1
        name = f"{os.getpid()}-{number}"
        try:
            report = export(database(), film_folder(), folder / name, who="Dr E")
            say(did="exported", folder=name, version=report.version)
        except ExportRefused:
            time.sleep(PAUSE)


def steadily(work: Callable[[], None]) -> None:
    """Go on where the database was held too long: that is refused, and no error. Another error is said."""
    while True:
        try:
            work()
            return
        except DatabaseUnavailable:
            time.sleep(PAUSE)
        except Exception as error:  # noqa: BLE001 - it has to reach who started this
            say(did="failed", kind=type(error).__name__, what=str(error)[:200])
            return


def main() -> None:
    folder, first = Path(sys.argv[1]), int(sys.argv[2])
    out = settings().worklist_dir / "exports"
    out.mkdir(exist_ok=True)
    Scorer(database(), film_folder(), engine=ServingEngine(), poll_seconds=0.1).start()
    say(did="began")
    for work in (
        lambda: take(folder, first),
        lambda: read("Dr A", 2 * first),
        lambda: read("Dr B", 2 * first + 1),
        delete,
        lambda: send(out),
    ):
        threading.Thread(target=steadily, args=(work,), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
