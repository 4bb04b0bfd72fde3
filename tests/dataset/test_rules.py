"""Labels, metadata and boxes that follow the rules, and everything in which they can break them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from handmade_table import HEADER, csv, film_id, label_line, label_lines, with_cell

from cxr.dataset.csv_file import InvalidTable
from cxr.dataset.kaggle import read_boxes, read_labels, read_metadata_table
from cxr.dataset.metadata import years
from cxr.findings import CATEGORIES, FINDINGS

ID_REMEDY = "An image id has eight digits of the patient, “_”, three digits and “.png”, as in 00000001_000.png."
EXCLUSIVE = "“No Finding” is 1 where all 14 findings are 0, and 0 elsewhere."
OTHER_PATIENT = (
    "The patient is not the one of the image id",
    "The first eight digits of the image id are the patient's number.",
)
METADATA = "Image Index,Patient ID,Follow-up #,Patient Age,Patient Gender,View Position"
NIH_METADATA = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
NIH_BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
BOXES = "Image Index,Finding Label,x,y,w,h"


def sentences(read: Callable[[bytes, str], object], *lines: str) -> list[str]:
    with pytest.raises(InvalidTable) as refused:
        read(csv(*lines), "t.csv")
    assert refused.value.name == "t.csv"
    return [str(problem) for problem in refused.value.problems]


def test_labels_are_read_by_image_id() -> None:
    lines = [label_line(film_id(7, 3), "Mass", "Hernia"), label_line(film_id(2)), label_line(film_id(7), "Edema")]
    labels = read_labels(csv(HEADER, *lines), "t.csv")
    assert labels.index.tolist() == ["00000007_003.png", "00000002_000.png", "00000007_000.png"]
    assert labels.index.name == "image_id"
    assert tuple(labels.columns) == CATEGORIES
    assert (labels.dtypes == np.uint8).all()
    names = [[name for name in CATEGORIES if row[name]] for _, row in labels.iterrows()]
    assert names == [["Mass", "Hernia"], ["No Finding"], ["Edema"]]


def renamed(old: str, new: str) -> list[str]:
    return [HEADER.replace(old, new), *label_lines(2)]


def without_last() -> list[str]:
    return [line.rpartition(",")[0] for line in (HEADER, *label_lines(2))]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            renamed("Hernia", "hernia"),
            [
                "Missing columns: “Hernia”. Add them.",
                "Columns that do not belong here: “hernia”. Remove or rename them.",
            ],
        ),
        (without_last(), ["Missing columns: “Hernia”. Add them."]),
        (
            [f"{HEADER},score,note", *(f"{line},1," for line in label_lines(2))],
            ["Columns that do not belong here: “score”, “note”. Remove or rename them."],
        ),
        (
            [f"{HEADER},Mass", *(f"{line},0" for line in label_lines(2))],
            ["Columns that occur more than once: “Mass”. Keep one of each."],
        ),
        (
            renamed("Mass,Hernia", "Hernia,Mass"),
            [
                "The columns are in another order. Put them so: image id, No Finding, Atelectasis, Consolidation, "
                "Infiltration, Pneumothorax, Edema, Emphysema, Fibrosis, Effusion, Pneumonia, Pleural_Thickening, "
                "Cardiomegaly, Nodule, Mass, Hernia."
            ],
        ),
        (
            [f"film{HEADER}", *label_lines(2)],
            [
                "Missing columns: the one without a name. Add them.",
                "Columns that do not belong here: “film”. Remove or rename them.",
            ],
        ),
    ],
    ids=["renamed", "missing", "extra", "twice", "reordered", "named id"],
)
def test_columns_must_be_those_of_the_release(lines: list[str], expected: list[str]) -> None:
    assert sentences(read_labels, *lines) == expected


def test_a_table_without_a_header_is_told_its_columns() -> None:
    missing, unknown, twice = sentences(read_labels, *label_lines(3))
    listed = ", ".join(f"“{name}”" for name in CATEGORIES[:14])
    assert missing == f"Missing columns: the one without a name, {listed} and 1 more. Add them."
    assert unknown == ("Columns that do not belong here: “00000001_000.png”, “1”, “0”. Remove or rename them.")
    assert twice == "Columns that occur more than once: “0”. Keep one of each."


@pytest.mark.parametrize("value", ["2", "", "0.0", "yes", "-1", " 1", "01", "True", "1e0"])
def test_a_label_is_0_or_1(value: str) -> None:
    first, second, third = label_lines(3)
    assert sentences(read_labels, HEADER, first, with_cell(second, "Hernia", value), third) == [
        f"“Hernia” holds “{value}”, neither 0 nor 1 (row 3). Put 0 or 1."
    ]


@pytest.mark.parametrize(
    "value", ["x", "", "0000001_000.png", "00000001_00.png", "00000001_000xpng", "00000001_000.png ", "A_000.png"]
)
def test_an_image_id_is_of_nih_s_form(value: str) -> None:
    line, other = label_lines(2)
    expected = [f"“{value}” is not an image id (row 3). {ID_REMEDY}"]
    assert sentences(read_labels, HEADER, other, with_cell(line, "", value)) == expected


@pytest.mark.parametrize("image_id", ["٠٠٠٠٠٠٠١_000.png", "00000001_００0.png"])
def test_an_image_id_is_of_the_digits_0_to_9(image_id: str) -> None:
    expected = [f"“{image_id}” is not an image id (row 2). {ID_REMEDY}"]
    assert sentences(read_labels, HEADER, label_line(image_id)) == expected


def test_a_long_value_is_shown_in_part() -> None:
    (told,) = sentences(read_labels, HEADER, label_line("x" * 1000))
    assert told == f"“{'x' * 40}” is not an image id (row 2). {ID_REMEDY}"


def test_a_film_occurs_once() -> None:
    lines = label_lines(4)
    assert sentences(read_labels, HEADER, *lines, lines[3], lines[1], lines[3]) == [
        "“00000002_000.png” occurs more than once (rows 3, 5, 6, 7, 8). Keep one row for each film."
    ]


def test_no_finding_stands_alone_and_something_stands() -> None:
    with_finding = label_line(film_id(1), "No Finding", "Mass")
    neither = with_cell(label_line(film_id(2)), "No Finding", "0")
    fine = label_line(film_id(3), "Mass", "Nodule")
    assert sentences(read_labels, HEADER, with_finding, neither, fine) == [
        f"“No Finding” stands with a finding, or neither stands (rows 2, 3). {EXCLUSIVE}"
    ]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    lines = label_lines(8)
    lines[1] += ",0"
    lines[2] = with_cell(with_cell(lines[2], "Mass", "2"), "Edema", "?")
    lines[3] = with_cell(lines[3], "", "film 4")
    lines[4] = with_cell(lines[4], "Mass", "3")
    lines[5] = with_cell(lines[5], "Mass", "1")
    lines[6] = lines[0]
    assert sentences(read_labels, f"{HEADER},", *(f"{line}," for line in lines)) == [
        "Not all rows have 17 cells (row 3). Give them as many cells as the header has.",
        "Columns that occur more than once: the one without a name. Keep one of each.",
        f"“film 4” is not an image id (row 5). {ID_REMEDY}",
        "“00000001_000.png” occurs more than once (rows 2, 8). Keep one row for each film.",
        "“Edema” holds “?”, neither 0 nor 1 (row 4). Put 0 or 1.",
        "“Mass” holds “2”, neither 0 nor 1 (rows 4, 6). Put 0 or 1.",
        f"“No Finding” stands with a finding, or neither stands (row 7). {EXCLUSIVE}",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_every_broken_cell_of_a_random_table_is_found_in_its_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = np.full((200, 16), "0", object)
    cells[:, 0] = [film_id(k) for k in range(200)]
    cells[:, 1:][np.arange(200), rng.integers(0, 15, 200)] = "1"
    broken = rng.random((200, 16)) < 0.005
    cells[broken] = rng.choice(["2", "no", "", "0.0"], broken.sum())
    flipped = (rng.random(200) < 0.05) & ~broken.any(axis=1)
    cells[flipped, 1] = np.where(cells[flipped, 1] == "1", "0", "1")

    with pytest.raises(InvalidTable) as refused:
        read_labels(csv(HEADER, *(",".join(row) for row in cells)), "t.csv")
    found = {problem.what.split(" is")[0]: list(problem.rows) for problem in refused.value.problems}
    ids = [row for what, rows in found.items() if what not in CATEGORIES and "holds" not in what for row in rows]
    wrong_labels = {what.split("”")[0][1:]: rows for what, rows in found.items() if "holds" in what}
    expected = {name: (np.flatnonzero(broken[:, k]) + 2).tolist() for k, name in enumerate(CATEGORIES, 1)}
    assert wrong_labels == {name: rows for name, rows in expected.items() if rows}
    assert set(ids) == set((np.flatnonzero(broken[:, 0] | flipped) + 2).tolist())


def test_metadata_are_read_by_image_id() -> None:
    lines = ["00000001_000.png,1,0,57,M,PA", "00000002_010.png,2,12,0,F,AP"]
    table, notes = read_metadata_table(csv(METADATA, *lines), "t.csv")
    assert notes == ()
    assert table.index.tolist() == ["00000001_000.png", "00000002_010.png"]
    assert list(table.itertuples(index=False, name=None)) == [(1, 0, 57.0, "M", "PA"), (2, 12, 0.0, "F", "AP")]
    assert list(table.columns) == ["patient", "follow_up", "age", "sex", "view"]


@pytest.mark.parametrize(
    "lines",
    [
        [NIH_METADATA, "00000001_002.png,Cardiomegaly|Effusion,2,1,58,M,PA,2500,2048,0.168,0.168,"],
        [NIH_METADATA.rstrip(","), "00000001_002.png,No Finding,002,1,058Y,M,PA,2500,2048,0.168,0.168"],
        ["View Position,Patient Sex,Patient Age,Follow-up #,Patient ID,Image Index", "PA,M,58,2,1,00000001_002.png"],
    ],
    ids=["NIH's of 2017", "with 058Y", "other order, Patient Sex"],
)
def test_each_version_of_the_metadata_is_read_alike(lines: list[str]) -> None:
    table, notes = read_metadata_table(csv(*lines), "t.csv")
    assert notes == ()
    assert table.loc["00000001_002.png"].tolist() == [1, 2, 58.0, "M", "PA"]


def test_ages_are_in_years() -> None:
    given = ["57", "0", "058Y", "58Y", "013M", "011D", "414", "57.0", "", "Y", "1234", "5 Y", "57.5", "58y", "-3"]
    expected = [57, 0, 58, 58, 13 / 12, 11 / 365.25, 414, 57] + [np.nan] * 7
    np.testing.assert_allclose(years(pd.Series(given)), expected, rtol=1e-12)


def test_impossible_ages_are_set_aside_and_told_of() -> None:
    ages = ["414", "057Y", "120", "121", "013M", "155", "011D", "999D"]
    lines = [f"{film_id(k)},{k},0,{age},F,AP" for k, age in enumerate(ages, 1)]
    table, notes = read_metadata_table(csv(METADATA, *lines), "Data_Entry_2017.csv")
    expected = [np.nan, 57, 120, np.nan, 13 / 12, np.nan, 11 / 365.25, 999 / 365.25]
    np.testing.assert_allclose(table["age"], expected, rtol=1e-12)
    assert notes == ("Ages above 120 years in Data_Entry_2017.csv: 3 (rows 2, 5, 7). They count as unknown.",)


def test_everything_that_is_wrong_with_metadata_is_told_at_once() -> None:
    lines = ["00000001_000.png,x,-1,57.5,m,LL", "00000001_000.png,123456789,99999,,,", "y,1,1,1,F,PA"]
    assert sentences(read_metadata_table, METADATA, *lines) == [
        f"“y” is not an image id (row 4). {ID_REMEDY}",
        "“00000001_000.png” occurs more than once (rows 2, 3). Keep one row for each film.",
        "The patient “x” is not a number (rows 2, 3). Put the patient's number.",
        "The follow-up “-1” is not a number (rows 2, 3). Put 0, 1, 2 and so on.",
        "The age “57.5” is not one (rows 2, 3). Put years, as in 57 or 057Y.",
        f"{OTHER_PATIENT[0]} (row 3). {OTHER_PATIENT[1]}",
        "The sex “m” is not one of F and M (rows 2, 3). Put F or M.",
        "The view “LL” is not one of PA and AP (rows 2, 3). Put PA or AP.",
    ]


def test_sex_under_both_names_is_refused() -> None:
    assert sentences(read_metadata_table, f"{METADATA},Patient Sex", "00000001_000.png,1,0,57,M,PA,M") == [
        "Columns that occur more than once: “Patient Gender”. Keep one of each."
    ]


def test_missing_columns_of_the_metadata_are_called_as_nih_calls_them() -> None:
    assert sentences(read_metadata_table, "Image Index,Patient ID", "00000001_000.png,1") == [
        "Missing columns: “Follow-up #”, “Patient Age”, “Patient Gender”, “View Position”. Add them."
    ]


def test_the_patient_of_the_metadata_is_that_of_the_image_id() -> None:
    lines = ["00000012_000.png,21,0,57,M,PA", "00000012_001.png,012,0,57,M,PA", "00000013_012.png,12,0,57,M,PA"]
    assert sentences(read_metadata_table, METADATA, *lines) == [f"{OTHER_PATIENT[0]} (rows 2, 4). {OTHER_PATIENT[1]}"]
    fine = [
        "99999999_000.png,99999999,0,57,M,PA",
        "00000000_001.png,0,0,57,M,PA",
        "00000012_001.png,00000012,1,57,M,PA",
    ]
    assert read_metadata_table(csv(METADATA, *fine), "t.csv")[0]["patient"].tolist() == [99_999_999, 0, 12]


def test_a_patient_or_an_image_id_that_is_none_is_not_said_to_differ_too() -> None:
    assert sentences(read_metadata_table, METADATA, "00000012_000.png,x,0,57,M,PA", "film 3,3,0,57,M,PA") == [
        f"“film 3” is not an image id (row 3). {ID_REMEDY}",
        "The patient “x” is not a number (row 2). Put the patient's number.",
    ]


@pytest.mark.parametrize("ending", [",,,", ""], ids=["NIH's header", "six columns"])
def test_boxes_are_read_and_infiltrate_is_infiltration(ending: str) -> None:
    lines = ["00000001_000.png,Infiltrate,225.084,547.5,86,79.25", "00000001_000.png,Mass,0,0,1024,1024"]
    boxes = read_boxes(csv(NIH_BOXES if ending else BOXES, *(line + ending for line in lines)), "t.csv")
    assert list(boxes.columns) == ["image_id", "finding", "x", "y", "w", "h"]
    assert boxes.index.tolist() == [0, 1]
    assert boxes.dtypes[["x", "y", "w", "h"]].tolist() == [np.float64] * 4
    assert boxes.to_numpy().tolist() == [
        ["00000001_000.png", "Infiltration", 225.084, 547.5, 86, 79.25],
        ["00000001_000.png", "Mass", 0, 0, 1024, 1024],
    ]


@pytest.mark.parametrize("finding", FINDINGS)
def test_boxes_are_of_the_14_findings(finding: str) -> None:
    assert read_boxes(csv(BOXES, f"{film_id(1)},{finding},1,2,3,4"), "t.csv")["finding"].tolist() == [finding]


@pytest.mark.parametrize("box", ["-1,-1,1026,1026", "1024,1024,1,1", "1024.5,0,0.5,1", "0,0,0.01,0.01"])
def test_a_box_may_pass_the_edge_by_a_pixel(box: str) -> None:
    assert len(read_boxes(csv(BOXES, f"{film_id(1)},Mass,{box}"), "t.csv")) == 1


@pytest.mark.parametrize(
    "box",
    ["-1.1,0,9,9", "0,-1.1,9,9", "1000,0,25.1,9", "0,1000,9,25.1", "1,1,0,9", "1,1,9,0", "9,9,-3,9", "9,9,9,-3"],
)
def test_a_box_lies_in_its_film(box: str) -> None:
    fine = f"{film_id(1)},Mass,1,2,3,4"
    assert sentences(read_boxes, BOXES, fine, f"{film_id(1)},Mass,{box}") == [
        "A box does not lie in a film of 1024 x 1024 pixels (row 3). Give x, y, width and height."
    ]


def test_everything_that_is_wrong_with_boxes_is_told_at_once() -> None:
    lines = ["z,No Finding,x,,1e2,-3", f"{film_id(1)},infiltrate,1,2,3,", f"{film_id(1)},Mass,1000,2,30,4"]
    assert sentences(read_boxes, NIH_BOXES, *(f"{line},,," for line in lines)) == [
        f"“z” is not an image id (row 2). {ID_REMEDY}",
        "“No Finding” is not one of the 14 findings (rows 2, 3). Spell it as NIH does.",
        "“x” holds “x”, not a number (row 2). Put pixels.",
        "“y” holds “”, not a number (row 2). Put pixels.",
        "“w” holds “1e2”, not a number (row 2). Put pixels.",
        "“h” holds “”, not a number (row 3). Put pixels.",
        "A box does not lie in a film of 1024 x 1024 pixels (row 4). Give x, y, width and height.",
    ]


def test_boxes_of_too_few_columns_are_refused() -> None:
    told = sentences(read_boxes, "Image Index,Finding Label,x,y", f"{film_id(1)},Mass,1,2")
    assert told == ["Missing columns: “w”, “h”. Add them."]


def test_missing_columns_of_the_boxes_are_called_as_nih_calls_them() -> None:
    told = " ".join(sentences(read_boxes, "File,Label,x,y,w,h", f"{film_id(1)},Mass,1,2,3,4"))
    assert "“Image Index”, “Finding Label”" in told


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("y,x,h,w", ["The columns are in another order."]),
        ("x1,y1,x2,y2", ["Missing columns: “x”, “y”, “w”, “h”.", "Columns that do not belong here: “x1”, “y1”,"]),
        ("x,y,w,width", ["Missing columns: “h”.", "Columns that do not belong here: “width”."]),
        ("x,y,w,h,x", ["Columns that occur more than once: “x”."]),
    ],
)
def test_boxes_under_a_header_of_other_columns_are_refused(header: str, expected: list[str]) -> None:
    cells = ",".join("12345"[: header.count(",") + 1])
    told = sentences(read_boxes, f"Image Index,Finding Label,{header}", f"{film_id(1)},Mass,{cells}")
    assert len(told) == len(expected)
    assert all(text.startswith(start) for text, start in zip(told, expected, strict=True))
