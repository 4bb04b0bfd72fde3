"""Ways to make a bundle mean harm, each with what has to be said of it."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cxr.model.bundle import file_sha256

Damage = Callable[[Path], None]
FILES = ("model.keras", "model.onnx", "patients.npz", "probe.npz", "report.json", "test.npz")


def card(folder: Path, **changes: Any) -> None:
    """Change fields of the card."""
    text = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(text | changes))


def signed(change: Damage) -> Damage:
    """The change, with the hashes in the card that go with it: by somebody who may write both."""

    def both(folder: Path) -> None:
        change(folder)
        listed = json.loads((folder / "card.json").read_text())["files"]
        card(folder, files={name: file_sha256(folder / name) for name in listed if (folder / name).is_file()})

    return both


# What is done to files as they are.


def flipped(name: str) -> Damage:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 4
        (folder / name).write_bytes(data)

    return change


def cut(name: str) -> Damage:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return change


def linked(name: str) -> Damage:
    def change(folder: Path) -> None:
        outside = folder.parent / f"outside-{name}"
        shutil.move(folder / name, outside)
        (folder / name).symlink_to(outside)

    return change


def pipe(folder: Path) -> None:
    (folder / "card.json").unlink()
    os.mkfifo(folder / "card.json")


def written(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data) and None


def further_file(folder: Path) -> None:
    (folder / "run.py").write_text("print()")
    listed = json.loads((folder / "card.json").read_text())["files"]
    card(folder, files=listed | {"run.py": file_sha256(folder / "run.py")})


# Cards.


def other_order(folder: Path) -> None:
    names = json.loads((folder / "card.json").read_text())["categories"]
    card(folder, categories=[names[1], names[0], *names[2:]])


def deep(folder: Path) -> None:
    (folder / "card.json").write_text('{"training":' + "[" * 100_000)


def long_number(folder: Path) -> None:
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace('"input_size": 64', '"input_size": ' + "9" * 1_000_000))


# Arrays.


def arrays(head: bytes | None = None, **content: np.ndarray) -> Damage:
    """A probe with other arrays; `head`: in place of the head of the films'."""

    def change(folder: Path) -> None:
        with np.load(folder / "probe.npz") as stored:
            whole = dict(stored) | content
        np.savez_compressed(folder / "probe.npz", **whole)
        if head is not None:
            with zipfile.ZipFile(folder / "probe.npz", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("films.npy", head)

    return change


def header(kind: str, shape: str) -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


# Graphs.


def graph(change: Callable[[onnx.ModelProto], object]) -> Damage:
    def edited(folder: Path) -> None:
        model = onnx.load(folder / "model.onnx")
        change(model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    return edited


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../etc/passwd"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)


def doubled(model: onnx.ModelProto) -> None:
    tensor = max(model.graph.initializer, key=lambda found: len(found.raw_data))
    tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "evil"
    model.opset_import.append(helper.make_opsetid("evil", 1))


def contributed_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Gelu"
    model.graph.node[-1].domain = "com.microsoft"


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body))


def hidden_tensor(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32))
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


def boastful_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def padded(model: onnx.ModelProto) -> None:
    """A tensor of 60 GB in the middle of a graph of a few KB."""
    name = model.graph.node[0].output[0]
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 120_000, 120_000], np.int64), "pads")
    )
    pad = helper.make_node("Pad", [name, "pads"], ["padded"])
    pool = helper.make_node("MaxPool", ["padded"], ["pooled"], kernel_shape=[120_001] * 2)
    for node in model.graph.node[1:]:
        node.input[:] = ["pooled" if given == name else given for given in node.input]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([nodes[0], pad, pool, *nodes[1:]])


def many_films(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2**33


def other_outputs(model: onnx.ModelProto) -> None:
    """A 16th output, a copy of the first: the others stay in their order."""
    bias, kernel = sorted(
        (tensor for tensor in model.graph.initializer if tensor.dims[0] == 15), key=lambda found: len(found.dims)
    )
    for tensor in (bias, kernel):
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(np.concatenate([array, array[:1]]), tensor.name))
    for value in model.graph.output:
        if value.name != "features":
            value.type.tensor_type.shape.dim[-1].dim_value = 16


