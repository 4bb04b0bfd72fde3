"""The verdict at and next to every boundary of an operating point."""

import re
from typing import get_args

import numpy as np
import pytest

from cxr.findings import CATEGORIES, FINDINGS
from cxr.model.card import FindingPoint, OperatingPoint
from cxr.model.verdict import RESEARCH_NOTICE, VerdictName, decide

LOW, THRESHOLD, HIGH = 0.25, 0.5, 0.75
# Small, and such that 1 - (1 - p) gives back p exactly.
STEP = 2.0**-40


def point(low: float = LOW, threshold: float = THRESHOLD, high: float = HIGH, finding: float = 0.5) -> OperatingPoint:
    """An operating point whose findings all have one threshold."""
    unmeasured = dict.fromkeys(("sensitivity", "specificity", "uncertain_share", "accuracy", "accuracy_outside"))
    return OperatingPoint(
        name="balanced",
        threshold=threshold,
        uncertain_low=low,
        uncertain_high=high,
        basis="by hand",
        **unmeasured,
        findings={
            name: FindingPoint(threshold=finding, basis="by hand", positives=9, sensitivity=None, specificity=None)
            for name in FINDINGS
        },
    )


def film(abnormal: float, **findings: float) -> np.ndarray:
    """Probabilities of a film; findings that are not named have probability 0."""
    return np.array([1 - abnormal, *(findings.get(name, 0.0) for name in FINDINGS)])


@pytest.mark.parametrize(
    ("abnormal", "verdict"),
    [
        (0.0, "no finding"),
        (LOW - STEP, "no finding"),
        (LOW, "no finding"),
        (LOW + STEP, "uncertain"),
        (THRESHOLD, "uncertain"),
        (HIGH - STEP, "uncertain"),
        (HIGH, "abnormal"),
        (1.0, "abnormal"),
    ],
)
def test_the_band_without_its_ends_is_uncertain(abnormal: float, verdict: str) -> None:
    decided = decide(film(abnormal), point())
    assert decided.abnormal_probability == abnormal
    assert decided.name == verdict


@pytest.mark.parametrize(
    ("abnormal", "verdict"),
    [
        (THRESHOLD - STEP, "no finding"),
        (THRESHOLD, "abnormal"),
        (THRESHOLD + STEP, "abnormal"),
    ],
)
def test_with_an_empty_band_the_threshold_itself_is_abnormal(abnormal: float, verdict: str) -> None:
    assert decide(film(abnormal), point(low=THRESHOLD, high=THRESHOLD)).name == verdict


@pytest.mark.parametrize(("low", "high"), [(THRESHOLD, HIGH), (LOW, THRESHOLD)])
def test_the_threshold_is_abnormal_at_either_end_of_the_band(low: float, high: float) -> None:
    assert decide(film(THRESHOLD), point(low=low, high=high)).name == "abnormal"


def test_every_point_decides_by_its_own_threshold() -> None:
    strict, lenient = point(0.9, 0.9, 0.9), point(0.1, 0.1, 0.1)
    assert [decide(film(0.5), p).name for p in (strict, lenient)] == ["no finding", "abnormal"]
    assert decide(film(0.5), strict).point is strict


def test_the_fourteen_findings_come_most_probable_first() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(15)
    found = decide(probabilities, point()).findings
    assert {f.name: f.probability for f in found} == dict(zip(CATEGORIES[1:], probabilities[1:], strict=True))
    assert [f.probability for f in found] == sorted(probabilities[1:], reverse=True)


def test_findings_of_equal_probability_keep_their_order() -> None:
    assert tuple(f.name for f in decide(film(0.2), point()).findings) == FINDINGS


def test_a_finding_is_flagged_at_its_threshold_and_above() -> None:
    at, below, above = 0.5, np.nextafter(0.5, 0), np.nextafter(0.5, 1)
    found = {f.name: f for f in decide(film(0.0, Mass=at, Edema=below, Hernia=above), point()).findings}
    assert [found[name].flagged for name in ("Mass", "Edema", "Hernia")] == [True, False, True]
    assert found["Mass"].threshold == 0.5
    assert sum(f.flagged for f in found.values()) == 2


def test_each_finding_has_its_own_threshold() -> None:
    own = point().model_copy(update={"findings": point().findings | {"Mass": point(finding=0.1).findings["Mass"]}})
    found = {f.name: f.flagged for f in decide(film(0.0, Mass=0.2, Nodule=0.2), own).findings}
    assert (found["Mass"], found["Nodule"]) == (True, False)


def test_no_verdict_says_normal_or_ruled_out() -> None:
    said = {decide(film(p), point()).name for p in np.linspace(0, 1, 101)}
    assert said == set(get_args(VerdictName))
    for name in said:
        assert not re.search(r"\bnormal\b|ruled out", name)


def test_the_notice_says_what_this_is_not() -> None:
    assert "not a medical device" in RESEARCH_NOTICE
    assert "Not for diagnosis" in RESEARCH_NOTICE
