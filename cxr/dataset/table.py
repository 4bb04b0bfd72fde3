"""The table of a data set: which films there are, what they are labelled with, and whose they are."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.findings import CATEGORIES

VIEWS: Final = ("PA", "AP")
SEXES: Final = ("F", "M")
UNKNOWN: Final = "unknown"
RELEASE: Final = Path(__file__).resolve().parent / "release"
FILM_SIDE: Final = 1024
"""Side of NIH's films in pixels, which boxes are measured in."""


@dataclass(frozen=True, eq=False)
class FilmTable:
    """The films of a data set, row for row. Shared by all sessions: never written to.

    Attributes:
        name: what the reader knows it by.
        films: n rows indexed by image id (such as `00000001_000.png`, unique) with `patient` (int32), `follow_up`
            (int16, orders a patient's films), `age` (float32, years, NaN where unknown), `sex` (categories F, M,
            unknown) and `view` (categories PA, AP, unknown).
        labels: uint8 (n, 15), 0 or 1, in the order of `CATEGORIES`.
        boxes: rows with `image_id` (of `films`), `finding` (of `FINDINGS`), and `x`, `y`, `w`, `h` in pixels of the
            film at 1024 x 1024, from its upper left corner.
        notes: what the reader should know of how it came to be, a sentence each.
    """

    name: str
    films: pd.DataFrame
    labels: np.ndarray
    boxes: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.films)

    @cached_property
    def digest(self) -> str:
        """Changes with the image ids and the labels."""
        facts = hashlib.sha256("\n".join(self.films.index).encode())
        facts.update(self.labels.tobytes())
        return facts.hexdigest()[:24]

    @cached_property
    def combination(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct label rows, uint8 (c, 15), and which of them each film has, intp (n,)."""
        bits = self.labels @ (1 << np.arange(len(CATEGORIES), dtype=np.int32))
        _, first, inverse = np.unique(bits, return_index=True, return_inverse=True)
        return self.labels[first], inverse

    @cached_property
    def patient(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct patient numbers, int32 (p,), and which of them each film has, intp (n,)."""
        return np.unique(self.films["patient"].to_numpy(), return_inverse=True)

    @cached_property
    def rank(self) -> np.ndarray:
        """intp (n,): 0 for a patient's first film by follow-up number, 1 for the second, and so on."""
        order = np.lexsort((self.films["follow_up"].to_numpy(), self.patient[1]))
        ordered = self.patient[1][order]
        starts = np.flatnonzero(np.r_[True, np.diff(ordered) > 0])
        rank = np.empty(len(self), np.intp)
        rank[order] = np.arange(len(self)) - np.repeat(starts, np.diff(np.r_[starts, len(self)]))
        return rank

    @cached_property
    def row(self) -> pd.Series:
        """Row number of each image id."""
        return pd.Series(np.arange(len(self), dtype=np.int32), index=self.films.index)

    @cached_property
    def box_row(self) -> np.ndarray:
        """intp (b,): the row of the film of each box."""
        return self.row.loc[self.boxes["image_id"]].to_numpy(np.intp)

    @cached_property
    def has_box(self) -> np.ndarray:
        """bool (n,): whether a radiologist drew a box on the film."""
        found = np.zeros(len(self), bool)
        found[self.box_row] = True
        return found

    def names(self, row: int) -> list[str]:
        """The categories of one film, as the data set spells them."""
        return [name for name, value in zip(CATEGORIES, self.labels[row], strict=True) if value]


def films_frame(
    image_ids: pd.Index, patient: np.ndarray, follow_up: np.ndarray, age: np.ndarray, sex: np.ndarray, view: np.ndarray
) -> pd.DataFrame:
    """The `films` of a `FilmTable` from n values each; another sex or view counts as unknown."""
    return pd.DataFrame(
        {
            "patient": np.asarray(patient, np.int32),
            "follow_up": np.asarray(follow_up, np.int16),
            "age": np.asarray(age, np.float32),
            "sex": _category(sex, SEXES),
            "view": _category(view, VIEWS),
        },
        index=image_ids.rename("image_id"),
    )


def _category(values: np.ndarray, known: tuple[str, ...]) -> pd.Categorical:
    given = pd.Series(values, dtype=object)
    return pd.Categorical(given.where(given.isin(known), UNKNOWN), categories=[*known, UNKNOWN])


@lru_cache(maxsize=1)
def release() -> FilmTable:
    """NIH ChestX-ray14 as it was released: 112,120 films of 30,805 patients; see `release/SOURCES.md`."""
    packed = pd.read_parquet(RELEASE / "films.parquet")
    number, patient = packed["number"].to_numpy(), packed["patient"].to_numpy()
    image_ids = pd.Index([f"{p:08d}_{k:03d}.png" for p, k in zip(patient, number, strict=True)])
    bits = packed["labels"].to_numpy()[:, None] >> np.arange(len(CATEGORIES)) & 1
    films = films_frame(
        image_ids,
        patient,
        packed["follow_up"].to_numpy(),
        packed["age"].to_numpy(),
        np.array(SEXES, object)[packed["sex"].to_numpy()],
        np.array(VIEWS, object)[packed["view"].to_numpy()],
    )
    return FilmTable("NIH ChestX-ray14", films, bits.astype(np.uint8), pd.read_parquet(RELEASE / "boxes.parquet"))
