"""What the model card says of the scope check, with one and without."""

import pytest

from cxr.classify import NO_SCOPE_CHECK
from cxr.gate import scope_check
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.card import Card, Estimate, ScopeFacts, ScopeRate
from cxr.report.blocks import Block, Paragraph, Points, Table
from cxr.report.model_card import sections

RATE = ScopeRate(
    pictures="lateral films",
    expected="refused",
    fitted_without="this picture",
    count=1234,
    groups=12,
    share=Estimate(value=0.917, low=0.646, high=0.985),
)
SCOPE = ScopeFacts(created="2026-03-02", frontal={"nih": 1218}, out_of_scope={"hand": 27, "text": 40}, rates=(RATE,))


@pytest.fixture(scope="module")
def card() -> Card:
    """The shipped model's, without a scope check."""
    return load_bundle(bundle_path("default")).card.model_copy(update={"scope": None})


def said(card: Card) -> list[Block]:
    return sections(card)["What it refuses"]


def text(blocks: list[Block]) -> str:
    return " ".join(
        block.text if isinstance(block, Paragraph) else " ".join(block.texts)
        for block in blocks
        if isinstance(block, Paragraph | Points)
    )


def test_rates_are_those_of_the_card(card: Card) -> None:
    blocks = said(card.model_copy(update={"scope": SCOPE}))
    table = next(block for block in blocks if isinstance(block, Table))
    assert table.rows == (("lateral films", "refused", "0.917 (0.646 to 0.985)", "1,234", "12", "this picture"),)
    assert len(set(table.header)) == len(table.rows[0])
    assert "nih (1,218)" in text(blocks) and "hand (27), text (40)" in text(blocks)
    assert "no scope check" not in text(blocks)


def test_a_model_without_a_scope_check_says_so(card: Card) -> None:
    assert "It has no scope check." in text(said(card))
    assert "no scope check" in NO_SCOPE_CHECK


def test_a_candidate_may_not_take_the_scope_check_away(card: Card) -> None:
    with_one = card.model_copy(update={"scope": SCOPE})
    assert scope_check(card, card) is None
    assert scope_check(with_one, card) is None
    refused = scope_check(card, with_one)
    assert refused is not None and not refused.passed
    assert "no scope check, and default has one" in refused.said
    passed = scope_check(with_one, with_one)
    assert passed is not None and passed.passed
    assert "fitted on 1,285 pictures" in passed.said and "never seen" not in passed.said
    less = card.model_copy(update={"scope": SCOPE.model_copy(update={"out_of_scope": {"hand": 27}})})
    told = scope_check(less, with_one)
    assert told is not None and "never seen what that of default has: text." in told.said
