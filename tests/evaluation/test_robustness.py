"""Robustness against evaluations done directly, with a small trained model and with one made by hand."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from synthetic import SIDE

from cxr.dataset.labelled import LabelledFilms, load_labelled_films
from cxr.evaluation import corruptions
from cxr.evaluation import robustness as module
from cxr.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from cxr.evaluation.evaluate import calibration_error
from cxr.evaluation.metrics import macro_auroc_estimate, resample_patients
from cxr.evaluation.robustness import CLEAN, CONDITIONS, Robustness, robustness
from cxr.findings import CATEGORIES
from cxr.model.bundle import Bundle
from cxr.model.card import Calibration
from cxr.model.engine import Engine
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.parts import split_films

SLOPE, INTERCEPT = 1.5, -0.3


@pytest.fixture(scope="module")
def trained(tiny_bundle: Bundle) -> Engine:
    return Engine(tiny_bundle)


@pytest.fixture(scope="module")
def held_out(tiny_bundle: Bundle, synthetic_data: Path) -> LabelledFilms:
    """The test films of the small model."""
    films = load_labelled_films(synthetic_data, SIDE, settings().cache_dir)
    split = split_films(films, TrainingConfig.model_validate(tiny_bundle.card.training))
    return films.subset((split == "test").to_numpy())


@pytest.fixture(scope="module")
def rows(trained: Engine, held_out: LabelledFilms) -> dict[tuple[str, int], Robustness]:
    found = robustness(trained, held_out.pixels, held_out.labels, held_out.metadata["patient"].to_numpy())
    return {(row.corruption, row.severity): row for row in found}


@dataclass
class Reader:
    """An engine that takes a film for abnormal by its mean grey level, and counts what it is shown."""

    size: int = 16
    shown: list[int] = field(default_factory=list)
    bundle: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        calibration = Calibration(slope=(SLOPE,) * 15, intercept=(INTERCEPT,) * 15)
        card = SimpleNamespace(input_size=self.size, calibration=calibration, probabilities=calibration.probabilities)
        self.bundle = SimpleNamespace(card=card)

    def run(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert (squares.dtype, squares.shape[1:]) == (np.float32, (self.size, self.size))
        self.shown.append(len(squares))
        brightness = (squares.mean((1, 2)) - 128) / 10
        logits = np.tile(brightness[:, None], 15)
        logits[:, 0] *= -1
        return logits, np.zeros((len(squares), 1, 1, 15))


def bright_if_abnormal(count: int = 60, size: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Films, labels and patients, two films each; abnormal films are somewhat brighter, and all of them have a mass."""
    rng = np.random.default_rng(0)
    abnormal = rng.random(count) < 0.5
    grey = 120 + 14 * abnormal + rng.normal(0, 12, count)
    films = np.clip(rng.normal(grey[:, None, None], 20, (count, size, size)), 0, 255).astype(np.uint8)
    labels = np.zeros((count, 15), np.uint8)
    labels[:, 0], labels[:, CATEGORIES.index("Mass")] = ~abnormal, abnormal
    return films, labels, np.arange(count) // 2


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fewer conditions, where one is as good as another."""
    monkeypatch.setattr(module, "CONDITIONS", ((CLEAN, 0), ("Quantum noise", 5), ("Inversion", 5)))
    yield


def test_there_is_a_row_for_the_clean_films_and_each_corruption_and_severity(rows) -> None:
    assert tuple(rows) == CONDITIONS
    assert CONDITIONS[0] == ("Clean", 0)
    assert set(CONDITIONS[1:]) == {(name, severity) for name in CORRUPTIONS for severity in SEVERITIES}
    assert len(CONDITIONS) == 41


def direct(engine: Engine, films: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """AUROC, calibration error and mean of the abnormal probability, of all films at once."""
    logits, _ = engine.run(films.astype(np.float32))
    calibration = engine.bundle.card.calibration
    abnormal = 1 - expit(logits[:, 0] * calibration.slope[0] + calibration.intercept[0])
    truth = 1 - labels[:, 0].astype(int)
    return roc_auc_score(truth, abnormal), float(calibration_error(truth, abnormal)[0]), float(abnormal.mean())


def values(row: Robustness) -> tuple[float, float, float]:
    assert row.abnormal_auroc is not None
    return row.abnormal_auroc.value, row.calibration_error.value, row.abnormal_probability


def test_the_clean_row_is_that_of_the_films_themselves(rows, trained, held_out) -> None:
    clean = rows["Clean", 0]
    assert values(clean) == pytest.approx(direct(trained, held_out.pixels, held_out.labels), abs=1e-5)
    assert clean.abnormal_auroc.value > 0.95
    assert (clean.auroc_change.value, clean.auroc_change.low, clean.auroc_change.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "severity"), [("Quantum noise", 5), ("Rotation", 3), ("Exposure", 1), ("Inversion", 2)]
)
def test_a_row_is_that_of_the_corrupted_films(rows, trained, held_out, name: str, severity: int) -> None:
    assert len(held_out.labels) > 2 * module.BATCH
    corrupted = corrupt(held_out.pixels, name, severity, module.SEED)
    assert values(rows[name, severity]) == pytest.approx(direct(trained, corrupted, held_out.labels), abs=1e-5)


def test_a_model_that_looks_for_bright_squares_fails_on_light_films_and_on_negatives(rows) -> None:
    clean = rows["Clean", 0]
    for name, severity in (("Exposure", 3), ("Inversion", 5)):
        assert rows[name, severity].auroc_change.high < -0.2
        assert rows[name, severity].calibration_error.low > clean.calibration_error.high
    assert rows["Exposure", 5].abnormal_probability > 0.99
    assert rows["Inversion", 4].abnormal_probability < clean.abnormal_probability - 0.05


@pytest.mark.usefixtures("few")
def test_noise_as_strong_in_a_pixel_as_on_a_large_film_does_harm(trained, held_out, monkeypatch) -> None:
    monkeypatch.setattr(corruptions, "PHOTON_GRID", SIDE)
    _, noisy, _ = robustness(trained, held_out.pixels, held_out.labels, held_out.metadata["patient"].to_numpy())
    assert noisy.auroc_change.high < 0


def test_macro_auroc_is_that_of_the_findings_with_enough_patients(rows, trained, held_out) -> None:
    clean = rows["Clean", 0]
    mass = held_out.labels[:, CATEGORIES.index("Mass")]
    logits, _ = trained.run(held_out.pixels.astype(np.float32))
    assert clean.macro_auroc == pytest.approx(roc_auc_score(mass, logits[:, CATEGORIES.index("Mass")]))


@pytest.mark.usefixtures("few")
def test_macro_auroc_is_the_mean_over_findings() -> None:
    films, labels, patients = bright_if_abnormal()
    labels[:, CATEGORIES.index("Edema")] = np.arange(60) % 3 == 0
    labels[:, CATEGORIES.index("Hernia")] = np.arange(60) < 4
    clean, _, inverted = robustness(Reader(), films, labels, patients)
    for row, shown in ((clean, films), (inverted, 255 - films)):
        logits, _ = Reader().run(shown.astype(np.float32))
        expected, count = macro_auroc_estimate(labels[:, 1:], logits[:, 1:], resample_patients(patients, 10))
        assert count == 2
        assert row.macro_auroc == pytest.approx(expected.value)


def by_pairs(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC for each row of weights: the weight of the pairs that are in the right order."""
    positive, negative = truth == 1, truth == 0
    right = np.sign(scores[positive][:, None] - scores[negative]) / 2 + 0.5
    won = ((weights[:, positive] @ right) * weights[:, negative]).sum(1)
    return won / (weights[:, positive].sum(1) * weights[:, negative].sum(1))


