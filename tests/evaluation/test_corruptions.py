"""Each corruption against its formula, written out here, or against Pillow and SciPy."""

import io
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, rotate
from scipy.stats import poisson

from cxr.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

SIDE = 96
NAMES = tuple(CORRUPTIONS)
RANDOM = {"Quantum noise", "Rotation", "Text marker"}
EACH = list(zip(NAMES, CORRUPTIONS.values(), strict=True))


def chest(side: int = SIDE) -> np.ndarray:
    """Two dark ellipses on a bright trunk, over darkness above the shoulders, with ribs: 0 to about 200."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    lungs = sum(np.exp(-((((x - middle) / 0.13) ** 2 + ((y - 0.5) / 0.26) ** 2) ** 2)) for middle in (0.3, 0.7))
    trunk = 1 / (1 + np.exp(-(y - 0.12) / 0.03))
    return np.rint(trunk * (190 - 130 * lungs + 12 * np.sin(60 * y))).clip(0, 255).astype(np.uint8)


def batch(count: int = 6, side: int = SIDE) -> np.ndarray:
    """Films that differ a little."""
    return np.stack([(chest(side) * (1 - 0.05 * number)).astype(np.uint8) for number in range(count)])


def one(film: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    return corrupt(film[None], name, severity, seed)[0]


def even(grey: int, side: int = SIDE) -> np.ndarray:
    return np.full((side, side), grey, np.uint8)


def ramp() -> np.ndarray:
    """Every grey level."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


def change(films: np.ndarray, corrupted: np.ndarray) -> float:
    """Mean absolute change of the grey level."""
    return float(np.abs(corrupted.astype(int) - films).mean())


def test_there_are_eight_and_each_says_in_a_sentence_what_it_does() -> None:
    assert len(CORRUPTIONS) == 8
    assert SEVERITIES == (1, 2, 3, 4, 5)
    sentences = [corruption.description for corruption in CORRUPTIONS.values()]
    assert len(set(sentences)) == 8
    assert all(sentence.endswith(".") and sentence.count(".") == 1 for sentence in sentences)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [64, 65])
def test_shape_and_type_are_kept_and_the_films_are_not_changed(name: str, side: int) -> None:
    films = batch(2, side)
    films.flags.writeable = False
    before = films.copy()
    for severity in (0, *SEVERITIES):
        corrupted = corrupt(films, name, severity, 0)
        assert (corrupted.shape, corrupted.dtype) == ((2, side, side), np.uint8)
        assert not np.shares_memory(corrupted, films)
        corrupted[:] = 0
    np.testing.assert_array_equal(films, before)
    assert corrupt(films[:0], name, 3, 0).shape == (0, side, side)


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_is_the_film_and_each_further_one_changes_it_more(name: str) -> None:
    grain = np.random.default_rng(0).normal(0, 6, (2, 320, 320))
    films = np.clip(batch(2, 320) + grain, 0, 255).astype(np.uint8)
    changes = [change(films, corrupt(films, name, severity, 0)) for severity in (0, *SEVERITIES)]
    assert changes[0] == 0
    assert changes[1] > 0.02
    assert all(later > 1.02 * earlier for earlier, later in pairwise(changes))


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_all_that_is_random(name: str) -> None:
    films = batch()
    np.testing.assert_array_equal(corrupt(films, name, 3, 5), corrupt(films, name, 3, 5))
    assert np.array_equal(corrupt(films, name, 3, 5), corrupt(films, name, 3, 6)) == (name not in RANDOM)


