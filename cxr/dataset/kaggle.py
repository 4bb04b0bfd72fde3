"""A data set in the layout of the Kaggle release: labels, NIH's metadata, boxes, each checked before it is used."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from cxr.dataset.csv_file import InvalidTable, Problem, read_cells
from cxr.dataset.metadata import METADATA_NAMES, years
from cxr.dataset.rules import BOX_FINDINGS, BOX_RULES, LABEL_RULES, METADATA_RULES, MOST_AGE, Rule, problems
from cxr.dataset.table import UNKNOWN, FilmTable, films_frame, release
from cxr.findings import CATEGORIES

LABELS_FILE: Final = "preprocessed_data.csv"
METADATA_FILES: Final = ("Data_Entry_2017*.csv", "Data_Entry_2017*.csv.gz")
BOXES_FILE: Final = "BBox_List_2017.csv"
LABEL_COLUMNS: Final = ("", *CATEGORIES)
METADATA_COLUMNS: Final = tuple(dict.fromkeys(METADATA_NAMES.values()))
NIH_COLUMNS: Final = {ours: nih for nih, ours in reversed(METADATA_NAMES.items())}
BOX_NAMES: Final = {"Image Index": "image_id", "Finding Label": "finding", "Bbox [x": "x", "h]": "h"}
"""NIH's header of the boxes reads "Bbox [x,y,w,h]", and ends in empty cells."""
NUMBERS: Final = 1000
"""An image id has three digits behind the patient."""
BOX_COLUMNS: Final = ("image_id", "finding", "x", "y", "w", "h")


def load_folder(folder: Path) -> FilmTable:
    """The table of a folder in the layout of the Kaggle release.

    Args:
        folder: holds `preprocessed_data.csv` and, if it has them, `Data_Entry_2017*.csv[.gz]` and `BBox_List_2017.csv`.
            What it lacks is taken from NIH's tables that ship with the app, by image id, and `notes` say so.

    Raises:
        InvalidTable: with all problems of the first of the files that has any.
    """
    labels, boxes = folder / LABELS_FILE, folder / BOXES_FILE
    metadata = sorted(path for pattern in METADATA_FILES for path in folder.glob(pattern) if path.is_file())
    if not labels.is_file():
        raise InvalidTable(str(folder), [Problem(f"There is no {LABELS_FILE} in it", "Choose the release's folder.")])
    return _assembled(
        folder.resolve().name,
        read_labels(labels.read_bytes(), labels.name),
        read_metadata_table(metadata[-1].read_bytes(), metadata[-1].name) if metadata else None,
        read_boxes(boxes.read_bytes(), boxes.name) if boxes.is_file() else None,
    )


def load_upload(data: bytes, name: str) -> FilmTable:
    """A table in the layout of `preprocessed_data.csv`; the rest is taken from NIH's tables, by image id.

    Raises:
        InvalidTable: with all its problems.
    """
    return _assembled(name, read_labels(data, name), None, None)


def read_labels(data: bytes, name: str, rules: tuple[Rule, ...] = LABEL_RULES) -> pd.DataFrame:
    """`preprocessed_data.csv`: uint8, a row for each film, indexed by image id; columns are `CATEGORIES`.

    Args:
        data: the file.
        name: of the file.
        rules: `FREE_LABEL_RULES` where the films are not called by NIH's image ids.

    Raises:
        InvalidTable: with all its problems.
    """
    table = _checked(data, name, LABEL_COLUMNS, rules)
    return (table[list(CATEGORIES)] == "1").astype(np.uint8).set_index(pd.Index(table[""], name="image_id"))