@pytest.mark.usefixtures("few")
def test_the_change_is_paired_on_resamples_of_patients() -> None:
    films, labels, patients = bright_if_abnormal()
    clean, noisy, inverted = robustness(Reader(), films, labels, patients)
    truth, weights = 1 - labels[:, 0].astype(int), resample_patients(patients, seed=module.SEED).weights
    corrupted = corrupt(films, "Quantum noise", 5, module.SEED)
    before, after = (by_pairs(truth, part.mean((1, 2), dtype=np.float32), weights) for part in (films, corrupted))
    for found, expected in ((clean.abnormal_auroc, before), (noisy.abnormal_auroc, after)):
        assert [found.low, found.high] == pytest.approx(np.percentile(expected, [2.5, 97.5]), abs=1e-3)
    assert noisy.auroc_change.value == pytest.approx(noisy.abnormal_auroc.value - clean.abnormal_auroc.value)
    low, high = np.percentile(after - before, [2.5, 97.5])
    assert [noisy.auroc_change.low, noisy.auroc_change.high] == pytest.approx([low, high], abs=1e-3)
    assert high - low < 0.5 * np.ptp(np.percentile(before, [2.5, 97.5]))
    # A negative film ranks backwards, in every resample.
    assert inverted.abnormal_auroc.value == pytest.approx(1 - clean.abnormal_auroc.value)
    assert inverted.auroc_change.high < 0


