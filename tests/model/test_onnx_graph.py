"""The ONNX graph that is written layer by layer computes what Keras does."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter

import keras
import numpy as np
import pytest
from graph_outputs import graph_outputs
from keras import layers

from cxr.model.bundle import GRAPH_FILE, bundle_path, check_agreement, load_bundle, load_probe
from cxr.model.classifier import build_classifier
from cxr.model.export import export_onnx, load_keras
from cxr.model.features import with_features
from cxr.model.onnx_graph import UnsupportedLayer, onnx_graph
from cxr.settings import ROOT


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v2"])
def test_batch_norm_and_padding_go_into_the_convolutions(name):
    kinds = Counter(node.op_type for node in onnx_graph(build_classifier(name, 64, weights=None)).graph.node)
    assert kinds.keys() == {"Transpose", "Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Identity"}


def test_shipped_model_written_anew_agrees_and_is_no_larger(tmp_path):
    bundle = load_bundle(bundle_path("default"))
    export_onnx(load_keras(bundle), tmp_path / GRAPH_FILE)
    probe = load_probe(bundle.path)
    outputs = graph_outputs(onnx_graph(with_features(load_keras(bundle))), probe.films.astype(np.float32)[..., None])
    check_agreement("default", probe, outputs["logits"], outputs["maps"], outputs["features"])
    assert (tmp_path / GRAPH_FILE).stat().st_size <= (bundle.path / GRAPH_FILE).stat().st_size


CHILD = """
import sys
from pathlib import Path

sys.modules["tensorflow"] = None
import keras
import numpy as np
import cxr.model.classifier
from cxr.model.export import export_onnx, predict

model = keras.models.load_model("model.keras")
export_onnx(model, Path("model.onnx"))
logits, maps = predict(model, np.full((2, 16, 16), 200, np.uint8))
np.savez("outputs.npz", logits=logits, maps=maps)
print(keras.backend.backend(), [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tf2onnx")])
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_write_the_same_file_without_tensorflow(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    film = keras.Input((16, 16, 1), name="film")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="silu")(film)
    x = layers.BatchNormalization()(layers.SeparableConv2D(6, 3, strides=2, padding="same")(x))
    maps = layers.Conv2D(15, 1)(squeeze_and_excitation(x))
    model = keras.Model(film, {"logits": layers.GlobalAveragePooling2D()(maps), "maps": maps}, name="small")
    model.save(tmp_path / "model.keras")
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert child.stdout == f"{backend} ['tensorflow']\n", child.stderr
    graph = onnx_graph(with_features(model))
    assert (tmp_path / "model.onnx").read_bytes() == graph.SerializeToString()
    outputs = graph_outputs(graph, np.full((2, 16, 16, 1), 200, np.float32))
    for name in ("logits", "maps"):
        np.testing.assert_allclose(np.load(tmp_path / "outputs.npz")[name], outputs[name], rtol=1e-4, atol=1e-4)


def test_mixed_precision_is_written_as_float32():
    plain = build_classifier("mobilenet_v2", 64, weights=None)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = build_classifier("mobilenet_v2", 64, weights=None)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(plain.get_weights())
    films = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 1)).astype(np.float32)
    for name, output in graph_outputs(onnx_graph(mixed), films).items():
        np.testing.assert_array_equal(output, graph_outputs(onnx_graph(plain), films)[name])


# One layer, or one way of using it, at a time: what follows the image (11, 8, 6).


def two_readers_of_a_convolution(x):
    convolved = layers.Conv2D(4, 3)(x)
    return layers.Concatenate()([layers.BatchNormalization()(convolved), convolved])


def two_readers_of_padding(x):
    padded = layers.ZeroPadding2D(((2, 1), (0, 3)))(x)
    return layers.Concatenate()([layers.Conv2D(3, 3, padding="same")(padded), layers.AveragePooling2D(1)(padded)])


def squeeze_and_excitation(x):
    pooled = layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(x))
    return layers.Multiply()([x, layers.Conv2D(6, 1, activation="sigmoid")(pooled)])


def concatenated_vectors(x):
    kept = layers.GlobalAveragePooling2D(keepdims=True)(x)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Reshape((6,))(kept)])
    return layers.BatchNormalization()(both)


