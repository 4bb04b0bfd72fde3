"""Films into the worklist: durable, once for the same content, and of one DICOM study together."""

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_films import Brightness, dicom, png
from sqlalchemy import func, select, update

from cxr.settings import ROOT, settings
from cxr.worklist import film_folder as folder_module
from cxr.worklist.identity import NotAFilm
from cxr.worklist.intake import OTHER_PATIENT, sweep, take_in
from cxr.worklist.scoring import score_queued
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import AuditLine, Film, Study
from cxr.worklist.unpack import expand
from scripts.hostile_files.parts import PATIENT

UID = "1.2.826.0.1.77"
CHILD = Path(__file__).parent / "intake_child.py"


def take(database, films, data, name="film.png", source="drop"):
    return take_in(database, films, name, data, who="Ada", source=source)


def rows(database, kind=Film):
    with database.reading() as session:
        return list(session.scalars(select(kind).order_by(kind.__mapper__.primary_key[0])))


def test_a_film_is_a_study_that_waits(database, films):
    data = png(0.5)
    taken = take(database, films, data, "b/00000013_005.png")
    (study,), (film,) = rows(database, Study), rows(database)
    assert (taken.study, taken.film, taken.new) == (study.id, film.id, True)
    assert (study.status, study.name, study.patient, study.abnormal) == (
        Status.WAITING,
        "00000013_005.png",
        "00000013",
        None,
    )
    assert (film.state, film.size, film.attempts, film.source) == (FilmState.QUEUED, len(data), 0, "drop")
    assert films.bytes(film.sha256) == data


def test_the_same_bytes_are_the_same_film_whatever_they_are_called(database, films):
    data = png(0.5)
    first = take(database, films, data)
    again = take(database, films, data, "other.png", source="command line")
    assert (again.study, again.film, again.new) == (first.study, first.film, False)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("inside.png", data)
        writer.writestr("twice.png", data)
    for part in expand("a.zip", archive.getvalue()):
        assert take(database, films, part.data, part.name) == again
    assert len(rows(database)) == len(rows(database, AuditLine)) == 1


def test_threads_that_bring_the_same_film_and_the_same_study(database, films):
    """Eight at once, each with the four films of one study."""
    data = [dicom(0.5, seed, StudyInstanceUID=UID, PatientID="77") for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: take(database, films, data[number % 4]), range(32)))
    assert sum(one.new for one in taken) == 4
    assert {one.study for one in taken} == {study.id for study in rows(database, Study)}
    assert len(rows(database, Study)) == 1 and len(rows(database)) == 4


def test_a_film_for_a_study_that_was_read_puts_it_back(database, films):
    first = take(database, films, dicom(0.5, 0, StudyInstanceUID=UID))
    with database.writing() as session:
        session.execute(update(Study).values(status=Status.READ, read_by="Ada"))
    assert take(database, films, dicom(0.5, 0, StudyInstanceUID=UID)).new is False
    assert rows(database, Study)[0].status == Status.READ
    assert take(database, films, dicom(0.5, 1, StudyInstanceUID=UID)).study == first.study
    (study,) = rows(database, Study)
    assert (study.status, study.read_by) == (Status.WAITING, "Ada")


def test_a_film_of_another_patient_in_a_study_is_marked(database, films):
    for seed, patient in enumerate(("77", None, "78")):
        take(database, films, dicom(0.5, seed, StudyInstanceUID=UID, PatientID=patient))
    assert [film.warnings for film in rows(database)] == [[], [], [OTHER_PATIENT]]
    assert rows(database, Study)[0].patient == "77"


def test_what_the_first_film_does_not_say_another_one_does(database, films):
    take(database, films, dicom(0.5, 0, StudyInstanceUID=UID, AccessionNumber="A1"))
    take(database, films, dicom(0.5, 1, StudyInstanceUID=UID, PatientID="77", AccessionNumber="A2"))
    (study,) = rows(database, Study)
    assert (study.patient, study.accession) == ("77", "A1")


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"text", "not a PNG")])
def test_what_is_no_film_leaves_nothing(database, films, data, why):
    with pytest.raises(NotAFilm, match=why):
        take(database, films, data)
    assert not rows(database) and not rows(database, AuditLine)
    assert not list(films.root.rglob("film"))


