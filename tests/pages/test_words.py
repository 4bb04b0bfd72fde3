"""What is said of a verdict."""

import numpy as np
import pytest

from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.verdict import decide
from cxr.ui.words import contradiction, plain, verdict_reason, verdict_title


@pytest.fixture(scope="module")
def card():
    return load_bundle(bundle_path("default")).card


def probabilities(abnormal, finding=0.0):
    return np.array([1 - abnormal, *[finding] * 14])


def test_rule_in_does_not_call_a_film_free_of_findings(card):
    point = card.operating_point("rule-in")
    verdict = decide(probabilities(point.uncertain_low - 0.01), point)
    assert verdict.name == "no finding"
    assert verdict_title(verdict) == "Below the rule-in threshold"


def test_flags_below_the_threshold_are_explained(card):
    point = card.operating_point("balanced")
    assert contradiction(decide(probabilities(point.uncertain_low - 0.01, finding=1.0), point)).startswith("Below")
    assert contradiction(decide(probabilities(point.uncertain_low - 0.01), point)) is None
    assert contradiction(decide(probabilities(0.99, finding=1.0), point)) is None


def test_uncertain_says_between_what(card):
    point = card.operating_point("balanced")
    verdict = decide(probabilities((point.uncertain_low + point.uncertain_high) / 2), point)
    assert f"between {point.uncertain_low:.3f} and {point.uncertain_high:.3f}" in verdict_reason(verdict)


def test_markdown_in_a_text_is_shown_as_it_is():
    assert plain("![x](http://a.b/c.png) :red[y]") == r"\!\[x\]\(http\://a\.b/c\.png\) \:red\[y\]"
