"""How much arithmetic a serving graph is, whatever runs it."""

from pathlib import Path

import numpy as np
import onnx


def multiply_adds(graph: Path, batch: int = 1) -> int:
    """Multiplications with addition that the convolutions and matrix products of an ONNX graph take; nothing else of
    such a graph weighs. A graph of INT8 is counted by the float32 graph that it was made of.

    Args:
        graph: file of the graph; the first dimension of its input is free or `batch`.
        batch: films in one pass.

    Raises:
        ValueError: the shape of a layer's output is not known from the graph.
    """
    model = onnx.load(graph)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    total = 0
    for node in inferred.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        values = int(np.prod(shapes.get(node.output[0], [0])))
        if values < 1:
            raise ValueError(f"The size of what {node.name} gives is not known.")
        # Of a convolution (out, in a group, height, width): each value takes a product with all but the first; of a
        # matrix, whichever way round it lies, with all but those of the other values.
        weight = weights[node.input[1]]
        out = weight[0] if node.op_type == "Conv" else shapes[node.output[0]][-1]
        total += values * (int(np.prod(weight)) // out)
    return total
