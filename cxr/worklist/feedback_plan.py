"""Which films go into a set of feedback, under which names, with which labels; and what is left out, and why."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from sqlalchemy import select

from cxr.dataset.table import UNKNOWN, VIEWS, release
from cxr.radiograph.placement import UNTOUCHED, Placement
from cxr.worklist.database import Database
from cxr.worklist.feedback_labels import LeftOut, counting, labels_of
from cxr.worklist.identity import NIH_NAME
from cxr.worklist.opinions import OpinionRow, row_of
from cxr.worklist.rows import seen_as
from cxr.worklist.status import FilmState
from cxr.worklist.tables import Film, Opinion, Result, Study

NUMBERS: Final = 1000
"""Films of a patient that have a name: three digits."""
FIRST_PATIENT: Final = 10_000_000
PATIENTS: Final = 90_000_000
"""Patients' numbers have eight digits, none of which NIH has given: its metadata must not be taken for theirs."""


@dataclass(frozen=True, eq=False)
class Item:
    """A film to export: its name in the set, its content's, its view, its labels (15,), what NIH's release has, and how
    it has to be seen."""

    image_id: str
    sha256: str
    view: str
    study: int
    labels: np.ndarray
    original: np.ndarray | None
    placement: Placement = UNTOUCHED


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be exported.

    Attributes:
        items: films, in the order of their names in the set.
        opinions: all opinions on each study, in their order.
        models: names of bundles by their SHA-256.
        left_out: studies that readers said something of and that have no labels, by reason.
        films_left_out: films of the other studies that are not among `items`, by reason.
    """

    items: tuple[Item, ...]
    opinions: Mapping[int, tuple[OpinionRow, ...]]
    models: Mapping[str, str]
    left_out: Mapping[str, int]
    films_left_out: Mapping[str, int]

    def without(self, why: LeftOut, films: int) -> "Plan":
        """The same, with so many more films counted as left out."""
        return replace(self, films_left_out=_sorted(Counter(self.films_left_out) + Counter({why.value: films})))


def plan_of(db: Database, secret: bytes) -> Plan:
    """What of the feedback in a database goes into a set.

    Args:
        secret: of this worklist; another one gives the patients other numbers.
    """
    with db.reading() as session:
        opinions: dict[int, list[OpinionRow]] = {}
        for opinion in session.scalars(select(Opinion).order_by(Opinion.id)):
            opinions.setdefault(opinion.study_id, []).append(row_of(opinion))
        columns = (
            Film.id, Film.study_id, Film.sha256, Film.name, Film.state, Film.facts, Film.turn, Film.inverted,
            Film.grey_said, Study.key, Study.patient,
        )  # fmt: skip
        rows = session.execute(select(*columns).join(Study, Film.study_id == Study.id).order_by(Film.id)).all()
        named = select(Result.model, Result.model_name).distinct().order_by(Result.model, Result.model_name)
        models = {row.model: row.model_name for row in session.execute(named)}
    # All films of a patient are numbered, so that one keeps its name when another is left out or read later.
    whose = {row.study_id: f"key {row.key}" if row.patient is None else f"patient {row.patient}" for row in rows}
    patients = _pseudonyms([whose[study] for study in opinions if study in whose], secret)
    left_out: Counter[str] = Counter()
    found = {study: labels_of([o.view for o in counting(given)]) for study, given in opinions.items()}
    left_out.update(labels.value for labels in found.values() if isinstance(labels, LeftOut))
    numbers: Counter[str] = Counter()
    items, films_left_out = [], Counter[str]()
    for row in rows:
        patient, labels = whose[row.study_id], found.get(row.study_id)
        number = numbers[patient]
        numbers[patient] += 1
        if not isinstance(labels, np.ndarray):
            continue
        view = row.facts.get("view")
        why = (
            LeftOut.NOT_ANALYSED if row.state != FilmState.SCORED
            else LeftOut.NOT_FRONTAL if view not in (None, *VIEWS)
            else LeftOut.TOO_MANY if number >= NUMBERS
            else None
        )  # fmt: skip
        if why is not None:
            films_left_out[why.value] += 1
            continue
        image_id = f"{patients[patient]:08d}_{number:03d}.png"
        seen, original = seen_as(row.turn, row.inverted, row.grey_said), _original(row.name, row.key)
        items.append(Item(image_id, row.sha256, view or UNKNOWN, row.study_id, labels, original, seen))
    of_studies = {study: tuple(given) for study, given in opinions.items()}
    items.sort(key=lambda item: item.image_id)
    return Plan(tuple(items), of_studies, models, _sorted(left_out), _sorted(films_left_out))


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _pseudonyms(patients: Sequence[str], secret: bytes) -> dict[str, int]:
    """A number of eight digits for each patient, the same whenever the secret is; two that would share one don't."""
    digests = {patient: int(keyed(secret, patient), 16) for patient in patients}
    taken: dict[int, str] = {}
    for patient in sorted(digests, key=lambda patient: digests[patient]):
        number = digests[patient] % PATIENTS
        while FIRST_PATIENT + number in taken:
            number = (number + 1) % PATIENTS
        taken[FIRST_PATIENT + number] = patient
    return {patient: number for number, patient in taken.items()}


def keyed(secret: bytes, text: str) -> str:
    """A digest, hexadecimal, from which nobody without the secret can guess the text."""
    return hmac.new(secret, f"feedback set, {text}".encode(), hashlib.sha256).hexdigest()


def _original(name: str, key: str) -> np.ndarray | None:
    """The labels (15,) that NIH's release gives a film of this name; None where it knows none, or it is DICOM."""
    if key.startswith("dicom:") or NIH_NAME.fullmatch(name) is None:
        return None
    row = release().row.get(f"{name[:12]}.png")
    return None if row is None else release().labels[row]
