"""Which pictures a scope check is fitted on and tested with: the model's own films, folders, packages, drawings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.training.scope_pictures import (
    FRONTAL,
    TURNED,
    Picture,
    drawn,
    of_files,
    of_packages,
    picture_files,
    spoilt,
    varied,
)

SPOILT: Final = (FRONTAL, "left", "inverted", "cropped", "right", "mirror", "inverted", "half", "cropped")
"""The kinds in which films are spoilt, in turn."""
RARE: Final = 20
"""A kind of out-of-scope picture of a source with fewer pictures than this is varied more often."""


@dataclass(frozen=True)
class Amounts:
    """How many pictures of each kind a scope check is made from.

    Attributes:
        films: most films like those that the model was trained on.
        tests: most films that test it.
        others: most films of each other folder of frontal films.
        spoilt: how often each film is spoilt.
        varied: how often each out-of-scope picture is varied; where there are fewer than `RARE`, six times as often.
        drawn: of each drawn kind.
    """

    films: int = 450
    tests: int = 2000
    others: int = 300
    spoilt: int = 1
    varied: int = 1
    drawn: int = 40


PERSON: Final = re.compile(r"(person|patient|IM)[-_ ]?\d+", re.IGNORECASE)
"""How collections of films number their patients in the names of files (Kermany et al.: person1000_…, IM-0115-…)."""

QUICK: Final = Amounts(films=150, tests=150, drawn=8)
"""For a model that was just trained."""


def training_films(squares: np.ndarray, metadata: pd.DataFrame, source: str, most: int) -> list[Picture]:
    """Films as pictures, of as many patients as possible.

    Args:
        squares: uint8 (n, size, size), as the model sees them.
        metadata: (n) rows with the column "patient".
        source: what they are called.
        most: how many.
    """
    order = np.argsort(metadata.groupby("patient").cumcount().to_numpy(), kind="stable")[:most]
    patients = metadata["patient"].to_numpy()
    return [
        Picture(squares[row].astype(np.float32) / 255, FRONTAL, source, f"patient {patients[row]}")
        for row in sorted(order)
    ]


def other_films(folder: Path, most: int) -> list[Picture]:
    """Frontal films of one hospital, in a folder and its folders; `most` of them, evenly chosen. A group is a patient
    where the name of the file numbers one, else a file."""
    files = picture_files(folder)
    pictures = of_files(files[:: max(1, -(-len(files) // most))])
    return [Picture(picture.pixels, FRONTAL, folder.name, person_of(picture.group)) for picture in pictures]


def person_of(name: str) -> str:
    """The part of a file's name that numbers its patient; the name where none does."""
    found = PERSON.search(name)
    return name if found is None else found[0]


def films_and_spoilt(films: Sequence[Picture], amounts: Amounts, seed: int) -> Iterator[Picture]:
    """Films, and versions of them that were spoilt on purpose."""
    rng, kinds = np.random.default_rng(seed), cycle(SPOILT)
    for film in films:
        yield film
        yield from spoilt(film, rng, tuple(next(kinds) for _ in range(amounts.spoilt)))


def out_of_scope(folders: Sequence[Path], amounts: Amounts, seed: int) -> Iterator[Picture]:
    """Pictures that are no frontal chest film: of packages, of folders, and drawn."""
    rng = np.random.default_rng(seed)
    pictures = [*of_packages(), *(picture for folder in folders for picture in of_files(picture_files(folder)))]
    counts = pd.Series([picture.source for picture in pictures]).value_counts()
    for picture in pictures:
        yield picture
        yield from varied(picture, rng, amounts.varied * (6 if counts[picture.source] < RARE else 1))
    for _ in range(amounts.drawn):
        yield from drawn(rng)


__all__ = ["QUICK", "TURNED", "Amounts", "films_and_spoilt", "other_films", "out_of_scope", "training_films"]
