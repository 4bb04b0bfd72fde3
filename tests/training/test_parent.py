"""Starting from a bundle that there is."""

import numpy as np
import pytest
from synthetic import SIDE

from cxr.findings import CATEGORIES
from cxr.model.bundle import MAPS, BundleRejected
from cxr.model.classifier import build_classifier
from cxr.model.export import load_keras
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.finetune import finetune
from cxr.training.parent import load_parent, start_from


@pytest.fixture
def models(changed_settings, tiny_bundle):
    changed_settings.setenv("CXR_MODELS_DIR", str(tiny_bundle.path.parent))
    settings.cache_clear()


@pytest.fixture
def config(tiny_bundle, models) -> TrainingConfig:
    return TrainingConfig(
        backbone=tiny_bundle.card.backbone, parent="tiny", input_size=SIDE, epochs=1, batch_size=16, learning_rate=1e-6
    )


def weights_by_layer(model):
    return [layer.get_weights() for layer in model.layers if layer.weights]


@pytest.mark.parametrize("side", [SIDE, 96])
def test_all_weights_are_the_parents_at_any_size(tiny_bundle, side):
    child = build_classifier(tiny_bundle.card.backbone, side, weights=None)
    start_from(child, tiny_bundle)
    for ours, theirs in zip(weights_by_layer(child), weights_by_layer(load_keras(tiny_bundle)), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_head_is_copied_by_category(tiny_bundle):
    theirs = load_keras(tiny_bundle).get_layer(MAPS).get_weights()
    names = ["Fracture", *reversed(CATEGORIES[1:])]
    parent = type(tiny_bundle)(tiny_bundle.path, tiny_bundle.card.model_copy(update={"categories": tuple(names)}), "")
    child = build_classifier(tiny_bundle.card.backbone, SIDE, weights=None)
    before = child.get_layer(MAPS).get_weights()
    start_from(child, parent)
    kernel, bias = child.get_layer(MAPS).get_weights()
    np.testing.assert_array_equal(kernel[..., 0], before[0][..., 0])
    np.testing.assert_array_equal(kernel[..., 1:], theirs[0][..., :0:-1])
    np.testing.assert_array_equal(bias[1:], theirs[1][:0:-1])


def test_a_child_starts_as_good_as_its_parent_and_names_it(tiny_bundle, synthetic_data, config, tmp_path):
    child = finetune(synthetic_data, tmp_path / "child", config, tmp_path / "run")
    assert child.card.parent.name == "tiny"
    assert child.card.parent.model_sha256 == tiny_bundle.model_sha256
    assert child.card.data.hash == tiny_bundle.card.data.hash
    expected = tiny_bundle.card.evaluation.overall.abnormal_auroc.value
    assert child.card.evaluation.overall.abnormal_auroc.value == pytest.approx(expected, abs=0.02)


def test_a_parent_with_other_patients_held_out_is_refused(synthetic_data, config, tmp_path):
    other = config.model_copy(update={"split_seed": 7})
    with pytest.raises(ValueError, match=r"its test patients would train this one; use its split_seed"):
        finetune(synthetic_data, tmp_path / "child", other, tmp_path / "run")
    assert not (tmp_path / "child").exists()


def test_another_backbone_or_no_bundle_is_refused(config):
    with pytest.raises(ValueError, match="--backbone tiny"):
        load_parent(config.model_copy(update={"backbone": "densenet121"}))
    with pytest.raises(BundleRejected, match="no model named 'nobody'"):
        load_parent(config.model_copy(update={"parent": "nobody"}))
