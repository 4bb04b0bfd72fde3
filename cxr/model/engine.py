"""The serving engine: a bundle's graph under ONNX Runtime, without TensorFlow or Keras."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from cxr.findings import CATEGORIES
from cxr.model.bundle import FEATURES, LOGITS, MAPS, SCOPE_FILE, Bundle, BundleRejected, check_agreement
from cxr.model.graph_check import checked_graph, checked_probe
from cxr.radiograph import Radiograph, model_input
from cxr.radiograph.scope import ScopeModel
from cxr.settings import settings

BATCH = 8
SPIN_MICROSECONDS = "50"
"""How long a thread of ONNX Runtime stays awake when it has nothing to do: from one layer to the next, and no longer.
By itself it stays awake far longer. That gains a tenth on an idle machine, and costs a third where there is other work,
as there is beside readers, decoders and the worklist (`benchmarks/spinning.json`)."""


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
        features: float32 (d,), what the scope check looks at; None where the serving graph does not give any.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    maps: np.ndarray
    head_bias: np.ndarray
    square: np.ndarray
    columns: tuple[str, ...] = CATEGORIES
    features: np.ndarray | None = None

    def evidence(self, category: str) -> np.ndarray:
        """float32 (h, w): what each part of the film adds to the logit of a category (negative: takes away)."""
        k = self.columns.index(category)
        return self.maps[..., k] - self.head_bias[k]


class Engine:
    """Classifies films with one bundle. Threads may share an engine.

    Args:
        bundle: of `load_bundle`.

    Attributes:
        scope: the bundle's scope check; None where it carries none.
        gives_features: whether the serving graph gives what a scope check looks at.

    Raises:
        BundleRejected: the graph can't be loaded, or this machine's runtime does not reproduce the bundle's probe.
    """

    def __init__(self, bundle: Bundle):
        self.bundle = bundle
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings().threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        try:
            # The bytes, not the path: what is run is what was checked.
            self._session = ort.InferenceSession(
                checked_graph(bundle), sess_options=options, providers=["CPUExecutionProvider"]
            )
            self._input = self._session.get_inputs()[0].name
            self.gives_features = FEATURES in {output.name for output in self._session.get_outputs()}
            probe = checked_probe(bundle)
            outputs = self.outputs(probe.films.astype(np.float32))
        except BundleRejected:
            raise
        except Exception as error:
            # ONNX Runtime's exceptions share no base; whatever it says of a graph, the bundle can't serve.
            raise BundleRejected(f"The serving graph of the model {bundle.name} can't be run.") from error
        check_agreement(bundle.name, probe, *outputs)
        self.scope = self._scope(None if outputs[2] is None else outputs[2].shape[1])

    def _scope(self, features: int | None) -> ScopeModel | None:
        if SCOPE_FILE not in self.bundle.card.files:
            return None
        try:
            return ScopeModel.load(self.bundle.path / SCOPE_FILE, features or 0)
        except (OSError, ValueError, KeyError) as error:
            raise BundleRejected(
                f"The scope check of the model {self.bundle.name} does not go with its serving graph; make it anew: "
                "`python -m cxr scope`."
            ) from error

    def run(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bare graph: float32 (n, size, size) in 0..255 -> logits (n, k) and maps (n, h, w, k), k outputs in the
        order of the card's `categories`."""
        logits, maps = self._session.run([LOGITS, MAPS], {self._input: squares[..., None]})
        return logits, maps

    def outputs(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """As `run`, and the features (n, d) of the same pass; None for features where the graph gives none."""
        names = [LOGITS, MAPS, *([FEATURES] if self.gives_features else [])]
        logits, maps, *features = self._session.run(names, {self._input: squares[..., None]})
        return logits, maps, features[0] if features else None

    def predict(self, films: Sequence[Radiograph]) -> list[Prediction]:
        """Classify films, in their order."""
        card = self.bundle.card
        bias = card.aligned(np.array(card.head_bias, np.float32))
        predictions: list[Prediction] = []
        for start in range(0, len(films), BATCH):
            squares = np.stack([model_input(film, card.input_size) for film in films[start : start + BATCH]])
            logits, maps, features = self.outputs(squares)
            seen = [None] * len(squares) if features is None else features
            parts = zip(
                card.aligned(logits), card.probabilities(logits), card.aligned(maps), squares, seen, strict=True
            )
            predictions += [
                Prediction(logit, probability, grid, bias, square, card.columns, vector)
                for logit, probability, grid, square, vector in parts
            ]
        return predictions