@pytest.mark.usefixtures("few")
def test_calibration_error_is_of_the_abnormal_probability_with_an_interval() -> None:
    films, labels, patients = bright_if_abnormal()
    clean, _, inverted = robustness(Reader(), films, labels, patients)
    truth, weights = 1 - labels[:, 0].astype(int), resample_patients(patients, seed=module.SEED).weights
    for row, shown in ((clean, films), (inverted, 255 - films)):
        abnormal = 1 - expit(SLOPE * Reader().run(shown.astype(np.float32))[0][:, 0] + INTERCEPT)
        low, high = np.percentile(calibration_error(truth, abnormal, weights), [2.5, 97.5])
        assert row.calibration_error.value == pytest.approx(calibration_error(truth, abnormal)[0])
        assert (row.calibration_error.low, row.calibration_error.high) == pytest.approx((low, high))
        assert row.abnormal_probability == pytest.approx(abnormal.mean())


@pytest.mark.usefixtures("few")
def test_the_same_films_give_the_same_rows_and_progress_is_told() -> None:
    films, labels, patients = bright_if_abnormal()
    told: list[tuple[int, int]] = []
    first = robustness(Reader(), films, labels, patients, progress=lambda done, total: told.append((done, total)))
    assert first == robustness(Reader(), films, labels, patients)
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.usefixtures("few")
def test_each_film_is_shown_once_a_condition_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    films, labels, patients = bright_if_abnormal()
    reader, made = Reader(), []

    def counted(batch: np.ndarray, *rest: object) -> np.ndarray:
        made.append(len(batch))
        return corrupt(batch, *rest)

    monkeypatch.setattr(module, "corrupt", counted)
    robustness(reader, films, labels, patients)
    assert reader.shown == [16, 16, 16, 12] * 3
    assert made == [16, 16, 16, 12] * 2


@pytest.mark.usefixtures("few")
def test_films_of_too_few_patients_get_no_auroc() -> None:
    films, labels, _ = bright_if_abnormal()
    for row in robustness(Reader(), films, labels, np.arange(60) % 4):
        assert (row.abnormal_auroc, row.auroc_change, row.macro_auroc) == (None, None, None)
        assert row.calibration_error.low <= row.calibration_error.high
        assert 0 < row.abnormal_probability < 1


def test_films_that_do_not_fit_are_refused() -> None:
    films, labels, patients = bright_if_abnormal()
    with pytest.raises(
        ValueError, match=r"^The films must be uint8 \(n, 32, 32\) for this model, not uint8 \(60, 16, 16\)\.$"
    ):
        robustness(Reader(32), films, labels, patients)
    with pytest.raises(ValueError, match=r"not float32 \(60, 16, 16\)\.$"):
        robustness(Reader(), films.astype(np.float32), labels, patients)
    with pytest.raises(ValueError, match=r"^There are no films"):
        robustness(Reader(), films[:0], labels[:0], patients[:0])
    with pytest.raises(ValueError, match=r"^60 films have 59 rows of labels and 60 patients\.$"):
        robustness(Reader(), films, labels[1:], patients)
    with pytest.raises(ValueError, match=r"^60 films have 60 rows of labels and 58 patients\.$"):
        robustness(Reader(), films, labels, patients[2:])
