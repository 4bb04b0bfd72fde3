"""Do the heatmaps depend on what the model has learned? Cascading randomisation of its weights.

Adebayo et al. 2018 (arXiv:1810.03292, section 3): weights are initialised anew from the head down to the stem, and the
maps are compared with those of the trained model. A map that stays the same shows edges of the film, not reasons of the
model. Needs Keras, which is imported only when it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cxr.evaluation.metrics import MIN_PATIENTS, RESAMPLES, estimate, resample_patients
from cxr.evaluation.ranks import midranks
from cxr.findings import FINDING_INDICES
from cxr.model.bundle import MAPS
from cxr.model.card import Estimate

if TYPE_CHECKING:
    import keras

STAGES: Final = 7
"""Steps from the head to the stem: the head alone, then groups of about as many layers each."""
DRAWS: Final = 5
"""Independent new initialisations. Films share one, so a single one would say more of its luck than of the maps."""
LIMIT: Final = 0.5
"""Maps depend on the weights if, with all of these new, the correlation's size is below this. Adebayo et al. give no
number; unrelated smooth maps of ten by ten cells correlate with a mean size of about 0.2."""
FLAT: Final = 1e-5
"""A map varies if it does so by more than this share of its largest value; less is rounding of float32."""
NOT_LEARNED: Final = "normalisation"
"""The layer that scales grey levels. Its weights are constants, and stay."""


@dataclass(frozen=True)
class Stage:
    """The maps of the randomised model against those of the model, over films and findings.

    Correlations are Spearman's, over the cells of a map. A randomised map that does not vary counts as 0; a map of the
    model that does not vary is left out. None if that leaves too few films to say. The intervals are over films and
    draws, both resampled (Owen 2007, "The pigeonhole bootstrap").

    Attributes:
        name: what is new, in words.
        layers: how many layers are.
        correlation: of the maps. Random signs alone make it 0 on average.
        positive: of their positive parts, which are what a heatmap shows, where the model's map has one.
        absolute: size of the correlation of the maps; shows what is only turned upside down.
        flat: share of the randomised maps that do not vary, 0..1.
    """

    name: str
    layers: int
    correlation: Estimate | None
    positive: Estimate | None
    absolute: Estimate | None
    flat: float


@dataclass(frozen=True)
class Randomisation:
    """The stages in their order, from the model as it is to all weights new; how many films and draws."""

    films: int
    draws: int
    stages: tuple[Stage, ...]

    @property
    def depends_on_weights(self) -> bool | None:
        """Whether, with all weights new, the whole interval of `absolute` is below `LIMIT`; None: can't be said.

        Nor can it be said where most of the last stage's maps are flat: these would resemble nothing.
        """
        last = self.stages[-1]
        return None if last.absolute is None or last.flat > LIMIT else last.absolute.high < LIMIT


def randomisation(
    model: "keras.Model",
    films: np.ndarray,
    *,
    outputs: Sequence[int] = FINDING_INDICES,
    stages: int = STAGES,
    draws: int = DRAWS,
    seed: int = 0,
) -> Randomisation:
    """Initialise a model's weights anew, from the head down, and see how far its maps remain the same.

    Works on a copy; the model stays as it is. Every layer gets weights of its own initialisers (batch normalisation: as
    if it had seen nothing). The same seed gives the same result.

    Args:
        model: of `load_keras`; its output "maps" is (n, h, w, k).
        films: float32 (n, size, size, 1), grey levels 0..255, best one for each patient.
        outputs: which of the k maps are those of findings.
        stages: at most this many; a model with fewer layers has fewer.
        draws: number of initialisations.
        seed: of them, and of the resamples.

    Raises:
        ValueError: `films` has another shape, or no layer of the model has weights.
    """
    import keras

    if films.ndim != 4 or films.shape[3] != 1 or not len(films):
        raise ValueError(f"`films` must be (n, size, size, 1) with at least one film; it is {films.shape}.")
    groups = _groups(model, stages)
    copy = keras.models.clone_model(model)
    trained = model.get_weights()
    rng = np.random.default_rng(seed)
    original = _evidence(model, films, outputs)
    # (stages, draws, measures, films)
    values = np.empty((len(groups) + 1, draws, 4, len(films)))
    values[0] = _compare(original, original)
    for draw in range(draws):
        copy.set_weights(trained)
        for number, group in enumerate(groups, start=1):
            for layer in group:
                copy.get_layer(layer.name).set_weights(fresh_weights(layer, rng))
            values[number, draw] = _compare(original, _evidence(copy, films, outputs))
    names = ["the model as it is", *(f"new down to {group[-1].name}" for group in groups)]
    counts = np.cumsum([0, *(len(group) for group in groups)])
    return Randomisation(
        films=len(films),
        draws=draws,
        stages=tuple(_stage(name, int(n), v, seed) for name, n, v in zip(names, counts, values, strict=True)),
    )


def fresh_weights(layer: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """New weights for a layer that is built, by its own initialisers, in the order of `get_weights`."""
    config = layer.get_config()
    for key, value in config.items():
        if key.endswith("_initializer") and isinstance(value, dict) and "seed" in value["config"]:
            seeded = {**value["config"], "seed": int(rng.integers(2**31))}
            config[key] = {**value, "config": seeded}
    new = type(layer).from_config(config)
    new.build_from_config(layer.get_build_config())
    return new.get_weights()


def _groups(model: "keras.Model", stages: int) -> list[list[Any]]:
    """The layers with weights from the head down: the topmost alone, then at most `stages` - 1 groups."""
    learned = [layer for layer in reversed(model.layers) if layer.weights and layer.name != NOT_LEARNED]
    if not learned:
        raise ValueError("No layer of the model has weights.")
    rest = np.array_split(np.arange(1, len(learned)), max(stages - 1, 1))
    return [learned[:1], *([learned[k] for k in part] for part in rest if len(part))]


def _evidence(model: "keras.Model", films: np.ndarray, outputs: Sequence[int]) -> np.ndarray:
    """What each cell adds to each logit, float32 (films, outputs, cells): maps less the constant of the head."""
    from cxr.model.export import predict

    _, maps = predict(model, films[..., 0])
    head = model.get_layer(MAPS)
    bias = head.bias.numpy() if getattr(head, "bias", None) is not None else 0
    return (maps - bias)[..., list(outputs)].reshape(len(films), -1, len(outputs)).swapaxes(1, 2)


def _compare(original: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each film the means over findings of evidence (films, 14, cells): float (4, films).

    Correlation, that of the positive parts, size of the correlation, share of flat maps; NaN without an original.
    """
    whole = spearman(original, other)
    positive = spearman(np.maximum(original, 0), np.maximum(other, 0))
    rows = [whole, positive, np.abs(whole), np.where(_varies(other), 0.0, 1.0)]
    return np.array([np.ma.masked_invalid(row).mean(axis=1).filled(np.nan) for row in rows])


