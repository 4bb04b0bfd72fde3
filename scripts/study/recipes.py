"""The recipes that are compared, each a function from a seed to scores by models that never saw the films' patients."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from scipy.special import expit

from cxr.dataset.labelled import LabelledFilms
from cxr.evaluation.evaluate import view_only
from cxr.training.config import TrainingConfig
from cxr.training.fit import class_weights
from scripts.study import notebook, pretrain
from scripts.study.films import FOLDS, fold_of, load, load_others
from scripts.study.frozen import POOLED, Trunk, feature_maps
from scripts.study.heads import fit_head, standardise
from scripts.study.upper import Films, predict, train


@dataclass(frozen=True)
class Study:
    """Where the films are and what has been computed.

    Attributes:
        data: folder of NIH's shards.
        other: folder of the films of other hospitals.
        cache: folder for feature maps and scores.
    """

    data: Path
    other: Path
    cache: Path

    def films(self, size: int) -> LabelledFilms:
        return load(self.data, size, self.cache.parent)

    def pretrained(self, trunk: Trunk, how: str) -> Trunk:
        """A trunk whose upper part has seen films of other hospitals ("none": as it is)."""
        if how == "none":
            return trunk
        others = load_others(self.other, pretrain.SIZE, self.cache)
        small = replace(trunk, size=pretrain.SIZE)
        return replace(pretrain.pretrained(small, how, others, pretrain.EPOCHS, self.cache), size=trunk.size)


CONFIG = TrainingConfig()
LITE2_CUT = "block19_add"
"""EfficientNet-Lite2 after stage 6 of 7."""
TEACHERS_SHARE = 0.7
"""Of what a pupil learns of a film; the rest is its label."""
DECAY = 1.0
"""Of a head on frozen features; its neighbours are in the table."""

Recipe = Callable[[Study, int], np.ndarray]


def cross_validated(
    films: LabelledFilms, seed: int, score: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Scores (n, 15) of all films, fold by fold; `score(train rows, test rows)` gives those of the test rows."""
    folds = fold_of(films, seed)
    scores = np.zeros(films.labels.shape, np.float32)
    for k in range(FOLDS):
        train, tested = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
        scores[tested] = score(train, tested)
    return scores


@dataclass(frozen=True)
class Probe:
    """A linear head on the pooled features of a frozen network.

    Attributes:
        trunks: whose features stand side by side.
        pool: "mean", "max" or "both" over the feature map.
        decay: of the head's weights.
        views: augmented views a film is trained in, beside itself.
        test_views: views whose features' scores are averaged.
        films: how many training films are used (0: all).
        labels: "true", or "random": shuffled among the training films.
    """

    trunks: tuple[Trunk, ...] = (Trunk(),)
    pool: str = "mean"
    decay: float = DECAY
    views: int = 0
    test_views: int = 1
    films: int = 0
    labels: str = "true"

    def __call__(self, study: Study, seed: int) -> np.ndarray:
        films = study.films(self.trunks[0].size)
        count = max(self.views + 1, self.test_views)
        each = [
            _half(feature_maps(t, study.films(t.size).pixels, count, CONFIG, study.cache).astype(np.float32), self.pool)
            for t in self.trunks
        ]
        features = np.concatenate(each, axis=-1)
        labels = films.labels
        rng = np.random.default_rng(seed)

        def score(train: np.ndarray, tested: np.ndarray) -> np.ndarray:
            if self.films:
                train = rng.permutation(train)[: self.films]
            y = labels[train] if self.labels == "true" else labels[rng.permutation(train)]
            x = features[: self.views + 1, train].reshape(-1, features.shape[-1])
            x, shown = standardise(x, features[: self.test_views, tested])
            kernel, constant = fit_head(x, np.tile(y, (self.views + 1, 1)), class_weights(y, CONFIG), self.decay)
            return (shown @ kernel + constant).mean(0)

        return cross_validated(films, seed, score)


def _half(features: np.ndarray, pool: str) -> np.ndarray:
    channels = features.shape[-1] // 2
    return {"mean": features[..., :channels], "max": features[..., channels:], "both": features}[pool]


