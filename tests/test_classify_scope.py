"""What becomes of the scope check's word: refused, corrected, asked about, or warned of."""

import dataclasses
import io
import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from scoped import ScopedEngine, film

from cxr import cli
from cxr.classify import (
    INVERTED,
    INVERTED_AS_SAID,
    LIES,
    NO_GREY_SCALE,
    NO_SCOPE_CHECK,
    SEEMS_INVERTED,
    Reading,
    Refusal,
    answer,
    as_refused_json,
)
from cxr.model.bundle import BundleRejected, bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.radiograph import read_radiograph
from cxr.radiograph.placement import AS_FILED, UNTOUCHED, Placement, Step
from cxr.radiograph.scope import FRONTAL, Scope, Turn
from cxr.samples import SAMPLES
from cxr.training.scope_fit import labels

DATA = film()
GREY = read_radiograph(DATA).grey
LATERAL = Scope("This looks like a lateral film.", "lateral", in_scope=0.1, distance=3.0)


def given(says, placement=UNTOUCHED) -> Reading | Refusal:
    return answer(ScopedEngine(says), "film.png", DATA, placement=placement)


def test_a_refused_film_can_be_looked_at_and_has_no_number() -> None:
    found = given(lambda film: LATERAL)
    assert isinstance(found, Refusal)
    assert (found.reason, found.kind) == (LATERAL.refusal, "lateral")
    np.testing.assert_array_equal(found.grey, GREY)
    assert found.facts.width == GREY.shape[1]
    # Neither by name nor by kind is there anything that could hold a probability.
    assert {field.name for field in dataclasses.fields(found)} == {
        "name", "reason", "kind", "grey", "facts", "placement", "turn",
    }  # fmt: skip
    assert as_refused_json(found) == {
        "file": "film.png", "status": "refused", "reason": LATERAL.refusal, "kind": "lateral",
    }  # fmt: skip


def test_a_refusal_without_a_kind_is_of_an_unknown_one() -> None:
    assert given(lambda film: Scope("No.")).kind == "unknown"


def test_what_cannot_be_read_cannot_be_looked_at() -> None:
    said = UNTOUCHED.then("invert")
    found = answer(ScopedEngine(None), "x", b"no film", placement=said)
    assert (found.placement, found.placement.grey_said) == (said, True)
    assert (found.kind, found.grey, found.facts) == ("unreadable", None, None)


def test_an_inverted_film_is_corrected_said_and_asked_about_again() -> None:
    engine = ScopedEngine(lambda film: Scope(inverted=film.grey[0, 0] > 128, warnings=("Low contrast.",)))
    found = answer(engine, "film.png", DATA)
    assert isinstance(found, Reading)
    np.testing.assert_array_equal(found.grey, 255 - GREY)
    np.testing.assert_array_equal(engine.asked[-1], 255 - GREY)
    assert len(engine.asked) == 2
    # The evidence is that of the corrected film: its white corner is black now.
    assert found.prediction.square[0, 0] == found.prediction.square.min() < 5
    assert found.warnings == (INVERTED, "Low contrast.")
    assert found.corrected == ("inverted",)


def test_a_film_whose_grey_scale_is_never_right_is_refused() -> None:
    found = given(lambda film: Scope(inverted=True))
    assert (found.reason, found.kind) == (NO_GREY_SCALE, "grey_scale")
    # Until a reader says which way round it is: as it is shown, or the other way.
    shown = given(lambda film: Scope(inverted=True), replace(found.placement, grey_said=True))
    np.testing.assert_array_equal(shown.grey, found.grey)
    assert isinstance(given(lambda film: Scope(inverted=True), found.placement.then("invert")), Reading)