def spearman(original: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Rank correlation along the last axis of two arrays of one shape; ties share their mean rank (Spearman 1904).

    Returns:
        Float, one axis less; NaN where `original` does not vary, 0 where only `other` does not.
    """
    ranks = [midranks(array) for array in (original, other)]
    first, second = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    size = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    value = (first * second).sum(axis=-1) / np.where(size > 0, size, 1)
    return np.where(_varies(original), np.where(_varies(other), value, 0.0), np.nan)


def _varies(array: np.ndarray) -> np.ndarray:
    return np.ptp(array, axis=-1) > FLAT * np.abs(array).max(axis=-1)


def _stage(name: str, layers: int, values: np.ndarray, seed: int) -> Stage:
    """Values (draws, 4, films) as a stage."""
    draws = len(values)
    of_draws = resample_patients(np.arange(draws), seed=seed + 1).weights if draws > 1 else np.ones((RESAMPLES, 1))

    def mean(row: np.ndarray) -> Estimate | None:
        known = ~np.isnan(row).any(axis=0)
        if known.sum() < MIN_PATIENTS:
            return None
        kept = row[:, known]

        def over(w: np.ndarray | None) -> np.ndarray:
            if w is None:
                return kept.mean(keepdims=True)[0]
            return np.einsum("rd,df,rf->r", of_draws, kept, w) / (of_draws.sum(axis=1) * w.sum(axis=1))

        return estimate(over, resample_patients(np.arange(known.sum()), seed=seed))

    correlation, positive, absolute = (mean(values[:, k]) for k in range(3))
    return Stage(name, layers, correlation, positive, absolute, float(values[:, 3].mean()))
