"""What is timed, each in a process of its own: the thread pools of the runtimes disturb each other in one.

    python -m benchmarks.contestants NAME FOLDER      (started by `benchmarks.speed`)

The process says on a line of JSON that it is ready, then answers each line `{"do": task, "runs": n}` with the seconds
of each run, `{"value": task}` with what that task gives, and `{"value": "memory"}` with the bytes that it and the
processes it started hold, and that it has held at most.
"""

import io
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import psutil
from PIL import Image

FILMS: Final = {
    "png": "PNG 1024 px",
    "jpeg": "JPEG 600 px",
    "dicom": "DICOM 16 bit, JPEG 2000, 1841 x 1955",
}
BATCH_FILMS: Final = 16
MATRIX: Final = 2048
DENSENET: Final = "densenet"
FINDING: Final = "Mass"
WARM_UP: Final = 2
Tasks = dict[str, Callable[[], object]]


def films() -> dict[str, bytes]:
    """The adult film that ships with the app, as each kind of file."""
    from cxr.radiograph import read_radiograph
    from cxr.samples import FOLDER

    dicom = (FOLDER / "adult_pa.dcm").read_bytes()
    grey = Image.fromarray(read_radiograph(dicom).grey)

    def encoded(side: int, kind: str) -> bytes:
        file = io.BytesIO()
        grey.resize((side, side)).save(file, kind)
        return file.getvalue()

    return {"png": encoded(1024, "PNG"), "jpeg": encoded(600, "JPEG"), "dicom": dicom}


def square(size: int) -> np.ndarray:
    """The same film as a model of that size sees it."""
    from cxr.radiograph import model_input, read_radiograph

    return model_input(read_radiograph(films()["dicom"]), size)


def decode(kind: str, data: bytes) -> np.ndarray:
    """What the codec alone takes: no check, no grey scale."""
    if kind == "dicom":
        from pydicom import dcmread

        dataset = dcmread(io.BytesIO(data))
        dataset.pixel_array_options(decoding_plugin="pylibjpeg")
        return dataset.pixel_array
    return np.asarray(Image.open(io.BytesIO(data)))


def product(folder: Path) -> Tasks:
    """The product with the bundle in a folder, on all cores that this process may use."""
    from cxr.classify import Reading, answer
    from cxr.model.bundle import load_bundle, load_probe
    from cxr.model.engine import Engine

    engine = Engine(load_bundle(folder))
    probe = load_probe(folder)
    given = films()
    seen = square(engine.bundle.card.input_size)[None]

    def read(data: bytes) -> None:
        found = answer(engine, "film", data)
        if not isinstance(found, Reading):
            raise TypeError(f"The film got no verdict: {found.reason}")

    tasks: Tasks = {kind: lambda data=data: read(data) for kind, data in given.items()}
    tasks |= {f"{kind} decoding": lambda kind=kind, data=data: decode(kind, data) for kind, data in given.items()}
    return tasks | {
        "graph": lambda: engine.run(seen),
        "batch": lambda: [read(given["jpeg"]) for _ in range(BATCH_FILMS)],
        "batch graph": lambda: engine.run(np.repeat(seen, BATCH_FILMS, 0)),
        "difference": lambda: float(np.abs(engine.run(probe.films.astype(np.float32))[0] - probe.logits).max()),
    }


def keras_way(folder: Path) -> Tasks:
    """Keras and tf-keras-vis with the same bundle."""
    from cxr.model.bundle import load_bundle
    from cxr.model.export import load_keras
    from cxr.model.second_opinion import second_opinion

    bundle = load_bundle(folder)
    model = load_keras(bundle)
    seen = square(bundle.card.input_size)

    def predict() -> None:
        model.predict(seen[None, ..., None], verbose=0)

    def both() -> None:
        predict()
        next(second_opinion(model, seen, FINDING, ("Grad-CAM",)))

    return {"predict": predict, "both": both}


