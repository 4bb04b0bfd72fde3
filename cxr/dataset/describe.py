"""A data set in a few lines: what is in its table, and which of its films lie in shards."""

from dataclasses import dataclass
from pathlib import Path

from cxr.dataset.filters import Filters, select
from cxr.dataset.index import film_store, index_shards
from cxr.dataset.kaggle import load_folder
from cxr.dataset.shards import find_shards
from cxr.dataset.statistics import any_finding, category_counts, split_leak
from cxr.dataset.summary import summarise
from cxr.dataset.table import release


@dataclass(frozen=True)
class Description:
    """What `describe` found.

    Attributes:
        name: of the table.
        films, patients: how many.
        any_finding: share of films with any finding, 0..1.
        categories: films with each of the 15 categories.
        test_films_known: expected share of test films whose patient is in training, after a random 80/20 split by film.
        shards: how many `.tfrec` files there are.
        films_in_shards: films of the table that lie in them.
        notes: what the reader should know of how the table came to be.
        faults: what is wrong with the shards, a sentence each.
    """

    name: str
    films: int
    patients: int
    any_finding: float
    categories: dict[str, int]
    test_films_known: float
    shards: int
    films_in_shards: int
    notes: tuple[str, ...]
    faults: tuple[str, ...]


def describe(folder: Path | None, cache: Path) -> Description:
    """Check and count a folder in the Kaggle layout, or with None NIH's table as it ships.

    Args:
        folder: see `load_folder`.
        cache: folder that keeps the indexes of the shards.

    Raises:
        InvalidTable: with everything that is wrong with a table.
    """
    table = release() if folder is None else load_folder(folder)
    shards = [] if folder is None else find_shards(folder)
    store = film_store(index_shards(shards, cache), table)
    summary = summarise(table, select(table, Filters()))
    return Description(
        name=table.name,
        films=summary.films,
        patients=summary.patients,
        any_finding=int(any_finding(summary)["Any finding"]) / summary.films,
        categories={name: int(count) for name, count in category_counts(summary).items()},
        test_films_known=split_leak(summary).test_films_known,
        shards=len(shards),
        films_in_shards=int(store.available.sum()),
        notes=table.notes,
        faults=store.faults,
    )


def in_words(found: Description) -> str:
    """The description as lines of text."""
    return "\n".join(
        [
            f"{found.name}: {found.films:,} films of {found.patients:,} patients, "
            f"{found.any_finding:.1%} with any finding",
            *(f"{count:>8,}  {name}" for name, count in sorted(found.categories.items(), key=lambda item: -item[1])),
            f"{found.films_in_shards:,} of the films lie in {found.shards:,} shards",
            *found.notes,
            *found.faults,
        ]
    )
