"""Whether a Keras file is one that this product writes, found out before Keras sees it.

`safe_mode` refuses code in a file (Lambda layers), but Keras has had holes there, follows links in the HDF5 file with
the weights, and makes weights as large as the configuration says. So the layers are checked against a list, the size
of every weight is computed from the configuration, and the weights have to lie in the file as they are.
"""

import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import h5py

from cxr.model.bundle import KERAS_FILE, Bundle, BundleRejected, unfit
from cxr.model.untrusted import LARGEST_INPUT, MEGABYTE, Unfit

LAYERS: Final = frozenset(
    ("Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense", "DepthwiseConv2D",
     "Dropout", "GlobalAveragePooling2D", "InputLayer", "MaxPooling2D", "Multiply", "ReLU", "Rescaling", "Reshape",
     "SeparableConv2D", "SpatialDropout2D", "ZeroPadding2D")
)  # fmt: skip
"""What `cxr.model.onnx_graph` can write, and the input. A test compares the two."""
BESIDES: Final = {
    "keras": frozenset(("DTypePolicy", "Functional")),
    "keras.src.models.functional": frozenset(("Functional",)),
    "keras.initializers": frozenset(
        ("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Ones", "RandomNormal", "RandomUniform",
         "TruncatedNormal", "VarianceScaling", "Zeros")
    ),
    "keras.regularizers": frozenset(("L1", "L1L2", "L2")),
}  # fmt: skip
"""What else a configuration names, by module."""
TENSOR: Final = "__keras_tensor__"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.weights.h5"
ENTRIES: Final = {"metadata.json": MEGABYTE, CONFIG: 8 * MEGABYTE, WEIGHTS: 512 * MEGABYTE}
"""Bytes of each file in a Keras file; it holds no others."""
MOST_LAYERS: Final = 3000
MOST_WEIGHTS: Final = 128 * 1024**2
"""Numbers in all weights together, 512 MB as float32; Xception has 21 million."""
NUMBERS_OF_THEIR_OWN: Final = ("seed", "shared_object_id")
"""Keys whose numbers are large and make nothing large."""
LARGEST_NUMBER: Final = 65_536
"""Of any number of channels, side of a kernel, padding."""


def checked_keras(bundle: Bundle) -> None:
    """Raise `BundleRejected` unless `check_keras` finds nothing against a bundle's Keras file. Loads no Keras."""
    try:
        check_keras(bundle.path / KERAS_FILE)
    except Unfit as error:
        raise unfit(bundle.path, KERAS_FILE, error) from error
    except OSError as error:
        raise BundleRejected(f"The model {bundle.name} is incomplete: {KERAS_FILE} can't be read.") from error


def check_keras(file: Path) -> None:
    """Raise `Unfit` unless a `.keras` file holds one flat model of `LAYERS` with weights of bounded size.

    Raises:
        Unfit: as said.
        OSError: it can't be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if set(entries) != set(ENTRIES) or len(archive.infolist()) != len(ENTRIES):
                raise Unfit("is not made of a configuration and its weights")
            for name, entry in entries.items():
                if entry.flag_bits & 0x1 or entry.file_size > ENTRIES[name] or entry.compress_size < entry.file_size:
                    raise Unfit(f"has a {name} that is packed, or larger than is loaded")
            config, weights = archive.read(CONFIG), archive.read(WEIGHTS)
        check_config(json.loads(config))
        _check_weights(weights)
    except (Unfit, OSError):
        raise
    except Exception as error:
        # zipfile, JSON, HDF5 and whatever is not where a configuration has it.
        raise Unfit("is damaged, or no Keras file of this product") from error


def check_config(config: Any) -> None:
    """Raise `Unfit` unless a model's configuration, as JSON, names only what is known and makes weights in bounds."""
    for part in _dictionaries(config):
        _check_class(part)
    if config["class_name"] != "Functional":
        raise Unfit("is no flat functional model")
    layers = config["config"]["layers"]
    if len(layers) > MOST_LAYERS:
        raise Unfit(f"has {len(layers):,} layers, more than the {MOST_LAYERS:,} that are loaded")
    channels: dict[str, int] = {}
    total = 0
    for layer in layers:
        if layer["class_name"] not in LAYERS:
            raise Unfit("holds a model in the model, which is not loaded")
        given = [channels[name] for name in _inputs(layer)]
        channels[layer["name"]], own = _size(layer["class_name"], layer["config"], given)
        total += own
        if total > MOST_WEIGHTS:
            raise Unfit(f"would make weights of more than {MOST_WEIGHTS:,} numbers")


