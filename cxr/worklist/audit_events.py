"""What the audit trail has words for: the events, and the few things that a line may say of each.

The vocabulary follows the audit messages of DICOM PS3.15, A.5.3: its event, its action code (create, read, update,
delete, execute) and, for an act that came to nothing, its outcome. A line says who did what to which study, by number.
There is no room in it for text: a name, a Patient ID, a file name or a reader's words can't get in by mistake, because
nothing is taken that is not a number, a yes or no, a digest, the name of a model, a person who acts, or one of a few
words.
"""

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from cxr.radiograph.placement import AS_IT_IS, INVERTED, WORDS

REFUSALS: Final = (
    "unreadable", "turned", "lateral", "other_body_part", "slice", "not_a_film", "blank", "saturated", "tiny",
    "cropped", "grey_scale", "unknown",
)  # fmt: skip
"""Kinds of refusal (`cxr.classify.Refusal`)."""


class Event(StrEnum):
    """What happened. The text is what the line keeps, at most 32 characters."""

    IMPORT = "Data import"
    EXPORT = "Data export"
    INSTANCES_ACCESSED = "Instances accessed"
    CLAIMED = "Reading begun"
    RELEASED = "Reading put back"
    READ = "Reading finished"
    OPINION = "Opinion saved"
    SCORED = "Film scored"
    NOT_ANALYSED = "Film not analysed"
    TURNED = "Film turned"
    DELETED = "Study deleted"
    PROMOTED = "Model promoted"
    ROLLED_BACK = "Model rolled back"
    JOB_STARTED = "Job started"
    JOB_RESUMED = "Job resumed"
    JOB_CANCELLED = "Job cancelled"
    JOB_DELETED = "Job deleted"
    FAILED = "Act failed"
    AUDIT_USED = "Audit log used"


Plain = str | int | float | bool | None
"""What a detail may be."""

NAME: Final = r"(?!.*\.(?:png|jpe?g|dcm|dicom|zip)$)\w[\w .+()-]{0,99}"
"""Of a job or a model, which is the name of its folder, and nothing that could be a film's file."""
WHAT: Final = re.compile(
    rf"(study|film|opinion) \d+|(job|model) {NAME}|feedback set [0-9a-f]{{8,64}}|worklist|audit trail", re.UNICODE
)
"""What an event can be done to."""
HEXADECIMAL: Final = re.compile("[0-9a-f]{8,64}")


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _measure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _digest(value: object) -> bool:
    return isinstance(value, str) and HEXADECIMAL.fullmatch(value) is not None


def _name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def _person(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _one_of(*words: str) -> Callable[[object], bool]:
    return lambda value: value in words


Allowed = Mapping[str, Callable[[object], bool]]

ANYWHERE: Final[Allowed] = {
    "study": _count,
    "film": _count,
    "opinion": _count,
    "studies": _count,
    "films": _count,
    "opinions": _count,
    "results": _count,
    "findings": _count,
    "bytes": _count,
    "model": _digest,
    "model_name": _name,
}
"""Numbers of rows and how many of them; the SHA-256 and the name of a bundle."""

STAGE: Final[Allowed] = {"stage": _one_of("blind", "informed")}
BACKEND: Final[Allowed] = {"backend": _one_of("local", "ray")}

ALLOWED: Final[Mapping[Event, Allowed]] = {
    Event.IMPORT: {"source": _one_of("drop", "inbox", "command line"), "new": _flag},
    Event.EXPORT: {
        "kind": _one_of(
            *("report", "report text", "table", "heatmap", "dicom", "feedback set", "film", "result"),
            "de-identified films",
        ),
        "version": _digest,
        "left_out": _count,
        **STAGE,
    },
    Event.INSTANCES_ACCESSED: STAGE,
    Event.CLAIMED: {"forced": _flag, "taken_from": _person, "minutes": _measure},
    Event.RELEASED: {"minutes": _measure},
    Event.READ: {"minutes": _measure},
    Event.OPINION: {
        "valid": _flag,
        "abnormal": _one_of("yes", "no", "unsure"),
        "corrected": _count,
        **STAGE,
    },
    Event.SCORED: {
        "milliseconds": _measure,
        "abnormal": _measure,
        "verdict": _one_of("abnormal", "no finding", "uncertain"),
        "critical": _count,
        "attempts": _count,
    },
    Event.NOT_ANALYSED: {"attempts": _count, "kind": _one_of(*REFUSALS)},
    Event.TURNED: {"lies": _one_of(*WORDS), "grey": _one_of(AS_IT_IS, INVERTED)},
    Event.DELETED: {"cause": _one_of("asked for", "retention"), "keep_days": _count},
    Event.PROMOTED: {"before": _digest, "before_name": _name, "override": _flag, "failed_checks": _count},
    Event.ROLLED_BACK: {"before": _digest, "before_name": _name},
    Event.JOB_STARTED: BACKEND,
    Event.JOB_RESUMED: BACKEND,
    Event.JOB_CANCELLED: BACKEND,
    Event.JOB_DELETED: BACKEND,
    Event.FAILED: {"act": _one_of(*Event)},
    Event.AUDIT_USED: {"lines": _count},
}
"""What a line may say of an event besides `ANYWHERE`. Add a key here with what its values may be, never free text."""


class NotForTheTrail(ValueError):
    """Something that an audit line has no place for; names the event and the key, never the value."""


def check(who: str, event: Event, what: str, detail: Mapping[str, Plain]) -> None:
    """Raise `NotForTheTrail` unless a line may say all that. A detail that is None says nothing, and is allowed."""
    if not _person(who):
        raise NotForTheTrail(f"The audit line {event.value!r} needs the name of who did it, on one line.")
    if WHAT.fullmatch(what) is None:
        raise NotForTheTrail(f"What {event.value!r} was done to is no study, film, job or model by its number or name.")
    allowed = {**ANYWHERE, **ALLOWED[event]}
    for key, value in detail.items():
        if key not in allowed:
            raise NotForTheTrail(f"The audit line {event.value!r} has no place for {key!r}.")
        if value is not None and not allowed[key](value):
            raise NotForTheTrail(f"The detail {key!r} of the audit line {event.value!r} is not what it may be.")
