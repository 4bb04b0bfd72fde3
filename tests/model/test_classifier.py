"""The classifier and its backbones."""

import keras
import numpy as np
import pytest

from cxr.model.backbones import BACKBONES, WeightsUnavailable
from cxr.model.classifier import build_classifier, features_of
from cxr.model.names import named_weights, weights_file
from cxr.settings import settings


def test_keras_preprocessing_agrees_with_ours():
    grey = np.full((1, 8, 8, 3), 77, np.float32)
    applications = keras.applications
    for name, module in (
        ("densenet121", applications.densenet),
        ("mobilenet_v2", applications.mobilenet_v2),
        ("xception", applications.xception),
        ("vgg16", applications.vgg16),
    ):
        theirs = module.preprocess_input(grey.copy())[0, 0, 0]
        ours = (77 - np.array(BACKBONES[name].mean)) / np.array(BACKBONES[name].std)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("variant", ["efficientnet_lite0", "efficientnet_lite2"])
def test_shipped_imagenet_weights_are_loaded(variant):
    model = build_classifier(variant, 64)
    stem = model.get_layer("stem").get_weights()[0]
    norm = model.get_layer("head_norm").get_weights()
    assert 0.5 < stem.std() < 1.5  # freshly initialised it is about 0.08
    assert np.ptp(norm[3]) > 0  # the moving variances of a network that has seen images


def test_missing_shipped_weights_are_an_error_not_random(changed_settings, tmp_path):
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    with pytest.raises(WeightsUnavailable, match="efficientnet_lite0"):
        build_classifier("efficientnet_lite0", 64)


def test_failed_download_is_a_sentence(monkeypatch):
    def no_network(*_args, **_kwargs):
        raise Exception("URL fetch failure on https://example.org: None -- unreachable")

    monkeypatch.setattr("keras.src.applications.vgg16.file_utils.get_file", no_network)
    with pytest.raises(WeightsUnavailable, match="VGG16 could not be downloaded"):
        build_classifier("vgg16", 64)


def test_downloaded_weights_are_loaded(monkeypatch, tmp_path):
    """The path that a user with internet takes, on a file made on the spot."""
    donor = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(96, 96, 3))
    donor.save(tmp_path / "donor.h5")  # the format of the files that Keras downloads
    monkeypatch.setattr(
        "keras.src.applications.mobilenet_v2.file_utils.get_file",
        lambda *_args, **_kwargs: str(tmp_path / "donor.h5"),
    )
    model = build_classifier("mobilenet_v2", 96)
    np.testing.assert_array_equal(model.get_layer("Conv1").get_weights()[0], donor.get_layer("Conv1").get_weights()[0])


def test_unknown_backbone_names_the_known_ones():
    with pytest.raises(ValueError, match="efficientnet_lite0"):
        build_classifier("resnet", 64)


def test_too_small_input_is_refused():
    with pytest.raises(ValueError, match="at least 32"):
        build_classifier("vgg16", 31)


def test_named_weights_are_loaded_from_their_file_and_none_others(changed_settings, tmp_path, tiny_backbone):
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    file = weights_file(tiny_backbone, "chest")
    with pytest.raises(WeightsUnavailable, match="no file"):
        build_classifier(tiny_backbone, 64, weights="chest")
    file.parent.mkdir()
    donor = build_classifier(tiny_backbone, 96, weights=None)
    features_of(donor).save_weights(file)
    film = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    fed = [features_of(build_classifier(tiny_backbone, 64, weights=weights)) for weights in ("chest", None)]
    same = features_of(build_classifier(tiny_backbone, 64, weights=None))
    same.set_weights(features_of(donor).get_weights())
    wanted, loaded, random = (np.asarray(model(film)) for model in (same, *fed))
    np.testing.assert_array_equal(loaded, wanted)
    assert np.abs(random - wanted).max() > 1e-3
    file.write_bytes(b"no weights")
    with pytest.raises(WeightsUnavailable, match="can't be read"):
        build_classifier(tiny_backbone, 64, weights="chest")
    features_of(build_classifier("mobilenet_v2", 64, weights=None)).save_weights(file)
    with pytest.raises(WeightsUnavailable, match="another network"):
        build_classifier(tiny_backbone, 64, weights="chest")


def test_named_weights_are_those_that_are_there(changed_settings, tmp_path):
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    assert named_weights() == []
    folder = tmp_path / "backbones"
    folder.mkdir()
    names = ("efficientnet_lite0", "efficientnet_lite0.chest", "efficientnet_lite2.mine", "unknown.chest")
    for name in names:
        (folder / f"{name}.weights.h5").touch()
    assert named_weights() == [("efficientnet_lite0", "chest"), ("efficientnet_lite2", "mine")]
