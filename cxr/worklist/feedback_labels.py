"""The rule by which what readers said of a study becomes the labels that a model is trained with."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np

from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING
from cxr.worklist.opinions import OpinionRow, View

RULE: Final = (
    "Of each reader the last informed opinion counts, or the last blind one where there is no informed one. Of several "
    "readers the most frequent answer holds, question by question; where two are equally frequent, the study is left "
    "out. A finding that a reader does not mention is absent. A study is left out too where readers are unsure of "
    "anything, did not say whether there is a finding, said that there is one and named none, or said that there is "
    "none and named one, and where it is not a valid chest film. All films of a study have its labels."
)


class LeftOut(StrEnum):
    """Why a study, or a film, has no place in the set."""

    NOT_VALID = "not a valid chest film"
    DIVIDED = "readers divided"
    UNSURE = "readers unsure"
    UNANSWERED = "not said whether there is a finding"
    UNNAMED = "abnormal, and no finding named"
    CONTRADICTORY = "no finding, and yet a finding named"
    NOT_ANALYSED = "film not analysed"
    NOT_FRONTAL = "view neither PA nor AP"
    UNREADABLE = "film no longer readable"
    TOO_MANY = "more than 1,000 films of the patient"


Answer = TypeVar("Answer", bool, str)


def counting(opinions: Sequence[OpinionRow]) -> list[OpinionRow]:
    """Of opinions on one study, in their order: the one of each reader that counts, in the order of the readers."""
    found: dict[str, OpinionRow] = {}
    for opinion in opinions:
        known = found.get(opinion.reader)
        if known is None or known.view.stage == "blind" or opinion.view.stage == "informed":
            found[opinion.reader] = opinion
    return [found[reader] for reader in sorted(found)]


def labels_of(views: Sequence[View]) -> np.ndarray | LeftOut:
    """The labels that follow from what the readers of a study say, by `RULE`.

    Args:
        views: at least one, those that count.

    Returns:
        uint8 (15,), 0 or 1 in the order of `CATEGORIES`; or why there are none.
    """
    valid = _most([view.valid for view in views])
    if valid is None:
        return LeftOut.DIVIDED
    if not valid:
        return LeftOut.NOT_VALID
    reading = [view for view in views if view.valid]
    if all(view.contradictory for view in reading):
        return LeftOut.CONTRADICTORY
    reading = [view for view in reading if not view.contradictory]
    answers = [view.any_finding for view in reading if view.any_finding is not None]
    if not answers:
        return LeftOut.UNANSWERED
    answered = [view for view in reading if view.any_finding is not None]
    words = {name: _most([view.says(name) or "absent" for view in answered]) for name in FINDINGS}
    abnormal = _most(answers)
    if abnormal is None or None in words.values():
        return LeftOut.DIVIDED
    if "unsure" in (abnormal, *words.values()):
        return LeftOut.UNSURE
    present = {name for name, word in words.items() if word == "present"}
    if abnormal == "yes" and not present:
        return LeftOut.UNNAMED if len(answered) == 1 else LeftOut.DIVIDED
    if abnormal == "no" and present:
        # No single reader said so, but what most say of the one does not fit what most say of the other.
        return LeftOut.DIVIDED
    return np.array([name in (present or {NO_FINDING}) for name in CATEGORIES], np.uint8)


def _most(answers: Iterable[Answer]) -> Answer | None:
    """The most frequent answer, or None if there are two."""
    ranked = Counter(answers).most_common(2)
    return None if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]
