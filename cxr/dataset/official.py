"""NIH's own split of ChestX-ray14: two lists of image ids that come with the release."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.dataset.labelled import UnusableDataset
from cxr.dataset.splits import split_by_patient

TRAINING_LIST: Final = "train_val_list.txt"
TEST_LIST: Final = "test_list.txt"
EXAMPLES: Final = 3
"""Films that a message names."""


@dataclass(frozen=True)
class OfficialLists:
    """Image ids of the films to train with and of those to test on, such as `00000001_000.png`."""

    training: frozenset[str]
    test: frozenset[str]


def read_official_lists(folder: Path) -> OfficialLists:
    """The two lists of a folder, at any depth in it or in the one above: text files with an image id in each line.

    Raises:
        UnusableDataset: one is missing or can't be read, or a film is on both.
    """
    found = []
    for name in (TRAINING_LIST, TEST_LIST):
        files = sorted(folder.rglob(name)) or sorted(folder.absolute().parent.glob(name))
        if not files:
            raise UnusableDataset(f"There is no {name} in {folder}, which NIH's official split needs.")
        try:
            found.append(frozenset(files[0].read_text(encoding="utf-8").split()))
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableDataset(f"{name} can't be read: {error}.") from error
    training, test = found
    if training & test:
        raise UnusableDataset(f"{len(training & test):,} films are on both {TRAINING_LIST} and {TEST_LIST}.")
    return OfficialLists(training, test)


def split_officially(
    patients: pd.Series,
    strata: pd.Series,
    fractions: tuple[float, float, float, float],
    seed: int,
    lists: OfficialLists,
) -> pd.Series:
    """Test on NIH's test films; share the other patients out among train, validation and calibration.

    Args:
        patients, strata, seed: as for `split_by_patient`.
        fractions: of which the first three count, in proportion to one another.
        lists: NIH's.

    Returns:
        One of `SPLITS` per film, same index.

    Raises:
        UnusableDataset: a film is on neither list, or a patient has films on both.
    """
    tests = patients.index.isin(list(lists.test))
    missing = patients.index[~tests & ~patients.index.isin(list(lists.training))]
    if len(missing):
        examples = ", ".join(missing[:EXAMPLES])
        raise UnusableDataset(f"{len(missing):,} films are on neither of NIH's lists, such as {examples}.")
    both = np.intersect1d(patients[tests], patients[~tests])
    if len(both):
        raise UnusableDataset(f"{len(both):,} patients have films on both of NIH's lists, such as patient {both[0]}.")
    train, validation, calibration, _ = (share / sum(fractions[:3]) for share in (*fractions[:3], 0.0))
    rest = split_by_patient(patients[~tests], strata[~tests], (train, validation, calibration, 0.0), seed)
    return rest.reindex(patients.index, fill_value="test")
