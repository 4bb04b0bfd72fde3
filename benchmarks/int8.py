"""Would an INT8 serving graph do? What it costs in AUROC and in the maps, and what it gains in time.

    python -m benchmarks.int8 --data DIR [--films 64] [--turns 8] [--only NAME …] [--json benchmarks/int8.json]

The shipped graph is quantised in several ways by ONNX Runtime's own tool, with films of the training patients only to
set the ranges, and measured on the patients who had no part in the model: abnormal and macro-AUROC, the correlation of
every map with the float32 one, and the time of one film in turns with the float32 graph in the same process. An INT8
graph may serve if its AUROCs are within `AUROC_ALLOWED` of the float32 graph's and its maps correlate above
`MAPS_WANTED`; the time is that of both runtimes, since either could serve it.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import openvino
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.machine import machine
from cxr.dataset.labelled import LabelledFilms, load_labelled_films
from cxr.evaluation.metrics import auroc, macro_auroc, telling
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.bundle import GRAPH_FILE, LOGITS, MAPS, bundle_path, load_bundle
from cxr.model.card import Card
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.parts import held_out, split_films

AUROC_ALLOWED: Final = 0.002
MAPS_WANTED: Final = 0.99
EDGES: Final = ("normalisation", "stem", "head", "maps", "logits")
"""Layers at the two ends of the network, by the beginnings of their nodes' names."""
NOT_EXPANDING: Final = ("normalisation", "stem", "depthwise", "project", "add", "maps", "logits")
WIDEST: Final = 16
"""Films at most where the whole distribution of every activation is kept, which takes about 100 MB a film."""


@dataclass(frozen=True)
class Recipe:
    """One way to quantise.

    Attributes:
        method: how the range of an activation is chosen.
        float_layers: nodes whose names contain one of these stay float32.
        activations: the type of activations; weights are INT8, one scale a channel.
        options: further options of ONNX Runtime's tool.
        dynamic: the ranges of activations are found anew for each film instead of beforehand.
        weights_alone: only the weights are rounded to INT8, and everything is computed in float32: what no choice of
            ranges can better.
    """

    method: CalibrationMethod = CalibrationMethod.MinMax
    float_layers: tuple[str, ...] = ()
    activations: QuantType = QuantType.QUInt8
    options: dict[str, Any] = field(default_factory=dict)
    dynamic: bool = False
    weights_alone: bool = False


RECIPES: Final = {
    "all layers, smallest to largest": Recipe(),
    "all layers, percentile 99.99": Recipe(CalibrationMethod.Percentile, options={"CalibPercentile": 99.99}),
    "all layers, entropy": Recipe(CalibrationMethod.Entropy),
    "ends in float32": Recipe(float_layers=EDGES),
    "depthwise in float32": Recipe(float_layers=("depthwise",)),
    "ends and depthwise in float32": Recipe(float_layers=(*EDGES, "depthwise")),
    "only expanding layers and head": Recipe(float_layers=NOT_EXPANDING),
    "only expanding layers from block 5 on and head": Recipe(
        float_layers=(*NOT_EXPANDING, *(f"block{k}_" for k in range(5)))
    ),
    "activations of 16 bits": Recipe(activations=QuantType.QUInt16),
    "ranges found for each film": Recipe(dynamic=True),
    "weights alone": Recipe(weights_alone=True),
    "weights alone, depthwise in float32": Recipe(float_layers=("depthwise",), weights_alone=True),
}
Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Films(CalibrationDataReader):
    """Squares float32 (n, size, size) one after the other, as ONNX Runtime's tool wants them."""

    def __init__(self, name: str, squares: np.ndarray):
        self._left: Iterator[np.ndarray] = iter(squares)
        self._name = name

    def get_next(self) -> dict[str, np.ndarray] | None:
        square = next(self._left, None)
        return None if square is None else {self._name: square[None, ..., None]}


def rounded(model: onnx.ModelProto, skipped: Sequence[str]) -> onnx.ModelProto:
    """The model with the weights of its convolutions rounded to INT8, one scale a channel, and kept as float32."""
    layers = {node.input[1] for node in model.graph.node if node.op_type == "Conv" and node.name not in skipped}
    for tensor in model.graph.initializer:
        if tensor.name in layers:
            weights = onnx.numpy_helper.to_array(tensor)
            largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
            scale = np.where(largest > 0, largest / 127, 1)
            tensor.CopyFrom(
                onnx.numpy_helper.from_array((np.rint(weights / scale) * scale).astype(np.float32), tensor.name)
            )
    return model


def quantised(graph: Path, recipe: Recipe, squares: np.ndarray, out: Path) -> None:
    """Quantise a graph (of `quant_pre_process`) with squares float32 (n, size, size) to set the ranges."""
    model = onnx.load(graph)
    skipped = [n.name for n in model.graph.node if any(part in n.name for part in recipe.float_layers)]
    if recipe.weights_alone:
        onnx.save(rounded(model, skipped), out)
        return
    if recipe.dynamic:
        quantize_dynamic(graph, out, per_channel=True, nodes_to_exclude=skipped, weight_type=QuantType.QInt8)
        return
    whole = recipe.method is CalibrationMethod.MinMax
    films = Films(model.graph.input[0].name, squares if whole else squares[:WIDEST])
    # The tool ends with an error where it has nothing left to look at after the last whole handful of films.
    at_a_time = next(k for k in (4, 3, 5, 7) if len(squares) % k)
    # It prints how far it is.
    with contextlib.redirect_stdout(None):
        quantize_static(
            graph,
            out,
            films,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=recipe.activations,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=skipped,
            calibrate_method=recipe.method,
            extra_options=({"CalibMaxIntermediateOutputs": at_a_time} if whole else {}) | recipe.options,
        )


