"""The statistics of the dataset page: plain functions of a `Summary`, each a small table or number."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from cxr.dataset.summary import DECADES, FOLLOW_UPS, Summary
from cxr.dataset.table import SEXES, UNKNOWN, VIEWS
from cxr.findings import CATEGORIES, FINDING_INDICES, FINDINGS, NO_FINDING_INDEX

CONFIDENCE: Final = 0.95
Z: Final = float(ndtri((1 + CONFIDENCE) / 2))
GROUPS: Final = {"view": (*VIEWS, UNKNOWN), "sex": (*SEXES, UNKNOWN), "age": (*DECADES, UNKNOWN)}
"""What prevalence can be split by, with the groups in order."""
OTHER_AXES: Final = {"view": (2, 3), "sex": (1, 3), "age": (1, 2)}


def category_counts(summary: Summary) -> pd.Series:
    """Films with each category, int64 (15,), indexed by `CATEGORIES`."""
    return pd.Series(summary.per_kind @ summary.kinds.astype(np.int64), index=list(CATEGORIES))


def finding_counts(summary: Summary) -> pd.DataFrame:
    """For each finding its films, and their share of all films and of those with any finding (NaN without films)."""
    counts = category_counts(summary)
    with_any = summary.films - counts.iloc[NO_FINDING_INDEX]
    found = counts.loc[list(FINDINGS)]
    return pd.DataFrame(
        {"films": found, "of_all": _share(found, summary.films), "of_any_finding": _share(found, with_any)}
    )


def any_finding(summary: Summary) -> pd.Series:
    """Films without and with a finding, int64, indexed by "No finding", "Any finding"."""
    without = int(category_counts(summary).iloc[NO_FINDING_INDEX])
    return pd.Series({"No finding": without, "Any finding": summary.films - without})


def findings_per_film(summary: Summary) -> pd.Series:
    """Films by how many of the 14 findings they have, int64, indexed 0, 1, 2 and so on."""
    number = summary.kinds[:, list(FINDING_INDICES)].sum(axis=1)
    return pd.Series(np.bincount(number, weights=summary.per_kind).astype(np.int64))


def co_occurrence(summary: Summary) -> pd.DataFrame:
    """Films with both of two categories, int64 (15, 15)."""
    kinds = summary.kinds.astype(np.int64)
    return _square(kinds.T @ (summary.per_kind[:, None] * kinds))


def correlation(summary: Summary) -> pd.DataFrame:
    """Pearson's correlation of the categories' columns (for 0/1: phi), (15, 15); NaN for a column that is constant."""
    both, n = co_occurrence(summary).to_numpy(float), summary.films
    each = np.diag(both)
    spread = np.sqrt(each * (n - each))
    with np.errstate(invalid="ignore", divide="ignore"):
        return _square((n * both - np.outer(each, each)) / np.outer(spread, spread))


def conditional(summary: Summary) -> pd.DataFrame:
    """P(column | row), (15, 15): of the films with the row's category those with the column's; NaN without films."""
    both = co_occurrence(summary).to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _square(both / np.diag(both)[:, None])


def lift(summary: Summary) -> pd.DataFrame:
    """P(both) / (P(one) P(other)), (15, 15): how many times as often as by chance; NaN without films."""
    both = co_occurrence(summary).to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _square(both * summary.films / np.outer(np.diag(both), np.diag(both)))


def combinations(summary: Summary, top: int) -> pd.DataFrame:
    """The most frequent combinations of findings, most frequent first: `findings` (a tuple of names), `films`, `share`.

    Films without a finding are not a combination. Equally frequent ones come in the order of their names.
    """
    has_any = summary.kinds[:, NO_FINDING_INDEX] == 0
    names = [tuple(name for name, k in zip(FINDINGS, FINDING_INDICES, strict=True) if row[k]) for row in summary.kinds]
    table = pd.DataFrame({"findings": names, "films": summary.per_kind})[has_any]
    table = table[table["films"] > 0].sort_values(["films", "findings"], ascending=[False, True]).head(top)
    return table.assign(share=_share(table["films"], summary.films)).reset_index(drop=True)


def wilson(hits: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of Wilson's 95% interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    It treats films as independent of each other, which films of one patient are not.

    Args:
        hits, among: counts, any shape.

    Returns:
        low and high, same shape; NaN where `among` is 0.
    """
    hits, n = np.asarray(hits, float), np.asarray(among, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = hits / n
        middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    # At 0 and n of n the formula gives exactly 0 and 1, but for rounding.
    low, high = np.where(hits == 0, 0.0, middle - half), np.where(hits == n, 1.0, middle + half)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def prevalence(summary: Summary, by: str) -> pd.DataFrame:
    """Share of each category in the groups of `by` ("view", "sex" or "age").

    Returns:
        A row for each category and group that has films: category, group, films, positives, share, low, high.
    """
    by_kind = summary.counts.sum(axis=OTHER_AXES[by])
    among = by_kind.sum(axis=0)
    positives = summary.kinds.T.astype(np.int64) @ by_kind
    low, high = wilson(positives, among[None])
    table = pd.DataFrame(
        {
            "category": np.repeat(CATEGORIES, len(among)),
            "group": np.tile(GROUPS[by], len(CATEGORIES)),
            "films": np.tile(among, len(CATEGORIES)),
            "positives": positives.ravel(),
            "share": (positives / np.maximum(among, 1)).ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )
    return table[table["films"] > 0].reset_index(drop=True)


def films_by_group(summary: Summary, by: str) -> pd.Series:
    """Films in each group of "view", "sex" or "age", int64, indexed by the groups that have any."""
    films = pd.Series(summary.counts.sum(axis=(0, *OTHER_AXES[by])), index=list(GROUPS[by]))
    return films[films > 0]


def by_follow_up(summary: Summary) -> pd.DataFrame:
    """Films and share of each category by place in the order of the patient's films.

    Returns:
        Rows "1", "2", ..., "6 to 10", ... (the first film is 1) with `films` and a column of shares for each category;
        groups without films are left out.
    """
    films = summary.by_follow_up.sum(axis=0)
    positives = summary.by_follow_up.T @ summary.kinds.astype(np.int64)
    shares = pd.DataFrame(positives / np.maximum(films, 1)[:, None], columns=list(CATEGORIES))
    ends = [*FOLLOW_UPS[1:], None]
    names = [_place(start, end) for start, end in zip(FOLLOW_UPS, ends, strict=True)]
    return shares.assign(films=films).set_axis(names, axis=0)[films > 0]


def _place(start: int, end: int | None) -> str:
    if end is None:
        return f"{start + 1} and later"
    return str(start + 1) if end == start + 1 else f"{start + 1} to {end}"


@dataclass(frozen=True)
class Leak:
    """What a random split by film does to the patients.

    Attributes:
        films_on_both_sides: expected share of films whose patient has films on both sides.
        test_films_known: expected share of test films whose patient has a film in training.
    """

    films_on_both_sides: float
    test_films_known: float


def split_leak(summary: Summary, test: float = 0.2) -> Leak:
    """What to expect when each film goes to the test side by chance, whoever the patient is.

    Of a patient with k films all lie on one side with probability (1-t)^k + t^k, and a test film's patient has no other
    film in training with probability t^(k-1).

    Args:
        summary: of the films to split.
        test: the share t that goes to the test side.
    """
    films = np.arange(len(summary.films_per_patient)) * summary.films_per_patient
    k = np.arange(len(films))
    total = max(summary.films, 1)
    both = np.where(k > 1, 1 - (1 - test) ** k - test**k, 0.0)
    known = 1 - test ** np.maximum(k - 1, 0)
    return Leak(float(films @ both / total), float(films @ known / total))


def box_coverage(boxes: pd.DataFrame, side: int, cells: int) -> np.ndarray:
    """Where boxes lie: for each cell of a film the share of the boxes that cover its centre, float (cells, cells).

    Args:
        boxes: with x, y, w, h in pixels of a film of `side` x `side`.
        side: pixels.
        cells: along each side; row 0 is the top of the film.
    """
    centres = (np.arange(cells) + 0.5) * side / cells
    x, y, w, h = (boxes[column].to_numpy()[:, None] for column in "xywh")
    across = (centres >= x) & (centres < x + w)
    down = (centres >= y) & (centres < y + h)
    return down.T.astype(float) @ across / max(len(boxes), 1)


def _share(part: pd.Series, whole: int) -> pd.Series:
    return part / whole if whole else part * np.nan


def _square(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, index=list(CATEGORIES), columns=list(CATEGORIES))