def torch_way(_folder: Path) -> Tasks:
    """TorchXRayVision's DenseNet-121 with random weights, and pytorch-grad-cam."""
    import torch

    # PyPI's torchvision is built for CUDA and can't register these with a PyTorch without; nothing here calls them.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    from cxr.model import xrv_child

    # torchxrayvision imports these for pictures; torchvision is the real one here.
    xrv_child.NOT_NEEDED = ("skimage", "imageio")  # type: ignore[misc]
    sys.meta_path.insert(0, xrv_child._EmptyModules())
    from torchxrayvision.models import DenseNet
    from torchxrayvision.utils import normalize

    from cxr.model.xrv import INPUT_SIZE

    model = DenseNet().eval()
    film = torch.from_numpy(normalize(square(INPUT_SIZE), 255)[None, None])
    cam = GradCAM(model=model, target_layers=[model.features.norm5])

    def forward() -> None:
        with torch.inference_mode():
            model(film)

    def both() -> None:
        forward()
        cam(input_tensor=film, targets=[ClassifierOutputTarget(0)])

    return {"forward": forward, "both": both}


def openvino_way(folder: Path) -> Tasks:
    """The bare graph under OpenVINO: as it comes, which on some processors means bfloat16, and in float32."""
    import openvino

    from cxr.model.bundle import GRAPH_FILE, LOGITS, load_bundle, load_probe

    bundle, probe = load_bundle(folder), load_probe(folder)
    seen = square(bundle.card.input_size)[None, ..., None]
    probes = probe.films.astype(np.float32)[..., None]
    core = openvino.Core()
    tasks: Tasks = {}
    for label, precision in (("as it comes", {}), ("float32", {"INFERENCE_PRECISION_HINT": "f32"})):
        options = {"PERFORMANCE_HINT": "LATENCY", **precision}
        request = core.compile_model(core.read_model(folder / GRAPH_FILE), "CPU", options).create_infer_request()
        tasks[label] = lambda request=request: request.infer({0: seen})
        tasks[f"{label}, difference"] = lambda request=request: float(
            np.abs(request.infer({0: probes})[LOGITS] - probe.logits).max()
        )
    return tasks


def matrix_product(_folder: Path) -> Tasks:
    """The largest speed of arithmetic that this machine shows: one product of two square matrices."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((MATRIX, MATRIX)).astype(np.float32) for _ in range(2))
    return {"product": lambda: left @ right}


def make_densenet(folder: Path) -> None:
    """Write a bundle of TorchXRayVision's architecture, with all of its outputs and random weights."""
    from cxr.findings import FINDINGS
    from cxr.model.densenet import build_densenet
    from cxr.model.export import probe_films, write_bundle
    from cxr.model.xrv import GREY_OFFSET, GREY_SCALE, INPUT_SIZE, Checkpoint, imported_card, outputs_of

    others = tuple(f"Other {k}" for k in range(4))
    outputs = (*FINDINGS, *others)
    checkpoint = Checkpoint("random weights", {}, outputs, (0.5,) * len(outputs))
    rows = outputs_of(checkpoint)
    model = build_densenet(INPUT_SIZE, len(rows), GREY_SCALE, GREY_OFFSET)
    probes = probe_films(INPUT_SIZE)
    write_bundle(folder, model, imported_card(folder.name, model, checkpoint, rows, probes), probes)


CONTESTANTS: Final = {
    "product": product,
    "batches": product,
    "one core": product,
    DENSENET: product,
    "keras": keras_way,
    "torch": torch_way,
    "openvino": openvino_way,
    "openvino densenet": openvino_way,
    "machine": matrix_product,
}


def memory() -> dict[str, int]:
    """Bytes of this process and those it started, shared memory counted once; and the most that this one has held."""
    own = psutil.Process()
    held = sum(p.memory_full_info().pss for p in (own, *own.children(recursive=True)))
    return {"held": held, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def timed(task: Callable[[], object], runs: int) -> list[float]:
    """Seconds of some runs, after some to warm up."""
    seconds = []
    for number in range(WARM_UP + runs):
        start = perf_counter()
        task()
        if number >= WARM_UP:
            seconds.append(perf_counter() - start)
    return seconds


def main(name: str, folder: str) -> None:
    # Some libraries write to standard output, which belongs to the other side.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if name == "one core":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.environ["CXR_THREADS"] = "1"

    def say(message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    if name == "make":
        make_densenet(Path(folder))
        say("ready")
        return
    tasks = CONTESTANTS[name](Path(folder)) | {"memory": memory}
    say("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        say(tasks[asked["value"]]() if "value" in asked else timed(tasks[asked["do"]], asked["runs"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