@dataclass(frozen=True)
class Tuned:
    """Fine-tuning of what lies above a cut.

    Attributes:
        trunk: what is frozen.
        pretraining: on films of other hospitals (see `pretrained`), or "none".
        views: augmented views of each film in the cache, beside itself; 0 is no augmentation.
        members: models of different initialisation and order.
        together: "alone", "scores" (their mean), "weights" (one model with the mean weights) or "distilled" (one more
            model that learns what they say of the training films; Hinton et al. 2015, arXiv:1503.02531).
        test_views: whose logits are averaged.
        films: how many training films are used (0: all).
        labels: "true" or "random".
        changes: to the default configuration.
    """

    trunk: Trunk
    pretraining: str = "none"
    views: int = 3
    members: int = 1
    together: str = "alone"
    test_views: int = 1
    films: int = 0
    labels: str = "true"
    changes: tuple[tuple[str, object], ...] = ()

    def __call__(self, study: Study, seed: int) -> np.ndarray:
        films = study.films(self.trunk.size)
        start = study.pretrained(self.trunk, self.pretraining)
        maps = feature_maps(self.trunk, films.pixels, max(self.views + 1, self.test_views), CONFIG, study.cache)
        labels = films.labels
        rng = np.random.default_rng(seed)

        def score(rows: np.ndarray, tested: np.ndarray) -> np.ndarray:
            if self.films:
                rows = rng.permutation(rows)[: self.films]
            y = labels.copy()
            if self.labels == "random":
                y[rows] = labels[rng.permutation(rows)]
            shown = Films(maps[: self.views + 1], y, rows)

            def trained(films: Films, member: int) -> keras.Model:
                return train(start, films, CONFIG.model_copy(update={**dict(self.changes), "seed": 10 * seed + member}))

            models = [trained(shown, member) for member in range(self.members)]
            if self.together == "weights":
                means = [np.mean(group, axis=0) for group in zip(*(m.get_weights() for m in models), strict=True)]
                models[0].set_weights(means)
                models = models[:1]
            if self.together == "distilled":
                models = [trained(replace(shown, targets=taught(models, shown)), self.members)]
            return np.mean([predict(m, maps[view, tested]) for m in models for view in range(self.test_views)], axis=0)

        return cross_validated(films, seed, score)


def taught(teachers: list[keras.Model], films: Films) -> np.ndarray:
    """float32 (views, n, 15): what a pupil learns of each film, between its label and its teachers' mean probability."""
    targets = np.broadcast_to(films.labels.astype(np.float32), (len(films.maps), *films.labels.shape)).copy()
    # The teachers' odds hold the weight of a positive, which the pupil's loss applies anew.
    weight = np.log(class_weights(films.labels[films.rows], CONFIG))
    for view, maps in enumerate(films.maps):
        said = np.mean([expit(predict(teacher, maps[films.rows]) - weight) for teacher in teachers], axis=0)
        targets[view, films.rows] += TEACHERS_SHARE * (said - targets[view, films.rows])
    return targets


@dataclass(frozen=True)
class PretrainedProbe:
    """A linear head on the pooled features of a network that has seen films of other hospitals."""

    trunk: Trunk
    pretraining: str

    def __call__(self, study: Study, seed: int) -> np.ndarray:
        return Probe((replace(study.pretrained(self.trunk, self.pretraining), cut=POOLED),))(study, seed)


@dataclass(frozen=True)
class Notebook:
    """The notebook's recipe on a backbone whose ImageNet weights are here."""

    trunk: Trunk

    def __call__(self, study: Study, seed: int) -> np.ndarray:
        films = study.films(self.trunk.size)
        maps = feature_maps(self.trunk, films.pixels, 1, CONFIG, study.cache)[0]

        def score(train: np.ndarray, tested: np.ndarray) -> np.ndarray:
            model = notebook.fit(self.trunk, maps[train], films.labels[train], seed)
            return predict(model, maps[tested])

        return cross_validated(films, seed, score)


def by_view(study: Study, seed: int) -> np.ndarray:
    """Control: each finding's share among the training films of the same projection."""
    films = study.films(224)

    def score(train: np.ndarray, tested: np.ndarray) -> np.ndarray:
        views = films.metadata["view"]
        return view_only(films.labels[train], views.iloc[train], views.iloc[tested])

    return cross_validated(films, seed, score)


def prior(study: Study, seed: int) -> np.ndarray:
    """Control: each finding's share among the training films."""
    films = study.films(224)
    return cross_validated(
        films, seed, lambda train, tested: np.broadcast_to(films.labels[train].mean(0), (len(tested), 15))
    )


PROBE = Probe()


