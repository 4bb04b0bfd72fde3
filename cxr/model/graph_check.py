"""Whether a serving graph is one that this product writes, found out before the runtime sees it.

ONNX Runtime loads whatever ONNX allows: weights from any file of the machine, operators that run other code, loops, and
tensors of any size. A graph of this product is a chain of a few operators with its weights inside, and nothing else
is loaded.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, shape_inference

from cxr.model.bundle import GRAPH_FILE, LOGITS, MAPS, PROBE_FILE, Bundle, BundleRejected, Probe, load_probe, unfit
from cxr.model.untrusted import Unfit

OPERATORS: Final = frozenset(
    ("Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "Flatten", "Gemm", "GlobalAveragePool",
     "Identity", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Sigmoid", "Transpose")
)  # fmt: skip
"""What `cxr.model.onnx_graph` writes. A test holds that every backbone's graph passes."""
MOST_NODES: Final = 10_000
"""DenseNet-121 has 430."""
LARGEST_VALUE: Final = 2**26
"""Numbers of one tensor for one film: 256 MB as float32, what VGG16 makes of a film of 1024 pixels."""
ITEM_BYTES: Final[dict[int, int]] = {TensorProto.FLOAT: 4, TensorProto.INT64: 8}
"""Bytes of a number, by the kinds of numbers that weights may be."""

MOST_PROBE_FILMS: Final = 16
"""They are run at once."""


def checked_graph(bundle: Bundle) -> bytes:
    """The serving graph of a bundle, as its card describes it and as `check_graph` wants it.

    Raises:
        BundleRejected: it is another one, or must not be run.
        OSError: it can't be read.
    """
    data = (bundle.path / GRAPH_FILE).read_bytes()
    if hashlib.sha256(data).hexdigest() != bundle.card.files[GRAPH_FILE]:
        raise BundleRejected(f"The model {bundle.name} was changed: {GRAPH_FILE} is not the file its card describes.")
    try:
        described = check_graph(data)
        size, outputs = bundle.card.input_size, len(bundle.card.categories)
        if [sides[1:] for sides in described.inputs] != [(size, size, 1)]:
            raise Unfit(f"does not take films of {size} x {size} pixels")
        logits, maps = (described.outputs.get(name, ()) for name in (LOGITS, MAPS))
        if logits[1:] != (outputs,) or len(maps) != 4 or maps[3] != outputs:
            raise Unfit(f"does not give {outputs} logits and as many maps")
    except Unfit as error:
        raise unfit(bundle.path, GRAPH_FILE, error) from error
    return data


def checked_probe(bundle: Bundle) -> Probe:
    """The probe of a bundle, whose arrays are of the sizes that go with its card.

    Raises:
        BundleRejected: they are not.
        OSError, KeyError, ValueError: it can't be read.
    """
    probe, size, outputs = load_probe(bundle.path), bundle.card.input_size, len(bundle.card.categories)
    count = len(probe.films)
    fits = (
        1 <= count <= MOST_PROBE_FILMS
        and probe.films.shape == (count, size, size)
        and probe.films.dtype == np.uint8
        and probe.logits.shape == (count, outputs)
        and probe.maps.shape[::3] == (count, outputs)
        and probe.maps.ndim == 4
    )
    if not fits:
        raise unfit(bundle.path, PROBE_FILE, Unfit("does not hold films, logits and maps of the card's sizes"))
    return probe


@dataclass(frozen=True)
class Described:
    """The sides of a graph's inputs and, by name, outputs; the number of films, which is free, is 0."""

    inputs: list[tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]


def check_graph(data: bytes) -> Described:
    """What a graph takes and gives. `Unfit` unless it is of `OPERATORS` with weights of its own and bounded tensors.

    Args:
        data: the whole file.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        # Protocol buffers' own error, whose class depends on how that library was built.
        raise Unfit("is no ONNX graph") from error
    graph = model.graph
    if any(opset.domain not in ("", "ai.onnx") for opset in model.opset_import) or model.functions:
        raise Unfit("brings operators of its own, which are not run")
    if len(graph.node) > MOST_NODES:
        raise Unfit(f"has {len(graph.node):,} operators, more than the {MOST_NODES:,} that are run")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise Unfit(f"has the operator {node.op_type[:40]!r}, which no graph of this product has")
        if any(a.HasField("g") or a.graphs or a.HasField("t") or a.tensors for a in node.attribute):
            raise Unfit("has a graph or a tensor inside an operator")
    if graph.sparse_initializer or model.training_info:
        raise Unfit("has parts that no graph of this product has")
    _check_weights(graph.initializer)
    _check_values(model)
    return Described([_sides(value) for value in graph.input], {value.name: _sides(value) for value in graph.output})


def _sides(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)


def _check_weights(weights: Iterable[onnx.TensorProto]) -> None:
    for tensor in weights:
        if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
            raise Unfit("takes weights from another file, which is not allowed")
        bytes_each = ITEM_BYTES.get(tensor.data_type)
        if bytes_each is None:
            raise Unfit("has weights of a kind that no graph of this product has")
        numbers = _product(tensor.dims)
        if tensor.HasField("raw_data"):
            stored = len(tensor.raw_data) // bytes_each
        else:
            stored = len(tensor.float_data) + len(tensor.int32_data) + len(tensor.int64_data)
        if numbers != stored:
            raise Unfit("has weights that are not as many as it says")


def _check_values(model: onnx.ModelProto) -> None:
    """Every tensor has to have a known size, but for the number of films, and none may be too large."""
    try:
        known = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:
        # ONNX' checker is C++, whose errors come as several classes.
        raise Unfit("has operators that do not fit together") from error
    described = {value.name: value.type.tensor_type for value in (*known.input, *known.value_info, *known.output)}
    names = {name for node in known.node for name in node.output if name}
    if names - set(described):
        raise Unfit("has tensors whose size nobody can tell")
    for kind in described.values():
        # Of the first side nothing is known where it is the number of films.
        first, *others = [side.dim_value for side in kind.shape.dim] or [1]
        if not all(side > 0 for side in others):
            raise Unfit("has tensors whose size nobody can tell")
        sides = [max(first, 1), *others]
        if _product(sides) > LARGEST_VALUE:
            raise Unfit(f"makes a tensor of {_product(sides):,} numbers of one film, more than {LARGEST_VALUE:,}")


def _product(sides: Iterable[int]) -> int:
    product = 1
    for side in sides:
        if side < 0:
            raise Unfit("has a tensor with a negative side")
        product *= side
    return product
