"""Folders in the layout of the Kaggle release, what they lack, and NIH's own files against the shipped table."""

import gzip
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade_table import HEADER, csv, film_id, label_line, label_lines, many_films

from cxr.dataset.csv_file import InvalidTable
from cxr.dataset.kaggle import _key, _numbers, load_folder, load_upload
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
    assert table.name == folder.name
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
        "Ages above 120 years in Data_Entry_2017.csv: 1 (row 3). They count as unknown.",
        "Films without metadata, of unknown age, sex and view: 2 of 4.",
        "Boxes on films that are not in the table, left out: 2.",
    )


def test_metadata_and_boxes_that_cover_everything_need_no_note(folder: Path) -> None:
    ids = load_folder(folder).films.index
    own = (f"{film},{int(film[:8])},{k},20,M,AP" for k, film in enumerate(reversed(ids)))
    (folder / "Data_Entry_2017.csv").write_bytes(csv(METADATA, *own))
    (folder / "BBox_List_2017.csv").write_bytes(csv(BOXES, f"{ids[1]},Mass,1,2,3,4"))
    table = load_folder(folder)
    assert table.notes == ()
    assert described(table) == [(film, int(film[:8]), 3 - k, 20, "M", "AP") for k, film in enumerate(ids)]


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


def test_a_folder_that_is_named_like_the_metadata_is_no_crash(folder: Path) -> None:
    (folder / "Data_Entry_2017.csv").mkdir()
    assert len(load_folder(folder)) == 4


@pytest.mark.parametrize("ending", ["xlsx", "csv.bak", "csv.zip", "txt", "csv.gz.part"])
def test_metadata_are_csv_files_packed_or_not(folder: Path, ending: str) -> None:
    before = load_folder(folder)
    (folder / f"Data_Entry_2017.{ending}").write_bytes(b"no table")
    assert load_folder(folder).notes == before.notes
    (folder / "Data_Entry_2017.csv").write_bytes(csv(METADATA, "00000002_000.png,2,0,31,M,PA"))
    assert load_folder(folder).films["age"]["00000002_000.png"] == 31


def test_notes_count_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "preprocessed_data.csv").write_bytes(csv(HEADER, *label_lines(3)))
    (tmp_path / "Data_Entry_2017.csv").write_bytes(csv(METADATA, "00000001_000.png,1,0,414,M,PA"))
    (tmp_path / "BBox_List_2017.csv").write_bytes(csv(BOXES, "00000009_000.png,Mass,1,2,3,4"))
    assert load_folder(tmp_path).notes == (
        "Ages above 120 years in Data_Entry_2017.csv: 1 (row 2). They count as unknown.",
        "Films without metadata, of unknown age, sex and view: 2 of 3.",
        "Boxes on films that are not in the table, left out: 1.",
    )


def test_image_ids_are_taken_apart_as_their_text_says() -> None:
    rng = np.random.default_rng(0)
    patients = [0, 1, 9, 10, 99_999_999, 12_345_678, 90_000_000, *rng.integers(0, 10**8, 500).tolist()]
    ids = [film_id(patient, number) for patient, number in zip(patients, rng.integers(0, 1000, 507), strict=True)]
    ids += [film_id(99_999_999, 999), film_id(0, 999), film_id(1, 0)]
    for given in (ids, pd.Index(ids), pd.Series(ids, dtype="str"), np.array(ids, object)):
        patient, number = _numbers(given)
        assert patient.tolist() == [int(film.partition("_")[0]) for film in ids]
        assert number.tolist() == [int(film.partition("_")[2].removesuffix(".png")) for film in ids]
        assert (patient.dtype, number.dtype) == (np.int64, np.int64)
        assert _key(given).tolist() == [int(film[:8] + film[9:12]) for film in ids]
    assert [part.shape for part in _numbers([])] == [(0,), (0,)]


def test_films_at_both_ends_of_the_numbers_find_their_own_metadata_and_boxes(tmp_path: Path) -> None:
    ids = [film_id(*film) for film in ((0, 999), (1, 0), (99_999_999, 999), (99_999_999, 0), (0, 0), (10, 1), (1, 10))]
    (tmp_path / "preprocessed_data.csv").write_bytes(csv(HEADER, *map(label_line, ids)))
    own = [f"{film},{int(film[:8])},{k},{k + 20},F,AP" for k, film in enumerate(ids)]
    (tmp_path / "Data_Entry_2017.csv").write_bytes(csv(METADATA, *own[::-1]))
    (tmp_path / "BBox_List_2017.csv").write_bytes(csv(BOXES, f"{ids[2]},Mass,1,2,3,4", f"{ids[4]},Mass,1,2,3,4"))
    table = load_folder(tmp_path)
    assert described(table) == [(film, int(film[:8]), k, k + 20, "F", "AP") for k, film in enumerate(ids)]
    assert table.has_box.tolist() == [k in (2, 4) for k in range(7)]


def test_an_upload_of_ten_times_the_release_is_read_soon() -> None:
    data = many_films(1_121_200)
    start = time.process_time()
    table = load_upload(data, "films.csv")
    assert time.process_time() - start < 20
    assert table.labels.shape == (1_121_200, 15)
    assert table.labels.sum(axis=0).tolist() == [1_121_200] + [0] * 14
    films, nih = table.films, release().films
    assert films.index[[0, 1, -1]].tolist() == ["00000000_000.png", "00000000_001.png", "00001121_199.png"]
    np.testing.assert_array_equal(films["patient"], np.arange(1_121_200) // 1000)
    # Of patients from 0 to 1,120 there are all numbers, and of the 1,121st those below 200.
    known = nih[(nih["patient"] < 1121) | ((nih["patient"] == 1121) & (nih.index < "00001121_200.png"))]
    at = [int(film[:8] + film[9:12]) for film in known.index]
    pd.testing.assert_frame_equal(films.iloc[at], known, check_exact=True)
    others = np.delete(np.arange(1_121_200), at)
    np.testing.assert_array_equal(films["follow_up"].to_numpy()[others], others % 1000)
    assert np.isnan(films["age"].to_numpy()[others]).all()
    assert (films["sex"].cat.codes.to_numpy()[others] == 2).all()
    assert (films["view"].cat.codes.to_numpy()[others] == 2).all()
    boxes = release().boxes["image_id"].isin(known.index).sum()
    assert table.notes == (
        f"Age, sex and view are those that NIH gives for the same image ids ({len(known):,} of 1,121,200).",
        f"Boxes are those that NIH gives for the same image ids ({boxes}).",
    )


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