def probe_recipes() -> dict[str, tuple[str, Recipe]]:
    """Name -> (what is varied, recipe) of the linear heads."""
    lite0, lite2 = Trunk(), Trunk("efficientnet_lite2")
    found: dict[str, tuple[str, Recipe]] = {
        "constant prior": ("control", prior),
        "view only": ("control", by_view),
        "random labels": ("control", replace(PROBE, labels="random")),
        "random backbone": ("control", replace(PROBE, trunks=(replace(lite0, start="random"),))),
        "linear probe": ("reference", PROBE),
        "notebook's recipe": ("reference", Notebook(Trunk(cut=notebook.CUT))),
    }
    for decay in (0.1, 10.0):
        found[f"probe, weight decay {decay:g}"] = ("head", replace(PROBE, decay=decay))
    for pool in ("max", "both"):
        found[f"probe, {pool} pooling"] = ("head", replace(PROBE, pool=pool))
    for size in (320, 384, 448):
        found[f"probe, {size} px"] = ("input size", replace(PROBE, trunks=(replace(lite0, size=size),)))
    for size in (224, 320, 448):
        found[f"probe, lite2 {size} px"] = ("backbone", replace(PROBE, trunks=(replace(lite2, size=size),)))
    found["probe, 4 views"] = ("augmentation", replace(PROBE, views=3))
    found["probe, 4 views in the test too"] = ("test-time views", replace(PROBE, views=3, test_views=4))
    for count in (150, 300, 600):
        found[f"probe, {count} films"] = ("learning curve", replace(PROBE, films=count))
    return found


HIGH = Trunk(cut="block14_add")
"""Frozen up to and with stage 6 of 7: 7 x 7 x 192 at 224 px. What is trained above it is 1.0 of 3.4 million weights."""
LOW = Trunk(size=384, cut=pretrain.TUNED)
"""Frozen up to and with stage 5 of 7: 24 x 24 x 112."""


def tuned_recipes() -> dict[str, tuple[str, Recipe]]:
    """Name -> (what is varied, recipe) of the networks whose upper part is trained."""
    base = Tuned(HIGH, changes=(("epochs", 10),))
    tasks = ("kermany", "barlow twins")
    found: dict[str, tuple[str, Recipe]] = {
        f"probe, {how} first": ("pre-training", PretrainedProbe(HIGH, how)) for how in tasks
    }
    found |= {
        "tuned": ("reference", base),
        "tuned, no augmentation": ("augmentation", replace(base, views=0)),
        "tuned, random labels": ("control", replace(base, labels="random")),
        "tuned, stages 6 and 7": ("freezing", replace(base, trunk=replace(LOW, size=HIGH.size))),
        "tuned, label smoothing 0.05": ("loss", replace(base, changes=(*base.changes, ("label_smoothing", 0.05)))),
        "tuned, no class weights": ("loss", replace(base, changes=(*base.changes, ("max_class_weight", 1.0)))),
        "tuned, 3 members' scores": ("ensembling", replace(base, members=3, together="scores")),
        "tuned, 3 members' weights": ("ensembling", replace(base, members=3, together="weights")),
        "tuned, 4 views in the test": ("test-time views", replace(base, test_views=4)),
        "tuned, 8 views": ("augmentation", replace(base, views=7)),
        "tuned, 320 px": ("input size", replace(base, trunk=replace(HIGH, size=320))),
        "tuned, distilled from 3 members": ("ensembling", replace(base, members=3, together="distilled")),
        "tuned, 384 px": ("input size", replace(base, trunk=replace(HIGH, size=384))),
        "tuned, 448 px": ("input size", replace(base, trunk=replace(HIGH, size=448))),
        "tuned, 384 px, stages 6 and 7": ("several", replace(base, trunk=LOW)),
        "tuned, 384 px, stages 6 and 7, barlow twins first": (
            "several",
            replace(base, trunk=LOW, pretraining="barlow twins"),
        ),
        "tuned, lite2 320 px": ("backbone", replace(base, trunk=Trunk("efficientnet_lite2", 320, LITE2_CUT))),
    }
    found |= {f"tuned, {how} first": ("pre-training", replace(base, pretraining=how)) for how in tasks}
    found |= {f"tuned, {count} films": ("learning curve", replace(base, films=count)) for count in (150, 300, 600)}
    return found


def all_recipes() -> dict[str, tuple[str, Recipe]]:
    """Name -> (what is varied, recipe), in the order of the table."""
    return probe_recipes() | tuned_recipes()
