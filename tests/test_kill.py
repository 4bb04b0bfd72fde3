"""A worklist whose processes are killed in the middle of everything; `python -m benchmarks.kill` does it 200 times."""

import numpy as np
import pytest
from sqlalchemy import delete

from benchmarks.kill import kill_often, make_films, worklist
from benchmarks.kill_check import Acknowledged, faults
from cxr.worklist.database import database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.tables import Film, Study
from scripts.throwaway_postgres import programs

KILLS = 4


@pytest.fixture
def films(tmp_path, changed_settings):
    (tmp_path / "films").mkdir()
    return tmp_path / "films", make_films(tmp_path / "films", 100)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_lost_and_nothing_half_written_shows(kind, films):
    if kind == "postgresql" and programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with worklist(kind):
        found = kill_often(KILLS, np.random.default_rng(3), *films, longest=1.0)
    assert found["faults"] == []
    assert sum(found["processes"].values()) == KILLS
    assert found["acknowledged"]["films"] > 0
    assert found["in the end"]["films scored"] > 0


def test_what_is_lost_or_half_written_is_seen(films):
    """The check itself: each damage is a sentence."""
    folder, content = films
    with worklist("sqlite"):
        told = Acknowledged()
        for file in sorted(folder.iterdir())[:4]:
            taken = take_in(database(), film_folder(), file.name, file.read_bytes(), who="Ada", source="drop")
            told.films[file.name] = taken.study
        assert faults(database(), film_folder(), told, content) == []
        names = list(told.films)
        (film_folder().folder(content[names[0]]) / "film").write_bytes(b"x")
        with database().writing() as session:
            session.execute(delete(Film).where(Film.study_id == told.films[names[1]]))
            session.execute(delete(Study).where(Study.id == told.films[names[2]]))
        told.opinions[1] = (told.films[names[0]], "lost")
        told.exports["there"] = "0"
        told.deleted.add(told.films[names[3]])
        said = " | ".join(faults(database(), film_folder(), told, content))
    for part in (
        "changed or damaged", f"the film {names[1]} is lost", "is gone, and nobody deleted it", "the opinion 1 is lost",
        "was deleted and is there", "the export there is lost", "other films than lines", "no line says",
    ):  # fmt: skip
        assert part in said, part
