"""Every backbone: the classifier on it, and its serving graph. Each is built once; building takes most of the time."""

import keras
import numpy as np
import pytest
from graph_outputs import graph_outputs
from keras import layers

from cxr.findings import CATEGORIES
from cxr.model.backbones import BACKBONES
from cxr.model.bundle import Probe, check_agreement
from cxr.model.classifier import build_classifier
from cxr.model.export import predict
from cxr.model.onnx_graph import onnx_graph

ODD_TOO = ("efficientnet_lite0", "mobilenet_v2")
"""One that pads "same" at a stride of 2, and one with padding layers that depend on the size."""


def films_of(size):
    """Noise, float32 (3, size, size), bright to dark, so that the maps of two films differ."""
    brightness = np.array([1.0, 0.6, 0.2])[:, None, None]
    return (np.random.default_rng(1).uniform(0, 255, (3, size, size)) * brightness).astype(np.float32)


def with_statistics(model):
    """The model with batch normalisation as after training: statistics of its features, uneven scales and shifts."""
    rng = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
        norm.gamma.assign(rng.uniform(0.7, 1.3, norm.gamma.shape))
        norm.beta.assign(rng.uniform(-0.3, 0.3, norm.beta.shape))
    model(films_of(model.input_shape[1])[..., None], training=True)
    for norm in norms:
        # Channels that hardly vary would make differences of 1e-6 grow to 1e-4 on the way through EfficientNetV2.
        norm.moving_variance.assign(norm.moving_variance + 0.1 * keras.ops.mean(norm.moving_variance))
    return model


@pytest.fixture(
    scope="module",
    params=[*((name, 64) for name in BACKBONES), *((name, 77) for name in ODD_TOO)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def built(request):
    """A backbone's name, its classifier, films, and what Keras makes of them."""
    name, size = request.param
    keras.utils.set_random_seed(0)
    model = with_statistics(build_classifier(name, size, weights=None))
    films = films_of(size)
    return name, model, Probe(films, *predict(model, films))


def test_model_is_flat(built):
    _, model, _ = built
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]


def test_normalisation_inside_the_graph_is_that_of_the_backbone(built):
    name, model, probe = built
    inside = keras.Model(model.input, model.get_layer("normalisation").output)
    film = np.full((1, *probe.films.shape[1:], 1), 200, np.float32)
    expected = (200 - np.array(BACKBONES[name].mean)) / np.array(BACKBONES[name].std)
    np.testing.assert_allclose(np.asarray(inside(film))[0, 30, 30], expected, rtol=1e-4)


def test_logits_are_the_means_of_the_maps(built):
    _, _, probe = built
    assert probe.logits.shape == (3, len(CATEGORIES))
    assert probe.maps.shape[3] == len(CATEGORIES)
    assert probe.maps.shape[1:3] in ((2, 2), (3, 3))
    assert np.ptp(probe.logits, axis=0).max() > 0.05
    np.testing.assert_allclose(probe.logits, probe.maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-4)


def test_serving_graph_agrees_with_keras(built):
    name, model, probe = built
    graph = onnx_graph(model)
    outputs = graph_outputs(graph, probe.films[..., None])
    check_agreement(name, probe, outputs["logits"], outputs["maps"])
    one = graph_outputs(graph, probe.films[:1, ..., None])
    check_agreement(name, Probe(probe.films, probe.logits[:1], probe.maps[:1]), one["logits"], one["maps"])
    assert graph.ByteSize() < 4 * model.count_params() * 1.001
