"""A data set in the layout of the Kaggle release: labels, NIH's metadata, boxes, each checked before it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.dataset.csv_file import InvalidTable, Problem, read_cells
from cxr.dataset.metadata import METADATA_NAMES, years
from cxr.dataset.rules import BOX_FINDINGS, BOX_RULES, LABEL_RULES, METADATA_RULES, MOST_AGE, Rule, problems
from cxr.dataset.table import UNKNOWN, FilmTable, films_frame, release
from cxr.findings import CATEGORIES

LABELS_FILE: Final = "preprocessed_data.csv"
METADATA_FILES: Final = "Data_Entry_2017*.csv*"
BOXES_FILE: Final = "BBox_List_2017.csv"
LABEL_COLUMNS: Final = ("", *CATEGORIES)
BOX_COLUMNS: Final = ("image_id", "finding", "x", "y", "w", "h")


def load_folder(folder: Path) -> FilmTable:
    """The table of a folder in the layout of the Kaggle release.

    Args:
        folder: holds `preprocessed_data.csv` and, if it has them, `Data_Entry_2017*.csv[.gz]` and `BBox_List_2017.csv`.
            What it lacks is taken from NIH's tables that ship with the app, by image id, and `notes` say so.

    Raises:
        InvalidTable: with all problems of the first of the files that has any.
    """
    labels, metadata = folder / LABELS_FILE, sorted(folder.glob(METADATA_FILES))
    if not labels.is_file():
        raise InvalidTable(str(folder), [Problem(f"There is no {LABELS_FILE} in it", "Choose the release's folder.")])
    boxes = folder / BOXES_FILE
    return _assembled(
        str(folder),
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


def read_labels(data: bytes, name: str) -> pd.DataFrame:
    """`preprocessed_data.csv`: uint8, a row for each film, indexed by image id; columns are `CATEGORIES`.

    Raises:
        InvalidTable: with all its problems.
    """
    table = _checked(data, name, LABEL_COLUMNS, LABEL_RULES)
    return (table[list(CATEGORIES)] == "1").astype(np.uint8).set_index(pd.Index(table[""], name="image_id"))


def read_metadata_table(data: bytes, name: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """`Data_Entry_2017*.csv`, indexed by image id: patient, follow_up, age (years, NaN if set aside), sex, view; notes.

    Raises:
        InvalidTable: with all its problems.
    """

    def known(cells: pd.DataFrame) -> pd.DataFrame:
        named = cells.rename(columns=METADATA_NAMES)
        # Each version has its own further columns, in its own order.
        return named[[column for column in dict.fromkeys(METADATA_NAMES.values()) if column in named]]

    table = _checked(data, name, tuple(dict.fromkeys(METADATA_NAMES.values())), METADATA_RULES, known)
    age = years(table["age"])
    impossible = age > MOST_AGE
    notes: tuple[str, ...] = ()
    if impossible.any():
        rows = Problem(
            f"{impossible.sum():,} ages above {MOST_AGE} years in {name}",
            "They count as unknown.",
            age.index[impossible],
        )
        notes = (str(rows),)
    numbers = table[["patient", "follow_up"]].astype(np.int64)
    return numbers.assign(age=age.where(~impossible), sex=table["sex"], view=table["view"]).set_index(
        pd.Index(table["image_id"])
    ), notes


def read_boxes(data: bytes, name: str) -> pd.DataFrame:
    """`BBox_List_2017.csv`: image_id, finding, and x, y, w, h (float, pixels of the film at 1024 x 1024).

    Raises:
        InvalidTable: with all its problems.
    """
    # NIH's header reads "Bbox [x,y,w,h]", and its rows end in empty cells.
    table = _checked(
        data,
        name,
        BOX_COLUMNS,
        BOX_RULES,
        lambda cells: cells.iloc[:, :6].set_axis(list(BOX_COLUMNS)[: cells.shape[1]], axis=1),
    )
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
) -> pd.DataFrame:
    """The cells of a file that follows its rules, as text."""
    cells = read_cells(data, name)
    frame = named(cells.frame)
    found = [*cells.problems, *problems(frame, columns, rules)]
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
    known = own.reindex(labels.index)
    missing = int(known["patient"].isna().sum())
    if metadata is None:
        notes = (
            "Age, sex and view are those that NIH gives for the same image ids "
            f"({len(labels) - missing:,} of {len(labels):,}).",
        )
    elif missing:
        notes = (
            *notes,
            f"{missing:,} of {len(labels):,} films are not in the metadata; their age, sex and view are unknown.",
        )
    from_id = labels.index.str.extract(r"^(\d{8})_(\d{3})").astype(np.int64)
    from_id.index = labels.index
    films = films_frame(
        labels.index,
        known["patient"].fillna(from_id[0]).to_numpy(),
        known["follow_up"].fillna(from_id[1]).to_numpy(),
        known["age"].to_numpy(),
        known["sex"].astype(object).fillna(UNKNOWN).to_numpy(),
        known["view"].astype(object).fillna(UNKNOWN).to_numpy(),
    )
    drawn = release().boxes if boxes is None else boxes
    inside = drawn["image_id"].isin(labels.index)
    if boxes is None:
        notes = (*notes, f"Boxes are those that NIH gives for the same image ids ({inside.sum():,}).")
    elif not inside.all():
        notes = (*notes, f"{(~inside).sum():,} boxes are on films that are not in the table.")
    return FilmTable(name, films, labels.to_numpy(), drawn[inside].reset_index(drop=True), notes)
