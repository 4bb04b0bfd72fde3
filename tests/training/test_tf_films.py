"""Films in a TensorFlow graph against serving's code and NumPy's augmentation."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from handmade_shards import jpeg
from PIL import Image
from synthetic import encoded
from test_augment import DRAWS, SIZE, only, place, spot

from cxr.dataset.shards import read_records
from cxr.radiograph import model_input, read_radiograph
from cxr.training import augment, tf_films
from cxr.training.config import TrainingConfig

Draw = Callable[[np.ndarray, TrainingConfig, int], np.ndarray]


@cache
def _square(size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(lambda content: tf_films.square(content, size))


def by_graph(content: bytes, size: int) -> np.ndarray:
    return _square(size)(tf.constant(content)).numpy()


def by_serving(content: bytes, size: int) -> np.ndarray:
    return model_input(read_radiograph(content), size)


@cache
def _augment(config: TrainingConfig) -> Callable[..., tf.Tensor]:
    return tf.function(lambda film, changes, noise: tf_films.augment(film, config, changes, noise))


def draw(film: np.ndarray, config: TrainingConfig, seed: int) -> np.ndarray:
    changes, noise = (tf.constant([key, seed], tf.int64) for key in (1, 2))
    return _augment(config)(tf.constant(film), changes, noise).numpy()


def by_numpy(film: np.ndarray, config: TrainingConfig, seed: int) -> np.ndarray:
    return augment.augment(film, config, np.random.default_rng(seed))


def smooth(height: int, width: int) -> np.ndarray:
    """A film without fine structure, uint8 (height, width), of which no two places look alike."""
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    return (90 + 70 * np.sin(5 * rows + 2 * columns**2) + 60 * columns).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def real_films(shared_data: Path) -> list[bytes]:
    records = list(read_records(shared_data / "nih" / "data" / "009-066.tfrec"))
    return [record.image for record in records[::6]]


@pytest.mark.parametrize(
    ("size", "most"),
    [(320, 0.3), (256, 1.0), (224, 1.0), (128, 1.0), (64, 1.0)],
    ids=["whole", "by 2, then plain", "by 2, then filtered", "by 4, then plain", "by 4, then filtered"],
)
def test_real_films_are_within_a_grey_level_of_serving(real_films: list[bytes], size: int, most: float) -> None:
    for content in real_films:
        made = by_graph(content, size)
        assert (made.shape, made.dtype) == ((size, size), np.uint8)
        assert np.abs(made - by_serving(content, size)).mean() < most


@pytest.mark.parametrize("side", [63, 64, 126, 127, 128, 255, 256, 600])
def test_only_films_that_stay_large_enough_are_reduced(side: int) -> None:
    rng = np.random.default_rng(0)
    content = jpeg(np.clip(smooth(side, side + 30) + rng.normal(0, 6, (side, side + 30)), 0, 255).astype(np.uint8))
    exact = by_serving(content, 64)
    # Half of 127 is 64 pixels, as the decoder rounds up.
    off = np.abs(by_graph(content, 64) - exact)
    assert (off.max() > 1) == (side >= 127)
    assert off.mean() < 2


def with_orientation(pixels: np.ndarray) -> bytes:
    image, file = Image.fromarray(pixels), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def coloured(mode: str, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(smooth(90, 80)).convert("RGB").convert(mode).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        encoded(smooth(90, 70), "PNG"),
        encoded((smooth(90, 70).astype(np.uint16) * 257), "PNG"),
        with_orientation(smooth(90, 70)),
        coloured("RGB"),
        coloured("CMYK"),
        coloured("RGBA", "PNG"),
    ],
    ids=["PNG", "PNG of 16 bits", "JPEG with orientation", "JPEG in colour", "CMYK", "PNG with transparency"],
)
def test_films_of_other_kinds_are_those_of_serving(content: bytes) -> None:
    assert np.abs(by_graph(content, 48) - by_serving(content, 48)).max() <= 1.5


def test_dicom_is_read_as_serving_does() -> None:
    content = (Path(tf_films.__file__).parents[1] / "samples" / "adult_pa.dcm").read_bytes()
    np.testing.assert_allclose(by_graph(content, 64), by_serving(content, 64), rtol=0, atol=0.5)


@pytest.mark.parametrize("content", [b"", b"no film", jpeg(smooth(90, 70))[:400], jpeg(np.full((40, 40), 9, np.uint8))])
def test_what_is_no_film_is_an_error(content: bytes) -> None:
    with pytest.raises(tf.errors.OpError):
        by_graph(content, 48)


@pytest.mark.parametrize("size", [64, 65])
def test_a_film_is_moved_as_pillow_moves_it(size: int) -> None:
    film = smooth(size, size)
    for angle, scale, dx, dy in (
        (0.1, 1.0, 0.0, 0.0),
        (0.0, 1.1, 0.0, 0.0),
        (0.0, 1.0, 3.25, -1.5),
        (-0.1, 0.97, 1.0, 1.5),
    ):
        moved = tf_films._move(tf.constant(film), tf.constant(angle), tf.constant(scale), (dx, dy)).numpy()
        matrix = augment.affine(np.cos(angle) / scale, np.sin(angle) / scale, dx, dy, size)
        shape = Image.Transform.AFFINE
        oracle = Image.fromarray(film).transform((size, size), shape, tuple(matrix), Image.Resampling.BILINEAR)
        # Pillow cuts the fraction of a grey level off. At the border it repeats the outermost pixels, and TensorFlow
        # fades to black.
        off = (moved - np.asarray(oracle, np.float32))[8:-8, 8:-8]
        assert -0.01 < off.min() <= off.max() < 1.01


def test_shape_type_and_range_are_kept_and_a_seed_repeats() -> None:
    film = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    for seed in range(5):
        varied = draw(film, TrainingConfig(), seed)
        assert (varied.shape, varied.dtype) == ((SIZE, SIZE), np.float32)
        assert 0 <= varied.min() < varied.max() <= 255
        np.testing.assert_array_equal(varied, draw(film, TrainingConfig(), seed))
        assert np.abs(varied - draw(film, TrainingConfig(), seed + 1)).mean() > 1


def test_nothing_changes_where_nothing_may() -> None:
    film = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    np.testing.assert_allclose(draw(film, only(), 0), film, atol=1e-3)


def test_no_film_is_flipped_or_turned_far() -> None:
    angles = []
    for seed in DRAWS:
        right, below = (place(draw(spot(*at), only(rotation=10), seed)) for at in ((0, 18), (18, 0)))
        angle = np.rad2deg(np.arctan2(right[0], right[1]))
        assert np.rad2deg(np.arctan2(-below[1], below[0])) == pytest.approx(angle, abs=0.3)
        assert [np.hypot(*right), np.hypot(*below)] == pytest.approx([18, 18], abs=0.1)
        angles.append(angle)
    assert -10.1 < min(angles) < -6
    assert 6 < max(angles) < 10.1


def test_shift_and_scaling_go_every_way_up_to_their_bounds() -> None:
    moved = np.array([place(draw(spot(0, 0), only(shift=0.1), seed)) for seed in DRAWS])
    assert np.abs(moved).max() < 0.1 * SIZE + 0.1
    assert (moved.min(0) < -0.06 * SIZE).all()
    assert (moved.max(0) > 0.06 * SIZE).all()
    factors = [np.log(np.hypot(*place(draw(spot(12, 16), only(scaling=0.1), seed))) / 20) for seed in DRAWS]
    assert -0.105 < min(factors) < -0.06
    assert 0.06 < max(factors) < 0.105


@pytest.mark.parametrize(
    "config",
    [only(rotation=8.0), only(scaling=0.1), only(shift=0.04), only(exposure=0.25), only(noise=20.0), TrainingConfig()],
    ids=["rotation", "scaling", "shift", "exposure", "noise", "all"],
)
def test_changes_are_distributed_as_numpy_s(config: TrainingConfig) -> None:
    film = smooth(SIZE, SIZE)

    def changes(way: Draw) -> np.ndarray:
        """Per film: mean change, standard deviation of the change."""
        found = np.stack([way(film, config, seed) for seed in range(200)]) - film
        return np.stack([found.mean((1, 2)), found.std((1, 2))], 1)

    ours, numpy_s = changes(draw), changes(by_numpy)
    spread = numpy_s.std(0)
    # Two means of 200 draws differ by more than 4 standard errors once in 16,000 times.
    np.testing.assert_allclose(ours.mean(0), numpy_s.mean(0), atol=4 * spread.max() * np.sqrt(2 / 200) + 0.05)
    np.testing.assert_allclose(ours.std(0), spread, rtol=0.35, atol=0.05)
