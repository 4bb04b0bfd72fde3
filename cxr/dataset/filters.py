"""Which films of a table are meant."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from cxr.dataset.table import SEXES, VIEWS, FilmTable
from cxr.findings import CATEGORIES

Mode = Literal["any", "all", "none"]
MODES: Final[tuple[Mode, ...]] = ("any", "all", "none")


@dataclass(frozen=True)
class Filters:
    """Films that satisfy all of these.

    Attributes:
        categories: of `CATEGORIES`; empty for whatever the labels.
        mode: films that carry any, all, or none of `categories`.
        views: of PA and AP; empty for whatever the view, unknown ones too.
        sexes: of F and M; empty for whatever the sex, unknown ones too.
        ages: years, both ends included; None for whatever the age, unknown ones too.
        patient: a patient's number; None for all.
        boxed: only films on which a radiologist drew a box.
        first: only the first film of each patient by follow-up number.
    """

    categories: tuple[str, ...] = ()
    mode: Mode = "any"
    views: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    ages: tuple[int, int] | None = None
    patient: int | None = None
    boxed: bool = False
    first: bool = False


def select(table: FilmTable, filters: Filters) -> np.ndarray:
    """The row numbers, intp (m,), ascending, of the films that satisfy the filters."""
    keep = np.ones(len(table), bool)
    if filters.categories:
        kinds, of_film = table.combination
        keep &= _carry(kinds, filters)[of_film]
    for names, known, column in ((filters.views, VIEWS, "view"), (filters.sexes, SEXES, "sex")):
        if names:
            keep &= np.isin(table.films[column].cat.codes.to_numpy(), [known.index(name) for name in names])
    if filters.ages is not None:
        age = table.films["age"].to_numpy()
        keep &= (age >= filters.ages[0]) & (age < filters.ages[1] + 1)
    if filters.patient is not None:
        keep &= table.films["patient"].to_numpy() == filters.patient
    if filters.boxed:
        keep &= table.has_box
    if filters.first:
        keep &= table.rank == 0
    return np.flatnonzero(keep)


def _carry(kinds: np.ndarray, filters: Filters) -> np.ndarray:
    """bool (c,): which of the distinct label rows (c, 15) satisfy the part of the filters that is about labels."""
    asked = kinds[:, [CATEGORIES.index(name) for name in filters.categories]].astype(bool)
    asked_for = len(filters.categories)
    number = asked.sum(axis=1)
    return {"any": number > 0, "all": number == asked_for, "none": number == 0}[filters.mode]