def test_whoever_says_which_way_round_the_grey_scale_is_is_believed_and_warned() -> None:
    def says(film) -> Scope:
        return Scope(inverted=film.grey[0, 0] > 128)

    corrected = given(says)
    # It was right as the file had it: one more step undoes what the check did.
    undone = given(says, corrected.placement.then("invert"))
    np.testing.assert_array_equal(undone.grey, GREY)
    assert (undone.warnings, undone.corrected) == ((SEEMS_INVERTED,), ())
    np.testing.assert_array_equal(given(says, AS_FILED).grey, GREY)
    # Turned besides, it stays so.
    turned = given(says, undone.placement.then("left"))
    np.testing.assert_array_equal(turned.grey, np.rot90(GREY))
    # And one that the check took to be right.
    inverted = given(lambda film: Scope(), UNTOUCHED.then("invert"))
    np.testing.assert_array_equal(inverted.grey, 255 - GREY)
    assert (inverted.warnings, inverted.corrected) == ((INVERTED_AS_SAID,), ("inverted",))


def test_a_film_of_which_the_grey_scale_alone_was_settled_still_has_to_be_turned() -> None:
    found = given(lambda film: Scope(turn="left"), UNTOUCHED.then("invert"))
    assert (found.kind, found.turn) == ("turned", "left")
    np.testing.assert_array_equal(found.grey, 255 - GREY)


def test_of_a_film_that_is_turned_the_check_tells_the_grey_scale_anew() -> None:
    corrected = given(lambda film: Scope(inverted=film.grey[0, 0] > 128))
    np.testing.assert_array_equal(given(lambda film: Scope(), corrected.placement.then("left")).grey, np.rot90(GREY))


def test_an_inverted_film_that_is_none_is_refused_as_what_it_is() -> None:
    found = given(lambda film: Scope(inverted=True) if film.grey[0, 0] > 128 else LATERAL)
    assert found.kind == "lateral"
    np.testing.assert_array_equal(found.grey, 255 - GREY)


@pytest.mark.parametrize("turn", ["left", "right", "half"])
def test_a_film_on_its_side_gets_no_verdict_until_somebody_says_how_it_lies(turn: Turn) -> None:
    upright = UNTOUCHED.then(turn)
    right = upright.film(read_radiograph(DATA)).grey

    def says(film) -> Scope:
        return Scope(turn=None if film.grey.shape == right.shape and (film.grey == right).all() else turn)

    found = given(says)
    assert isinstance(found, Refusal)
    assert (found.kind, found.turn) == ("turned", turn)
    assert as_refused_json(found)["turn"] == turn
    turned = given(says, found.placement.then(found.turn))
    assert isinstance(turned, Reading)
    assert (turned.turn, turned.corrected) == (None, (turn,))
    np.testing.assert_array_equal(turned.grey, right)
    np.testing.assert_allclose(turned.prediction.evidence("Mass"), turned.prediction.square)
    assert any("before it was read" in warning for warning in turned.warnings)
    left_as_it_is = given(says, AS_FILED)
    assert isinstance(left_as_it_is, Reading)
    assert left_as_it_is.turn == turn
    assert any("don't trust the verdict" in warning for warning in left_as_it_is.warnings)
    np.testing.assert_array_equal(left_as_it_is.grey, GREY)


def test_words_are_for_what_a_scope_check_can_tell_and_a_mirrored_film_is_a_frontal_one() -> None:
    scope = Engine(load_bundle(bundle_path("default"))).scope
    assert set(LIES) == set(scope.kinds) & {*get_args(Step)} == {*get_args(Step)} - {"mirror", "invert"}
    assert list(labels(np.array(["mirror", "left"]))) == [FRONTAL, "left"]
    # A reader can tell, and say so.
    mirrored = given(lambda film: Scope(), UNTOUCHED.then("mirror"))
    assert mirrored.corrected == ("mirror",)
    np.testing.assert_array_equal(mirrored.grey, GREY[:, ::-1])


def test_a_lateral_film_that_lies_on_its_side_is_refused_whoever_says_how_it_lies() -> None:
    assert given(lambda film: replace(LATERAL, turn="left"), UNTOUCHED.then("left")).kind == "lateral"


