"""Folders in the layout of the Kaggle release, what they lack, and NIH's own files against the shipped table."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade_table import HEADER, csv, film_id, label_line, label_lines

from cxr.dataset.csv_file import InvalidTable
from cxr.dataset.kaggle import load_folder, load_upload
from cxr.dataset.table import RELEASE, FilmTable, release
from scripts.pack_release import packed

METADATA = "Image Index,Patient ID,Follow-up #,Patient Age,Patient Gender,View Position"
NIH_BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
BOXES = "Image Index,Finding Label,x,y,w,h"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three films of NIH's, of two patients, and one that NIH does not have, with labels of their own."""
    lines = [label_line(film_id(3, 1), "Edema"), label_line(film_id(90_000, 17)), *label_lines(3)[1:]]
    (tmp_path / "preprocessed_data.csv").write_bytes(csv(HEADER, *lines))
    return tmp_path


def described(table: FilmTable) -> list[tuple]:
    films = table.films.astype(object).where(table.films.notna(), None)
    return list(films.itertuples(name=None))


def test_what_a_folder_lacks_is_nih_s_and_the_notes_say_so(folder: Path) -> None:
    table = load_folder(folder)
    nih = release().films
    assert table.name == str(folder)
    assert described(table) == [
        ("00000003_001.png", 3, nih["follow_up"]["00000003_001.png"], nih["age"]["00000003_001.png"], "F", "PA"),
        ("00090000_017.png", 90_000, 17, None, "unknown", "unknown"),
        ("00000002_000.png", 2, 0, 80, "M", "PA"),
        ("00000003_000.png", 3, nih["follow_up"]["00000003_000.png"], nih["age"]["00000003_000.png"], "F", "PA"),
    ]
    assert [table.names(row) for row in range(4)] == [["Edema"], *[["No Finding"]] * 3]
    assert table.notes == (
        "Age, sex and view are those that NIH gives for the same image ids (3 of 4).",
        "Boxes are those that NIH gives for the same image ids (0).",
    )
    dtypes = table.films.dtypes.drop(["sex", "view"])
    assert dtypes.to_dict() == {"patient": np.int32, "follow_up": np.int16, "age": np.float32}


def test_an_upload_has_nih_s_boxes_of_its_films() -> None:
    drawn = release().boxes
    ids = drawn["image_id"].unique()[100:105].tolist()
    table = load_upload(csv(HEADER, *map(label_line, ids)), "mine.csv")
    boxes = int(drawn["image_id"].isin(ids).sum())
    assert (table.name, len(table.boxes), boxes >= 5) == ("mine.csv", boxes, True)
    assert table.boxes.index.tolist() == list(range(boxes))
    assert table.has_box.all()
    assert table.notes[1] == f"Boxes are those that NIH gives for the same image ids ({boxes})."


def test_metadata_and_boxes_of_one_s_own_go_before_nih_s(folder: Path) -> None:
    own = ["00000003_001.png,3,5,20,M,AP", "00000002_000.png,2,0,200,F,AP", "00000077_000.png,77,0,20,M,AP"]
    (folder / "Data_Entry_2017.csv").write_bytes(csv(METADATA, *own))
    boxes = ["00000003_001.png,Infiltrate,1,2,3,4", "00000077_000.png,Mass,1,2,3,4", "00000078_000.png,Mass,1,2,3,4"]
    (folder / "BBox_List_2017.csv").write_bytes(csv(NIH_BOXES, *(f"{box},,," for box in boxes)))
    table = load_folder(folder)
    assert described(table) == [
        ("00000003_001.png", 3, 5, 20, "M", "AP"),
        ("00090000_017.png", 90_000, 17, None, "unknown", "unknown"),
        ("00000002_000.png", 2, 0, None, "F", "AP"),
        ("00000003_000.png", 3, 0, None, "unknown", "unknown"),
    ]
    assert table.boxes.to_numpy().tolist() == [["00000003_001.png", "Infiltration", 1, 2, 3, 4]]
    assert table.has_box.tolist() == [True, False, False, False]
    assert table.notes == (
        "1 ages above 120 years in Data_Entry_2017.csv (row 3). They count as unknown.",
        "2 of 4 films are not in the metadata; their age, sex and view are unknown.",
        "2 boxes are on films that are not in the table.",
    )


def test_metadata_and_boxes_that_cover_everything_need_no_note(folder: Path) -> None:
    ids = load_folder(folder).films.index
    (folder / "Data_Entry_2017.csv").write_bytes(csv(METADATA, *(f"{film},5,0,20,M,AP" for film in ids)))
    (folder / "BBox_List_2017.csv").write_bytes(csv(BOXES, f"{ids[1]},Mass,1,2,3,4"))
    table = load_folder(folder)
    assert table.notes == ()
    assert table.films["patient"].tolist() == [5] * 4


def test_the_latest_metadata_are_taken_packed_or_not(folder: Path) -> None:
    for name, age in (("Data_Entry_2017.csv", 20), ("Data_Entry_2017_v2020.csv.gz", 30)):
        data = csv(METADATA, f"00000002_000.png,2,0,{age},M,PA")
        (folder / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert load_folder(folder).films["age"]["00000002_000.png"] == 30


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InvalidTable) as refused:
            load_folder(folder)
        expected = f"{folder} can't be used: There is no preprocessed_data.csv in it. Choose the release's folder."
        assert str(refused.value) == expected


@pytest.mark.parametrize("name", ["preprocessed_data.csv", "Data_Entry_2017.csv", "BBox_List_2017.csv"])
def test_the_file_of_a_folder_that_is_wrong_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(InvalidTable, match=f"^{name} can't be used: It is empty"):
        load_folder(folder)


@pytest.mark.xfail(strict=True, reason="IsADirectoryError: a folder of that name is read like a file", raises=OSError)
def test_a_folder_that_is_named_like_the_metadata_is_no_crash(folder: Path) -> None:
    (folder / "Data_Entry_2017.csv").mkdir()
    assert len(load_folder(folder)) == 4


@pytest.mark.xfail(strict=True, reason="“1 ages”, “1 films are”, “1 boxes are”")
def test_a_note_on_one_thing_is_in_the_singular(tmp_path: Path) -> None:
    (tmp_path / "preprocessed_data.csv").write_bytes(csv(HEADER, *label_lines(2)))
    (tmp_path / "Data_Entry_2017.csv").write_bytes(csv(METADATA, "00000001_000.png,1,0,414,M,PA"))
    (tmp_path / "BBox_List_2017.csv").write_bytes(csv(BOXES, "00000009_000.png,Mass,1,2,3,4"))
    notes = " ".join(load_folder(tmp_path).notes)
    assert not [words for words in ("1 ages", "1 of 2 films are", "1 boxes") if words in notes]


@pytest.fixture(scope="module")
def nih(shared_data: Path) -> FilmTable:
    return load_folder(shared_data / "nih")


def test_the_shipped_table_is_nih_s(nih: FilmTable) -> None:
    shipped = release()
    assert nih.notes == ()
    pd.testing.assert_frame_equal(nih.films, shipped.films, check_exact=True)
    np.testing.assert_array_equal(nih.labels, shipped.labels)
    pd.testing.assert_frame_equal(nih.boxes, shipped.boxes, check_exact=True)


def test_packing_nih_s_files_gives_the_shipped_ones(nih: FilmTable) -> None:
    pd.testing.assert_frame_equal(packed(nih), pd.read_parquet(RELEASE / "films.parquet"), check_exact=True)
    pd.testing.assert_frame_equal(nih.boxes, pd.read_parquet(RELEASE / "boxes.parquet"), check_exact=True)
