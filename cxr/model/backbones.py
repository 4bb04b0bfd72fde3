"""The backbones a classifier can be built on, each with its own normalisation and ImageNet weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import keras

from cxr.model.efficientnet_lite import efficientnet_lite
from cxr.model.names import weights_file

# Per-channel (mean, standard deviation) in grey levels 0..255 that each family was trained with.
# Caffe's channel order is BGR; a radiograph is grey, so only the order of the means matters.
LITE: Final = ((127.0,) * 3, (128.0,) * 3)
MINUS_ONE_TO_ONE: Final = ((127.5,) * 3, (127.5,) * 3)
TORCH: Final = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CAFFE: Final = ((103.939, 116.779, 123.68), (1.0,) * 3)


class WeightsUnavailable(RuntimeError):
    """The weights of a backbone that were asked for are not here, and can't be had from here."""


@dataclass(frozen=True)
class Backbone:
    """A feature extractor that can stand under the classifier.

    Attributes:
        build: takes a symbolic tensor (batch, size, size, 3), already normalised, returns the last feature map.
        mean, std: per-channel normalisation, in grey levels 0..255.
    """

    build: Callable[..., keras.KerasTensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _lite(x: keras.KerasTensor, weights: str | None, *, variant: str) -> keras.KerasTensor:
    features = efficientnet_lite(x, variant)
    if weights == "imagenet":
        path = weights_file(variant)
        if not path.is_file():
            raise WeightsUnavailable(f"The ImageNet weights of {variant} are missing: there is no file {path}.")
        keras.Model(x, features).load_weights(path)
    return features


def _application(x: keras.KerasTensor, weights: str | None, *, name: str) -> keras.KerasTensor:
    build = getattr(keras.applications, name)
    extra = {"include_preprocessing": False} if name == "EfficientNetV2B0" else {}
    features = build(include_top=False, input_tensor=x, weights=None, **extra).output
    if weights == "imagenet":
        # Keras counts every layer below when it loads, the normalisation too: load into a copy of its own, then move.
        try:
            donor = build(include_top=False, input_shape=x.shape[1:], weights="imagenet", **extra)
        except Exception as error:
            # Keras raises a bare Exception, with the address, when its download fails.
            if isinstance(error, OSError) or "URL fetch failure" in str(error):
                raise WeightsUnavailable(
                    f"The ImageNet weights of {name} could not be downloaded. Connect to the internet once, "
                    "or put the file that Keras asks for into its folder `~/.keras/models`."
                ) from error
            raise
        keras.Model(x, features).set_weights(donor.get_weights())
    return features


BACKBONES: Final[dict[str, Backbone]] = {
    "efficientnet_lite0": Backbone(partial(_lite, variant="efficientnet_lite0"), *LITE),
    "efficientnet_lite2": Backbone(partial(_lite, variant="efficientnet_lite2"), *LITE),
    "densenet121": Backbone(partial(_application, name="DenseNet121"), *TORCH),
    "mobilenet_v2": Backbone(partial(_application, name="MobileNetV2"), *MINUS_ONE_TO_ONE),
    # Without its own preprocessing EfficientNetV2-B0 takes images scaled and normalised as in torchvision.
    "efficientnet_v2b0": Backbone(partial(_application, name="EfficientNetV2B0"), *TORCH),
    "xception": Backbone(partial(_application, name="Xception"), *MINUS_ONE_TO_ONE),
    "vgg16": Backbone(partial(_application, name="VGG16"), *CAFFE),
}


def backbone(name: str) -> Backbone:
    """The backbone of that name. Raises `ValueError`, naming the known ones, if there is none."""
    if name not in BACKBONES:
        raise ValueError(f"There is no backbone {name!r}; known are {', '.join(BACKBONES)}.")
    return BACKBONES[name]
