"""What the scope check looks at: a summary of what the network sees on the way to its last feature map. Needs Keras."""

from typing import Final

import keras
import numpy as np
from keras import layers

from cxr.model.bundle import FEATURES, LOGITS, MAPS

STAGES: Final = 3
"""The last feature map, and those of twice and of four times its side: shapes and textures, which a network that was
trained on chest films alone tells apart better there than at its end."""
PADDING: Final = layers.ZeroPadding2D


def with_features(model: keras.Model) -> keras.Model:
    """A classifier with one more output, for serving: the mean and the mean square of every channel of three stages.

    It shares the layers of the model, which is left as it is.

    Args:
        model: of `build_classifier`, or any flat model of its outputs.

    Returns:
        Model with the outputs `{"logits", "maps", "features"}`; features are float32 (batch, d): of each stage, the
        last one first, the means of its channels and then their mean squares.
    """
    parts = []
    for number, stage in enumerate(stages(model)):
        square = layers.Multiply(name=f"{FEATURES}_square_{number}")([stage, stage])
        parts += [
            layers.GlobalAveragePooling2D(dtype="float32", name=f"{FEATURES}_{name}_{number}")(tensor)
            for name, tensor in (("mean", stage), ("mean_square", square))
        ]
    joined = layers.Concatenate(dtype="float32", name=f"{FEATURES}_joined")(parts)
    outputs = {LOGITS: model.output[LOGITS], MAPS: model.output[MAPS], FEATURES: joined}
    return keras.Model(model.input, outputs, name=model.name)


def channels(model: keras.Model) -> np.ndarray:
    """int64 (stages,): channels of each stage, in the order of the features, which are two numbers of each."""
    return np.array([stage.shape[-1] for stage in stages(model)], np.int64)


def stages(model: keras.Model) -> list[keras.KerasTensor]:
    """The last feature map, and the last of each larger size before it; at most `STAGES`, fewer in a shallow model."""
    maps = model.output[MAPS]
    found: dict[int, keras.KerasTensor] = {}
    ends = _before(model, maps)
    for tensor in ends:
        found[tensor.shape[1]] = tensor
    sizes = sorted(size for size in found if size >= maps.shape[1])
    # The film itself, and what is as large as it, is no stage.
    sizes = [size for size in sizes if size < model.input.shape[1]]
    return [found[size] for size in sizes[:STAGES]]


def _before(model: keras.Model, maps: keras.KerasTensor) -> list[keras.KerasTensor]:
    """The feature maps on the way to the head, in the order in which they are made."""
    head = next(operation for operation in model.operations if operation.output is maps)
    found = []
    for operation in model.operations:
        if operation is head:
            break
        shape = operation.output.shape
        # A padded map is larger than what was seen.
        if len(shape) == 4 and shape[1] == shape[2] and shape[1] > 1 and not isinstance(operation, PADDING):
            found.append(operation.output)
    return found
