"""The classifier: any backbone under a head whose class activation maps are its own logits before averaging."""

from pathlib import Path
from typing import Final

import keras
import numpy as np
from keras import layers

from cxr.findings import CATEGORIES
from cxr.model.backbones import WeightsUnavailable, backbone
from cxr.model.bundle import LOGITS, MAPS
from cxr.model.names import weights_file

INPUT_NAME: Final = "film"
NORMALISATION: Final = "normalisation"
FEATURES: Final = "features"


def build_classifier(
    backbone_name: str, input_size: int, *, weights: str | None = "imagenet", dropout: float = 0.2
) -> keras.Model:
    """A flat functional model from a square film to 15 logits and the 15 maps they are the means of.

    The head is a 1x1 convolution, one channel per category, followed by a global average: `logits = mean(maps)`.
    For such a head Grad-CAM of logit k is `relu(maps[..., k])` up to a positive factor and the bias (Zhou et al. 2016,
    arXiv:1512.04150; Selvaraju et al. 2017, arXiv:1610.02391, section 3), so one pass gives every heatmap.

    Args:
        backbone_name: a key of `cxr.model.backbones.BACKBONES`.
        input_size: side of the square input, pixels, at least 32.
        weights: "imagenet", the name of other weights of the backbone (see `cxr.model.names.weights_file`), or None for
            random initialisation (for tests and for weights that are loaded later).
        dropout: share of feature channels dropped in training, 0 to 1.

    Returns:
        Model: float32 (batch, size, size, 1) with grey levels 0..255 ->
        `{"logits": float32 (batch, 15), "maps": float32 (batch, h, w, 15)}`, categories in the order of `CATEGORIES`.

    Raises:
        ValueError: unknown backbone or an input smaller than 32 pixels.
        WeightsUnavailable: the weights can't be had, or are another network's.
    """
    if input_size < 32:
        raise ValueError(f"`input_size` (={input_size}) must be at least 32.")
    chosen = backbone(backbone_name)
    film = keras.Input((input_size, input_size, 1), name=INPUT_NAME)
    # One fixed 1x1 convolution copies grey to three channels and normalises each: a plain layer with weights is saved,
    # trained and exported alike under every backend (keras.layers.Normalization loses its constants in ONNX).
    normalisation = layers.Conv2D(3, 1, trainable=False, name=NORMALISATION)
    x = normalisation(film)
    mean, std = np.array(chosen.mean, np.float32), np.array(chosen.std, np.float32)
    normalisation.set_weights([(1 / std).reshape(1, 1, 1, 3), -mean / std])

    features = chosen.build(x, weights if weights == "imagenet" else None)
    x = layers.Activation("linear", name=FEATURES)(features)
    if weights not in ("imagenet", None):
        _load(keras.Model(film, x), weights_file(backbone_name, weights))
    x = layers.SpatialDropout2D(dropout, name="head_dropout")(x)
    maps = layers.Conv2D(len(CATEGORIES), 1, dtype="float32", name=MAPS)(x)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name=LOGITS)(maps)
    return keras.Model(film, {LOGITS: logits, MAPS: maps}, name=backbone_name)


def features_of(classifier: keras.Model) -> keras.Model:
    """The part of a classifier whose weights are kept for others to start from: from the film to the last features."""
    return keras.Model(classifier.input, classifier.get_layer(FEATURES).output)


def _load(features: keras.Model, file: Path) -> None:
    if not file.is_file():
        raise WeightsUnavailable(f"There are no such weights to start from: there is no file {file}.")
    try:
        features.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsUnavailable(f"The weights {file} can't be read, or are those of another network.") from error
