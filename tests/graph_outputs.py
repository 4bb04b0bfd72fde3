"""What an ONNX graph makes of images."""

import numpy as np
import onnx
import onnxruntime


def graph_outputs(graph: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    """Each output by its name, of a graph with one input."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    [film] = session.get_inputs()
    return dict(zip(names, session.run(names, {film.name: images}), strict=True))
