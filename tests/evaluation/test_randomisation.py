"""Randomised weights: a model that was trained loses its maps, one that ignores its weights is found out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from synthetic import SIDE, synthetic_film

from cxr.evaluation import randomisation as module
from cxr.evaluation.randomisation import Randomisation, Stage, fresh_weights, randomisation, spearman
from cxr.findings import CATEGORIES, FINDINGS
from cxr.model.bundle import Bundle
from cxr.model.card import Estimate

if TYPE_CHECKING:
    import keras

FILMS = 8


@pytest.fixture(scope="module")
def films() -> np.ndarray:
    rng = np.random.default_rng(0)
    blobs = rng.integers(4, SIDE - 20, (FILMS, 2))
    return np.stack([synthetic_film(rng, (int(y), int(x))) for y, x in blobs]).astype(np.float32)[..., None]


@pytest.fixture(scope="module")
def trained(tiny_bundle: Bundle) -> Iterator["keras.Model"]:
    from cxr.model.export import load_keras

    yield load_keras(tiny_bundle)


@pytest.fixture(scope="module")
def result(trained: "keras.Model", films: np.ndarray) -> Randomisation:
    return randomisation(trained, films, draws=8)


def value(found: Estimate | None) -> float:
    assert found is not None
    return found.value


def maps_of(model: "keras.Model", films: np.ndarray) -> np.ndarray:
    """Evidence of the 14 findings (n, 14, cells), the long way."""
    maps = model.predict_on_batch(films)["maps"] - model.get_layer("maps").get_weights()[1]
    wanted = [CATEGORIES.index(name) for name in FINDINGS]
    return np.array([[film[..., k].ravel() for k in wanted] for film in maps])


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_rank_correlation_is_scipy_s_with_and_without_ties(decimals: int | None) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(3, 4, 30))
    second = 0.5 * first + rng.normal(size=first.shape)
    if decimals is not None:
        first, second = first.round(decimals), second.round(decimals)
    expected = [[spearmanr(a, b).statistic for a, b in zip(*rows, strict=True)] for rows in zip(first, second)]  # noqa: B905
    np.testing.assert_allclose(spearman(first, second), expected, atol=1e-12)


def test_what_does_not_vary_is_no_map_to_compare_with_and_resembles_nothing() -> None:
    varies, flat = np.arange(5.0), np.full(5, 7.0)
    assert np.isnan(spearman(flat, varies))
    assert np.isnan(spearman(flat, flat))
    assert spearman(varies, flat) == 0
    # Rounding of float32 does not make a map.
    assert spearman(varies, flat + 1e-6 * varies) == 0
    assert spearman(varies, flat + 1e-3 * varies) == 1
    assert spearman(varies, 1e-9 * varies) == 1
    assert spearman(varies, np.zeros(5)) == 0


def test_flat_maps_of_the_randomised_model_are_counted() -> None:
    original = np.random.default_rng(0).normal(size=(3, 14, 9))
    other = original.copy()
    other[1, :7] = 2
    other[2] = 0
    for row, expected in zip(module._compare(original, other), ([1, 0.5, 0],) * 3 + ([0, 0.5, 1],), strict=True):
        np.testing.assert_allclose(row, expected)


def test_the_model_as_it_is_has_its_own_maps(result: Randomisation) -> None:
    first = result.stages[0]
    assert (first.layers, first.flat) == (0, 0)
    for found in (first.correlation, first.positive, first.absolute):
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_layers_become_new_from_the_head_to_the_stem(result: Randomisation, trained: "keras.Model") -> None:
    convolutions = [layer.name for layer in trained.layers if layer.weights and layer.name != "normalisation"]
    names = ["the model as it is", *(f"new down to {name}" for name in reversed(convolutions))]
    assert [stage.name for stage in result.stages] == names
    assert names[1] == "new down to maps"
    assert [stage.layers for stage in result.stages] == [0, 1, 2, 3, 4]
    assert (result.films, result.draws) == (FILMS, 8)


def test_a_trained_model_loses_its_maps(result: Randomisation) -> None:
    for stage in result.stages[1:]:
        assert abs(value(stage.correlation)) < 0.25
        # Only the one finding that was learned has a positive part to compare with, and a head's signs are few.
        assert value(stage.positive) < 0.6
        assert abs(value(stage.correlation)) < value(stage.absolute) < 1
        assert stage.absolute and stage.absolute.low < stage.absolute.high
        assert stage.flat < 0.2
    assert result.depends_on_weights is True


def test_stages_are_few_and_of_like_size(trained: "keras.Model", films: np.ndarray) -> None:
    found = randomisation(trained, films, stages=3, draws=1)
    assert [stage.layers for stage in found.stages] == [0, 1, 3, 4]
    assert [stage.layers for stage in randomisation(trained, films, stages=2, draws=1).stages] == [0, 1, 4]


def test_every_stage_keeps_what_was_new_and_leaves_what_is_below(
    trained: "keras.Model", films: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, list[np.ndarray]]] = []
    evidence = module._evidence

    def watched(model: "keras.Model", given: np.ndarray, outputs: Sequence[int]) -> np.ndarray:
        seen.append({layer.name: layer.get_weights() for layer in model.layers if layer.weights})
        return evidence(model, given, outputs)

    monkeypatch.setattr(module, "_evidence", watched)
    randomisation(trained, films, draws=2)
    original, *later = seen
    order = [name for name in original if name != "normalisation"][::-1]

    def same(first: dict[str, list[np.ndarray]], second: dict[str, list[np.ndarray]]) -> list[bool]:
        return [np.array_equal(first[name][0], second[name][0]) for name in order]

    assert len(later) == 2 * len(order)
    for number, state in enumerate(later):
        step = number % len(order) + 1
        assert same(original, state) == [False] * step + [True] * (len(order) - step)
        np.testing.assert_array_equal(state["normalisation"][0], original["normalisation"][0])
        if step > 1:
            assert same(later[number - 1], state)[: step - 1] == [True] * (step - 1)
    assert not any(same(later[len(order) - 1], later[-1]))


def test_the_correlations_are_those_of_the_randomised_maps(
    trained: "keras.Model", films: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one draw, against SciPy, film by film and finding by finding."""
    original = maps_of(trained, films)
    kept: list[np.ndarray] = []
    evidence = module._evidence

    def watched(model: "keras.Model", given: np.ndarray, outputs: Sequence[int]) -> np.ndarray:
        kept.append(maps_of(model, given))
        return evidence(model, given, outputs)

    monkeypatch.setattr(module, "_evidence", watched)
    found = randomisation(trained, films, draws=1).stages[1]

    def mean(change: Callable[[np.ndarray], np.ndarray], size: Callable[[float], float] = float) -> float:
        films_means = []
        for ours, others in zip(original, kept[1], strict=True):
            pairs = [(change(a), change(b)) for a, b in zip(ours, others, strict=True)]
            # Without a map of the model there is nothing to compare with; without another it resembles nothing.
            films_means.append(
                np.mean([size(spearmanr(a, b).statistic) if b.any() else 0 for a, b in pairs if a.any()])
            )
        return float(np.mean(films_means))

    assert (original.max(axis=2) <= 0).any()
    assert (kept[1].max(axis=2) <= 0).any()
    assert value(found.correlation) == pytest.approx(mean(np.asarray), abs=1e-6)
    assert value(found.absolute) == pytest.approx(mean(np.asarray, abs), abs=1e-6)
    assert value(found.positive) == pytest.approx(mean(lambda a: a.clip(0)), abs=1e-6)


