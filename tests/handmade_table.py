"""Tables of films made on the spot, and the lines of CSV files that say the same."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from cxr.dataset.table import SEXES, UNKNOWN, VIEWS, FilmTable, films_frame
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING

HEADER: Final = ",".join(["", *CATEGORIES])
Box = tuple[int, str, float, float, float, float]


def film_id(patient: int, number: int = 0) -> str:
    return f"{patient:08d}_{number:03d}.png"


def label_line(image_id: str, *positive: str) -> str:
    """A line of `preprocessed_data.csv`; without a name it is one of "No Finding"."""
    names = positive or (NO_FINDING,)
    return ",".join([image_id, *(str(int(name in names)) for name in CATEGORIES)])


def label_lines(films: int) -> list[str]:
    """Lines of films without a finding, each of another patient."""
    return [label_line(film_id(patient)) for patient in range(1, films + 1)]


def with_cell(line: str, column: str, value: str) -> str:
    """The line with another value in one of its columns; "" is the column of the image id."""
    cells = line.split(",")
    cells[["", *CATEGORIES].index(column)] = value
    return ",".join(cells)


def csv(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def many_films(films: int, label: str = "0") -> bytes:
    """A file as `preprocessed_data.csv` of distinct films, "No Finding" being 1 and everything else `label`."""
    end = f",1{f',{label}' * len(FINDINGS)}\n" if label == "0" else f",{label}" * len(CATEGORIES) + "\n"
    line = np.frombuffer(f"00000000_000.png{end}".encode(), np.uint8)
    lines = np.tile(line, (films, 1))
    number = np.arange(films)
    for place in [11, 10, 9, *range(7, -1, -1)]:
        lines[:, place] += (number % 10).astype(np.uint8)
        number = number // 10
    return HEADER.encode() + b"\n" + lines.tobytes()


def film_table(
    positive: Sequence[Sequence[str]],
    *,
    patient: Sequence[int] | None = None,
    follow_up: Sequence[int] | None = None,
    age: Sequence[float] | None = None,
    sex: Sequence[str] | None = None,
    view: Sequence[str] | None = None,
    boxes: Sequence[Box] = (),
) -> FilmTable:
    """A table with a film for each item of `positive`, which names its categories; nothing is "No Finding".

    Films that no `patient` is given for are of one patient each; a box is the row of its film, finding, x, y, w, h.
    """
    n = len(positive)
    whose = np.arange(1, n + 1) if patient is None else np.asarray(patient)
    number = pd.Series(whose).groupby(whose).cumcount()
    ids = pd.Index([film_id(p, k) for p, k in zip(whose, number, strict=True)])
    films = films_frame(
        ids,
        whose,
        number.to_numpy() if follow_up is None else np.asarray(follow_up),
        np.full(n, np.nan) if age is None else np.asarray(age),
        np.asarray(sex or [UNKNOWN] * n, object),
        np.asarray(view or [UNKNOWN] * n, object),
    )
    labels = [[name in (names or (NO_FINDING,)) for name in CATEGORIES] for names in positive]
    drawn = pd.DataFrame([(ids[row], *rest) for row, *rest in boxes], columns=["image_id", "finding", *"xywh"])
    return FilmTable("by hand", films, np.array(labels, np.uint8).reshape(n, len(CATEGORIES)), drawn)


@lru_cache
def random_table(seed: int, films: int = 300) -> FilmTable:
    """Films of all kinds, not to be written to.

    There are unknown and fractional ages, unknown sexes and views, patients of one film and of many.
    """
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.02, 0.2, len(FINDINGS))
    carried = rng.random((films, len(FINDINGS))) < shares
    age = np.where(rng.random(films) < 0.1, np.nan, rng.choice([0, 9.5, 9, 10, 29, 30, 57.5, 58, 89, 90, 104], films))
    return film_table(
        [[name for name, value in zip(FINDINGS, row, strict=True) if value] for row in carried],
        patient=(rng.pareto(1, films) * 4).astype(int).clip(0, 400) + 1,
        follow_up=rng.permutation(films),
        age=age,
        sex=rng.choice([*SEXES, UNKNOWN], films).tolist(),
        view=rng.choice([*VIEWS, UNKNOWN], films, p=[0.5, 0.3, 0.2]).tolist(),
        boxes=[(int(row), "Mass", 10.0, 20.0, 30.0, 40.0) for row in rng.integers(0, films, films // 10)],
    )


def label_frame(table: FilmTable) -> pd.DataFrame:
    """The labels, int64, with the names of their columns."""
    return pd.DataFrame(table.labels.astype(np.int64), table.films.index, list(CATEGORIES))
