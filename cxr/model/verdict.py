"""From probabilities to words, at an operating point."""

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
        findings: the 14 findings, most probable first.
    """

    name: VerdictName
    abnormal_probability: float
    point: OperatingPoint
    findings: tuple[FindingVerdict, ...]


def decide(probabilities: np.ndarray, point: OperatingPoint) -> Verdict:
    """The verdict on a film.

    Args:
        probabilities: float (15,), calibrated, in the order of `CATEGORIES`.
        point: one of the card's operating points.
    """
    abnormal = float(1 - probabilities[NO_FINDING_INDEX])
    name: VerdictName
    if point.uncertain_low < abnormal < point.uncertain_high:
        name = "uncertain"
    else:
        name = "abnormal" if abnormal >= point.threshold else "no finding"
    findings = [
        FindingVerdict(finding, p, threshold := point.findings[finding].threshold, p >= threshold)
        for finding in FINDINGS
        for p in [float(probabilities[CATEGORIES.index(finding)])]
    ]
    return Verdict(name, abnormal, point, tuple(sorted(findings, key=lambda f: -f.probability)))
