"""Writing a bundle, and proving that its serving graph is its Keras model. Needs Keras; serving does not come here."""

import tempfile
from pathlib import Path

import keras
import numpy as np

from cxr.model.bundle import (
    CARD_FILE,
    GRAPH_FILE,
    KERAS_FILE,
    LOGITS,
    MAPS,
    PROBE_FILE,
    Bundle,
    Probe,
    check_agreement,
    file_sha256,
    load_bundle,
    write_card,
)
from cxr.model.card import Card
from cxr.model.engine import Engine
from cxr.model.onnx_graph import onnx_graph
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import SAMPLES

PREDICT_BATCH = 64


def predict(model: keras.Model, films: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (n, 15) and maps float32 (n, h, w, 15) of films (n, size, size), uint8 or float, 0..255."""
    batches = [
        model.predict_on_batch(np.asarray(films[start : start + PREDICT_BATCH], np.float32)[..., None])
        for start in range(0, len(films), PREDICT_BATCH)
    ]
    return np.concatenate([b[LOGITS] for b in batches]), np.concatenate([b[MAPS] for b in batches])


def write_bundle(folder: Path, model: keras.Model, card: Card, probe_films: np.ndarray) -> Bundle:
    """Write a bundle next to its final place, verify it there, and only then move it in.

    Args:
        folder: becomes the bundle; a bundle that stands there is replaced, anything else is not.
        model: of `build_classifier`.
        card: complete but for `files`, which is filled in here.
        probe_films: uint8 (n, size, size), kept with the outputs of Keras.

    Raises:
        BundleRejected: the exported graph does not agree with the Keras model; nothing was changed.
        FileExistsError: `folder` exists and is no bundle.
    """
    check_writable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        model.save(draft / KERAS_FILE)
        export_onnx(model, draft / GRAPH_FILE)
        logits, maps = predict(model, probe_films)
        np.savez_compressed(draft / PROBE_FILE, films=probe_films, logits=logits, maps=maps)
        files = {name: file_sha256(draft / name) for name in (KERAS_FILE, GRAPH_FILE, PROBE_FILE)}
        write_card(draft, card.model_copy(update={"files": files}))
        verify(load_bundle(draft), probe_films)
        if folder.exists():
            # Aside, not away: at no moment is the only copy half deleted. It goes with the scratch folder.
            folder.replace(Path(scratch) / "replaced")
        draft.replace(folder)
    return load_bundle(folder)


def probe_films(size: int) -> np.ndarray:
    """The shipped samples as the model sees them, uint8 (3, size, size): films that any bundle may carry with it."""
    squares = [model_input(read_radiograph(sample.read()), size) for sample in SAMPLES]
    return np.rint(np.stack(squares)).astype(np.uint8)


def check_writable(folder: Path) -> None:
    """Raise `FileExistsError` if a folder exists that a bundle must not replace."""
    if folder.exists() and any(folder.iterdir()) and not (folder / CARD_FILE).is_file():
        raise FileExistsError(f"The folder {folder} holds something that is not a model; choose another.")


def verify(bundle: Bundle, films: np.ndarray) -> float:
    """Compare the serving graph with the Keras model on films.

    Args:
        bundle: of `load_bundle`, which has checked the hashes.
        films: uint8 (n, size, size).

    Returns:
        The largest absolute difference of any logit or map cell.

    Raises:
        BundleRejected: it is above `TOLERANCE`.
    """
    logits, maps = predict(load_keras(bundle), films)
    served = Engine(bundle).run(films.astype(np.float32))
    check_agreement(bundle.name, Probe(films, logits, maps), *served)
    return float(max(np.abs(served[0] - logits).max(), np.abs(served[1] - maps).max()))


def load_keras(bundle: Bundle) -> keras.Model:
    """The Keras model of a bundle, without its training state. Code inside a model file is never run (`safe_mode`)."""
    return keras.models.load_model(bundle.path / KERAS_FILE, compile=False, safe_mode=True)


def export_onnx(model: keras.Model, path: Path) -> None:
    """Write the graph film -> logits, maps as ONNX with a free batch size."""
    path.write_bytes(onnx_graph(model).SerializeToString())
