"""Pre-training of a network's upper part on frontal films of other hospitals, which share no patient with NIH's.

    python -m scripts.study.pretrain --other DIR --out FILE

writes the weights of the backbone that `finetune --weights` starts from, pre-trained as in the study.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from cxr.model.classifier import FEATURES, features_of
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from scripts.study.films import OTHERS, OtherFilms, load_others
from scripts.study.frozen import Trunk, feature_maps

VIEWS = 3
EPOCHS = 4
SIZE = 224
"""Most films of other hospitals are no larger, whatever size is trained on afterwards."""
TUNED = "block10_add"
"""Above it the shipped recipe trains: stages 6 and 7 of EfficientNet-Lite0."""
EMBEDDING = 256
OFF_DIAGONAL = 0.005
"""Weight of the terms off the diagonal (Zbontar et al. 2021, arXiv:2103.03230, 3)."""


def pretrained(trunk: Trunk, how: str, films: OtherFilms, epochs: int, cache: Path) -> Trunk:
    """The same network, whose layers above the cut have learnt from other films.

    Args:
        trunk: with ImageNet weights.
        how: "kermany": normal against pneumonia, children (Kermany et al. 2018), or "barlow twins": two views of a film
            should give the same, decorrelated features (Zbontar et al. 2021), no labels.
        films: at the trunk's size.
        epochs: passes over them.
        cache: where the weights are kept.
    """
    file = cache / f"pretrained-{how.replace(' ', '-')}-{trunk.backbone}-{trunk.size}-{trunk.cut}-{epochs}.weights.h5"
    if not file.is_file():
        config = TrainingConfig(epochs=epochs, learning_rate=1e-3)
        keras.utils.set_random_seed(config.seed)
        whole = trunk.classifier()
        features = keras.Model(whole.get_layer(trunk.cut).output, whole.get_layer(FEATURES).output)
        task = {"kermany": _supervised, "barlow twins": _barlow_twins}[how]
        task(features, trunk, films, config, cache)
        draft = file.with_suffix(".draft.weights.h5")
        whole.save_weights(draft)
        draft.replace(file)
    return replace(trunk, start=str(file))


def _supervised(features: keras.Model, trunk: Trunk, films: OtherFilms, config: TrainingConfig, cache: Path) -> None:
    maps = feature_maps(trunk, films.pixels, VIEWS, config, cache)
    rows = np.flatnonzero(films.folder < 2)
    labels = (films.folder == OTHERS.index("kermany224/pneumonia")).astype(np.float32)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(features.output))
    model = keras.Model(features.input, layers.Dense(1)(x))
    _compile(model, keras.losses.BinaryCrossentropy(from_logits=True), len(rows) // 32 * config.epochs, config)
    model.fit(_Views(maps, rows, 32, lambda r: labels[r, None]), epochs=config.epochs, verbose=2)


def _barlow_twins(features: keras.Model, trunk: Trunk, films: OtherFilms, config: TrainingConfig, cache: Path) -> None:
    maps = feature_maps(trunk, films.pixels, VIEWS, config, cache)
    project = keras.Sequential(
        [
            layers.GlobalAveragePooling2D(),
            layers.Dense(512, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(EMBEDDING),
        ]
    )
    one, two = keras.Input(features.input_shape[1:]), keras.Input(features.input_shape[1:])
    model = keras.Model([one, two], layers.Concatenate()([project(features(one)), project(features(two))]))
    rows = np.arange(len(films.pixels))
    _compile(model, _decorrelation, len(rows) // 128 * config.epochs, config)
    model.fit(_Pairs(maps, rows, 128), epochs=config.epochs, verbose=2)


def _decorrelation(_: object, both: keras.KerasTensor) -> keras.KerasTensor:
    """Zbontar et al. 2021, equations 1 and 2: the cross-correlation of two views' embeddings should be the identity."""
    one, two = ops.split(both, 2, axis=1)
    one, two = ((z - ops.mean(z, axis=0)) / (ops.std(z, axis=0) + 1e-4) for z in (one, two))
    correlation = ops.matmul(ops.transpose(one), two) / ops.cast(ops.shape(one)[0], one.dtype)
    squared = ops.square(correlation - ops.eye(EMBEDDING))
    diagonal = ops.sum(ops.diagonal(squared))
    return (diagonal + OFF_DIAGONAL * (ops.sum(squared) - diagonal)) / EMBEDDING


def _compile(model: keras.Model, loss: object, steps: int, config: TrainingConfig) -> None:
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 25, steps, warmup_target=config.learning_rate, warmup_steps=steps // 7
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=config.weight_decay), loss, jit_compile=False)


class _Views(keras.utils.PyDataset):
    """Films in a new order and a random view each epoch, with targets."""

    def __init__(self, maps: np.ndarray, rows: np.ndarray, batch: int, target: object):
        super().__init__()
        self.maps, self.rows, self.batch, self.target = maps, rows, batch, target
        self.rng = np.random.default_rng(0)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self.order = self.rng.permutation(self.rows)

    def __len__(self) -> int:
        return len(self.order) // self.batch

    def _rows(self, index: int) -> np.ndarray:
        return self.order[index * self.batch : (index + 1) * self.batch]

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._rows(index)
        views = self.rng.integers(len(self.maps), size=len(rows))
        return self.maps[views, rows].astype(np.float32), self.target(rows)


class _Pairs(_Views):
    """Two different views of each film; the target is not used."""

    def __init__(self, maps: np.ndarray, rows: np.ndarray, batch: int):
        super().__init__(maps, rows, batch, None)

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        rows = self._rows(index)
        first = self.rng.integers(len(self.maps), size=len(rows))
        second = (first + self.rng.integers(1, len(self.maps), size=len(rows))) % len(self.maps)
        pair = tuple(self.maps[view, rows].astype(np.float32) for view in (first, second))
        return pair, np.zeros((len(rows), 1), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.study.pretrain", description="Pre-train a backbone on films without labels."
    )
    parser.add_argument("--other", type=Path, required=True, help="folder of frontal films of other hospitals")
    parser.add_argument("--out", type=Path, required=True, help="file of the weights")
    arguments = parser.parse_args()
    cache = settings().cache_dir / "study"
    cache.mkdir(parents=True, exist_ok=True)
    trunk = Trunk(size=SIZE, cut=TUNED)
    learnt = pretrained(trunk, "barlow twins", load_others(arguments.other, SIZE, cache), EPOCHS, cache)
    features_of(learnt.classifier()).save_weights(arguments.out)


if __name__ == "__main__":
    main()
