"""The backbones by name, for whoever offers a choice of them and builds none: `cxr.model.backbones` needs Keras."""

from pathlib import Path
from typing import Final

from cxr.settings import settings

SHIPPED: Final = ("efficientnet_lite0", "efficientnet_lite2")
"""Their ImageNet weights come with this product."""
DOWNLOADED: Final = ("densenet121", "mobilenet_v2", "efficientnet_v2b0", "xception", "vgg16")
"""Keras downloads theirs once."""


SUFFIX: Final = ".weights.h5"


def weights_file(backbone: str, name: str | None = None) -> Path:
    """Where weights of a backbone lie: ImageNet's, or those of a name. Nothing need be there."""
    return settings().models_dir / "backbones" / f"{backbone}{f'.{name}' if name else ''}{SUFFIX}"


def named_weights() -> list[tuple[str, str]]:
    """(backbone, name) of all weights that are there beside ImageNet's."""
    files = weights_file("*", "*")
    found = (file.name.removesuffix(SUFFIX).split(".") for file in sorted(files.parent.glob(files.name)))
    return [(backbone, name) for backbone, name in found if backbone in (*SHIPPED, *DOWNLOADED)]