def _dictionaries(whole: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary, however deep."""
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += [value for key, value in part.items() if key not in NUMBERS_OF_THEIR_OWN]
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, int | float) and abs(part) > LARGEST_NUMBER and not isinstance(part, bool):
            raise Unfit(f"has the number {part:.3g} in its configuration, where nothing is that large")


def _check_class(part: dict[str, Any]) -> None:
    if "class_name" not in part:
        return
    name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if name == TENSOR and module is None:
        return
    known = name in (LAYERS if module == "keras.layers" else BESIDES.get(str(module), frozenset()))
    if not known or registered not in (None, name):
        raise Unfit(f"has a part of the kind {str(name)[:40]!r}, which no model of this product has")


def _inputs(layer: dict[str, Any]) -> Iterator[str]:
    """Names of the layers whose output a layer reads."""
    for part in _dictionaries(layer["inbound_nodes"]):
        if part.get("class_name") == TENSOR:
            yield part["config"]["keras_history"][0]


def _size(kind: str, config: dict[str, Any], given: list[int]) -> tuple[int, int]:
    """Channels that a layer gives, and numbers in its weights, from the channels (n,) that it reads."""
    if kind == "InputLayer":
        sides = config["batch_shape"][1:]
        if max(sides) > LARGEST_INPUT:
            raise Unfit(f"reads films of more than {LARGEST_INPUT:,} pixels")
        return sides[-1], 0
    if config.get("data_format") not in (None, "channels_last"):
        raise Unfit("has its channels in another place than last, which no model of this product has")
    channels = sum(given) if kind == "Concatenate" else max(given)
    window = math.prod(config.get("kernel_size", (1,)))
    depth = config.get("depth_multiplier", 1)
    made, own = channels, 0
    if kind in ("Conv2D", "Dense"):
        made = config["filters" if kind == "Conv2D" else "units"]
        own = channels * window * made + made
    elif kind == "DepthwiseConv2D":
        made = channels * depth
        own = window * made + made
    elif kind == "SeparableConv2D":
        made = config["filters"]
        own = channels * depth * (window + made) + made
    elif kind == "Reshape":
        made = config["target_shape"][-1]
    elif kind == "BatchNormalization":
        own = 4 * channels
    if made < 1:
        # In a reshape -1 stands for whatever is left, which would not be counted.
        raise Unfit("does not say how many channels it has")
    return made, own


def _check_weights(data: bytes) -> None:
    """Raise `Unfit` unless an HDF5 file holds plain numbers, all of them in it and none packed."""
    links: list[Any] = []
    items: list[Any] = []
    with h5py.File(io.BytesIO(data), "r") as file:
        # Collected, not judged in the visit: what is raised in there comes out as another error.
        file.visititems_links(lambda _name, link: links.append(link))
        file.visititems(lambda _name, item: items.append(item))
        if not all(isinstance(link, h5py.HardLink) for link in links):
            raise Unfit("takes weights from another place, which is not allowed")
        for item in items:
            if isinstance(item, h5py.Dataset):
                _check_dataset(item, len(data))


def _check_dataset(found: Any, largest: int) -> None:
    if found.is_virtual or found.external:
        raise Unfit("takes weights from another place, which is not allowed")
    size = math.prod(found.shape or (0,)) * found.dtype.itemsize
    if found.dtype.kind not in "fiu" or found.id.get_storage_size() != size or size > largest:
        raise Unfit("has weights that are not as large as it says, or no numbers")
