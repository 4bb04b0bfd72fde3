"""EfficientNet-Lite (Google, 2020, Apache-2.0) as a flat Keras 3 graph.

EfficientNet-Lite is EfficientNet (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 for
swish, and with a stem and a head that are not scaled. It is small and fast on a CPU, and its every operation is one
that all Keras backends and ONNX share.
"""

import math
from dataclasses import dataclass
from typing import Final

import keras
from keras import layers

BATCH_NORM_EPSILON: Final = 1e-3
BATCH_NORM_MOMENTUM: Final = 0.99
STEM_FILTERS: Final = 32
HEAD_FILTERS: Final = 1280


@dataclass(frozen=True)
class Stage:
    """One stage of inverted residual blocks, before scaling."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)

SCALING: Final = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Variant -> (width, depth) multipliers of the release."""


def round_filters(filters: int, width: float) -> int:
    """Channels scaled by `width`, rounded to a multiple of 8 that is at least 90% of the exact value."""
    exact = filters * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _conv_norm(x: keras.KerasTensor, conv: layers.Layer, name: str, activation: bool) -> keras.KerasTensor:
    x = conv(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x) if activation else x


def _block(
    x: keras.KerasTensor, stage: Stage, filters: int, stride: int, name: str, drop_rate: float
) -> keras.KerasTensor:
    entry = x
    channels = x.shape[-1]
    if stage.expansion != 1:
        expand = layers.Conv2D(channels * stage.expansion, 1, use_bias=False, name=f"{name}_expand")
        x = _conv_norm(x, expand, f"{name}_expand", activation=True)
    depthwise = layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    x = _conv_norm(x, depthwise, f"{name}_depthwise", activation=True)
    project = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")
    x = _conv_norm(x, project, f"{name}_project", activation=False)
    if stride == 1 and channels == filters:
        if drop_rate > 0:
            # Stochastic depth: the whole residual branch of a film is dropped.
            x = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
        x = layers.Add(name=f"{name}_add")([x, entry])
    return x


def efficientnet_lite(x: keras.KerasTensor, variant: str, drop_connect_rate: float = 0.2) -> keras.KerasTensor:
    """The layers from a normalised image to the last feature map.

    Args:
        x: symbolic tensor of shape (batch, size, size, 3), channels already normalised as `(v - 127) / 128`.
        variant: a key of `SCALING`.
        drop_connect_rate: stochastic depth of the last block, 0 to 1; earlier blocks in proportion to their depth.

    Returns:
        Symbolic tensor of shape (batch, ceil(size / 32), ceil(size / 32), 1280), after ReLU6.

    Raises:
        ValueError: `variant` is not known.
    """
    if variant not in SCALING:
        raise ValueError(f"{variant!r} is not one of {', '.join(SCALING)}.")
    width, depth = SCALING[variant]
    last = len(STAGES) - 1
    # The release scales neither stem nor head, and so neither the repeats of the first and the last stage.
    repeats = [s.repeats if i in (0, last) else math.ceil(s.repeats * depth) for i, s in enumerate(STAGES)]
    total = sum(repeats)

    stem = layers.Conv2D(STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem")
    x = _conv_norm(x, stem, "stem", activation=True)
    index = 0
    for stage, count in zip(STAGES, repeats, strict=True):
        for repeat in range(count):
            stride = stage.stride if repeat == 0 else 1
            drop_rate = drop_connect_rate * index / total
            x = _block(x, stage, round_filters(stage.filters, width), stride, f"block{index}", drop_rate)
            index += 1
    head = layers.Conv2D(HEAD_FILTERS, 1, use_bias=False, name="head")
    return _conv_norm(x, head, "head", activation=True)
