"""Writing a bundle, and proving that its serving graph is its Keras model. Needs Keras; serving does not come here."""

import tempfile
from pathlib import Path

import keras
import numpy as np

from cxr.model.bundle import (
    CARD_FILE,
    FEATURES,
    GRAPH_FILE,
    KERAS_FILE,
    LOGITS,
    MAPS,
    PROBE_FILE,
    Bundle,
    BundleRejected,
    Probe,
    check_agreement,
    file_sha256,
    load_bundle,
    write_card,
)
from cxr.model.card import Card
from cxr.model.engine import Engine
from cxr.model.features import with_features
from cxr.model.keras_check import checked_keras
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


def probe_of(model: keras.Model, films: np.ndarray) -> Probe:
    """What Keras makes of films, uint8 (n, size, size): logits, maps, and the features of the serving graph."""
    found = with_features(model).predict_on_batch(np.asarray(films, np.float32)[..., None])
    return Probe(films, found[LOGITS], found[MAPS], found[FEATURES])


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
        write_probe(draft, probe_of(model, probe_films))
        files = {name: file_sha256(draft / name) for name in (KERAS_FILE, GRAPH_FILE, PROBE_FILE)}
        write_card(draft, card.model_copy(update={"files": files}))
        verify(load_bundle(draft), probe_films)
        if folder.exists():
            # Aside, not away: at no moment is the only copy half deleted. It goes with the scratch folder.
            folder.replace(Path(scratch) / "replaced")
        draft.replace(folder)
    return load_bundle(folder)


def write_probe(folder: Path, probe: Probe) -> None:
    """Write the probe of a bundle."""
    given = {} if probe.features is None else {FEATURES: probe.features}
    arrays = {"films": probe.films, LOGITS: probe.logits, MAPS: probe.maps} | given
    np.savez_compressed(folder / PROBE_FILE, allow_pickle=False, **arrays)


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
    engine = Engine(bundle)
    model, served = load_keras(bundle), engine.outputs(films.astype(np.float32))
    expected = probe_of(model, films) if engine.gives_features else Probe(films, *predict(model, films))
    check_agreement(bundle.name, expected, *served)
    return float(max(np.abs(served[0] - expected.logits).max(), np.abs(served[1] - expected.maps).max()))


def load_keras(bundle: Bundle) -> keras.Model:
    """The Keras model of a bundle, without its training state. Code inside a model file is never run (`safe_mode`).

    Raises:
        BundleRejected: the file is none of this product, or Keras can't load it.
    """
    try:
        checked_keras(bundle)
        return keras.models.load_model(bundle.path / KERAS_FILE, compile=False, safe_mode=True)
    except BundleRejected:
        raise
    except Exception as error:
        # Keras raises many things for what it can't build; none of them may end a command with a traceback.
        raise BundleRejected(f"The Keras model of {bundle.name} can't be loaded ({type(error).__name__}).") from error


def export_onnx(model: keras.Model, path: Path) -> None:
    """Write the graph film -> logits, maps, features as ONNX with a free batch size."""
    path.write_bytes(onnx_graph(with_features(model)).SerializeToString())