USES = {
    "convolution, same, stride 2": layers.Conv2D(5, 3, strides=2, padding="same", activation="relu"),
    "convolution, same, wide, dilated": layers.Conv2D(5, (5, 2), dilation_rate=(2, 3), padding="same"),
    "convolution, same, stride beyond kernel": layers.Conv2D(5, 1, strides=3, padding="same", use_bias=False),
    "convolution, groups": layers.Conv2D(6, 3, groups=3, activation="silu"),
    "depthwise, two per channel": layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2),
    "separable": layers.SeparableConv2D(5, (3, 4), strides=2, padding="same", depth_multiplier=2, activation="relu6"),
    "separable, dilated": layers.SeparableConv2D(5, 3, dilation_rate=2, use_bias=False),
    "separable, normalised": lambda x: layers.BatchNormalization()(layers.SeparableConv2D(5, 3)(x)),
    "convolution, active, normalised": lambda x: layers.BatchNormalization()(layers.Conv2D(5, 3, activation="relu")(x)),
    "convolution, normalised": lambda x: layers.BatchNormalization(scale=False)(layers.Conv2D(5, 3)(x)),
    "convolution, read twice": two_readers_of_a_convolution,
    "batch norm": layers.BatchNormalization(center=False, epsilon=0.1),
    "relu": layers.ReLU(),
    "relu up to 3": layers.ReLU(3.0),
    "relu6": layers.Activation("relu6"),
    "sigmoid": layers.Activation("sigmoid"),
    "silu": layers.Activation("swish"),
    "sum of three": lambda x: layers.Add()([x, layers.ReLU()(x), layers.Activation("sigmoid")(x)]),
    "product with one channel": lambda x: layers.Multiply()([x, layers.Conv2D(1, 1)(x)]),
    "padding, read twice": two_readers_of_padding,
    "padding twice": lambda x: layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(layers.ZeroPadding2D((0, 2))(x))),
    "padding last": layers.ZeroPadding2D(((0, 1), (2, 3))),
    "padding, valid convolution": lambda x: layers.Conv2D(4, 3, strides=2)(layers.ZeroPadding2D(((0, 1), (3, 2)))(x)),
    "largest, same": layers.MaxPooling2D(3, strides=2, padding="same"),
    "largest, valid": layers.MaxPooling2D((2, 3)),
    "average, same": layers.AveragePooling2D(3, strides=2, padding="same"),
    "average, valid": layers.AveragePooling2D(2),
    "squeeze and excitation": squeeze_and_excitation,
    "pooled, dimensions kept": layers.GlobalAveragePooling2D(keepdims=True),
    "vectors": concatenated_vectors,
    "dense": lambda x: layers.Dense(4, activation="silu")(layers.GlobalAveragePooling2D()(x)),
    "dense, no bias": lambda x: layers.Dense(4, use_bias=False)(layers.GlobalAveragePooling2D()(x)),
    "rescaled": layers.Rescaling(0.5, offset=-1.0),
    "rescaled by channel": layers.Rescaling([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], offset=[-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]),
    "dropped": lambda x: layers.SpatialDropout2D(0.5)(layers.Dropout(0.5)(layers.Activation("linear")(x))),
}


def model_of(use):
    film = keras.Input((11, 8, 6), name="film")
    return keras.Model(film, {"maps": use(film)}, name="one_layer")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_layer_agrees_with_keras(use):
    # Layers are made once: an own copy, so that a test may be run again.
    model = keras.models.clone_model(model_of(use)) if isinstance(use, layers.Layer) else model_of(use)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1.0, weight.shape) * rng.choice([-1, 1]) for weight in model.get_weights()])
    for norm in model.layers:
        if isinstance(norm, layers.BatchNormalization):
            norm.moving_variance.assign(rng.uniform(0.5, 2.0, norm.moving_variance.shape))
    images = rng.normal(0, 3, (3, 11, 8, 6)).astype(np.float32)
    expected = model.predict_on_batch(images)["maps"]
    got = graph_outputs(onnx_graph(model), images)["maps"]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


class OwnConvolution(layers.Conv2D):
    """What a subclass computes can't be known."""


def shared(x):
    twice = layers.Conv2D(6, 1)
    return twice(twice(x))


REFUSED = {
    "an unknown layer": (layers.UpSampling2D(name="bigger"), r"'bigger' \(UpSampling2D\)"),
    "a subclass": (OwnConvolution(3, 1), "OwnConvolution"),
    "an operator": (lambda x: x + x, "Add"),
    "an activation": (layers.Activation("tanh"), "activation='tanh'"),
    "a leaky ReLU": (layers.ReLU(negative_slope=0.1), "negative_slope=0.1"),
    "rows normalised": (layers.BatchNormalization(axis=1), "axis=1"),
    "rows concatenated": (lambda x: layers.Concatenate(axis=1)([x, layers.ReLU()(x)]), "axis=1"),
    "a map reshaped": (layers.Reshape((8, 11, 6)), "reshape from"),
    "a dense layer on a map": (layers.Dense(3), "an input of shape"),
    "vector and map": (lambda x: layers.Add()([x, layers.Dense(6)(layers.GlobalAveragePooling2D()(x))]), "2 and 4"),
    "channels first": (layers.MaxPooling2D(2, data_format="channels_first"), "channels_first"),
    "a layer called twice": (shared, "other models or calls"),
    "a nested model": (lambda x: keras.Sequential([layers.ReLU()])(x), "Sequential"),
}


@pytest.mark.parametrize(("use", "message"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_written_is_named(use, message):
    with pytest.raises(UnsupportedLayer, match=message):
        onnx_graph(model_of(use))
