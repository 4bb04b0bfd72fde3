"""Augmentation, each kind of change alone."""

import numpy as np
import pytest

from cxr.training.augment import augment
from cxr.training.config import TrainingConfig

SIZE = 64
MIDDLE = (SIZE - 1) / 2
STILL = {"rotation": 0.0, "scaling": 0.0, "shift": 0.0, "exposure": 0.0, "noise": 0.0}
DRAWS = range(60)


def only(**changes: float) -> TrainingConfig:
    """No change but these."""
    return TrainingConfig(**(STILL | changes))


def draw(film: np.ndarray, config: TrainingConfig, seed: int) -> np.ndarray:
    return augment(film, config, np.random.default_rng(seed))


def spot(row: float, column: float) -> np.ndarray:
    """A black film with a soft bright spot at a place given in pixels from the middle."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - MIDDLE
    return np.rint(255 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18)).astype(np.uint8)


def place(film: np.ndarray) -> np.ndarray:
    """(row, column) of the brightness's centre, from the middle."""
    return (np.mgrid[:SIZE, :SIZE] - MIDDLE).reshape(2, -1) @ film.ravel() / film.sum()


@pytest.fixture
def film() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)


def test_shape_type_and_range_are_kept(film: np.ndarray) -> None:
    for seed in DRAWS:
        varied = draw(film, TrainingConfig(), seed)
        assert (varied.shape, varied.dtype) == ((SIZE, SIZE), np.float32)
        assert varied.min() >= 0
        assert varied.max() <= 255


def test_the_same_seed_gives_the_same_film(film: np.ndarray) -> None:
    np.testing.assert_array_equal(draw(film, TrainingConfig(), 5), draw(film, TrainingConfig(), 5))
    assert np.abs(draw(film, TrainingConfig(), 5) - draw(film, TrainingConfig(), 6)).mean() > 1


@pytest.mark.parametrize("size", [32, 33])
def test_nothing_changes_where_nothing_may(size: int) -> None:
    film = np.random.default_rng(1).integers(0, 256, (size, size), dtype=np.uint8)
    np.testing.assert_allclose(draw(film, only(), 0), film, atol=1e-3)


def test_left_stays_left_and_top_stays_top() -> None:
    film = np.full((SIZE, SIZE), 60, np.uint8)
    film[8:24, 8:24] = 220
    for seed in range(200):
        varied = draw(film, TrainingConfig(), seed)
        half = SIZE // 2
        top_left, *others = (
            varied[rows, columns].mean()
            for rows in (slice(half), slice(half, None))
            for columns in (slice(half), slice(half, None))
        )
        assert top_left > max(others) + 10


def test_rotation_turns_the_whole_film_about_its_middle() -> None:
    angles = []
    for seed in DRAWS:
        right, below, middle = (place(draw(spot(*at), only(rotation=10), seed)) for at in ((0, 18), (18, 0), (0, 0)))
        angle = np.rad2deg(np.arctan2(right[0], right[1]))
        assert np.rad2deg(np.arctan2(-below[1], below[0])) == pytest.approx(angle, abs=0.3)
        assert [np.hypot(*right), np.hypot(*below)] == pytest.approx([18, 18], abs=0.1)
        np.testing.assert_allclose(middle, 0, atol=0.1)
        angles.append(angle)
    assert -10.1 < min(angles) < -6
    assert 6 < max(angles) < 10.1


def test_scaling_moves_points_away_from_and_towards_the_middle() -> None:
    factors = []
    for seed in DRAWS:
        far, middle = (place(draw(spot(*at), only(scaling=0.1), seed)) for at in ((12, 16), (0, 0)))
        assert far[1] / far[0] == pytest.approx(16 / 12, abs=0.02)
        np.testing.assert_allclose(middle, 0, atol=0.1)
        factors.append(np.log(np.hypot(*far) / 20))
    assert -0.105 < min(factors) < -0.06
    assert 0.06 < max(factors) < 0.105


def test_the_middle_stays_the_middle_under_rotation_and_scaling_together() -> None:
    for seed in DRAWS:
        np.testing.assert_allclose(place(draw(spot(0, 0), only(rotation=10, scaling=0.3), seed)), 0, atol=0.1)


def test_shift_moves_every_way_by_up_to_its_share_of_the_side() -> None:
    moved = np.array([place(draw(spot(0, 0), only(shift=0.1), seed)) for seed in DRAWS])
    assert np.abs(moved).max() < 0.1 * SIZE + 0.1
    assert (moved.min(0) < -0.06 * SIZE).all()
    assert (moved.max(0) > 0.06 * SIZE).all()


def test_rotation_and_scaling_do_not_change_the_shift() -> None:
    for seed in DRAWS:
        moved = place(draw(spot(0, 0), only(shift=0.1), seed))
        turned = place(draw(spot(0, 0), only(shift=0.1, rotation=10, scaling=0.1), seed))
        np.testing.assert_allclose(turned, moved, atol=0.1)


def test_what_lies_outside_the_film_is_black() -> None:
    film = np.full((SIZE, SIZE), 200, np.uint8)
    assert min(draw(film, only(shift=0.1), seed).min() for seed in DRAWS) == 0


def test_exposure_keeps_the_order_of_grey_levels() -> None:
    film = np.tile(np.linspace(20, 235, SIZE).astype(np.uint8), (SIZE, 1))
    means, ranges = [], []
    for seed in DRAWS:
        varied = draw(film, only(exposure=0.25), seed)
        assert (np.diff(varied, axis=1) >= 0).all()
        means.append(varied.mean())
        ranges.append(np.ptp(varied))
    assert min(means) < film.mean() - 5
    assert max(means) > film.mean() + 5
    assert min(ranges) < 0.9 * 215 < 1.05 * 215 < max(ranges)


def test_noise_is_centred_and_at_most_as_strong_as_asked() -> None:
    film = np.full((SIZE, SIZE), 128, np.uint8)
    varied = [draw(film, only(noise=10), seed) - 128 for seed in DRAWS]
    deviations = [noise.std() for noise in varied]
    assert max(abs(noise.mean()) for noise in varied) < 0.7
    assert min(deviations) < 2
    assert 8 < max(deviations) < 10.5
