"""The serving graph of a Keras model, written layer by layer: needs no TensorFlow, whatever backend Keras runs on.

Images lie channels first in the graph, as ONNX has it; only its input and its maps lie channels last, as in Keras.
"Same" padding is TensorFlow's, under every backend.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, Final

import keras
import numpy as np
import onnx
from keras import layers
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 17
IR_VERSION: Final = 8
"""Of June 2022: what ONNX Runtime 1.20 and everything since loads."""
NO_PADS: Final = (0, 0, 0, 0)


class UnsupportedLayer(ValueError):
    """A layer that this module can't write; the message names it."""


@dataclass(frozen=True)
class _Value:
    """A tensor of the graph: its name, and the zeros (top, left, bottom, right) that its reader has yet to add."""

    name: str
    pads: tuple[int, ...] = NO_PADS


def onnx_graph(model: keras.Model) -> onnx.ModelProto:
    """Write a flat functional model as ONNX, for inference, in float32 whatever precision it was trained in.

    Batch normalisation goes into the weights of the convolution before it, zero padding into the one after it, where
    nothing else reads what lies between.

    Args:
        model: one input, float32 (batch, height, width, channels) of fixed size, and a dict of outputs, each
            (batch, h, w, channels) or (batch, channels). Every layer is called once.

    Returns:
        Checked graph with the model's input and outputs, under their names and in their layouts; the batch is free.

    Raises:
        UnsupportedLayer: a layer, or the way it is used, has no counterpart here.
    """
    return _Writer(model).write()


