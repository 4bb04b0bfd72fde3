"""The order of training films."""

import numpy as np
import pytest

from cxr.training import order
from cxr.training.order import film_keys, windows

SHARD = np.repeat(np.arange(12), 5)
BYTES = [100] * 12


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shards are shuffled together."""
    monkeypatch.setattr(order, "WINDOW_BYTES", 300)


def films(seed: int, epoch: int) -> np.ndarray:
    return np.concatenate([window.films for window in windows(SHARD, BYTES, seed, epoch)])


def test_every_film_occurs_once_in_an_epoch() -> None:
    for epoch in range(3):
        assert sorted(films(0, epoch)) == list(range(60))


def test_a_window_holds_the_films_of_its_shards_and_no_more_bytes_than_allowed() -> None:
    found = windows(SHARD, BYTES, 0, 0)
    assert [len(window.shards) for window in found] == [3] * 4
    for window in found:
        assert set(SHARD[window.films]) == set(window.shards)


def test_a_shard_larger_than_a_window_has_one_of_its_own() -> None:
    assert [len(window.shards) for window in windows(SHARD, [1000] * 12, 0, 0)] == [1] * 12


def test_shards_without_training_films_are_not_read() -> None:
    found = windows(SHARD[SHARD != 4], BYTES, 0, 0)
    assert 4 not in np.concatenate([window.shards for window in found])


def test_epochs_and_seeds_differ_and_repeat() -> None:
    np.testing.assert_array_equal(films(3, 1), films(3, 1))
    assert (films(3, 1) != films(3, 2)).mean() > 0.9
    assert (films(3, 1) != films(4, 1)).mean() > 0.9
    together = {frozenset(window.shards) for epoch in range(8) for window in windows(SHARD, BYTES, 0, epoch)}
    assert len(together) > 20


def test_keys_of_epochs_and_seeds_differ_and_repeat() -> None:
    keys = [key for seed in range(20) for epoch in range(20) for key in film_keys(seed, epoch)]
    assert len(set(keys)) == len(keys)
    assert film_keys(3, 4) == film_keys(3, 4)
