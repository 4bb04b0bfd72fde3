"""What the frozen lower part of a network makes of films: computed once, kept in the cache, trained on many times."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from cxr.model.classifier import FEATURES, build_classifier
from cxr.training.augment import augment
from cxr.training.config import TrainingConfig

BATCH = 32
POOLED = "pooled"
"""In place of a layer: mean and maximum over the last feature map, side by side."""


@dataclass(frozen=True)
class Trunk:
    """The part of a network below a layer.

    Attributes:
        backbone: of `cxr.model.backbones`.
        size: side of the square film, pixels.
        cut: the layer whose output is the feature map, or `POOLED`.
        start: "imagenet", "random", or a weights file of the whole classifier.
    """

    backbone: str = "efficientnet_lite0"
    size: int = 224
    cut: str = POOLED
    start: str = "imagenet"

    def classifier(self, dropout: float = 0.2) -> keras.Model:
        """The whole network with its starting weights."""
        model = build_classifier(
            self.backbone, self.size, weights="imagenet" if self.start == "imagenet" else None, dropout=dropout
        )
        if self.start not in ("imagenet", "random"):
            model.load_weights(self.start)
        return model

    def lower(self) -> keras.Model:
        """From films to feature maps, or pooled features."""
        model = self.classifier()
        if self.cut != POOLED:
            return keras.Model(model.input, model.get_layer(self.cut).output)
        last = model.get_layer(FEATURES).output
        pooled = [layers.GlobalAveragePooling2D()(last), layers.GlobalMaxPooling2D()(last)]
        return keras.Model(model.input, layers.Concatenate()(pooled))


def feature_maps(trunk: Trunk, pixels: np.ndarray, views: int, config: TrainingConfig, cache: Path) -> np.ndarray:
    """float16 (views, n, h, w, c), or float32 (views, n, 2c) if pooled: the films as they are (view 0), then augmented anew for each view.

    Args:
        pixels: uint8 (n, size, size).
        views: at least 1.
        config: how to augment.
    """
    facts = hashlib.sha256(repr(trunk).encode() + config.model_dump_json().encode())
    facts.update(np.ascontiguousarray(pixels[:: max(1, len(pixels) // 50)]).tobytes())
    if trunk.start not in ("imagenet", "random"):
        facts.update(Path(trunk.start).read_bytes())
    stem = f"maps-{trunk.backbone}-{trunk.size}-{trunk.cut}-{len(pixels)}-{facts.hexdigest()[:12]}"
    parts = []
    lower: keras.Model | None = None
    for view in range(views):
        file = cache / f"{stem}-{view}.npy"
        if not file.is_file():
            if lower is None:
                lower = trunk.lower()
            _compute(lower, pixels, view, config, file)
        parts.append(np.load(file, mmap_mode="r"))
    return np.stack(parts)


def _compute(lower: keras.Model, pixels: np.ndarray, view: int, config: TrainingConfig, file: Path) -> None:
    chunks = []
    for start in range(0, len(pixels), BATCH):
        films = pixels[start : start + BATCH]
        if view:
            films = np.stack(
                [augment(film, config, np.random.default_rng((view, start + k))) for k, film in enumerate(films)]
            )
        chunks.append(np.asarray(lower.predict_on_batch(films[..., None].astype(np.float32))))
    draft = file.with_suffix(".draft.npy")
    maps = np.concatenate(chunks)
    np.save(draft, maps if maps.ndim == 2 else maps.astype(np.float16))
    draft.replace(file)