class _Writer:
    def __init__(self, model: keras.Model):
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[Hashable, onnx.TensorProto] = {}
        self._values: dict[int, _Value] = {}
        self._readers: dict[int, list[keras.Operation | None]] = {}
        for operation in model.operations:
            if not isinstance(operation, layers.InputLayer):
                for tensor in keras.tree.flatten(operation.input):
                    self._readers.setdefault(id(tensor), []).append(operation)
        for tensor in model.output.values():
            self._readers.setdefault(id(tensor), []).append(None)

    def write(self) -> onnx.ModelProto:
        film = self._model.input
        self._values[id(film)] = self._node("Transpose", film.name, _Value(film.name), perm=[0, 3, 1, 2])
        for operation in self._model.operations:
            # The input, and batch normalisation that its convolution has taken in, are written already.
            if id(operation.output) not in self._values:
                self._values[id(operation.output)] = self._layer(operation)
        for name, tensor in self._model.output.items():
            last = self._whole(self._value(tensor, name), name)
            to_keras = {"perm": [0, 2, 3, 1]} if len(tensor.shape) == 4 else {}
            self._node("Transpose" if to_keras else "Identity", name, last, output=name, **to_keras)
        graph = helper.make_graph(
            self._nodes,
            self._model.name,
            [_described(film.name, film)],
            [_described(name, tensor) for name, tensor in self._model.output.items()],
            list(self._constants.values()),
        )
        opset = [helper.make_opsetid("", OPSET)]
        written = helper.make_model(graph, producer_name="cxr", opset_imports=opset, ir_version=IR_VERSION)
        onnx.checker.check_model(written, full_check=True)
        return written

    def _layer(self, layer: keras.Operation) -> _Value:
        # By exact type: what a subclass does otherwise can't be known.
        write = _WRITERS.get(type(layer))
        if write is None:
            raise UnsupportedLayer(f"The layer {layer.name!r} ({type(layer).__name__}) can't be written as ONNX.")
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise _unsupported(layer, f"data_format={layer.data_format!r}")
        inputs = [self._value(tensor, layer.name) for tensor in keras.tree.flatten(layer.input)]
        if not (write is _Writer._convolution or write is _Writer._separable):
            inputs = [self._whole(value, layer.name) for value in inputs]
        return write(self, layer, *inputs)

    # What the layers are made of.

    def _value(self, tensor: keras.KerasTensor, reader: str) -> _Value:
        if id(tensor) not in self._values:
            raise UnsupportedLayer(f"What {reader!r} reads comes from a layer that other models or calls use.")
        return self._values[id(tensor)]

    def _whole(self, value: _Value, owner: str) -> _Value:
        """The value with its zeros."""
        if value.pads == NO_PADS:
            return value
        top, left, bottom, right = value.pads
        pads = self._constant(owner, np.array([0, 0, top, left, 0, 0, bottom, right]))
        return self._node("Pad", owner, _Value(value.name), pads)

    def _node(self, kind: str, owner: str, *inputs: _Value, output: str | None = None, **attributes: Any) -> _Value:
        output = output or f"{owner}/{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, [value.name for value in inputs], [output], output, **attributes))
        return _Value(output)

    def _constant(self, owner: str, array: np.ndarray) -> _Value:
        """An array as int64 or float32; equal ones are stored once, under the name of their first owner."""
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"{owner}/constant_{len(self._constants)}")
        return _Value(self._constants[key].name)

    def _activated(self, layer: keras.Operation, value: _Value) -> _Value:
        name = getattr(layer.activation, "__name__", str(layer.activation))
        if name == "linear":
            return value
        if name == "relu":
            return self._node("Relu", layer.name, value)
        if name == "relu6":
            return self._clipped(layer.name, value, 6.0)
        if name in {"sigmoid", "silu"}:
            gate = self._node("Sigmoid", layer.name, value)
            return gate if name == "sigmoid" else self._node("Mul", layer.name, value, gate)
        raise _unsupported(layer, f"activation={name!r}")

    def _clipped(self, owner: str, value: _Value, largest: float) -> _Value:
        bounds = [self._constant(owner, np.array(bound, np.float32)) for bound in (0.0, largest)]
        return self._node("Clip", owner, value, *bounds)

    def _norm_of(self, layer: keras.Operation) -> layers.BatchNormalization | None:
        """The batch normalisation that is all that is done with a linear layer's output."""
        readers = self._readers.get(id(layer.output), [])
        linear = layer.activation is keras.activations.linear
        return readers[0] if linear and [type(reader) for reader in readers] == [layers.BatchNormalization] else None

    def _convolve(
        self, owner: str, value: _Value, kernel: np.ndarray, bias: np.ndarray | None = None, **attributes: Any
    ) -> _Value:
        """A convolution; `kernel` is (out, in / groups, height, width)."""
        constants = [self._constant(owner, array) for array in (kernel, bias) if array is not None]
        return self._node("Conv", owner, _Value(value.name), *constants, **attributes)

    # The layers.

    def _convolution(self, layer: keras.Operation, value: _Value) -> _Value:
        kernel, groups = _array(layer.kernel).transpose(3, 2, 0, 1), getattr(layer, "groups", 1)
        if type(layer) is layers.DepthwiseConv2D:
            kernel, groups = _depthwise(layer.kernel)
        return self._with_norm(layer, value, kernel, group=groups, **_kernel_window(layer, value))

    def _separable(self, layer: keras.Operation, value: _Value) -> _Value:
        kernel, groups = _depthwise(layer.depthwise_kernel)
        value = self._convolve(layer.name, value, kernel, group=groups, **_kernel_window(layer, value))
        return self._with_norm(layer, value, _array(layer.pointwise_kernel).transpose(3, 2, 0, 1))

    def _with_norm(self, layer: keras.Operation, value: _Value, kernel: np.ndarray, **attributes: Any) -> _Value:
        """A convolution with its bias, its activation and the batch normalisation after it."""
        bias = _array(layer.bias) if layer.use_bias else None
        norm = self._norm_of(layer)
        if norm is not None:
            scale, shift = _scale_and_shift(norm)
            kernel = kernel * scale[:, None, None, None]
            bias = shift if bias is None else bias * scale + shift
        value = self._activated(layer, self._convolve(layer.name, value, kernel, bias, **attributes))
        if norm is not None:
            self._values[id(norm.output)] = value
        return value

    def _batch_norm(self, layer: keras.Operation, value: _Value) -> _Value:
        # One pass over the image, where a product and a sum are two.
        scale, shift = _scale_and_shift(layer)
        of_shift = (scale, shift, np.zeros_like(scale), np.ones_like(scale))
        constants = [self._constant(layer.name, array) for array in of_shift]
        return self._node("BatchNormalization", layer.name, value, *constants, epsilon=0.0)

    def _relu(self, layer: keras.Operation, value: _Value) -> _Value:
        if layer.negative_slope or layer.threshold:
            raise _unsupported(layer, f"negative_slope={layer.negative_slope}, threshold={layer.threshold}")
        if layer.max_value is None:
            return self._node("Relu", layer.name, value)
        return self._clipped(layer.name, value, layer.max_value)

    def _pooling(self, layer: keras.Operation, value: _Value, kind: str, **attributes: Any) -> _Value:
        attributes |= _window(layer, layer.pool_size)
        return self._node(kind, layer.name, value, kernel_shape=list(layer.pool_size), **attributes)

    def _global_average(self, layer: keras.Operation, value: _Value) -> _Value:
        value = self._node("GlobalAveragePool", layer.name, value)
        return value if layer.keepdims else self._node("Flatten", layer.name, value)

    def _merge(self, layer: keras.Operation, *values: _Value, kind: str) -> _Value:
        ranks = {len(tensor.shape) for tensor in layer.input}
        if len(ranks) > 1:
            raise _unsupported(layer, f"inputs of {' and '.join(map(str, sorted(ranks)))} dimensions")
        return reduce(partial(self._node, kind, layer.name), values)

    def _concatenate(self, layer: keras.Operation, *values: _Value) -> _Value:
        _check_last_axis(layer, layer.axis)
        return self._node("Concat", layer.name, *values, axis=1)

    def _padding(self, layer: keras.Operation, value: _Value) -> _Value:
        (top, bottom), (left, right) = layer.padding
        return _Value(value.name, (top, left, bottom, right))

    def _reshape(self, layer: keras.Operation, value: _Value) -> _Value:
        # Vectors only, as in squeeze-and-excitation: for them both layouts have one order.
        shape = layer.output.shape
        if not {len(shape), len(layer.input.shape)} <= {2, 4} or set(shape[1:-1] + layer.input.shape[1:-1]) - {1}:
            raise _unsupported(layer, f"a reshape from {layer.input.shape} to {shape}")
        return self._node(
            "Reshape", layer.name, value, self._constant(layer.name, np.array([0, shape[-1], *shape[1:-1]]))
        )

    def _rescaling(self, layer: keras.Operation, value: _Value) -> _Value:
        for kind, factors in (("Mul", layer.scale), ("Add", layer.offset)):
            array = np.asarray(factors, np.float32)
            if array.ndim and len(layer.input.shape) == 4:
                array = array.reshape(-1, 1, 1)
            value = self._node(kind, layer.name, value, self._constant(layer.name, array))
        return value

    def _dense(self, layer: keras.Operation, value: _Value) -> _Value:
        if len(layer.input.shape) != 2:
            raise _unsupported(layer, f"an input of shape {layer.input.shape}")
        arrays = [_array(layer.kernel), *([_array(layer.bias)] if layer.use_bias else [])]
        constants = [self._constant(layer.name, array) for array in arrays]
        return self._activated(layer, self._node("Gemm", layer.name, value, *constants))

    def _nothing(self, _layer: keras.Operation, value: _Value) -> _Value:
        """What does nothing outside training."""
        return value


