"""The data set that readers' words make: it trains, it is the same each time, and nobody's name is in it."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filled_worklist import MODEL, add_study, new_opinion, new_study, said_of
from PIL import Image
from sqlalchemy import select
from synthetic import encoded, synthetic_film

from cxr.cli import main
from cxr.dataset.kaggle import load_folder
from cxr.dataset.labelled import open_folder
from cxr.dataset.table import release
from cxr.findings import CATEGORIES, FINDINGS
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import SAMPLES
from cxr.worklist import feedback_plan
from cxr.worklist.database import Database
from cxr.worklist.feedback_set import ExportRefused, ExportReport, export
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.opinions import View, save
from cxr.worklist.status import FilmState
from cxr.worklist.tables import AuditLine

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SECRET = b"s" * 32
NORMAL = View("informed", abnormal="no")
MASS = View("informed", findings={"Mass": "present"})


def film(seed: int) -> bytes:
    return encoded(synthetic_film(np.random.default_rng(seed), None))


def written(db: Database, films: FilmFolder, folder: Path, who: str = "Cy", secret: bytes = SECRET) -> ExportReport:
    return export(db, films, folder, who=who, secret=secret)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "exported.json"
    }


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, index_col=0, keep_default_na=False)


@on_sqlite
def test_exported_set_is_what_training_reads(database: Database, films: FilmFolder, tmp_path: Path) -> None:
    from cxr.jobs.data_checks import data_checks
    from cxr.jobs.spec import JobSpec
    from cxr.training.config import TrainingConfig
    from cxr.training.data import open_training_data

    # Two films of each patient; every fourth study was read by two who agree.
    with database.writing() as session:
        for k in range(96):
            study = new_study(film(k), patient=f"P-{k // 2}")
            films.put(study.films[0].sha256, film(k))
            view = MASS if k // 2 % 2 else NORMAL
            study.opinions += [new_opinion(reader, view) for reader in ("Ada", "Ben")[: 2 - (k % 4 > 0)]]
            session.add(study)
    report = written(database, films, tmp_path / "set")
    assert (report.films, report.studies, report.patients, report.readers) == (96, 96, 48, 2)
    assert report.labels["Mass"] == report.labels["No Finding"] == 48

    config = TrainingConfig(
        input_size=64, batch_size=8, imagenet=False, train_fraction=0.25, validation_fraction=0.25,
        calibration_fraction=0.25, test_fraction=0.25,
    )  # fmt: skip
    data = open_training_data(tmp_path / "set", config, tmp_path / "cache")
    sides = data.split.groupby(data.metadata["patient"])
    assert len(sides) == 48
    assert all(len(set(of_patient)) == 1 for _, of_patient in sides)
    assert (sides.size() == 2).all()
    assert set(data.metadata["source"]) == {"readers"}
    assert set(data.metadata["view"]) == {"PA"}
    pixels, labels = next(iter(data.train.epoch(0)))
    assert np.asarray(pixels).shape == (8, 64, 64, 1)
    assert set(np.asarray(labels).sum(axis=1)) == {1.0}

    spec = JobSpec(model="fed", data=tmp_path / "set", config=config, by="Cy")
    answers = {check.name: check for check in data_checks(spec)}
    assert answers["data"].ok, answers["data"].sentence
    assert answers["patients"].ok, answers["patients"].sentence
    # The page of data sets takes it too.
    assert len(load_folder(tmp_path / "set")) == 96


@on_sqlite
def test_film_is_the_square_that_the_model_sees(database: Database, films: FilmFolder, tmp_path: Path) -> None:
    dicom = SAMPLES[0].read()
    save(database, add_study(database, films, dicom, accession="A1"), "Ada", MASS, None)
    written(database, films, tmp_path / "set")
    stored = open_folder(tmp_path / "set", tmp_path / "cache").read(0).image
    with Image.open(io.BytesIO(stored)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "L", (600, 600))
        square = model_input(read_radiograph(dicom), 600)
        assert np.abs(np.asarray(picture, float) - square).mean() < 1.5
        assert not picture.getexif()


@on_sqlite
def test_nothing_in_it_says_whose_film_it_is(database: Database, films: FilmFolder, tmp_path: Path) -> None:
    view = View("informed", findings={"Mass": "present"}, text="Mrs Doe, see the letter")
    dicom = SAMPLES[0].read()
    study = add_study(
        database, films, dicom, patient="MRN-4711", name="DOE^JANE.dcm", accession="ACC-0815", acquired="2025-12-24"
    )
    save(database, study, "Dr Ada Reader", view, said_of("Mass"))
    written(database, films, tmp_path / "set")
    private = [
        b"MRN-4711", b"4711", b"DOE^", b"JANE", b"ACC-0815", b"2025-12-24", b"20251224", b"Mrs Doe", b"letter", b"Ada",
        hashlib.sha256(dicom).hexdigest().encode(), hashlib.sha256(b"MRN-4711").hexdigest()[:12].encode(), b"DICM",
    ]  # fmt: skip
    found = contents(tmp_path / "set")
    assert {"manifest.json", "readers.csv", "preprocessed_data.csv", "data/000-001.tfrec"} <= set(found)
    for name, content in found.items():
        if name.endswith(".tfrec"):
            # By chance any four bytes may stand in a picture.
            content = content.replace(open_folder(tmp_path / "set", tmp_path / "cache").read(0).image, b"")
        assert not [word for word in private if word.lower() in content.lower()], name


@on_sqlite
def test_same_feedback_gives_the_same_bytes_and_other_feedback_another_version(
    database: Database, films: FilmFolder, tmp_path: Path
) -> None:
    studies = [add_study(database, films, film(k), patient=f"P-{k}") for k in range(3)]
    for study in studies:
        save(database, study, "Ada", MASS, said_of("Mass"))
    first = written(database, films, tmp_path / "one", who="Cy")
    second = written(database, films, tmp_path / "two", who="Di")
    assert first.version == second.version
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "exported.json").read_text())["by"] == "Di"

    again = written(database, films, tmp_path / "two", who="Cy")
    assert not again.new
    assert json.loads((tmp_path / "two" / "exported.json").read_text())["by"] == "Di"

    save(database, studies[0], "Ada", NORMAL, None)
    before = contents(tmp_path / "two")
    with pytest.raises(ExportRefused, match="holds another feedback set"):
        written(database, films, tmp_path / "two")
    assert contents(tmp_path / "two") == before
    third = written(database, films, tmp_path / "three")
    assert third.version != first.version
    # A patient keeps the number, so that sets of different days can be split alike.
    assert set(table(tmp_path / "three", "preprocessed_data.csv").index) == set(
        table(tmp_path / "one", "preprocessed_data.csv").index
    )
    written(database, films, tmp_path / "four", secret=b"t" * 32)
    assert not set(table(tmp_path / "four", "preprocessed_data.csv").index) & set(
        table(tmp_path / "three", "preprocessed_data.csv").index
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@on_sqlite
def test_manifest_accounts_for_every_file(database: Database, films: FilmFolder, tmp_path: Path) -> None:
    save(database, add_study(database, films, film(1)), "Ada", MASS, said_of("Mass"))
    report = written(database, films, tmp_path / "set")
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in contents(tmp_path / "set").items()}
    del listed["manifest.json"]
    assert manifest["files"] == listed
    assert (manifest["version"], manifest["films"]) == (report.version, 1)
    assert manifest["models"] == [{"sha256": MODEL, "name": None}]
    with database.reading() as session:
        line = session.scalars(select(AuditLine).order_by(AuditLine.number.desc())).first()
    assert line is not None
    assert (line.who, line.what) == ("Cy", f"feedback set {report.version}")


@on_sqlite
def test_original_labels_stay_beside_those_of_the_readers(
    database: Database, films: FilmFolder, tmp_path: Path
) -> None:
    name = "00000001_000.png"
    save(database, add_study(database, films, film(1), patient="00000001", name=name), "Ada", MASS, None)
    save(database, add_study(database, films, film(2), name="other.png"), "Ada", NORMAL, None)
    written(database, films, tmp_path / "set")
    labels, original = table(tmp_path / "set", "preprocessed_data.csv"), table(tmp_path / "set", "original.csv")
    (image_id,) = original.index
    assert image_id != name
    assert list(original.columns) == list(labels.columns) == list(CATEGORIES)
    nih = release()
    assert original.loc[image_id].tolist() == nih.labels[nih.row[name]].tolist()
    assert original.loc[image_id, "Cardiomegaly"] == 1
    assert labels.loc[image_id, ["Mass", "Cardiomegaly"]].tolist() == [1, 0]


@on_sqlite
def test_blind_and_informed_words_of_each_reader_stand_apart(
    database: Database, films: FilmFolder, tmp_path: Path
) -> None:
    study = add_study(database, films, film(1))
    save(database, study, "Ada", View("blind", abnormal="no"), None)
    save(database, study, "Ada", MASS, said_of("Mass"))
    save(database, study, "Ben", View("blind", abnormal="yes", findings={"Mass": "present", "Edema": "absent"}), None)
    written(database, films, tmp_path / "set")
    rows = table(tmp_path / "set", "readers.csv")
    assert len(rows) == 3
    assert rows["reader"].nunique() == 2
    ada = rows[rows["reader"] == rows[rows["stage"] == "informed"]["reader"].iloc[0]].set_index("stage")
    assert ada.loc["blind", ["counts", "abnormal", "Mass", "model"]].tolist() == [0, "no", "", ""]
    assert ada.loc["informed", ["counts", "abnormal", "Mass", "model"]].tolist() == [1, "", "present", MODEL]
    ben = rows[~rows["reader"].isin(ada["reader"])].iloc[0]
    assert (ben["counts"], ben["Mass"], ben["Edema"]) == (1, "present", "absent")
    assert set(FINDINGS) <= set(rows.columns)


def test_what_is_left_out_is_counted(database: Database, films: FilmFolder, tmp_path: Path) -> None:
    def read(view: View, /, *data: bytes, **more: object) -> None:
        save(database, add_study(database, films, *data, **more), "Ada", view, None)

    add_study(database, films, film(0))
    read(MASS, film(1), film(2), patient="P")
    read(View("informed", valid=False), film(3))
    read(View("informed", abnormal="unsure"), film(4))
    read(View("informed", abnormal="unsure"), film(5))
    read(MASS, film(6), state=FilmState.REFUSED)
    read(MASS, film(7), view="LATERAL")
    read(MASS, b"no film at all")
    read(MASS, film(8), patient="P", view=None)
    films.remove(hashlib.sha256(film(2)).hexdigest())
    report = written(database, films, tmp_path / "set")
    assert (report.films, report.studies, report.patients) == (2, 2, 1)
    assert report.left_out == {"not a valid chest film": 1, "readers unsure": 2}
    assert report.films_left_out == {
        "film no longer readable": 2, "film not analysed": 1, "view neither PA nor AP": 1,
    }  # fmt: skip
    ids = table(tmp_path / "set", "images_index.csv")
    # The second film of the patient keeps its number though it is lost.
    assert [image_id[8:] for image_id in ids.index] == ["_000.png", "_002.png"]
    assert ids["view"].tolist() == ["PA", "unknown"]


@on_sqlite
def test_patients_who_would_share_a_number_do_not(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setattr(feedback_plan, "PATIENTS", 5)
    names = [f"patient {k}" for k in range(5)]
    numbers = feedback_plan._pseudonyms(names, SECRET)
    assert sorted(numbers.values()) == [10_000_000 + k for k in range(5)]
    assert feedback_plan._pseudonyms(names[::-1], SECRET) == numbers


@on_sqlite
def test_folder_of_somebody_elses_is_left_alone(database: Database, films: FilmFolder, tmp_path: Path) -> None:
    save(database, add_study(database, films, film(1)), "Ada", MASS, None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("three years")
    with pytest.raises(ExportRefused, match="not empty"):
        written(database, films, tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["thesis.txt"]


@on_sqlite
def test_command_line_exports_and_says_what_is_missing(
    database: Database, films: FilmFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "set"
    assert main(["feedback", "export", "--out", str(out)]) == 1
    assert "no film with labels of readers" in capsys.readouterr().err
    assert not out.exists()
    save(database, add_study(database, films, film(1)), "Ada", MASS, None)
    assert main(["feedback", "export", "--out", str(out), "--by", "Cy"]) == 0
    said = capsys.readouterr().out
    assert "films: 1, studies: 1, patients: 1, readers: 1" in said
    assert "1  Mass" in said
    assert main(["feedback", "export", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] is False
