"""What the frozen lower part of a network makes of films: computed once, kept in the cache, trained on many times."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnxruntime as ort

from cxr.model.classifier import FEATURES, build_classifier
from cxr.model.onnx_graph import onnx_graph
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

    def lower(self) -> ort.InferenceSession:
        """From films float32 (n, size, size, 1) to feature maps, those below pooling if they are pooled."""
        model = self.classifier()
        layer = model.get_layer(FEATURES if self.cut == POOLED else self.cut)
        # The serving runtime: several times as fast as Keras.
        graph = onnx_graph(keras.Model(model.input, {"features": layer.output}))
        return ort.InferenceSession(graph.SerializeToString())


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
    lower: ort.InferenceSession | None = None
    for view in range(views):
        file = cache / f"{stem}-{view}.npy"
        if not file.is_file():
            lower = lower or trunk.lower()
            maps = _computed(lower, trunk.cut == POOLED, pixels, view, config)
            draft = file.with_suffix(".draft.npy")
            np.save(draft, maps)
            draft.replace(file)
        parts.append(np.load(file, mmap_mode="r"))
    return np.stack(parts)


def _computed(
    lower: ort.InferenceSession, pooled: bool, pixels: np.ndarray, view: int, config: TrainingConfig
) -> np.ndarray:
    def shown(number: int) -> np.ndarray:
        if not view:
            return pixels[number].astype(np.float32)
        return augment(pixels[number], config, np.random.default_rng((view, number)))

    chunks = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pixels), BATCH):
            films = np.stack(list(pool.map(shown, range(start, min(start + BATCH, len(pixels))))))
            (maps,) = lower.run(None, {lower.get_inputs()[0].name: films[..., None].astype(np.float32)})
            chunks.append(
                np.concatenate([maps.mean((1, 2)), maps.max((1, 2))], axis=1) if pooled else maps.astype(np.float16)
            )
    return np.concatenate(chunks)