@pytest.mark.parametrize("name", NAMES)
def test_a_film_comes_out_the_same_in_any_batch(name: str) -> None:
    films = batch()
    together = corrupt(films, name, 4, 7)
    for size in (1, 4):
        parts = [corrupt(films[start : start + size], name, 4, 7, start) for start in range(0, len(films), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize("name", NAMES)
def test_films_of_one_batch_share_no_randomness(name: str) -> None:
    twins = np.stack([chest()] * 12)
    distinct = {film.tobytes() for film in corrupt(twins, name, 2, 0)}
    assert (len(distinct) > 1) == (name in RANDOM)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_flipped(name: str) -> None:
    film = even(40)
    film[24:48, 24:48] = 220
    for severity in SEVERITIES:
        for corrupted in corrupt(np.stack([film] * 6), name, severity, 1):
            middle = corrupted[18:78, 18:78].astype(int)
            top_left, *others = (middle[rows, columns].mean() for rows in HALVES for columns in HALVES)
            if (name, severity) == ("Inversion", 5):
                assert top_left < min(others) - 10
            else:
                assert top_left > max(others) + 10


HALVES = (slice(30), slice(30, None))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"JPEG", "Quantum noise"}])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_severity_does_the_same_at_every_size(name: str, severity: int) -> None:
    changes = []
    for side in (448, 640):
        films = np.stack([chest(side)])
        changes.append(change(films, corrupt(films, name, severity, 3)))
    assert changes[0] == pytest.approx(changes[1], rel=0.1, abs=0.03)


@pytest.mark.parametrize(("severity", "gamma"), [(1, 0.85), (2, 0.70), (3, 0.55), (4, 0.45), (5, 0.35)])
def test_exposure_is_a_gamma(severity: int, gamma: float) -> None:
    expected = [round(255 * (grey / 255) ** gamma) for grey in range(256)]
    lighter = one(ramp(), "Exposure", severity)
    np.testing.assert_array_equal(lighter.ravel(), expected)
    assert (lighter >= ramp()).all()


@pytest.mark.parametrize(("severity", "photons"), [(1, 200), (2, 100), (3, 50), (4, 25), (5, 12)])
@pytest.mark.parametrize("side", [160, 320])
def test_quantum_noise_varies_as_its_mean_over_the_photons(severity: int, photons: int, side: int) -> None:
    per_pixel = photons * (320 / side) ** 2
    for grey in (25, 50, 100):
        noisy = one(even(grey, side), "Quantum noise", severity, seed=grey).astype(float)
        # A pixel holds a whole number of photons, which only a bright one has too many of for 255 grey levels.
        expected = 255 * grey / per_pixel
        assert noisy.mean() == pytest.approx(grey, abs=5 * (expected**0.5 / side))
        assert noisy.var() == pytest.approx(expected, rel=0.04)


def test_quantum_noise_of_an_area_does_not_depend_on_the_pixels_it_is_cut_into() -> None:
    coarse = one(even(90, 112), "Quantum noise", 3).astype(float)
    fine = one(even(90, 224), "Quantum noise", 3).astype(float)
    assert fine.reshape(112, 2, 112, 2).mean((1, 3)).std() == pytest.approx(coarse.std(), rel=0.05)
    assert fine.std() == pytest.approx(2 * coarse.std(), rel=0.05)


def test_quantum_noise_is_cut_off_at_white() -> None:
    noisy = one(even(255, 320), "Quantum noise", 5)
    assert (noisy == 255).mean() == pytest.approx(poisson.sf(11, 12), abs=0.01)
    assert (noisy < 25).mean() == pytest.approx(poisson.cdf(1, 12), abs=0.001)


def test_quantum_noise_leaves_black_black_and_pixels_independent() -> None:
    assert (one(even(0), "Quantum noise", 5) == 0).all()
    noise = one(even(90, 320), "Quantum noise", 3).astype(float) - 90
    for axis in (0, 1):
        assert abs((noise * np.roll(noise, 1, axis)).mean()) < 0.02 * noise.var()


@pytest.mark.parametrize(("severity", "share"), [(1, 0.002), (2, 0.004), (3, 0.006), (4, 0.009), (5, 0.013)])
@pytest.mark.parametrize("side", [96, 320])
def test_blur_is_a_gaussian_of_a_share_of_the_side(severity: int, share: float, side: int) -> None:
    film, sigma, reach = chest(side), share * side, 30
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    smooth = np.pad(film.astype(float), reach, mode="edge")
    for axis in (0, 1):
        smooth = np.apply_along_axis(np.convolve, axis, smooth, kernel / kernel.sum(), "valid")
    blurred = one(film, "Blur", severity)
    np.testing.assert_allclose(blurred, smooth, atol=0.6)
    np.testing.assert_allclose(blurred, gaussian_filter(film.astype(float), sigma, mode="nearest"), atol=0.6)