def test_without_a_scope_check_every_verdict_says_so() -> None:
    assert given(None).warnings == (NO_SCOPE_CHECK,)
    assert NO_SCOPE_CHECK not in given(lambda film: Scope()).warnings


def test_a_scope_check_without_features_is_no_check() -> None:
    engine = ScopedEngine(lambda film: Scope())
    blind = ScopedEngine._of
    engine._of = lambda film: replace(blind(engine, film), features=None)
    with pytest.raises(BundleRejected, match="no features"):
        answer(engine, "film.png", DATA)


@pytest.fixture
def classify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path):
    """The command, with another scope check than the model's; gives its lines."""
    from cxr import cli_classify as module

    path = tmp_path / "film.png"
    path.write_bytes(DATA)

    def run(says, *options: str) -> list[str]:
        real = module.Engine

        def engine(bundle):
            made = real(bundle)
            made.scope = type("Stub", (), {"check": staticmethod(lambda film, features, square: says(film))})()
            predict = made.predict
            made.predict = lambda films: [replace(p, features=np.zeros(4, np.float32)) for p in predict(films)]
            return made

        with monkeypatch.context() as patch:
            patch.setattr(module, "Engine", engine)
            assert cli.main(["classify", *options, str(path)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_command_line_says_why_and_what_to_do(classify) -> None:
    on_its_side = Scope(turn="left", in_scope=0.9, distance=0.5)
    lines = classify(lambda film: on_its_side)
    assert "not analysed. The film seems to lie on its side." in lines[1]
    assert "--turn left" in lines[2]
    refused = json.loads(classify(lambda film: on_its_side, "--json")[0])
    assert (refused["status"], refused["kind"], refused["turn"]) == ("refused", "turned", "left")
    assert "probab" not in json.dumps(refused)
    read = json.loads(classify(lambda film: on_its_side, "--json", "--turn", "none")[0])
    assert (read["status"], read["corrected"]) == ("ok", [])
    assert read["scope"] == {"in_scope": 0.9, "distance": 0.5, "turn": "left"}
    turned = json.loads(classify(lambda film: Scope(), "--json", "--turn", "left", "--turn", "mirror")[0])
    assert turned["corrected"] == ["left", "mirror"]
    wrong = [
        json.loads(classify(lambda film: Scope(inverted=True), "--json", "--grey", grey)[0])
        for grey in ("as-is", "inverted")
    ]
    assert [found["corrected"] for found in wrong] == [[], ["inverted"]]
    assert all(SEEMS_INVERTED in found["warnings"] for found in wrong)
    assert "--grey as-is or --grey inverted" in classify(lambda film: Scope(inverted=True))[2]


def test_command_line_knows_every_turn() -> None:
    for step in ({*get_args(Step)} - {"invert"}) | {"none"}:
        assert cli._parser().parse_args(["classify", "--turn", step, "x"]).turn == [step]


def test_the_shipped_model_end_to_end() -> None:
    engine = Engine(load_bundle(bundle_path("default")))
    grey = read_radiograph(SAMPLES[0].read()).grey

    def asked(pixels: np.ndarray, placement: Placement = UNTOUCHED) -> Reading | Refusal:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
        return answer(engine, "film.png", file.getvalue(), placement=placement)

    upright = asked(grey)
    assert isinstance(upright, Reading) and upright.scope is not None and upright.corrected == ()
    turned = asked(np.rot90(grey))
    assert isinstance(turned, Refusal) and (turned.kind, turned.turn) == ("turned", "right")
    again = asked(np.rot90(grey), turned.placement.then("right"))
    assert isinstance(again, Reading)
    np.testing.assert_allclose(again.prediction.probabilities, upright.prediction.probabilities, atol=1e-5)
    inverted = asked(255 - grey)
    assert isinstance(inverted, Reading) and inverted.corrected == ("inverted",)
    np.testing.assert_allclose(inverted.prediction.probabilities, upright.prediction.probabilities, atol=1e-4)
