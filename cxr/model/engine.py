"""The serving engine: a bundle's graph under ONNX Runtime, without TensorFlow or Keras."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from cxr.findings import CATEGORIES
from cxr.model.bundle import GRAPH_FILE, LOGITS, MAPS, Bundle, BundleRejected, check_agreement, load_probe
from cxr.radiograph import Radiograph, model_input
from cxr.settings import settings

BATCH = 8


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one film; every vector in the order of `columns`, NaN where the model has no such output.

    Attributes:
        logits: float32 (k,), k = 15, or more where an imported model has pathologies of its own.
        probabilities: float64 (k,), as of `Card.probabilities`.
        maps: float32 (h, w, k); the mean of each is its logit.
        head_bias: float32 (k,), the constant part of each map.
        square: float32 (size, size) in 0..255, what the model saw.
        columns: `Card.columns`.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    maps: np.ndarray
    head_bias: np.ndarray
    square: np.ndarray
    columns: tuple[str, ...] = CATEGORIES

    def evidence(self, category: str) -> np.ndarray:
        """float32 (h, w): what each part of the film adds to the logit of a category (negative: takes away)."""
        k = self.columns.index(category)
        return self.maps[..., k] - self.head_bias[k]


class Engine:
    """Classifies films with one bundle. Threads may share an engine.

    Args:
        bundle: of `load_bundle`.

    Raises:
        BundleRejected: the graph can't be loaded, or this machine's runtime does not reproduce the bundle's probe.
    """

    def __init__(self, bundle: Bundle):
        self.bundle = bundle
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings().threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                bundle.path / GRAPH_FILE, sess_options=options, providers=["CPUExecutionProvider"]
            )
            self._input = self._session.get_inputs()[0].name
            probe = load_probe(bundle.path)
            logits, maps = self.run(probe.films.astype(np.float32))
        except Exception as error:
            # ONNX Runtime's exceptions share no base; whatever it says of a graph, the bundle can't serve.
            raise BundleRejected(f"The serving graph of the model {bundle.name} can't be run.") from error
        check_agreement(bundle.name, probe, logits, maps)

    def run(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bare graph: float32 (n, size, size) in 0..255 -> logits (n, k) and maps (n, h, w, k), k outputs in the
        order of the card's `categories`."""
        logits, maps = self._session.run([LOGITS, MAPS], {self._input: squares[..., None]})
        return logits, maps

    def predict(self, films: Sequence[Radiograph]) -> list[Prediction]:
        """Classify films, in their order."""
        card = self.bundle.card
        bias = card.aligned(np.array(card.head_bias, np.float32))
        predictions: list[Prediction] = []
        for start in range(0, len(films), BATCH):
            squares = np.stack([model_input(film, card.input_size) for film in films[start : start + BATCH]])
            logits, maps = self.run(squares)
            parts = zip(card.aligned(logits), card.probabilities(logits), card.aligned(maps), squares, strict=True)
            predictions += [
                Prediction(logit, probability, grid, bias, square, card.columns)
                for logit, probability, grid, square in parts
            ]
        return predictions
