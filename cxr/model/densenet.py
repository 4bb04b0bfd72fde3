"""DenseNet-121 (Huang et al. 2017, arXiv:1608.06993) with the arithmetic of PyTorch, for weights that PyTorch trained.

Keras' own DenseNet-121 takes three channels, pads and names otherwise. Here every layer bears the name of the PyTorch
module whose weights it takes, with underscores for dots.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import keras
import numpy as np
from keras import layers

from cxr.model.bundle import LOGITS, MAPS
from cxr.model.classifier import FEATURES, INPUT_NAME, NORMALISATION

BLOCKS: Final = (6, 12, 24, 16)
GROWTH: Final = 32
BOTTLENECK: Final = 4 * GROWTH
STEM: Final = 64
EPSILON: Final = 1e-5
"""Of PyTorch's batch normalisation; Keras' DenseNet has 1.001e-5."""
ROOT: Final = "features"
CLASSIFIER: Final = "classifier"
COUNTER: Final = "num_batches_tracked"
"""PyTorch counts batches in each normalisation; inference has no use for it."""


def build_densenet(input_size: int, outputs: int, scale: float, offset: float) -> keras.Model:
    """A flat functional model from a square film to logits and the maps that they are the means of.

    PyTorch's classifier is a linear layer on the mean of the last feature map, which is the mean of a 1x1 convolution
    with the same weights: the head of `build_classifier`.

    Args:
        input_size: side of the square input, pixels, at least 32.
        outputs: number of logits.
        scale, offset: what the network expects is `scale * grey + offset`, for grey levels 0..255.

    Returns:
        Model: float32 (batch, size, size, 1) with grey levels 0..255 ->
        `{"logits": float32 (batch, outputs), "maps": float32 (batch, h, w, outputs)}`.
    """
    film = keras.Input((input_size, input_size, 1), name=INPUT_NAME)
    normalisation = layers.Conv2D(1, 1, trainable=False, name=NORMALISATION)
    x = normalisation(film)
    normalisation.set_weights([np.full((1, 1, 1, 1), scale, np.float32), np.full(1, offset, np.float32)])

    x = _convolution(x, "conv0", STEM, 7, strides=2)
    x = _activated(x, "norm0")
    # Padded with zeros where PyTorch pads with minus infinity: the same after a ReLU.
    x = layers.ZeroPadding2D(1, name="features_pool0_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="features_pool0")(x)
    for number, count in enumerate(BLOCKS, start=1):
        for k in range(1, count + 1):
            layer = f"denseblock{number}.denselayer{k}"
            new = _convolution(_activated(x, f"{layer}.norm1"), f"{layer}.conv1", BOTTLENECK, 1)
            new = _convolution(_activated(new, f"{layer}.norm2"), f"{layer}.conv2", GROWTH, 3)
            x = layers.Concatenate(name=_layer_name(f"{layer}.cat"))([x, new])
        if number < len(BLOCKS):
            transition = f"transition{number}"
            x = _convolution(_activated(x, f"{transition}.norm"), f"{transition}.conv", x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2, name=_layer_name(f"{transition}.pool"))(x)
    x = _normalised(x, "norm5")
    x = layers.Activation("relu", name=FEATURES)(x)
    maps = layers.Conv2D(outputs, 1, dtype="float32", name=MAPS)(x)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name=LOGITS)(maps)
    return keras.Model(film, {LOGITS: logits, MAPS: maps}, name="densenet121")


def load_torch_weights(model: keras.Model, arrays: Mapping[str, np.ndarray], rows: Sequence[int]) -> None:
    """Fill a model of `build_densenet` with the weights of a PyTorch DenseNet-121.

    Args:
        model: its last layer has one output for each of `rows`.
        arrays: the module's state by name, such as "features.conv0.weight"; every array must find its place.
        rows: which outputs of the PyTorch classifier become the model's, in this order.

    Raises:
        ValueError: an array is missing, is left over, has another shape or holds a number that is not finite.
    """
    left = {name for name in arrays if not name.endswith(COUNTER)}

    def take(name: str) -> np.ndarray:
        if name not in arrays:
            raise ValueError(f"there is no {name}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds numbers that are not finite")
        left.discard(name)
        return arrays[name]

    for layer in model.layers:
        if not layer.weights or layer.name == NORMALISATION:
            continue
        if layer.name == MAPS:
            kernel, bias = take(f"{CLASSIFIER}.weight"), take(f"{CLASSIFIER}.bias")
            if kernel.ndim != 2 or len(kernel) != len(bias) or not set(rows) <= set(range(len(bias))):
                raise ValueError(f"the classifier has {kernel.shape} weights and {bias.shape} biases")
            values = [kernel[list(rows)].T[None, None], bias[list(rows)]]
        elif isinstance(layer, layers.Conv2D):
            values = [np.transpose(take(f"{_torch_name(layer)}.weight"), (2, 3, 1, 0))]
        else:
            kinds = ("weight", "bias", "running_mean", "running_var")
            values = [take(f"{_torch_name(layer)}.{kind}") for kind in kinds]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if [value.shape for value in values] != shapes:
            raise ValueError(f"the weights of {_torch_name(layer)} have the shapes {[v.shape for v in values]}")
        layer.set_weights(values)
    if left:
        raise ValueError(f"it has weights that a DenseNet-121 has not, such as {min(left)}")


def _layer_name(path: str) -> str:
    return f"{ROOT}.{path}".replace(".", "_")


def _torch_name(layer: keras.Layer) -> str:
    # No name in PyTorch's DenseNet holds an underscore of its own.
    return str(layer.name).replace("_", ".")


def _convolution(x: keras.KerasTensor, path: str, filters: int, kernel: int, strides: int = 1) -> keras.KerasTensor:
    """A convolution without bias. PyTorch pads alike on all sides, which Keras' "same" does not for strides of 2."""
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{_layer_name(path)}_pad")(x)
    return layers.Conv2D(filters, kernel, strides, use_bias=False, name=_layer_name(path))(x)


def _normalised(x: keras.KerasTensor, path: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=EPSILON, name=_layer_name(path))(x)


def _activated(x: keras.KerasTensor, path: str) -> keras.KerasTensor:
    return layers.Activation("relu", name=f"{_layer_name(path)}_relu")(_normalised(x, path))
