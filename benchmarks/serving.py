"""How long from the bytes of a film to its verdict, against the way without a serving graph, and the floor.

    python -m benchmarks.serving [--turns 4] [--json benchmarks/serving.json]

All of it on the shipped bundle, in one run on one machine, in turns of ten runs each so that a busy moment hits all
alike, and each turn after two runs to warm up (the thread pools of the runtimes disturb each other for a moment):
PNG 1024 px, JPEG 600 px and a real 16-bit DICOM through `cxr.classify.answer` (decode, resize, graph, calibrate, all 15
maps); the bare graph under ONNX Runtime and under OpenVINO; Keras `predict` plus one Grad-CAM of tf-keras-vis; and a
DenseNet-121 at 224 px with random weights under both runtimes, to choose between them on a second architecture.
Medians over all runs.
"""

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
import openvino
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from cxr.classify import answer
from cxr.model.bundle import GRAPH_FILE, bundle_path, load_bundle, load_probe
from cxr.model.engine import Engine
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import FOLDER

WARM_UP, BLOCK = 2, 10
KERAS_WAY = "Keras predict + one tf-keras-vis Grad-CAM"


def encoded(pixels: np.ndarray, side: int, kind: str) -> bytes:
    """A film of `side` x `side` pixels as a PNG or JPEG."""
    file = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).resize((side, side)).save(file, kind)
    return file.getvalue()


def runtimes(graph: Path, films: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """The bare graph under both runtimes: logits of float32 films (n, size, size, 1).

    OpenVINO twice: as it comes, which on processors with bfloat16 instructions means bfloat16, and in float32.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    core = openvino.Core()
    found: dict[str, Callable[[], np.ndarray]] = {
        "ONNX Runtime": lambda: session.run(["logits"], {name: films})[0],
    }
    for label, precision in (
        ("OpenVINO as it comes", {}),
        ("OpenVINO in float32", {"INFERENCE_PRECISION_HINT": "f32"}),
    ):
        compiled = core.compile_model(core.read_model(graph), "CPU", {"PERFORMANCE_HINT": "LATENCY", **precision})
        request = compiled.create_infer_request()
        found[label] = lambda request=request: np.array(request.infer({0: films})["logits"])
    return found


def contestants(scratch: Path) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    from cxr.model.classifier import build_classifier
    from cxr.model.export import export_onnx, load_keras
    from cxr.model.second_opinion import second_opinion

    bundle = load_bundle(bundle_path("default"))
    engine = Engine(bundle)
    size = bundle.card.input_size
    dicom = (FOLDER / "adult_pa.dcm").read_bytes()
    film = read_radiograph(dicom)
    square = model_input(film, size)
    keras_model = load_keras(bundle)
    export_onnx(build_classifier("densenet121", 224, weights=None), scratch / "densenet121.onnx")

    def keras_way() -> None:
        keras_model.predict(square[None, ..., None], verbose=0)
        next(second_opinion(keras_model, square, "Mass", ("Grad-CAM",)))

    films = {
        "PNG 1024 px": encoded(film.pixels, 1024, "PNG"),
        "JPEG 600 px": encoded(film.pixels, 600, "JPEG"),
        "DICOM 16 bit, JPEG 2000, 1841 x 1955": dicom,
    }
    found: dict[str, Callable[[], object]] = {
        f"bytes to verdict: {name}": (lambda data=data: answer(engine, "film", data)) for name, data in films.items()
    }
    for name, run in runtimes(bundle.path / GRAPH_FILE, square[None, ..., None]).items():
        found[f"bare graph, {bundle.card.backbone} {size} px: {name}"] = run
    for name, run in runtimes(scratch / "densenet121.onnx", model_input(film, 224)[None, ..., None]).items():
        found[f"bare graph, densenet121 224 px: {name}"] = run
    found[KERAS_WAY] = keras_way
    return found


def differences() -> dict[str, float]:
    """Largest difference of each runtime's logits from Keras' on the shipped model's probe films."""
    bundle = load_bundle(bundle_path("default"))
    probe = load_probe(bundle.path)
    films = probe.films.astype(np.float32)[..., None]
    return {
        name: float(np.abs(run() - probe.logits).max())
        for name, run in runtimes(bundle.path / GRAPH_FILE, films).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        timed = contestants(Path(scratch))
        seconds: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(args.turns):
            for name, run in timed.items():
                for number in range(WARM_UP + BLOCK):
                    start = perf_counter()
                    run()
                    if number >= WARM_UP:
                        seconds[name].append(perf_counter() - start)
    milliseconds = {name: round(1000 * statistics.median(values), 1) for name, values in seconds.items()}
    keras_way = milliseconds[KERAS_WAY]
    print("| what | median, ms | the Keras way takes … times as long |\n|---|---:|---:|")
    for name, value in milliseconds.items():
        print(f"| {name} | {value:.1f} | {keras_way / value:.1f} |")
    from_keras = differences()
    for name, value in from_keras.items():
        print(f"{name}: logits differ from Keras by at most {value:.1e}")
    if args.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        record = {"machine": machine, "turns": args.turns, "ms": milliseconds, "largest_difference": from_keras}
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
