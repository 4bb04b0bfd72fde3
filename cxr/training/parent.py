"""Starting from a model that there is instead of ImageNet: its backbone, and its head by category.

Whether a model can be started from is found out without Keras.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr.evaluation.scored import film_key
from cxr.evaluation.stored import load_evaluation
from cxr.findings import CATEGORIES
from cxr.model.bundle import MAPS, Bundle, bundle_path, load_bundle
from cxr.training.config import TrainingConfig

if TYPE_CHECKING:
    import keras


def load_parent(config: TrainingConfig) -> Bundle | None:
    """The bundle that a run starts from; None without one.

    Raises:
        BundleRejected: there is no such bundle, or it can't be used.
        ValueError: it has another backbone.
    """
    if config.parent is None:
        return None
    parent = load_bundle(bundle_path(config.parent))
    if parent.card.backbone != config.backbone:
        raise ValueError(
            f"The model {parent.name} has the backbone {parent.card.backbone}, not {config.backbone}; start from it "
            f"with --backbone {parent.card.backbone}."
        )
    return parent


def check_patients(parent: Bundle, split: str, image_ids: Iterable[object], folder: Path) -> None:
    """Refuse a parent by whose training the test patients of the new model are known, or whose own would train it.

    A parent of the same split is fine, and one that was tested on none of these films. Of an imported model nobody
    can tell: its card says so.

    Args:
        parent: of `load_parent`.
        split: hash of the new model's split.
        image_ids: of all its films.
        folder: that they come from.

    Raises:
        ValueError: its split is another of the same films, or can't be told.
    """
    known = parent.card.data
    if known is None or known.hash == split:
        return
    evaluation = load_evaluation(parent)
    if evaluation is not None:
        tested = set(evaluation.films.metadata.index)
        if not any(film_key(str(image_id)) in tested for image_id in image_ids):
            return
    raise ValueError(
        f"The model {parent.name} was made with other patients of {folder} held out: its test patients would train "
        "this one; use its split_seed, fractions and films."
    )


def start_from(classifier: "keras.Model", parent: Bundle) -> None:
    """Copy a parent's weights: the backbone's layer by layer, the head's by category.

    The layers are matched by their order, which the backbone decides: Keras numbers unnamed ones anew in each model. A
    category that the parent has not keeps the weights that the classifier came with. The sides of the films may differ.

    Raises:
        ValueError: a layer has other shapes in the parent.
    """
    from cxr.model.export import load_keras

    model = load_keras(parent)
    ours, theirs = ([x for x in m.layers if x.weights and x.name != MAPS] for m in (classifier, model))
    shapes = [[[w.shape for w in layer.weights] for layer in layers] for layers in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"The layers of the model {parent.name} are not those of {parent.card.backbone} here.")
    for layer, given in zip(ours, theirs, strict=True):
        layer.set_weights(given.get_weights())
    head = classifier.get_layer(MAPS)
    kernel, bias = (np.array(w) for w in head.get_weights())
    their_kernel, their_bias = model.get_layer(MAPS).get_weights()
    for place, category in enumerate(CATEGORIES):
        if category in parent.card.categories:
            channel = parent.card.categories.index(category)
            kernel[..., place], bias[place] = their_kernel[..., channel], their_bias[channel]
    head.set_weights([kernel, bias])
