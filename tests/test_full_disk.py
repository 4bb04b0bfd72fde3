"""A disk that is full, or a database that somebody holds: acknowledged or refused, never half."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import event

from benchmarks.kill import make_films, worklist
from benchmarks.kill_check import Acknowledged, faults
from cxr.settings import ROOT
from cxr.worklist.database import Database, DatabaseUnavailable, database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.opinions import View, save
from scripts.hostile_files.parts import picture

WORK = """
import json, resource, sys
from pathlib import Path
from cxr.worklist.database import DatabaseUnavailable, database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.opinions import View, save

database(), film_folder()
most = int(sys.argv[2])
# To a program this looks like a disk without room: writing beyond fails, in the middle of a file.
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
for file in sorted(Path(sys.argv[1]).iterdir()):
    try:
        taken = take_in(database(), film_folder(), file.name, file.read_bytes(), who="Ada", source="inbox")
        print(json.dumps({"did": "took", "file": file.name, "study": taken.study}))
        view = View("blind", text="x" * 19000)
        number = save(database(), taken.study, "Dr A", view, None)
        print(json.dumps({"did": "said", "study": taken.study, "opinion": number, "text": view.text}))
    except (OSError, DatabaseUnavailable) as error:
        print(json.dumps({"did": "refuses", "kind": type(error).__name__, "what": str(error)}))
"""


@pytest.fixture
def films(tmp_path, changed_settings):
    (tmp_path / "films").mkdir()
    content = make_films(tmp_path / "films", 12)
    # The last ones are larger than the limit of the first test.
    for number in range(2):
        file = tmp_path / "films" / f"9{number}.dcm"
        file.write_bytes((tmp_path / "films" / "000000.dcm").read_bytes() + bytes(3 * 2**20 + number))
    return tmp_path / "films", content


@pytest.mark.parametrize(("megabytes", "refuses"), [(2.0, "OSError")])
def test_without_room_a_film_and_an_opinion_are_kept_or_refused(films, megabytes, refuses):
    folder, content = films
    # At least a film has room; then the database has not.
    most = max(int(megabytes * 2**20), (folder / "000000.dcm").stat().st_size + 50_000)
    with worklist("sqlite"):
        done = subprocess.run(
            [sys.executable, "-c", WORK, folder, str(most)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        refused = [line for line in lines if line["did"] == "refuses"]
        told = Acknowledged()
        for line in lines:
            if line["did"] != "refuses":
                told.hear(json.dumps(line))
        assert refuses in {line["kind"] for line in refused}
        assert faults(database(), film_folder(), told, content) == []
        # With room again everything goes on.
        for name in content:
            taken = take_in(database(), film_folder(), name, (folder / name).read_bytes(), who="Ada", source="inbox")
            told.films[name] = taken.study
        assert faults(database(), film_folder(), told, content) == []


@contextmanager
def full(db):
    """To SQLite, which may not make the file longer, this is a disk without room; some pages are free within it."""

    def limited(connection, record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")

    event.listen(db.engine, "connect", limited)
    db.dispose()
    try:
        yield
    finally:
        event.remove(db.engine, "connect", limited)
        db.dispose()


def test_a_database_without_room_says_so_in_one_sentence_and_keeps_what_it_acknowledged(changed_settings):
    files = {f"{number:03}.png": picture(np.full((16, 16), number, np.uint8), "PNG") for number in range(120)}
    content = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    told, refused = Acknowledged(), Counter()

    def take(name):
        told.films[name] = take_in(database(), film_folder(), name, files[name], who="Ada", source="inbox").study

    def say(name, words=900):
        study, text = told.films["000.png"], name + "x" * words
        told.opinions[save(database(), study, "Dr A", View("blind", text=text), None)] = study, text

    with worklist("sqlite"):
        take("000.png")
        with full(database()):
            for name in files:
                for act in (take, say):
                    try:
                        act(name)
                    except DatabaseUnavailable as error:
                        sentence = f"The worklist's database {database().name} can't be written: its disk is full."
                        assert str(error) == f"{sentence} Make room, then try again."
                        refused[act] += 1
            assert 1 < len(told.films) < len(files) and 1 < len(told.opinions) < len(files)
            assert refused == {take: len(files) - len(told.films), say: len(files) - len(told.opinions)}
            # What is there can be read, though the disk is full.
            assert faults(database(), film_folder(), told, content) == []
        # With room again everything goes on.
        for name in files:
            take(name)
        say("last", 19000)
        assert len(set(told.films.values())) == len(files)
        assert faults(database(), film_folder(), told, content) == []


def test_a_database_that_somebody_holds_refuses_and_keeps_nothing(films):
    folder, content = films
    names = sorted(content)
    with worklist("sqlite"):
        impatient = Database(database().engine.url, busy_seconds=0.1)
        first = take_in(impatient, film_folder(), names[0], (folder / names[0]).read_bytes(), who="Ada", source="drop")
        with database().writing() as session:
            session.connection()
            with pytest.raises(DatabaseUnavailable, match="is busy"):
                take_in(impatient, film_folder(), names[1], (folder / names[1]).read_bytes(), who="Ada", source="drop")
        told = Acknowledged({names[0]: first.study})
        assert faults(database(), film_folder(), told, content) == []
        assert len(list(film_folder().root.glob("??/*"))) == 1
        impatient.dispose()
