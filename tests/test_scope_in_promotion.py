"""A scope check is not taken away by a promotion, unless somebody says so."""

from pathlib import Path

import pytest
from promoting import another_model, models_folder

from cxr.gate import scope_check
from cxr.model.bundle import Bundle
from cxr.promotion import PromotionRefused, gate_report, promote


def test_a_model_without_a_scope_check_does_not_follow_one_that_has_it(
    changed_settings: pytest.MonkeyPatch, tiny_bundle: Bundle, unchecked_bundle: Bundle, tmp_path: Path
) -> None:
    models = models_folder(changed_settings, tiny_bundle, tmp_path, {"default": 1.0, "second": 0.5})
    another_model(unchecked_bundle, models / "unchecked", 0.999)
    assert [check.name for check in gate_report("unchecked").failed] == ["Scope check"]
    with pytest.raises(PromotionRefused, match="no scope check, and default has one"):
        promote("unchecked", "Ada", "faster")
    assert promote("unchecked", "Ada", "faster", override=True).action == "override"
    # The other way round there is nothing to ask.
    assert gate_report("second").passed
    assert "Scope check" not in {check.name for check in gate_report("second").checks}


def test_a_check_that_knows_no_lateral_film_does_not_follow_one_that_does(tiny_bundle: Bundle) -> None:
    card = tiny_bundle.card
    assert card.scope is not None
    knowing = card.model_copy(
        update={"scope": card.scope.model_copy(update={"out_of_scope": {**card.scope.out_of_scope, "lateral": 12}})}
    )
    found = scope_check(card, knowing)
    assert found is not None
    assert not found.passed
    assert "no lateral film" in found.said
    assert scope_check(knowing, knowing).passed
    assert scope_check(knowing, card).passed
