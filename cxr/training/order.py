"""The order in which training films are read: the same under every backend, and whether or not films are kept.

Shards are read one after another much faster than films at random, so an epoch goes over the shards in groups of
`WINDOW_BYTES`: which shards form a group, and the order of the films within it, are drawn anew for each epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

WINDOW_BYTES: Final = 128_000_000
"""Encoded films that are shuffled at once: about 2,600 of the release's, six of its 256 shards."""


@dataclass(frozen=True, eq=False)
class Window:
    """Some shards, and the order of the training films that lie in them.

    Attributes:
        shards: intp (k,), numbers of shards.
        films: int64 (m,), numbers of training films.
    """

    shards: np.ndarray
    films: np.ndarray


def windows(shard: np.ndarray, shard_bytes: Sequence[int], seed: int, epoch: int) -> list[Window]:
    """The order of one epoch; each film occurs once.

    Args:
        shard: intp (n,), the number of the shard in which each training film lies.
        shard_bytes: size of each shard.
        seed, epoch: another epoch is another order.
    """
    rng = np.random.default_rng((seed, epoch))
    groups: list[list[int]] = []
    left = 0
    for number in rng.permutation(np.unique(shard)):
        if not groups or shard_bytes[number] > left:
            groups.append([])
            left = WINDOW_BYTES
        groups[-1].append(int(number))
        left -= shard_bytes[number]
    return [Window(np.array(group), rng.permutation(np.flatnonzero(np.isin(shard, group)))) for group in groups]


def film_keys(seed: int, epoch: int) -> tuple[int, int]:
    """Two keys, each below 2^32, for what is random in the films of one epoch: the changes, and the noise."""
    changes, noise = np.random.SeedSequence((seed, epoch)).generate_state(2)
    return int(changes), int(noise)