# Keras files.


def keras_file(
    config: Callable[[dict[str, Any]], object] = lambda config: None,
    weights: Callable[[h5py.File], object] | None = None,
    packing: int = zipfile.ZIP_STORED,
    **entries: bytes,
) -> Damage:
    """A Keras file with another configuration, other weights, or further entries."""

    def change(folder: Path) -> None:
        with zipfile.ZipFile(folder / "model.keras") as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        whole = json.loads(parts["config.json"])
        config(whole)
        parts["config.json"] = json.dumps(whole).encode()
        if weights is not None:
            stream = io.BytesIO(parts["model.weights.h5"])
            with h5py.File(stream, "r+") as file:
                weights(file)
            parts["model.weights.h5"] = stream.getvalue()
        with zipfile.ZipFile(folder / "model.keras", "w", packing) as archive:
            for name, data in (parts | entries).items():
                archive.writestr(name, data)

    return change


def layer(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change the second layer, which is a convolution's preparation in every model."""

    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1].update(changes)

    return change


def setting(kind: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change the settings of the first layer of a kind."""

    def change(config: dict[str, Any]) -> None:
        found = next(part for part in config["config"]["layers"] if part["class_name"] == kind)
        found["config"].update(changes)

    return change


def unsaid_channels(config: dict[str, Any]) -> None:
    """A reshape to -1, which is what there is: nothing, if it were counted as it stands."""
    layer(class_name="Reshape", config={"name": config["config"]["layers"][1]["name"], "target_shape": [-1]})(config)


def activation(config: dict[str, Any]) -> None:
    code = {"module": "builtins", "class_name": "function", "config": "system", "registered_name": "function"}
    setting("Conv2D", activation=code)(config)


def first_weights(file: h5py.File) -> str:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found[0]


def boastful_h5(file: h5py.File) -> None:
    name = first_weights(file)
    del file[name]
    file.create_dataset(name, (10**6, 10**6), "f4")


def packed_h5(file: h5py.File) -> None:
    name = first_weights(file)
    del file[name]
    file.create_dataset(name, data=np.zeros(10**6, np.float32), compression="gzip")


def elsewhere_h5(file: h5py.File) -> None:
    name = first_weights(file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


def raw_elsewhere_h5(file: h5py.File) -> None:
    name = first_weights(file)
    del file[name]
    file.create_dataset(name, (4,), "f4", external=[("/etc/passwd", 0, 16)])


HOSTILE: dict[str, tuple[Damage, str]] = {
    **{f"a flipped bit in {name}": (flipped(name), f"was changed: {name}") for name in FILES},
    **{f"a truncated {name}": (cut(name), f"was changed: {name}") for name in FILES},
    **{f"a link in place of {name}": (linked(name), f"{name} is a link") for name in (*FILES, "card.json")},
    "a truncated card": (cut("card.json"), "card of the model .* is not valid"),
    "a card without end": (pipe, "There is no model named"),
    "a wrong hash": (lambda f: card(f, files=dict.fromkeys(FILES, "0" * 64)), "was changed"),
    "another label order": (other_order, "not the 15 of this product in their order"),
    "a deep card": (deep, "is not valid"),
    "a long number in the card": (long_number, "is not valid"),
    "a huge card": (written("card.json", b" " * 3_000_000), "more than the 2 MB"),
    "a card of another kind": (written("card.json", b"[" + b"0," * 90_000 + b"0]"), "is not valid"),
    "a huge input": (lambda f: card(f, input_size=1_000_000), "1,000,000 pixels a side"),
    "a file of another kind": (further_file, r"run\.py is of a kind"),
    # From here on the card has the right hashes.
    "a truncated graph, signed": (signed(cut("model.onnx")), "is no ONNX graph"),
    "a truncated Keras file, signed": (signed(cut("model.keras")), "is damaged, or no Keras file"),
    "a truncated probe, signed": (signed(cut("probe.npz")), r"probe\.npz is damaged"),
    "a graph with other weights": (signed(graph(doubled)), "differs from its Keras model"),
    "a probe of Python objects": (
        signed(arrays(logits=np.array([{}], dtype=object))), "holds Python objects",
    ),
    "a probe as large as it says it is not": (signed(arrays(header("'<f8'", "(1000000, 1000000)"))), "not as large"),
    "a probe of nothing, often": (signed(arrays(header("'<U0'", "(1000000000000,)"))), "holds Python objects"),
    "a probe of a negative size": (signed(arrays(header("'<f4'", "(-1, -4)") + bytes(16))), "not as large"),
    "a probe that grows": (signed(arrays(films=np.zeros((900, 64, 64), np.uint8))), "unpacks to"),
    "a probe of other films": (signed(arrays(films=np.zeros((3, 32, 32), np.uint8))), "of the card's sizes"),
    "a probe without films": (signed(arrays(films=np.zeros((0, 64, 64), np.uint8))), "of the card's sizes"),
    "weights from another file": (signed(graph(external)), "from another file"),
    "an operator of its own": (signed(graph(custom_operator)), "operators of its own"),
    "an operator of others": (signed(graph(contributed_operator)), "has the operator 'Gelu'"),
    "a graph in the graph": (signed(graph(loop)), "has the operator 'If'"),
    "a tensor in an operator": (signed(graph(hidden_tensor)), "tensor inside an operator"),
    "weights that it has not": (signed(graph(boastful_weights)), "not as many as it says"),
    "a tensor of 60 GB": (signed(graph(padded)), "makes a tensor of 14,4"),
    "a fixed number of films": (signed(graph(many_films)), "makes a tensor of|do not fit"),
    "one more output": (signed(graph(other_outputs)), "does not give 15 logits"),
    "a Lambda layer": (signed(keras_file(layer(class_name="Lambda"))), "the kind 'Lambda'"),
    "a TFSMLayer": (signed(keras_file(layer(class_name="TFSMLayer"))), "the kind 'TFSMLayer'"),
    "a layer of a module": (signed(keras_file(layer(module="os", class_name="system"))), "the kind 'system'"),
    "a registered layer": (signed(keras_file(layer(registered_name="evil>Layer"))), "no model of this product"),
    "a function as activation": (signed(keras_file(activation)), "the kind 'function'"),
    "another kind of model": (signed(keras_file(lambda c: c.update(class_name="Sequential"))), "kind 'Sequential'"),
    "many channels": (signed(keras_file(setting("Conv2D", filters=10**9))), "nothing is that large"),
    "many weights": (signed(keras_file(setting("Conv2D", filters=60_000, kernel_size=[99, 99]))), "make weights of"),
    "weights behind a reshape": (signed(keras_file(unsaid_channels)), "how many channels"),
    "weights behind channels in another place": (
        signed(keras_file(setting("Conv2D", data_format="channels_first"))), "channels in another place",
    ),
    "a large film": (signed(keras_file(setting("InputLayer", batch_shape=[None, 9999, 9999, 1]))), "more than 2,048"),
    "weights that the Keras file has not": (signed(keras_file(weights=boastful_h5)), "not as large as it says"),
    "weights that are packed": (signed(keras_file(weights=packed_h5)), "not as large as it says"),
    "weights by a link": (signed(keras_file(weights=elsewhere_h5)), "from another place"),
    "weights of any file": (signed(keras_file(weights=raw_elsewhere_h5)), "from another place"),
    "a packed Keras file": (signed(keras_file(packing=zipfile.ZIP_DEFLATED)), "that is packed"),
    "a file beside the weights": (signed(keras_file(**{"assets/x.py": b""})), "not made of a configuration"),
}  # fmt: skip
