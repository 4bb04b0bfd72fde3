"""A selection of films, counted once: everything that the statistics of the dataset page are made from."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cxr.dataset.table import SEXES, VIEWS, FilmTable

DECADES: Final = (*(f"{start} to {start + 9}" for start in range(0, 90, 10)), "90 and older")
FOLLOW_UPS: Final = (0, 1, 2, 3, 4, 5, 10, 20, 50)
"""Starts of the groups into which a patient's films are put by their order: 0 is the first film."""


@dataclass(frozen=True, eq=False)
class Summary:
    """Counts of films. Axes of unknown values come last.

    Attributes:
        kinds: uint8 (c, 15), the distinct label rows of the table.
        counts: int64 (c, 3, 3, 11), films by label row, view (PA, AP, unknown), sex (F, M, unknown) and decade of age
            (`DECADES`, unknown).
        films_per_patient: int64 (k,), entry j is the number of patients with j films in the selection; entry 0 is 0.
        by_follow_up: int64 (c, len(FOLLOW_UPS)), films by label row and place in the order of the patient's films in
            the whole table.
    """

    kinds: np.ndarray
    counts: np.ndarray
    films_per_patient: np.ndarray
    by_follow_up: np.ndarray

    @property
    def films(self) -> int:
        """How many films."""
        return int(self.counts.sum())

    @property
    def patients(self) -> int:
        """How many patients they are of."""
        return int(self.films_per_patient.sum())

    @property
    def per_kind(self) -> np.ndarray:
        """int64 (c,): films by label row."""
        return self.counts.sum(axis=(1, 2, 3))


def summarise(table: FilmTable, rows: np.ndarray) -> Summary:
    """Count the films of some rows (m,) of a table, in one pass over them."""
    kinds, kind = table.combination
    views, sexes, decades = len(VIEWS) + 1, len(SEXES) + 1, len(DECADES) + 1
    place = np.searchsorted(FOLLOW_UPS, table.rank[rows], side="right") - 1
    films = table.films
    code = kind[rows]
    by_follow_up = _tally(code * len(FOLLOW_UPS) + place, len(kinds) * len(FOLLOW_UPS))
    for column, size in (("view", views), ("sex", sexes)):
        code = code * size + films[column].cat.codes.to_numpy()[rows]
    code = code * decades + decade(films["age"].to_numpy()[rows])
    each_patient = np.bincount(table.patient[1][rows])
    return Summary(
        kinds,
        _tally(code, len(kinds) * views * sexes * decades).reshape(len(kinds), views, sexes, decades),
        np.bincount(each_patient[each_patient > 0], minlength=1),
        by_follow_up.reshape(len(kinds), len(FOLLOW_UPS)),
    )


def decade(ages: np.ndarray) -> np.ndarray:
    """The place in `DECADES` of ages in years (NaN: behind the last)."""
    place = np.minimum(np.nan_to_num(ages) // 10, len(DECADES) - 1).astype(np.intp)
    return np.where(np.isnan(ages), len(DECADES), place)


def _tally(codes: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(codes, minlength=size)
