"""Training of a network's upper part on cached feature maps: what fine-tuning learns, at a fraction of its cost."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from cxr.model.bundle import LOGITS
from cxr.training.config import TrainingConfig
from cxr.training.fit import loss_of, schedule_of, start_from_prior
from scripts.study.frozen import Trunk


@dataclass(frozen=True, eq=False)
class Films:
    """Cached feature maps float16 (views, n, h, w, c), labels uint8 (n, 15), and which films (m,) are meant.

    `targets`: float32 (views, n, 15) in 0..1, what is learnt of a film in each view; None: its labels.
    """

    maps: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    targets: np.ndarray | None = None


def _epoch(films: Films, config: TrainingConfig, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every film once, in a new order and a random view; the last, smaller batch is left out."""
    rng = np.random.default_rng((config.seed, number))
    order = rng.permutation(films.rows)
    views = rng.integers(len(films.maps), size=len(order))
    for start in range(0, len(order) - config.batch_size + 1, config.batch_size):
        rows = order[start : start + config.batch_size]
        shown = views[start : start + config.batch_size]
        target = films.labels[rows] if films.targets is None else films.targets[shown, rows]
        yield films.maps[shown, rows].astype(np.float32), target.astype(np.float32)


def train(trunk: Trunk, films: Films, config: TrainingConfig) -> keras.Model:
    """A classifier whose layers above the trunk's cut were trained on some films; all its weights, logits and maps.

    Returns:
        Model from the feature map at the cut to logits.
    """
    keras.utils.set_random_seed(config.seed)
    whole = trunk.classifier(config.dropout)
    upper = keras.Model(whole.get_layer(trunk.cut).output, whole.output[LOGITS])
    labels = films.labels[films.rows]
    start_from_prior(whole, labels, config)
    optimizer = keras.optimizers.AdamW(
        schedule_of(config, len(films.rows) // config.batch_size),
        weight_decay=config.weight_decay,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    upper.compile(optimizer=optimizer, loss=loss_of(labels, config), jit_compile=False)
    # Not `fit`: fed by Python, TensorFlow sets glibc's trim threshold down, and every step faults its memory in anew.
    for number in range(config.epochs):
        for maps, target in _epoch(films, config, number):
            upper.train_on_batch(maps, target)
    if config.ema > 0:
        optimizer.finalize_variable_values(upper.trainable_variables)
    return upper


def predict(upper: keras.Model, maps: np.ndarray) -> np.ndarray:
    """Logits float32 (n, 15) of feature maps (n, h, w, c)."""
    return np.concatenate(
        [
            np.asarray(upper.predict_on_batch(maps[start : start + 64].astype(np.float32)))
            for start in range(0, len(maps), 64)
        ]
    )
