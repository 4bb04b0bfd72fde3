"""The scope check: what is refused and why, what is offered turned, what the reader is warned of."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cxr.radiograph import Facts, Radiograph, scope
from cxr.radiograph.box import Box
from cxr.radiograph.scope import Scope, ScopeModel
from cxr.radiograph.scope_vector import GRID, picture, prepared

KINDS = ("frontal", "left", "right", "half", "inverted", "cropped", "lateral", "other_body_part", "slice", "not_a_film")
FEATURES = np.array([0.5, 0.3], np.float32)
"""Mean and mean square of the only channel."""


def arrays(kind: str, share: float) -> dict[str, np.ndarray]:
    """A check that finds every picture to be of one kind with that share, and frontal else."""
    width = 2 + GRID**2 + 8
    bias = np.full(len(KINDS), -40.0)
    bias[KINDS.index("frontal")] = np.log(max(1 - share, 1e-12))
    bias[KINDS.index(kind)] = 0.0 if kind == "frontal" else np.log(share)
    return {
        "kinds": np.array(KINDS),
        "channels": np.array([1]),
        "mean": np.zeros(width, np.float32),
        "scale": np.ones(width, np.float32),
        "weights": np.zeros((width, len(KINDS)), np.float32),
        "bias": bias.astype(np.float32),
        "near_mean": np.zeros(2, np.float32),
        "near_scale": np.ones(2, np.float32),
        "near_centre": np.zeros(2, np.float32),
        "near_axes": np.eye(2, 1, dtype=np.float32),
        "near_variance": np.ones(1, np.float32),
        "near_rest": np.float32(1),
        "near_unit": np.float32(1),
        "smallest_side": np.array(200),
        "farthest": np.float32(4),
    }


def film(pixels: np.ndarray | None = None, **facts: str) -> Radiograph:
    if pixels is None:
        pixels = np.clip(np.random.default_rng(0).normal(0.5, 0.2, (300, 260)), 0, 1)
    height, width = pixels.shape
    return Radiograph(pixels.astype(np.float32), Facts("DICOM", width, height, 8, "MONOCHROME2", **facts))


def square_of(shown: Radiograph) -> np.ndarray:
    return np.asarray(Image.fromarray(shown.pixels).resize((64, 64), Image.Resampling.BOX)) * 255


def said(kind: str, share: float = 0.9, shown: Radiograph | None = None, **facts: str) -> Scope:
    shown = film(**facts) if shown is None else shown
    return ScopeModel(arrays(kind, share)).check(shown, FEATURES, square_of(shown))


@pytest.mark.parametrize("kind", ["lateral", "other_body_part", "slice", "not_a_film", "cropped"])
def test_what_is_no_frontal_film_is_refused_with_its_kind(kind: str) -> None:
    found = said(kind)
    assert found.reason == kind
    assert found.refusal is not None
    assert found.refusal.endswith(".")
    assert found.in_scope == pytest.approx(0.1, abs=1e-5)


def test_a_frontal_film_is_accepted_without_a_word() -> None:
    found = said("frontal", 1)
    assert (found.refusal, found.reason, found.turn, found.inverted) == (None, None, None, False)
    assert found.in_scope == pytest.approx(1)


@pytest.mark.parametrize("turn", ["left", "right", "half"])
def test_a_turned_film_is_no_refusal(turn: str) -> None:
    found = said(turn)
    assert (found.refusal, found.turn, found.inverted) == (None, turn, False)
    assert said(turn, 0.4).turn is None


def test_an_inverted_film_is_no_refusal() -> None:
    assert (said("inverted").refusal, said("inverted").inverted, said("inverted").turn) == (None, True, None)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"view": "LL"}, "lateral"),
        ({"view": "lateral"}, "lateral"),
        ({"body_part": "HIP"}, "other_body_part"),
        ({"body_part": "Chest", "view": "pa"}, None),
        ({"view": "LLD"}, None),
        ({"view": "AP supine", "body_part": "PORTABLE CHEST"}, None),
        ({"view": "LEFT LATERAL"}, "lateral"),
    ],
)
def test_the_header_counts_where_the_picture_does_not_clearly_say_otherwise(
    facts: dict[str, str], reason: str | None
) -> None:
    assert said("lateral", 0.3, **facts).reason == reason
    assert said("lateral", 0.01, **facts).reason is None


def test_a_header_does_not_make_a_hip_a_chest() -> None:
    assert said("other_body_part", view="PA", body_part="CHEST").reason == "other_body_part"


@pytest.mark.parametrize(
    ("pixels", "reason", "word"),
    [
        (np.full((300, 300), 0.4), "blank", "one grey level"),
        (np.random.default_rng(0).random((199, 900)), "tiny", "900 x 199"),
        (np.random.default_rng(0).random((300, 900)), "cropped", "strip"),
        (np.pad(np.random.default_rng(0).random((200, 200)), 50, constant_values=1), "saturated", "saturated"),
    ],
)
def test_a_picture_that_shows_too_little_is_refused(pixels: np.ndarray, reason: str, word: str) -> None:
    found = said("frontal", 1, film(pixels))
    assert found.reason == reason
    assert found.refusal is not None
    assert word in found.refusal


def test_a_black_border_is_nothing_to_refuse() -> None:
    middle = np.random.default_rng(0).random((200, 200))
    assert said("frontal", 1, film(np.pad(middle, 50))).reason is None


def test_little_contrast_is_said() -> None:
    flat = np.random.default_rng(0).normal(0.5, 0.02, (300, 300)).clip(0, 1)
    # Of noise the square would show none.
    shown = film(np.kron(flat[::30, ::30] * 4 - 1.5, np.ones((30, 30))))
    assert any("contrast" in warning for warning in said("frontal", 1, shown).warnings)
    assert not said("frontal", 1, film(np.kron(np.random.default_rng(0).random((10, 10)), np.ones((30, 30))))).warnings


def test_text_in_the_picture_is_said() -> None:
    pixels = np.kron(np.random.default_rng(0).uniform(0.2, 0.6, (6, 6)), np.ones((100, 100)))
    image = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    ImageDraw.Draw(image).text((20, 20), "DOE, JANE 1970-01-01", 255, ImageFont.load_default(24))
    assert any("text" in warning for warning in said("frontal", 1, film(np.asarray(image) / 255)).warnings)


def test_a_film_far_from_the_others_is_said() -> None:
    shown = film(np.kron(np.random.default_rng(0).random((10, 10)), np.ones((30, 30))))
    check = ScopeModel(arrays("frontal", 1))
    places = ((0.5, 0.3), (4.0, 17.0), (5.0, 75.0))
    near, far, farther = (check.check(shown, np.array(v, np.float32), square_of(shown)) for v in places)
    assert near.distance < 1 < far.distance < 4
    assert any("unlike" in warning for warning in far.warnings)
    assert not near.warnings
    assert (far.reason, farther.reason) == (None, "unknown")


def test_the_distance_is_that_of_the_formula() -> None:
    """By hand: mean 3 in the direction in which films vary (variance 1), standard deviation 4 out of it."""
    found = ScopeModel(arrays("frontal", 1)).distances(np.array([[3.0, 25.0]]))
    assert found == pytest.approx(np.sqrt((9 + 16) / 2))


def test_vectors_hold_spread_and_the_picture() -> None:
    square = np.kron(np.array([[0.0, 255.0]]), np.ones((64, 32)))
    found = prepared(np.array([[2.0, 5.0]], np.float32), picture(square)[None], np.array([1]))
    assert found.shape == (1, 2 + GRID**2 + 8)
    assert found[0, :2] == pytest.approx([2, 1])
    small = found[0, 2 : 2 + GRID**2].reshape(GRID, GRID)
    assert small[:, 0] == pytest.approx(-small[:, -1])
    assert small.std() == pytest.approx(127.5 / 131.5, abs=1e-4)
    with pytest.raises(ValueError, match="4 features"):
        prepared(np.ones((1, 4), np.float32), picture(square)[None], np.array([1]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bias": np.zeros(3, np.float32)},
        {"scale": np.full(2 + GRID**2 + 8, np.nan, np.float32)},
        {"kinds": np.array(("frontal", *[f"other{i}" for i in range(8)]))},
    ],
)
def test_arrays_that_do_not_go_together_are_not_loaded(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="scope check"):
        ScopeModel(arrays("frontal", 1) | wrong)


def test_a_file_is_read_for_its_own_graph_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "scope.npz", **arrays("frontal", 1))
    assert ScopeModel.load(tmp_path / "scope.npz", 2).smallest_side == 200
    with pytest.raises(ValueError, match="3 features"):
        ScopeModel.load(tmp_path / "scope.npz", 3)
    np.savez(tmp_path / "less.npz", kinds=np.array(KINDS))
    with pytest.raises(KeyError):
        ScopeModel.load(tmp_path / "less.npz", 2)


@pytest.mark.parametrize("kind", ["frontal", "inverted"])
def test_text_is_told_of_whichever_way_round_the_grey_scale_seems(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says that it is right is not asked again."""
    monkeypatch.setattr(scope, "burned_text", lambda grey: (Box(0, 0, 10, 40),))
    found = said(kind)
    assert found.inverted == (kind == "inverted")
    assert scope.TEXT in found.warnings