def test_a_name_in_no_encoding_and_a_name_with_nul(database, films):
    for number, name in enumerate(("\udcff.png", "a\0b.png")):
        take(database, films, png(0.5, number), name)
    assert [film.name for film in rows(database)] == ["\\udcff.png", "a\N{REPLACEMENT CHARACTER}b.png"]


def test_a_full_disk_keeps_no_row(database, films, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(folder_module.os, "fsync", full)
        with pytest.raises(OSError, match="space"):
            take(database, films, png(0.5))
    assert not rows(database)
    assert take(database, films, png(0.5)).new is True


def test_a_lost_file_is_brought_back_by_the_same_film(database, films):
    data = png(0.5)
    take(database, films, data)
    (film,) = rows(database)
    (films.folder(film.sha256) / "film").write_bytes(data[:-1] + b"x")
    with database.writing() as session:
        session.execute(update(Film).values(state=FilmState.REFUSED, reason="It was damaged.", attempts=2))
    assert take(database, films, data).new is False
    (film,) = rows(database)
    assert (film.state, film.reason, film.attempts) == (FilmState.QUEUED, None, 0)
    assert films.bytes(film.sha256) == data


def test_no_name_of_a_patient_is_anywhere_but_in_the_film(database, films):
    data = dicom(0.5, StudyInstanceUID=UID, PatientID="77", AccessionNumber="A1")
    take(database, films, data)
    surname = PATIENT.split("^")[0].encode()
    with_name = [file for file in settings().worklist_dir.rglob("*") if file.is_file() and surname in file.read_bytes()]
    assert [file.name for file in with_name] == ["film"]
    stored = "".join(str(vars(row)) for kind in (Study, Film, AuditLine) for row in rows(database, kind))
    assert surname.decode() not in stored and UID not in stored
    assert "77" not in "".join(f"{line.what}{line.detail}{line.who}" for line in rows(database, AuditLine))


def test_nothing_is_copied_of_a_large_film(database, films):
    """Peak memory of what is allocated while a film of 20 MB is taken in."""
    import tracemalloc

    data = dicom(0.5) + bytes(20 * 2**20)
    tracemalloc.start()
    take(database, films, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data) / 10


def test_killed_at_any_moment_nothing_that_was_acknowledged_is_lost(database, films, tmp_path):
    """A child takes films in and scores them, and says of each when it is taken in; it is killed again and again."""
    data = {hashlib.sha256(film).hexdigest(): film for film in (png(0.5, seed) for seed in range(150))}
    source = tmp_path / "source"
    source.mkdir()
    for sha256, film in data.items():
        (source / sha256).write_bytes(film)
    rng = np.random.default_rng(7)
    acknowledged = set()
    for _ in range(3):
        child = subprocess.Popen([sys.executable, CHILD, source], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        acknowledged.add(child.stdout.readline().strip())
        time.sleep(rng.uniform(0.05, 0.6))
        child.send_signal(signal.SIGKILL)
        acknowledged |= set(child.communicate()[0].splitlines()[:-1])
    found = rows(database)
    assert 0 < len(acknowledged) <= len(data)
    assert acknowledged - {""} <= {film.sha256 for film in found}
    for film in found:
        assert films.bytes(film.sha256) == data[film.sha256]
        assert film.state in (FilmState.QUEUED, FilmState.SCORING, FilmState.SCORED)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(AuditLine).where(AuditLine.event == "Data import")) == (
            len(found)
        )
    # What has no row is swept, and only that; then everything can be taken in and scored as if nothing had been.
    sweep(database, films)
    assert {file.parent.name for file in films.root.rglob("film")} == {film.sha256 for film in found}
    assert not list(films.root.rglob("*.draft"))
    for film in list(data.values())[:5]:
        take(database, films, film)
    score_queued(database, films, Brightness())
    found = rows(database)
    assert {film.state for film in found} == {FilmState.SCORED}
    assert len(rows(database, Study)) == len(found)
    for film in found:
        assert films.result(film.sha256, hashlib.sha256(b"first").hexdigest()) is not None