def _array(variable: keras.Variable) -> np.ndarray:
    """float64, so that weights are multiplied before they are rounded."""
    return np.asarray(keras.ops.convert_to_numpy(variable)).astype(np.float64)


def _depthwise(variable: keras.Variable) -> tuple[np.ndarray, int]:
    """(out, 1, height, width) and the number of groups, of a Keras kernel (height, width, in, multiplier)."""
    kernel = _array(variable)
    height, width, channels, _ = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width), channels


def _scale_and_shift(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """What trained batch normalisation does: `y = scale * x + shift`, one of each per channel."""
    _check_last_axis(norm, norm.axis)
    scale = 1 / np.sqrt(_array(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * _array(norm.gamma)
    return scale, (_array(norm.beta) if norm.center else 0.0) - _array(norm.moving_mean) * scale


def _kernel_window(layer: keras.Operation, value: _Value) -> dict[str, Any]:
    """Strides, dilations and pads of a convolution, those that the image still lacks included."""
    window = _window(layer, layer.kernel_size, layer.dilation_rate)
    pads = [given + own for given, own in zip(value.pads, window["pads"], strict=True)]
    return window | {"dilations": list(layer.dilation_rate), "pads": pads}


def _window(layer: keras.Operation, size: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    """Strides and pads (top, left, bottom, right) of a sliding window.

    TensorFlow's "same" puts `max((ceil(n / stride) - 1) * stride + (size - 1) * dilation + 1 - n, 0)` pixels around n,
    the odd one below and to the right (https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2).
    """
    before, after = [0, 0], [0, 0]
    if layer.padding == "same":
        for axis, (n, stride) in enumerate(zip(layer.input.shape[1:3], layer.strides, strict=True)):
            total = max((-(-n // stride) - 1) * stride + (size[axis] - 1) * dilation[axis] + 1 - n, 0)
            before[axis], after[axis] = total // 2, total - total // 2
    return {"strides": list(layer.strides), "pads": before + after}


def _described(name: str, tensor: keras.KerasTensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *tensor.shape[1:]])


def _check_last_axis(layer: keras.Operation, axis: int) -> None:
    if axis not in (-1, len(layer.output.shape) - 1):
        raise _unsupported(layer, f"axis={axis}")


def _unsupported(layer: keras.Operation, what: str) -> UnsupportedLayer:
    return UnsupportedLayer(f"The layer {layer.name!r} ({type(layer).__name__}) can't be written as ONNX with {what}.")


_WRITERS: Final[dict[type, Callable[..., _Value]]] = {
    layers.Conv2D: _Writer._convolution,
    layers.DepthwiseConv2D: _Writer._convolution,
    layers.SeparableConv2D: _Writer._separable,
    layers.BatchNormalization: _Writer._batch_norm,
    layers.Activation: _Writer._activated,
    layers.ReLU: _Writer._relu,
    layers.Add: partial(_Writer._merge, kind="Add"),
    layers.Multiply: partial(_Writer._merge, kind="Mul"),
    layers.Concatenate: _Writer._concatenate,
    layers.ZeroPadding2D: _Writer._padding,
    layers.MaxPooling2D: partial(_Writer._pooling, kind="MaxPool"),
    layers.AveragePooling2D: partial(_Writer._pooling, kind="AveragePool", count_include_pad=0),
    layers.GlobalAveragePooling2D: _Writer._global_average,
    layers.Reshape: _Writer._reshape,
    layers.Rescaling: _Writer._rescaling,
    layers.Dropout: _Writer._nothing,
    layers.SpatialDropout2D: _Writer._nothing,
    layers.Dense: _Writer._dense,
}
