"""`python -m cxr ingest` and `worklist`: from files to a list, with the shipped model."""

import io
import json
import zipfile

import pytest
from synthetic import encoded, synthetic_film

from cxr.cli import main
from cxr.findings import FINDINGS
from cxr.model.bundle import bundle_path, load_bundle
from cxr.samples import FOLDER, SAMPLES
from cxr.settings import settings

ADULT = FOLDER / "adult_pa.dcm"


@pytest.fixture
def worklist(changed_settings, tmp_path):
    """An empty worklist in SQLite."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    settings.cache_clear()
    return tmp_path / "worklist"


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_films_folders_and_archives_become_a_list(worklist, capsys, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "notes.txt").write_text("hello")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("same.dcm", ADULT.read_bytes())
        writer.writestr("damaged.jpeg", SAMPLES[1].read()[:3000])
    (folder / "films.zip").write_bytes(archive.getvalue())
    assert main(["ingest", "--json", "--by", "Ada", str(ADULT), str(folder), str(tmp_path / "missing")]) == 1
    adult, same, damaged, notes, missing = sorted(lines(capsys), key=lambda line: line.get("film", 9))[:5]
    assert {adult["status"], same["status"]} == {"new", "known"} and adult["film"] == same["film"]
    assert damaged["status"] == "new"
    assert {notes["status"], missing["status"]} == {"refused"}
    assert {notes["reason"], missing["reason"]} == {
        "This is not a PNG, JPEG or DICOM file.",
        "The file can't be read: No such file or directory.",
    }
    assert main(["worklist", "--json"]) == 0
    studies = {line["name"]: line for line in lines(capsys)}
    bundle = load_bundle(bundle_path("default"))
    scored = studies["adult_pa.dcm"]
    assert set(scored) == {
        "study", "name", "status", "arrived", "acquired", "reader", "verdict", "abnormal_probability", "critical",
        "findings", "not_analysed", "model", "films", "rank",
    }  # fmt: skip
    assert set(scored["findings"]) == set(FINDINGS)
    assert (scored["verdict"], scored["model"]) == ("abnormal", bundle.sha256)
    assert studies["damaged.jpeg"]["not_analysed"] == "The JPEG file is truncated or damaged."
    # The list says of films what `classify` says.
    assert main(["classify", "--json", str(ADULT)]) == 0
    assert scored["abnormal_probability"] == lines(capsys)[0]["abnormal_probability"]


def test_without_scoring_and_for_people(worklist, capsys, tmp_path):
    import numpy as np

    film = tmp_path / "film.png"
    film.write_bytes(encoded(synthetic_film(np.random.default_rng(0), None)))
    assert main(["ingest", "--no-score", str(film)]) == 0
    assert main(["ingest", "--no-score", str(film)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{film}: study 1",
        "1 new, 0 known before, 0 not taken in",
        f"{film}: study 1, known before",
        "0 new, 1 known before, 0 not taken in",
    ]
    assert main(["worklist"]) == 0
    line, count = capsys.readouterr().out.splitlines()
    assert line.startswith("study 1  film.png  waiting, came 0.0 h ago: not scored yet")
    assert count == "1 of 1"


def test_a_database_that_is_none_is_said_in_a_sentence(worklist, capsys, changed_settings):
    changed_settings.setenv("CXR_DATABASE_URL", "mysql://cxr:secret@db/cxr")
    settings.cache_clear()
    for command in (["ingest", str(ADULT)], ["worklist"]):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "secret" not in said