def under_onnx_runtime(graph: Path) -> Run:
    """The graph as the product runs it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, maps = session.run([LOGITS, MAPS], {name: squares[..., None]})
        return logits, maps

    return run


def under_openvino(graph: Path) -> Run:
    """The graph under OpenVINO, what is not INT8 in float32."""
    core = openvino.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(graph), "CPU", options).create_infer_request()

    def run(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = request.infer({0: squares[..., None]})
        return np.array(found[LOGITS]), np.array(found[MAPS])

    return run


def outputs(run: Run, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 15) and maps (n, h, w, 15) of films uint8 (n, size, size), one at a time."""
    both = [run(np.asarray(square, np.float32)[None]) for square in pixels]
    return np.concatenate([logits for logits, _ in both]), np.concatenate([maps for _, maps in both])


def aurocs(films: LabelledFilms, card: Card, logits: np.ndarray) -> dict[str, float]:
    """Abnormal and macro-AUROC of logits (n, 15)."""
    probabilities = card.probabilities(logits)
    columns = telling(films.labels, films.metadata["patient"].to_numpy(), FINDING_INDICES)
    return {
        "abnormal": float(auroc(films.abnormal, 1 - probabilities[:, NO_FINDING_INDEX])[0]),
        "macro": float(macro_auroc(films.labels[:, columns], probabilities[:, columns])[0]),
    }


def agreement(maps: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """How maps (n, h, w, k) follow others: Pearson's correlation of each of the k over all films and places, of which
    the lowest; and film by film, of which the median and the lowest twentieth."""
    pooled = [np.corrcoef(maps[..., k].ravel(), wanted[..., k].ravel())[0, 1] for k in range(maps.shape[-1])]
    single = [
        np.corrcoef(a[..., k].ravel(), b[..., k].ravel())[0, 1]
        for a, b in zip(maps, wanted, strict=True)
        for k in range(maps.shape[-1])
    ]
    return {
        "lowest_of_findings": float(np.min(pooled)),
        "median_of_films": float(np.median(single)),
        "lowest_twentieth_of_films": float(np.percentile(single, 5)),
    }


def may_serve(difference: dict[str, float], maps: dict[str, float]) -> bool:
    """Whether an INT8 graph with these differences of AUROC and this agreement of its maps may serve."""
    return max(map(abs, difference.values())) <= AUROC_ALLOWED and maps["lowest_of_findings"] > MAPS_WANTED


def milliseconds(runs: Sequence[Run], square: np.ndarray, turns: int) -> list[float]:
    """Median time of one film for each of some graphs, in turns of ten after two to warm up."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(turns):
        for run, times in zip(runs, seconds, strict=True):
            for number in range(12):
                start = perf_counter()
                run(square[None])
                if number >= 2:
                    times.append(perf_counter() - start)
    return [1000 * statistics.median(times) for times in seconds]


def measured(arguments: argparse.Namespace, scratch: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Each recipe's name and what was measured of it; the first is the float32 graph."""
    bundle = load_bundle(bundle_path(arguments.model))
    card, graph = bundle.card, bundle.path / GRAPH_FILE
    films = load_labelled_films(arguments.data, card.input_size, settings().cache_dir)
    tests = held_out(films, card, arguments.data)
    split = split_films(films, TrainingConfig.model_validate(card.training)).to_numpy()
    learnt = np.flatnonzero(split == "train")
    chosen = np.random.default_rng(0).permutation(learnt)[: arguments.films]
    squares = np.asarray(films.pixels[np.sort(chosen)], np.float32)
    plain = scratch / "plain.onnx"
    quant_pre_process(graph, plain, skip_symbolic_shape=True)
    float32 = under_onnx_runtime(graph)
    logits, maps = outputs(float32, tests.pixels)
    known = aurocs(tests, card, logits)
    yield "float32", {"films": len(tests.labels), "auroc": known, "megabytes": graph.stat().st_size / 1e6}
    probe = squares[0]
    for name in arguments.only or RECIPES:
        file = scratch / "int8.onnx"
        quantised(plain, RECIPES[name], squares, file)
        run = under_onnx_runtime(file)
        found, drawn = outputs(run, tests.pixels)
        difference = {task: value - known[task] for task, value in aurocs(tests, card, found).items()}
        agrees = agreement(drawn, maps)
        base, int8 = milliseconds((float32, run), probe, arguments.turns)
        record = {
            "auroc_difference": difference,
            "largest_logit_difference": float(np.abs(found - logits).max()),
            "maps": agrees,
            "times_as_fast": base / int8,
            "megabytes": file.stat().st_size / 1e6,
            "may_serve": may_serve(difference, agrees),
        }
        if arguments.openvino:
            base, int8 = milliseconds((float32, under_openvino(file)), probe, arguments.turns)
            record["times_as_fast_under_openvino"] = base / int8
        yield name, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of NIH's shards, those the model was made from"
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--films", type=int, default=64, help="of training patients, to set the ranges")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=list(RECIPES), default=None)
    parser.add_argument("--openvino", action="store_true", help="time every graph under OpenVINO too")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"machine": machine(), "ranges_from_films": arguments.films}
    with tempfile.TemporaryDirectory() as scratch:
        for name, found in measured(arguments, Path(scratch)):
            record[name] = found
            print(name, json.dumps(found), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
