"""A card of a model that has not all 14 findings, no "No Finding", and pathologies of its own."""

import numpy as np
import pytest

from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING_INDEX
from cxr.model.bundle import BundleRejected, load_bundle, write_card
from cxr.model.card import Calibration, OperatingNorm
from cxr.model.engine import Engine
from cxr.model.heatmap import supporting_map
from cxr.model.verdict import decide
from cxr.radiograph import read_radiograph
from cxr.samples import SAMPLES

HAS = ("Effusion", "Nodule", "Mass")


@pytest.mark.parametrize(
    ("p", "at", "score"), [(0.0, 0.2, 0.0), (0.1, 0.2, 0.25), (0.2, 0.2, 0.5), (0.6, 0.2, 0.75), (1.0, 0.2, 1.0)]
)
def test_normalised_score_by_hand(p, at, score):
    with np.errstate(divide="ignore"):
        logit = np.log(p) - np.log1p(-p)
    assert OperatingNorm(thresholds=(at,)).probabilities(np.array([logit]))[0] == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("at", [0.0, 1.0, float("nan")])
def test_threshold_that_can_not_be_scaled_to_is_refused(at):
    with pytest.raises(ValueError, match="thresholds"):
        OperatingNorm(thresholds=(at,))


def test_lists_of_the_card(imported_bundle, tiny_bundle):
    card = imported_bundle.card
    assert card.categories == (*HAS, "Fracture")
    assert (card.findings, card.extra) == (HAS, ("Fracture",))
    assert set(card.absent) == set(FINDINGS) - set(HAS)
    assert card.columns == (*CATEGORIES, "Fracture")
    assert (tiny_bundle.card.findings, tiny_bundle.card.absent, tiny_bundle.card.extra) == (FINDINGS, (), ())


def test_what_the_model_has_not_is_nan_and_never_zero(imported_bundle):
    card = imported_bundle.card
    found = card.aligned(np.array([[1.0, 2.0, 3.0, 4.0]]))
    known = {name: found[0, card.columns.index(name)] for name in (*HAS, "Fracture")}
    assert list(known.values()) == [1, 2, 3, 4]
    assert np.isnan(found).sum() == 12


def test_abnormal_probability_is_the_largest_of_all_scores(imported_bundle):
    card = imported_bundle.card
    logits = np.array([[-1.0, -2.0, 0.5, 3.0], [2.0, -2.0, 0.5, -3.0]])
    scores = card.calibration.probabilities(logits)
    assert 1 - card.probabilities(logits)[:, NO_FINDING_INDEX] == pytest.approx(scores.max(axis=1))


def test_own_cards_are_as_they_were(tiny_bundle):
    logits = np.random.default_rng(0).normal(size=(2, 15)).astype(np.float32)
    card = tiny_bundle.card
    assert card.aligned(logits) is logits
    assert isinstance(card.calibration, Calibration)
    assert (card.probabilities(logits) == card.calibration.probabilities(logits)).all()


def test_verdict_and_heatmaps(imported_bundle):
    engine, point = Engine(imported_bundle), imported_bundle.card.operating_points[0]
    prediction = engine.predict([read_radiograph(SAMPLES[0].read())])[0]
    verdict = decide(prediction.probabilities, point)
    scores = {found.name: found.probability for found in (*verdict.findings, *verdict.extra)}
    assert set(scores) == {*HAS, "Fracture"}
    assert [found.name for found in verdict.extra] == ["Fracture"]
    assert set(verdict.absent) == set(FINDINGS) - set(HAS)
    assert verdict.abnormal_probability == pytest.approx(max(scores.values()))
    assert verdict.name == ("abnormal" if verdict.flagged else "no finding")
    for name in scores:
        k = imported_bundle.card.categories.index(name)
        logits, maps = engine.run(prediction.square[None])
        evidence = prediction.evidence(name)
        assert evidence == pytest.approx(maps[0, ..., k] - imported_bundle.card.head_bias[k])
        assert evidence.mean() == pytest.approx(logits[0, k] - imported_bundle.card.head_bias[k], abs=1e-4)
    assert supporting_map(prediction.evidence("Hernia")) is None


def test_second_opinion_is_on_the_same_output(imported_bundle):
    from cxr.model.export import load_keras
    from cxr.model.second_opinion import second_opinion

    prediction = Engine(imported_bundle).predict([read_radiograph(SAMPLES[1].read())])[0]
    model, categories = load_keras(imported_bundle), imported_bundle.card.categories
    for name in categories:
        own = supporting_map(prediction.evidence(name))
        ((_, other),) = second_opinion(model, prediction.square, name, ("Grad-CAM",), categories)
        assert (own is None) == (other is None)
        assert own is None or np.abs(own - other).max() < 1e-3


def broken(bundle, folder, **changes):
    """A bundle whose card says something else."""
    copy = folder / "broken"
    copy.mkdir()
    for file in bundle.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    write_card(copy, bundle.card.model_copy(update=changes))
    return copy


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"abnormal_from": "no finding"}, "abnormal probability does not go with"),
        ({"categories": ("Mass", "Nodule", "Effusion", "Fracture")}, "not in the order"),
        ({"categories": ("Effusion", "Nodule", "Mass", "Mass")}, "repeat each other"),
        ({"categories": ("A", "B", "C", "D")}, "none of the 14 findings"),
        ({"calibration": OperatingNorm(thresholds=(0.5, 0.5))}, "does not have 4 entries"),
        ({"head_bias": (0.0,)}, "does not have 4 entries"),
        ({"best_epoch": 3}, "how it was trained or how it was measured"),
    ],
)
def test_card_that_contradicts_itself_is_refused(imported_bundle, tmp_path, changes, reason):
    with pytest.raises(BundleRejected, match=reason):
        load_bundle(broken(imported_bundle, tmp_path, **changes))


def test_model_that_says_it_was_trained_needs_all_15(tiny_bundle, tmp_path):
    with pytest.raises(BundleRejected, match="not the 15 of this product in their order"):
        load_bundle(broken(tiny_bundle, tmp_path, categories=CATEGORIES[::-1]))