@pytest.mark.parametrize(("severity", "quality"), [(1, 40), (2, 25), (3, 15), (4, 10), (5, 5)])
def test_jpeg_is_pillow_s_round_trip(severity: int, quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(chest()).save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal(one(chest(), "JPEG", severity), np.asarray(Image.open(file)))


@pytest.mark.parametrize(("side", "widths"), [(100, (3, 6, 10, 14, 18)), (64, (2, 4, 6, 9, 12))])
def test_collimation_blackens_a_border_and_leaves_the_rest(side: int, widths: tuple[int, ...]) -> None:
    film = 1 + chest(side) % 255
    for severity, width in zip(SEVERITIES, widths, strict=True):
        collimated = one(film, "Collimation", severity)
        inner = collimated[width:-width, width:-width]
        np.testing.assert_array_equal(inner, film[width:-width, width:-width])
        assert np.count_nonzero(collimated) == inner.size


@pytest.mark.parametrize(("severity", "angle"), [(1, 4), (2, 8), (3, 12), (4, 20), (5, 30)])
def test_rotation_is_scipy_s_one_way_or_the_other(severity: int, angle: float) -> None:
    film = gaussian_filter(chest(), 1.5) // 2 + np.linspace(0, 120, SIDE).astype(np.uint8)
    radius = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2))
    inside, ways = radius < SIDE / 2 - 1, []
    for turned in corrupt(np.stack([film] * 40), "Rotation", severity, 0):
        errors = [
            np.abs(turned - rotate(film.astype(float), way * angle, reshape=False, order=1))[inside].max()
            for way in (-1, 1)
        ]
        assert min(errors) < 1.5 < 4 < max(errors)
        ways.append(errors[1] < errors[0])
    assert 10 < sum(ways) < 30


def test_rotation_leaves_black_outside_the_film() -> None:
    turned = one(even(200), "Rotation", 5)
    assert [turned[0, 0], turned[0, -1], turned[-1, 0], turned[-1, -1]] == [0, 0, 0, 0]
    # A square turned by 30 degrees covers 2 (sqrt 3 - 1) / sqrt 3 of itself: the octagon that both share.
    assert (turned > 100).mean() == pytest.approx(2 * (3**0.5 - 1) / 3**0.5, abs=0.01)


@pytest.mark.parametrize(("severity", "share"), [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)])
def test_inversion_mixes_with_the_negative(severity: int, share: float) -> None:
    expected = (1 - share) * np.arange(256) + share * (255 - np.arange(256))
    np.testing.assert_allclose(one(ramp(), "Inversion", severity).ravel(), expected, atol=0.5 + 1e-9)


def test_inversion_5_is_the_negative() -> None:
    np.testing.assert_array_equal(one(ramp(), "Inversion", 5), 255 - ramp())


def corners(corrupted: np.ndarray) -> list[np.ndarray]:
    """The four quadrants of a film: top left, top right, bottom left, bottom right."""
    half = len(corrupted) // 2
    return [
        corrupted[rows, columns] for rows in (np.s_[:half], np.s_[half:]) for columns in (np.s_[:half], np.s_[half:])
    ]


@pytest.mark.parametrize(
    ("severity", "count", "most"), [(1, 1, 0.01), (2, 2, 0.02), (3, 3, 0.04), (4, 4, 0.06), (5, 4, 0.1)]
)
def test_text_markers_brighten_few_pixels_near_some_corners(severity: int, count: int, most: float) -> None:
    for film, marked in zip(batch(8, 200), corrupt(batch(8, 200), "Text marker", severity, 0), strict=True):
        assert (marked >= film).all()
        assert 0 < (marked != film).mean() < most
        assert (marked[40:160] == film[40:160]).all()
        assert (marked[:, 99:101] == film[:, 99:101]).all()
        assert all((edge == unmarked).all() for edge, unmarked in zip(margins(marked), margins(film), strict=True))
        touched = [(a != b).any() for a, b in zip(corners(marked), corners(film), strict=True)]
        assert sum(touched) == count


