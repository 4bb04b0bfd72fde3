"""Which patients had a part in making a model, kept in its bundle: a later model is compared with it on others.

The file is pseudonymous, not anonymous: it holds no ids, but who has a list of ids can hash them with its salt and find
out which of them are in it.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.model.attach import attach
from cxr.model.bundle import Bundle, BundleRejected

PATIENTS_FILE: Final = "patients.npz"
SALT_BYTES: Final = 16
TEST: Final = "test"
PARENT: Final = "parent"
"""What stands in place of a split for patients who had a part in making the model that training started from."""


@dataclass(frozen=True, eq=False)
class KnownPatients:
    """The patients whose films a model was made from or tested on.

    Attributes:
        salt: uint8 (16,), drawn for the first model of a line; a model keeps that of the model it started from.
        digests: uint64 (n,), of the patients' ids with the salt.
        parts: (n,) text, one of `SPLITS` or `PARENT`.
        complete: False where training started from a model whose patients are not known, so others may have a part.
    """

    salt: np.ndarray
    digests: np.ndarray
    parts: np.ndarray
    complete: bool

    def had_part(self, patients: np.ndarray) -> np.ndarray:
        """bool (m,): which of some patients, ids (m,), had a part: all that the model was not merely tested on."""
        return np.isin(_digests(self.salt, patients), self.digests[self.parts != TEST])


def keep_patients(bundle: Bundle, patients: pd.Series, split: pd.Series, parent: Bundle | None) -> Bundle:
    """Keep in a bundle which patients made it; returns the bundle as it then is.

    Args:
        bundle: of `load_bundle`.
        patients: id of the patient of each film.
        split: which of `SPLITS` each film is in, same index.
        parent: that training started from.

    Raises:
        BundleRejected: the parent's own file can't be read.
    """
    known = None if parent is None else load_patients(parent)
    salt = np.frombuffer(secrets.token_bytes(SALT_BYTES), np.uint8) if known is None else known.salt
    own = pd.DataFrame({"patient": patients, "split": split}).drop_duplicates("patient")
    digests, parts = _digests(salt, own["patient"]), own["split"].to_numpy(dtype=str)
    if known is not None:
        # A patient of the parent's may be a test patient here: both is kept, and having had a part counts.
        before = np.setdiff1d(known.digests[known.parts != TEST], digests[parts != TEST])
        digests, parts = np.r_[digests, before], np.r_[parts, np.full(len(before), PARENT)]

    def write(folder: Path) -> None:
        np.savez_compressed(
            folder / PATIENTS_FILE,
            salt=salt,
            patient=digests,
            part=parts,
            complete=np.array(_all_known(bundle, parent, known)),
        )

    return attach(bundle, (PATIENTS_FILE,), write)


def load_patients(bundle: Bundle) -> KnownPatients | None:
    """Which patients made a model, of a bundle whose files `load_bundle` has checked; None if it does not say.

    Raises:
        BundleRejected: it is of another version of this software.
    """
    if PATIENTS_FILE not in bundle.card.files:
        return None
    try:
        with np.load(bundle.path / PATIENTS_FILE, allow_pickle=False) as stored:
            return KnownPatients(stored["salt"], stored["patient"], stored["part"], bool(stored["complete"]))
    except (OSError, ValueError, KeyError) as error:
        raise BundleRejected(f"The {PATIENTS_FILE} of the model {bundle.name} can't be read.") from error


def _all_known(bundle: Bundle, parent: Bundle | None, known: KnownPatients | None) -> bool:
    if parent is None:
        return True
    if known is not None:
        return known.complete
    # A parent that says nothing of its patients, but began with none and has the same split, has the same ones.
    card, own = parent.card, bundle.card.data
    return card.data is not None and own is not None and card.parent is None and card.data.hash == own.hash


def _digests(salt: np.ndarray, patients: Iterable[int]) -> np.ndarray:
    """uint64 (n,): the first 8 bytes of SHA-256 of the salt and the id in decimal digits."""
    start = hashlib.sha256(salt.tobytes())
    found = []
    for patient in patients:
        digest = start.copy()
        digest.update(str(int(patient)).encode())
        found.append(int.from_bytes(digest.digest()[:8], "big"))
    return np.array(found, np.uint64)
