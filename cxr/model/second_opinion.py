"""A second opinion on where a finding is seen, by tf-keras-vis on the bundle's Keras model.

Grad-CAM repeats the bundle's own heatmap by another road (gradients instead of the head's weights); Grad-CAM++ and
Score-CAM weigh the feature channels otherwise. TensorFlow is imported only when this module is.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import keras
import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.scorecam import Scorecam

from cxr.findings import CATEGORIES
from cxr.model.bundle import LOGITS
from cxr.model.classifier import FEATURES
from cxr.model.heatmap import METHODS, supporting_map

SCORE_CAM_CHANNELS: Final = 32
"""Score-CAM masks the film once per feature channel; those with the largest variance suffice (Faster Score-CAM)."""


def second_opinion(
    model: keras.Model,
    square: np.ndarray,
    finding: str,
    methods: tuple[str, ...] = METHODS,
    categories: Sequence[str] = CATEGORIES,
) -> Iterator[tuple[str, np.ndarray | None]]:
    """Maps of one finding by other methods, each as soon as it is there.

    tf-keras-vis' own enlargement aligns corners, which shifts a map by up to half a cell; the maps are therefore taken
    at their own resolution, for `cxr.model.heatmap.upsample`.

    Args:
        model: Keras model of a bundle; its last feature map is the layer "features".
        square: float32 (size, size), grey levels 0..255, of `model_input`.
        finding: one of `categories`.
        methods: some of `METHODS`.
        categories: what the model's outputs are, in their order (`Card.categories`).

    Yields:
        (method, float32 (h, w) scaled to 0..1, or None where nothing speaks for the finding).
    """
    # Score-CAM predicts with a progress bar on standard output, which belongs to nobody here.
    keras.config.disable_interactive_logging()
    index = categories.index(finding)
    # tf-keras-vis hands its inputs over as a list.
    logits = keras.Model([model.input], model.output[LOGITS])
    film = np.asarray(square, np.float32)[None, ..., None]

    def score(output: np.ndarray) -> np.ndarray:
        return output[:, index]

    calls: dict[str, Callable[[], np.ndarray]] = {
        "Grad-CAM": lambda: Gradcam(logits)(score, film, **_AT_FEATURES),
        "Grad-CAM++": lambda: GradcamPlusPlus(logits)(score, film, **_AT_FEATURES),
        "Score-CAM": lambda: Scorecam(logits)(score, film, max_N=SCORE_CAM_CHANNELS, **_AT_FEATURES),
    }
    for method in methods:
        yield method, supporting_map(np.asarray(calls[method]())[0])


# On some backbones tf-keras-vis would pick an inner convolution by itself; the last feature map is named instead.
_AT_FEATURES: Final = {
    "penultimate_layer": FEATURES,
    "seek_penultimate_conv_layer": False,
    "expand_cam": False,
    "normalize_cam": False,
}