def read_metadata_table(data: bytes, name: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """`Data_Entry_2017*.csv`, indexed by image id: patient, follow_up, age (years, NaN if set aside), sex, view; notes.

    Raises:
        InvalidTable: with all its problems.
    """

    def known(cells: pd.DataFrame) -> pd.DataFrame:
        named = cells.rename(columns=METADATA_NAMES)
        # Each version has its own further columns, in its own order.
        return named[[column for column in METADATA_COLUMNS if column in named]]

    table = _checked(data, name, METADATA_COLUMNS, METADATA_RULES, known, NIH_COLUMNS)
    age = years(table["age"])
    impossible = age > MOST_AGE
    notes: tuple[str, ...] = ()
    if impossible.any():
        what = f"Ages above {MOST_AGE} years in {name}: {impossible.sum():,}"
        notes = (str(Problem(what, "They count as unknown.", age.index[impossible])),)
    numbers = table[["patient", "follow_up"]].astype(np.int64)
    return numbers.assign(age=age.where(~impossible), sex=table["sex"], view=table["view"]).set_index(
        pd.Index(table["image_id"])
    ), notes


def read_boxes(data: bytes, name: str) -> pd.DataFrame:
    """`BBox_List_2017.csv`: image_id, finding, and x, y, w, h (float, pixels of the film at 1024 x 1024).

    Raises:
        InvalidTable: with all its problems.
    """

    def known(cells: pd.DataFrame) -> pd.DataFrame:
        return cells.rename(columns=BOX_NAMES).drop(columns="", errors="ignore")

    table = _checked(data, name, BOX_COLUMNS, BOX_RULES, known, {"image_id": "Image Index", "finding": "Finding Label"})
    return (
        table.assign(finding=table["finding"].map(BOX_FINDINGS))
        .astype(dict.fromkeys("xywh", float))
        .reset_index(drop=True)
    )


def _checked(
    data: bytes,
    name: str,
    columns: tuple[str, ...],
    rules: tuple[Rule, ...],
    named: Callable[[pd.DataFrame], pd.DataFrame] = lambda cells: cells,
    called: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The cells of a file that follows its rules, as text."""
    cells = read_cells(data, name)
    frame = named(cells.frame)
    found = [*cells.problems, *problems(frame, columns, rules, called)]
    if not len(frame) and not cells.problems:
        found.append(Problem("It has no rows below the header", "Choose the file that holds the table."))
    if found:
        raise InvalidTable(name, found)
    return frame


def _assembled(
    name: str,
    labels: pd.DataFrame,
    metadata: tuple[pd.DataFrame, tuple[str, ...]] | None,
    boxes: pd.DataFrame | None,
) -> FilmTable:
    own, notes = metadata or (release().films, ())
    patient, number = _numbers(labels.index)
    at = pd.Index(_key(own.index)).get_indexer(patient * NUMBERS + number)
    known = at >= 0
    if metadata is None:
        what = (
            f"Age, sex and view are those that NIH gives for the same image ids ({known.sum():,} of {len(labels):,})."
        )
        notes = (*notes, what)
    elif not known.all():
        notes = (
            *notes,
            f"Films without metadata, of unknown age, sex and view: {(~known).sum():,} of {len(labels):,}.",
        )

    def taken(column: str, default: Any) -> np.ndarray:
        return np.where(known, own[column].to_numpy()[at], default)

    films = films_frame(
        labels.index,
        patient,
        taken("follow_up", number),
        taken("age", np.nan),
        taken("sex", UNKNOWN),
        taken("view", UNKNOWN),
    )
    drawn = release().boxes if boxes is None else boxes
    inside = np.isin(_key(drawn["image_id"]), patient * NUMBERS + number)
    if boxes is None:
        notes = (*notes, f"Boxes are those that NIH gives for the same image ids ({inside.sum():,}).")
    elif not inside.all():
        notes = (*notes, f"Boxes on films that are not in the table, left out: {(~inside).sum():,}.")
    return FilmTable(name, films, labels.to_numpy(), drawn[inside].reset_index(drop=True), notes)


def _key(image_ids: Iterable[str]) -> np.ndarray:
    """A number for each image id, int64 (n,): far faster to look up than its text."""
    patient, number = _numbers(image_ids)
    return patient * NUMBERS + number


def _numbers(image_ids: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Patient and number, int64 (n,), of image ids such as 00000001_000.png."""
    letters = np.array(list(image_ids), "S16").view(np.uint8).reshape(-1, 16).astype(np.int64) - ord("0")
    return letters[:, :8] @ 10 ** np.arange(7, -1, -1), letters[:, 9:12] @ 10 ** np.arange(2, -1, -1)