def margins(film: np.ndarray) -> list[np.ndarray]:
    """The outermost 5 pixels of a film of 200."""
    return [film[:5], film[-5:], film[:, :5], film[:, -5:]]


def test_text_markers_stand_in_every_corner_and_stay_there_as_they_grow() -> None:
    films = np.stack([even(0, 200)] * 20)
    touched = np.array(
        [[[c.any() for c in corners(film)] for film in corrupt(films, "Text marker", s, 0)] for s in SEVERITIES]
    )
    assert touched[0].any(0).all()
    assert (touched[1:] >= touched[:-1]).all()


def text(ink: np.ndarray) -> np.ndarray:
    """The smallest part of a film that holds all that is not black."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@cache
def written(words: str, size: float) -> np.ndarray:
    """Letters on black, by Pillow; the ink only."""
    image = Image.new("L", (400, 100))
    ImageDraw.Draw(image).text((10, 10), words, fill=255, font=ImageFont.load_default(size))
    return text(np.asarray(image))


@pytest.mark.parametrize(("severity", "share"), [(1, 0.04), (2, 0.05), (3, 0.06), (4, 0.08), (5, 0.10)])
def test_text_markers_say_r_on_the_left_l_on_the_right_and_one_word(severity: int, share: float) -> None:
    words = set()
    for film in corrupt(np.stack([even(0, 320)] * 30), "Text marker", severity, 0):
        read = [
            (side, *reading(text(c), share * 320)) for side, c in zip("RLRL", corners(film), strict=True) if c.any()
        ]
        assert all(on == letter for on, letter, _ in read)
        assert len({word for *_, word in read}) == 1
        words.add(read[0][2])
    assert words == {"AP", "PA", "PORT", "ERECT", "SUPINE"}


def reading(ink: np.ndarray, size: float) -> tuple[str, str]:
    """Which letter and word some ink is most like."""
    texts = [(side, word) for side in "RL" for word in ("AP", "PA", "PORT", "ERECT", "SUPINE")]
    return max(texts, key=lambda pair: likeness(ink, written(" ".join(pair), size)))


def likeness(ink: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of two texts; none where their sizes differ by more than a fraction of a pixel can make."""
    if np.abs(np.subtract(ink.shape, expected.shape)).max() > 1:
        return 0.0
    rows, columns = np.minimum(ink.shape, expected.shape)
    return float(np.corrcoef(ink[:rows, :columns].ravel(), expected[:rows, :columns].ravel())[0, 1])


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^There is no corruption 'Flip'; known are Exposure, .*, Text marker\.$"):
        corrupt(batch(1), "Flip", 0, 0)


@pytest.mark.parametrize("severity", [-1, 6, 2.5])
def test_an_unknown_severity_is_refused(severity: int) -> None:
    with pytest.raises(ValueError, match=rf"^The severity must be 1, 2, 3, 4 or 5, or 0 .*, not {severity}\.$"):
        corrupt(batch(1)[:0], "Blur", severity, 0)


@pytest.mark.parametrize(("name", "corruption"), EACH, ids=NAMES)
def test_a_corruption_by_itself_has_no_severity_0(name: str, corruption: object) -> None:
    rng = np.random.default_rng((4, 0))
    np.testing.assert_array_equal(CORRUPTIONS[name](chest(), 2, rng), one(chest(), name, 2, seed=4))
    with pytest.raises(ValueError, match="severity"):
        CORRUPTIONS[name](chest(), 0, rng)


@pytest.mark.parametrize(
    "films",
    [np.zeros((2, 8, 8)), np.zeros((8, 8), np.uint8), np.zeros((2, 8, 9), np.uint8)],
    ids=["real", "one", "oblong"],
)
def test_other_arrays_are_refused(films: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^The films must be uint8 \(n, side, side\), not \w+ \(.*\)\.$"):
        corrupt(films, "Blur", 0, 0)
