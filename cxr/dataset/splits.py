"""Splits that keep every patient on one side."""

import hashlib
from typing import Final

import numpy as np
import pandas as pd

SPLITS: Final = ("train", "validation", "calibration", "test")


def split_by_patient(
    patients: pd.Series, strata: pd.Series, fractions: tuple[float, float, float, float], seed: int
) -> pd.Series:
    """Assign whole patients to train, validation, calibration and test.

    A patient's stratum is that of the film whose id comes first. Within a stratum the patients are ordered by a keyed
    hash of their id and cut at the cumulated fractions, so that each split has about its share of each stratum, and the
    same films and seed give the same split on every machine and in any order.

    Args:
        patients: patient id of each film, indexed by image id.
        strata: what the splits are to be balanced for, one value per film, same index.
        fractions: share of the patients in each of `SPLITS`; they sum to 1.
        seed: another seed gives another split.

    Returns:
        One of `SPLITS` per film, same index.

    Raises:
        ValueError: the fractions are negative or do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"The split fractions {fractions} must be at least 0 and sum to 1.")
    first = pd.DataFrame({"patient": patients, "stratum": strata}).sort_index().drop_duplicates("patient")
    # Where shares that follow are 0, rounding must not leave a gap below 1.
    ends = np.cumsum(fractions)[:-1]
    ends[ends > 1 - 1e-9] = 1
    assigned: dict[object, str] = {}
    for stratum, group in first.groupby("stratum", sort=True):
        ordered = sorted(group["patient"], key=lambda patient: _digest(f"{seed}:{patient}"))
        # A small stratum would always lose its patients to the first split; a hashed offset shares them out.
        offset = int(_digest(f"{seed}:{stratum}")[:8], 16) / 0xFFFFFFFF
        for rank, patient in enumerate(ordered):
            place = ((rank + offset) / len(ordered)) % 1.0
            assigned[patient] = SPLITS[int(np.searchsorted(ends, place, side="right"))]
    return patients.map(assigned).rename("split")


def check_disjoint(patients: pd.Series, split: pd.Series) -> None:
    """Raise `ValueError` if any patient has films in more than one split."""
    sides = split.groupby(patients).nunique()
    if (sides > 1).any():
        raise ValueError(f"{int((sides > 1).sum())} patients have films in more than one split.")


def split_hash(patients: pd.Series, split: pd.Series) -> str:
    """SHA-256 of which patient is in which split; two bundles with the same hash were tested on the same patients."""
    pairs = sorted({f"{patient}:{side}" for patient, side in zip(patients, split, strict=True)})
    return _digest("\n".join(pairs))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
