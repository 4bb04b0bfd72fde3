"""The optimizer, next to Keras' own AdamW and to averages by hand."""

import keras
import numpy as np
import pytest

from cxr.training.optimizer import NEVER, DiscriminativeAdamW

RATE, DECAY = 0.01, 0.1


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    with keras.name_scope("body"):
        body = keras.Variable(rng.normal(size=(3, 2)).astype("float32"), name="kernel")
    with keras.name_scope("maps"):
        head = [
            keras.Variable(rng.normal(size=shape).astype("float32"), name=n)
            for shape, n in (((2,), "kernel"), ((2,), "bias"))
        ]
    return [body, *head]


def gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step + 1)
    return [rng.normal(size=shape).astype("float32") for shape in ((3, 2), (2,), (2,))]


def stepped(optimizer: keras.optimizers.Optimizer, trained: list[keras.Variable], steps: int = 5) -> list[np.ndarray]:
    for step in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients(step)], trained)
    return [keras.ops.convert_to_numpy(v) for v in trained]


def ours(trained: list[keras.Variable], backbone_rate: float = 1.0, ema: float = 0.0) -> DiscriminativeAdamW:
    return DiscriminativeAdamW(RATE, head=trained[1:], backbone_rate=backbone_rate, weight_decay=DECAY, ema=ema)


def reference(rate: float) -> list[np.ndarray]:
    trained = variables()
    optimizer = keras.optimizers.AdamW(rate, weight_decay=DECAY)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return stepped(optimizer, trained)


def test_at_one_rate_it_is_adamw() -> None:
    trained = variables()
    for got, wanted in zip(stepped(ours(trained), trained), reference(RATE), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_backbone_moves_and_decays_at_its_share_of_the_rate() -> None:
    trained = variables()
    body, *head = stepped(ours(trained, backbone_rate=0.1), trained)
    np.testing.assert_allclose(body, reference(0.1 * RATE)[0], atol=1e-6)
    for got, wanted in zip(head, reference(RATE)[1:], strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_average_follows_the_weights_and_leaves_them_alone() -> None:
    trained = variables()
    optimizer = ours(trained, ema=0.9)
    expected = None
    for step in range(4):
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients(step)], trained)
        now = keras.ops.convert_to_numpy(trained[0])
        expected = now if expected is None else 0.9 * expected + 0.1 * now
    optimizer.finalize_variable_values(trained)
    np.testing.assert_allclose(optimizer.averages()[trained[0].path], expected, atol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(trained[0]), reference_after(4), atol=1e-6)


def reference_after(steps: int) -> np.ndarray:
    trained = variables()
    return stepped(ours(trained), trained, steps)[0]


def test_without_an_average_there_is_none() -> None:
    trained = variables()
    optimizer = ours(trained)
    stepped(optimizer, trained, 1)
    assert optimizer.averages() == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_the_first_step_whose_gradients_have_no_norm_is_remembered(bad: float) -> None:
    trained = variables()
    optimizer = ours(trained)
    optimizer.build(trained)
    for step in range(4):
        assert int(optimizer.diverged_at) == (NEVER if step < 3 else 2)
        values = gradients(step)
        if step == 2:
            values[0][1, 1] = bad
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in values], trained)
    assert int(optimizer.diverged_at) == 2