def test_the_model_is_left_as_it_is(trained: "keras.Model", films: np.ndarray) -> None:
    before = trained.get_weights()
    maps = maps_of(trained, films)
    randomisation(trained, films, draws=1)
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(maps_of(trained, films), maps)


def test_the_seed_decides_the_weights(trained: "keras.Model", films: np.ndarray) -> None:
    first, again, other = (randomisation(trained, films, draws=1, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.stages[1:] != other.stages[1:]


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense", "BatchNormalization"])
def test_new_weights_are_those_of_a_layer_that_has_learned_nothing(kind: str) -> None:
    from keras import layers

    options: dict[str, Any] = {"Dense": {"units": 64}, "BatchNormalization": {}}.get(kind, {"kernel_size": 3})
    if kind in ("Conv2D", "SeparableConv2D"):
        options["filters"] = 64
    layer = getattr(layers, kind)(**options)
    layer.build((None, 8, 8, 64))
    unlearned = layer.get_weights()
    layer.set_weights([w + 5 for w in unlearned])
    drawn = [fresh_weights(layer, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for reference, first, again, other in zip(unlearned, *drawn, strict=True):
        assert first.shape == reference.shape
        assert (first.mean(), first.std()) == pytest.approx((reference.mean(), reference.std()), abs=0.02)
        np.testing.assert_array_equal(first, again)
        assert np.array_equal(first, other) == (reference.std() == 0)
    np.testing.assert_array_equal(layer.get_weights()[0], unlearned[0] + 5)


def untrained(maps: str) -> "keras.Model":
    """A model whose maps are not made by its weights: the film itself, or one value everywhere."""
    import keras
    from keras import layers

    film = keras.Input((SIDE, SIDE, 1), name="film")
    pooled = layers.AveragePooling2D(8)(film)
    if maps == "constant":
        pooled = layers.Rescaling(0.0, offset=1.0)(pooled)
    grids = layers.Concatenate(name="maps")([pooled] * len(CATEGORIES))
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(film))
    return keras.Model(film, {"logits": layers.Dense(len(CATEGORIES), name="logits")(seen), "maps": grids})


def test_maps_that_ignore_the_weights_are_found_out(films: np.ndarray) -> None:
    found = randomisation(untrained("the film"), films, draws=2)
    assert len(found.stages) == 3
    for stage in found.stages:
        assert (value(stage.correlation), value(stage.positive), stage.flat) == (pytest.approx(1), pytest.approx(1), 0)
    assert found.depends_on_weights is False


def test_of_maps_that_are_the_same_everywhere_nothing_can_be_said(films: np.ndarray) -> None:
    found = randomisation(untrained("constant"), films, draws=2)
    for stage in found.stages:
        assert (stage.correlation, stage.positive, stage.absolute, stage.flat) == (None, None, None, 1)
    assert found.depends_on_weights is None


def test_too_few_films_to_say(trained: "keras.Model", films: np.ndarray) -> None:
    few = randomisation(trained, films[:4], draws=1)
    assert few.films == 4
    assert few.stages[0].correlation is None
    assert few.depends_on_weights is None
    assert randomisation(trained, films[:5], draws=1).stages[0].correlation is not None


def judged(high: float | None, flat: float = 0.0) -> bool | None:
    absolute = None if high is None else Estimate(value=0.1, low=0.0, high=high)
    start = Stage("the model as it is", 0, absolute, absolute, Estimate(value=1, low=1, high=1), 0.0)
    return Randomisation(9, 1, (start, Stage("all", 9, None, None, absolute, flat))).depends_on_weights


def test_the_whole_interval_of_the_last_stage_decides() -> None:
    assert [judged(0.49), judged(0.5), judged(None)] == [True, False, None]
    # Weights that make no map at all do not show that maps depend on them.
    assert [judged(0.1, flat=0.5), judged(0.1, flat=0.51)] == [True, None]


def test_the_interval_is_over_films_and_draws() -> None:
    rng = np.random.default_rng(0)
    by_draw, by_film = rng.normal(size=(12, 1, 1)), rng.normal(size=(1, 1, 40))

    def width(values: np.ndarray) -> float:
        found = module._stage("stage", 1, np.broadcast_to(values, (len(values), 4, 40)), 0).correlation
        assert found is not None
        assert found.value == pytest.approx(values.mean())
        return found.high - found.low

    # The interval of a mean of n is about 2 * 1.96 standard errors; films and draws that vary apart add up in squares.
    draws, of_films = width(np.tile(by_draw, (1, 1, 40))), width(np.tile(by_film, (1, 1, 1)))
    assert draws == pytest.approx(3.92 * by_draw.std() / np.sqrt(12), rel=0.15)
    assert of_films == pytest.approx(3.92 * by_film.std() / np.sqrt(40), rel=0.15)
    assert width(by_draw + by_film) == pytest.approx(np.hypot(draws, of_films), rel=0.1)


def test_films_have_to_be_films(trained: "keras.Model", films: np.ndarray) -> None:
    for bad in (films[..., 0], films[:0], np.repeat(films, 3, axis=3)):
        with pytest.raises(ValueError, match=r"`films` must be \(n, size, size, 1\)"):
            randomisation(trained, bad)
