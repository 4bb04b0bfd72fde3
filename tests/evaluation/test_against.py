"""The model against baselines, on the same resamples as scikit-learn."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr.evaluation.against import attach_comparison, compare_with_baselines
from cxr.evaluation.metrics import resample_patients
from cxr.findings import CATEGORIES
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.card import BaselineComparison

Films = tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]


@pytest.fixture(scope="module")
def films() -> Films:
    """Labels, scores of a good and of a poor model, and metadata; source "few" has two patients; no film a hernia."""
    rng = np.random.default_rng(0)
    labels = (rng.random((160, 15)) < 0.25).astype(np.uint8)
    labels[:, CATEGORIES.index("Hernia")] = 0
    labels[:, 0] = ~labels[:, 1:5].any(axis=1)
    noise = rng.normal(size=labels.shape)
    metadata = pd.DataFrame(
        {"patient": np.r_[np.arange(150) // 2, np.repeat([900, 901], 5)], "source": ["many"] * 150 + ["few"] * 10}
    )
    return labels, 2 * labels + noise, labels + noise + rng.normal(size=labels.shape), metadata


@pytest.fixture(scope="module")
def compared(films: Films) -> tuple[BaselineComparison, ...]:
    labels, good, poor, metadata = films
    return compare_with_baselines(labels, good, metadata, {"a poor one": poor, "itself": good})


def test_differences_are_those_of_scikit_learn_on_the_same_resamples(
    films: Films, compared: tuple[BaselineComparison, ...]
) -> None:
    labels, good, poor, metadata = films
    found = compared[0].overall.abnormal_auroc
    assert found is not None
    weights = resample_patients(metadata["patient"].to_numpy()).weights[:200]
    abnormal = 1 - labels[:, 0]

    def auroc(scores: np.ndarray, row: np.ndarray | None = None) -> float:
        return float(roc_auc_score(abnormal, -scores[:, 0], sample_weight=row))

    assert (found.model.value, found.baseline.value) == pytest.approx((auroc(good), auroc(poor)))
    assert found.difference.value == pytest.approx(auroc(good) - auroc(poor))
    low, high = np.percentile([auroc(good, row) - auroc(poor, row) for row in weights], [2.5, 97.5])
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=0.01)


def test_macro_is_over_the_findings_with_enough_patients(
    films: Films, compared: tuple[BaselineComparison, ...]
) -> None:
    labels, good, poor, _ = films
    overall = compared[0].overall
    assert (overall.films, overall.patients, overall.macro_findings) == (160, 77, 13)
    assert overall.macro_auroc is not None
    expected = [roc_auc_score(labels[:, 1:14], scores[:, 1:14]) for scores in (good, poor)]
    assert (overall.macro_auroc.model.value, overall.macro_auroc.baseline.value) == pytest.approx(expected)
    assert overall.macro_auroc.difference.low > 0


def test_a_source_is_compared_by_itself_and_two_patients_are_too_few(
    films: Films, compared: tuple[BaselineComparison, ...]
) -> None:
    labels, good, _, _ = films
    many, few = compared[0].by_source["many"], compared[0].by_source["few"]
    assert many.abnormal_auroc is not None
    assert many.abnormal_auroc.model.value == pytest.approx(roc_auc_score(1 - labels[:150, 0], -good[:150, 0]))
    assert (few.films, few.patients) == (10, 2)
    assert (few.abnormal_auroc, few.macro_auroc, few.macro_findings) == (None, None, 0)


def test_a_model_is_no_better_than_itself(compared: tuple[BaselineComparison, ...]) -> None:
    itself = compared[1].overall.abnormal_auroc
    assert itself is not None
    assert (itself.difference.low, itself.difference.value, itself.difference.high) == (0, 0, 0)


def test_only_the_order_of_scores_counts(films: Films, compared: tuple[BaselineComparison, ...]) -> None:
    labels, good, poor, metadata = films
    assert compare_with_baselines(labels, good, metadata, {"a poor one": 7 * poor - 100})[0] == compared[0]


def test_scores_that_would_give_a_wrong_number_are_refused(films: Films) -> None:
    labels, good, poor, metadata = films
    with pytest.raises(ValueError, match=r"scores of short are \(160, 14\)"):
        compare_with_baselines(labels, good, metadata, {"short": poor[:, 1:]})
    broken = poor.copy()
    broken[3, 4] = np.nan
    with pytest.raises(ValueError, match="not finite numbers on 1 films"):
        compare_with_baselines(labels, good, metadata, {"broken": broken})


def test_attached_comparison_stands_in_the_card_and_makes_no_other_model(
    compared: tuple[BaselineComparison, ...], tmp_path: Path
) -> None:
    bundle = load_bundle(Path(shutil.copytree(bundle_path("default"), tmp_path / "copy")))
    attached = attach_comparison(bundle, compared)
    assert load_bundle(bundle.path).card.comparison == compared == attached.card.comparison
    assert attached.model_sha256 == bundle.model_sha256
    assert attached.sha256 != bundle.sha256
    assert attached.card.files == bundle.card.files
