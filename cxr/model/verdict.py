"""From probabilities to words, at an operating point."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING_INDEX
from cxr.model.card import OperatingPoint

VerdictName = Literal["abnormal", "no finding", "uncertain"]

RESEARCH_NOTICE = "Research software, not a medical device. Not for diagnosis."


@dataclass(frozen=True)
class FindingVerdict:
    """A finding's calibrated probability and threshold, both 0..1, and whether it is flagged."""

    name: str
    probability: float
    threshold: float
    flagged: bool


@dataclass(frozen=True)
class Verdict:
    """What is said of a film at an operating point.

    Attributes:
        name: "abnormal", "no finding" or "uncertain"; never "normal".
        abnormal_probability: 1 - p(No Finding), calibrated, 0..1.
        point: the operating point.
        findings: those of the 14 findings that the model has, most probable first.
        extra: pathologies of an imported model that are none of the 14 findings, most probable first.
        absent: those of the 14 findings that the model has not.
    """

    name: VerdictName
    abnormal_probability: float
    point: OperatingPoint
    findings: tuple[FindingVerdict, ...]
    extra: tuple[FindingVerdict, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def flagged(self) -> tuple[FindingVerdict, ...]:
        """The flagged ones of `findings` and `extra`."""
        return tuple(found for found in (*self.findings, *self.extra) if found.flagged)


def decide(probabilities: np.ndarray, point: OperatingPoint) -> Verdict:
    """The verdict on a film.

    Args:
        probabilities: float (15 + k,) as of `Card.probabilities`: `CATEGORIES`, then the k pathologies that the point
            has beyond the 14 findings.
        point: one of the card's operating points.
    """
    abnormal = float(1 - probabilities[NO_FINDING_INDEX])
    name: VerdictName
    if point.uncertain_low < abnormal < point.uncertain_high:
        name = "uncertain"
    else:
        name = "abnormal" if abnormal >= point.threshold else "no finding"
    extra = [finding for finding in point.findings if finding not in FINDINGS]
    columns = (*CATEGORIES, *extra)

    def decided(names: Iterable[str]) -> tuple[FindingVerdict, ...]:
        found = [
            FindingVerdict(finding, p, threshold := point.findings[finding].threshold, p >= threshold)
            for finding in names
            for p in [float(probabilities[columns.index(finding)])]
        ]
        return tuple(sorted(found, key=lambda f: -f.probability))

    absent = tuple(finding for finding in FINDINGS if finding not in point.findings)
    present = (finding for finding in FINDINGS if finding in point.findings)
    return Verdict(name, abnormal, point, decided(present), decided(extra), absent)
