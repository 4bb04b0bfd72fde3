"""The recipe of the notebook that the project began with: the last five layers of a network, then eight units."""

import keras
import numpy as np
from keras import layers

from cxr.findings import CATEGORIES
from cxr.model.classifier import FEATURES
from scripts.study.frozen import Trunk

CUT = "block15_depthwise_relu6"
"""Five layers of EfficientNet-Lite0 lie above it. The notebook's Xception needs weights that Keras downloads."""
HIDDEN = 8
EPOCHS = 10
BATCH = 32


def fit(trunk: Trunk, maps: np.ndarray, labels: np.ndarray, seed: int) -> keras.Model:
    """Train the network above the cut as the notebook did: binary cross-entropy, Adam at Keras' rate, no augmentation.

    Args:
        trunk: with `CUT`.
        maps: float16 (n, h, w, c), what the trunk makes of the training films.
        labels: (n, 15), 0 or 1.
        seed: of initialisation and order.

    Returns:
        Model from such maps to 15 logits.
    """
    keras.utils.set_random_seed(seed)
    whole = trunk.classifier()
    x = layers.GlobalAveragePooling2D()(whole.get_layer(FEATURES).output)
    x = layers.Dense(HIDDEN, activation="relu")(x)
    model = keras.Model(whole.get_layer(trunk.cut).output, layers.Dense(len(CATEGORIES))(x))
    model.compile(keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    model.fit(maps.astype(np.float32), labels.astype(np.float32), batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model
