"""The backbones by name, for whoever offers a choice of them and builds none: `cxr.model.backbones` needs Keras."""

from typing import Final

SHIPPED: Final = ("efficientnet_lite0", "efficientnet_lite2")
"""Their ImageNet weights come with this product."""
DOWNLOADED: Final = ("densenet121", "mobilenet_v2", "efficientnet_v2b0", "xception", "vgg16")
"""Keras downloads theirs once."""
