"""Giving a bundle what its scope check needs, and the check itself, without making another model of it."""

from pathlib import Path
from typing import Final

import numpy as np

from cxr.evaluation.stored import load_evaluation, store_report
from cxr.model.attach import attach
from cxr.model.bundle import GRAPH_FILE, PROBE_FILE, Bundle, BundleRejected, load_probe
from cxr.model.engine import Engine
from cxr.model.export import export_onnx, load_keras, probe_of, write_probe

SAME: Final = 1e-6
"""Largest difference that one more output may make to logits and maps."""


def give_features(bundle: Bundle) -> Bundle:
    """Write the serving graph anew with the output that a scope check needs, if it has it not.

    The Keras model stays, and so do logits and maps. `Bundle.model_sha256` changes with the graph; the stored
    evaluation is taken along, but a promotion is of the graph that was promoted.

    Raises:
        BundleRejected: the new graph gives other logits or maps than the old one; the bundle is then as it was.
    """
    before = Engine(bundle)
    if before.gives_features:
        return bundle
    model, films = load_keras(bundle), load_probe(bundle.path).films
    stored = load_evaluation(bundle)

    def write(folder: Path) -> None:
        export_onnx(model, folder / GRAPH_FILE)
        write_probe(folder, probe_of(model, films))

    def put_back(folder: Path) -> None:
        for name, content in former.items():
            (folder / name).write_bytes(content)

    old = before.run(films.astype(np.float32))
    former = {name: (bundle.path / name).read_bytes() for name in (GRAPH_FILE, PROBE_FILE)}
    renewed = attach(bundle, (GRAPH_FILE, PROBE_FILE), write)
    new = Engine(renewed).run(films.astype(np.float32))
    if not max(float(np.abs(a - b).max()) for a, b in zip(old, new, strict=True)) <= SAME:
        attach(renewed, tuple(former), put_back)
        raise BundleRejected(f"The new serving graph of the model {bundle.name} gives other logits or maps.")
    if stored is not None:
        of_model = stored.report.model.model_copy(update={"sha256": renewed.model_sha256})
        renewed = store_report(renewed, stored.report.model_copy(update={"model": of_model}))
    return renewed
