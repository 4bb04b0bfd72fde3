"""The evaluation against scikit-learn, cases done by hand, and the full real table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from cxr.evaluation.evaluate import brier_score, calibration_error, evaluate, pooled_auroc, view_only
from cxr.evaluation.metrics import auroc
from cxr.findings import CATEGORIES, FINDINGS
from cxr.model.card import Evaluation


def test_prevalences_alone_reach_a_pooled_auroc_of_0_745_on_the_full_table(shared_data: Path) -> None:
    labels = pd.read_csv(shared_data / "nih" / "preprocessed_data.csv", index_col=0)[list(CATEGORIES)].to_numpy()
    assert labels.shape == (112_120, 15)
    prior = np.broadcast_to(labels.mean(0), labels.shape)
    assert pooled_auroc(labels, prior) == pytest.approx(0.745, abs=0.002)
    assert auroc(labels.ravel(), prior.ravel())[0] == pytest.approx(0.832, abs=0.002)
    assert auroc(labels[:, 1], prior[:, 1])[0] == 0.5


def test_view_only_by_hand() -> None:
    train = np.zeros((5, 15), int)
    train[:, 0] = [1, 0, 1, 1, 0]
    train[:, 8] = [0, 1, 0, 0, 1]
    rates = view_only(train, pd.Series(["AP", "AP", "PA", "PA", "PA"]), pd.Series(["PA", "AP", "LATERAL"]))
    assert rates.shape == (3, 15)
    np.testing.assert_allclose(rates[:, 0], [2 / 3, 1 / 2, 3 / 5])
    np.testing.assert_allclose(rates[:, 8], [1 / 3, 1 / 2, 2 / 5])
    assert (rates[:, 1:8] == 0).all()


def test_view_only_takes_views_of_any_index() -> None:
    train_views = pd.Series(["AP", "PA"], index=["b", "a"])
    rates = view_only(np.eye(2, 15, dtype=int), train_views, pd.Series(["PA", "AP"], index=["x", "y"]))
    np.testing.assert_array_equal(rates[:, :2], [[0, 1], [1, 0]])


def test_perfect_probabilities_have_no_calibration_error() -> None:
    probabilities = np.repeat([0.0, 0.25, 0.5, 1.0], 40)
    labels = np.r_[np.zeros(40), np.tile([0, 0, 0, 1], 10), np.tile([0, 1], 20), np.ones(40)]
    assert calibration_error(labels, probabilities)[0] == pytest.approx(0)


@pytest.mark.parametrize("seed", range(3))
def test_one_half_for_four_of_five_is_wrong_by_0_3_in_any_order_of_films(seed: int) -> None:
    labels = np.repeat([1, 0], [80, 20])
    order = np.random.default_rng(seed).permutation(100) if seed else np.arange(100)
    assert calibration_error(labels[order], np.full(100, 0.5))[0] == pytest.approx(0.3)


def test_calibration_error_is_the_mean_gap_of_ten_bins_of_equal_mass() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(200)
    labels = (np.floor(10 * probabilities) % 2).astype(int)
    bins = np.argsort(probabilities).reshape(10, 20)
    gaps = np.abs(labels[bins].mean(1) - probabilities[bins].mean(1))
    assert calibration_error(labels, probabilities)[0] == pytest.approx(gaps.mean())


def test_calibration_error_of_fewer_films_than_bins() -> None:
    assert calibration_error(np.array([1, 0, 1]), np.array([0.9, 0.2, 0.6]))[0] == pytest.approx(0.7 / 3)


def test_brier_score_is_scikit_learn_s_for_each_row_of_weights() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 2, 50), rng.random(50)
    weights = rng.integers(0, 3, (4, 50)).astype(float)
    assert brier_score(labels, probabilities)[0] == pytest.approx(brier_score_loss(labels, probabilities))
    expected = [brier_score_loss(labels, probabilities, sample_weight=row) for row in weights]
    np.testing.assert_allclose(brier_score(labels, probabilities, weights), expected)


def test_a_weight_of_two_counts_as_two_films() -> None:
    labels, probabilities = np.array([0, 1, 1]), np.full(3, 0.4)
    weights = np.array([[1.0, 2.0, 0.0]])
    assert calibration_error(labels, probabilities, weights)[0] == pytest.approx(2 / 3 - 0.4)


Measured = tuple[Evaluation, np.ndarray, np.ndarray, pd.DataFrame, np.ndarray]


def films(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Labels, logits and metadata; "AP" films have a finding twice as often, and Hernia is of two patients."""
    rng = np.random.default_rng(seed)
    view = np.where(np.arange(count) % 2, "AP", "PA")
    labels = (rng.random((count, 15)) < np.where(view == "AP", 0.12, 0.06)[:, None]).astype(int)
    labels[:, CATEGORIES.index("Hernia")] = np.arange(count) < 4
    labels[:, 0] = ~labels[:, 1:].any(1)
    number = np.arange(count)
    metadata = pd.DataFrame(
        {
            "patient": number // 2,
            "view": view,
            "source": np.where(number < 200, "one", "two"),
            "sex": np.where(number % 6 < 2, "F", "M"),
            "age": np.where(number < 290, 20.0 + number // 6, np.nan),
        }
    )
    return labels, rng.normal(2 * labels - 1, 1), metadata


@pytest.fixture(scope="module")
def measured() -> Measured:
    labels, logits, metadata = films(1)
    train_labels, _, train_metadata = films(0)
    probabilities = expit(logits)
    evaluation = evaluate(labels, probabilities, expit(3 * logits), metadata, train_labels, train_metadata)
    return evaluation, labels, probabilities, metadata, train_labels


def test_discrimination_of_each_group_is_that_of_its_films(measured: Measured) -> None:
    evaluation, labels, probabilities, metadata, _ = measured
    assert list(evaluation.by_source) == ["one", "two"]
    assert sorted(evaluation.by_view) == ["AP", "PA"]
    groups = [
        (evaluation.overall, np.ones(300, bool)),
        (evaluation.by_source["two"], (metadata["source"] == "two").to_numpy()),
        (evaluation.by_view["AP"], (metadata["view"] == "AP").to_numpy()),
    ]
    for group, mask in groups:
        abnormal = 1 - labels[mask, 0]
        assert (group.films, group.patients) == (mask.sum(), metadata["patient"][mask].nunique())
        assert group.abnormal_films == abnormal.sum()
        assert group.abnormal_auroc.value == pytest.approx(roc_auc_score(abnormal, 1 - probabilities[mask, 0]))
        assert group.abnormal_auroc.low < group.abnormal_auroc.value < group.abnormal_auroc.high
    assert evaluation.overall.macro_findings == 13
    assert evaluation.overall.macro_auroc.value == pytest.approx(roc_auc_score(labels[:, 1:14], probabilities[:, 1:14]))


def test_groups_by_sex_and_age_and_of_both_view_and_sex(measured: Measured) -> None:
    evaluation, labels, probabilities, metadata, _ = measured
    assert list(evaluation.by_sex) == ["M", "F"]
    assert list(evaluation.by_age) == ["18 to 39", "40 to 59", "60 to 79", "unknown"]
    assert sorted(evaluation.by_view_and_sex) == ["AP, F", "AP, M", "PA, F", "PA, M"]
    groups = [
        (evaluation.by_sex["F"], metadata["sex"] == "F"),
        (evaluation.by_age["40 to 59"], metadata["age"].between(40, 59.9)),
        (evaluation.by_view_and_sex["PA, F"], (metadata["sex"] == "F") & (metadata["view"] == "PA")),
    ]
    for group, mask in groups:
        assert group.films == mask.sum()
        expected = roc_auc_score(1 - labels[mask, 0], 1 - probabilities[mask, 0])
        assert group.abnormal_auroc.value == pytest.approx(expected)
        assert group.findings["Mass"].positives == labels[mask, CATEGORIES.index("Mass")].sum()
        assert group.findings["Hernia"].auroc is None
    k, women = CATEGORIES.index("Mass"), (metadata["sex"] == "F").to_numpy()
    assert evaluation.by_sex["F"].findings["Mass"].auroc.value == pytest.approx(
        roc_auc_score(labels[women, k], probabilities[women, k])
    )


def test_each_finding_has_average_precision_and_the_honesty_of_its_probability(measured: Measured) -> None:
    evaluation, labels, probabilities, _, _ = measured
    k = CATEGORIES.index("Mass")
    mass, hernia = evaluation.findings["Mass"], evaluation.findings["Hernia"]
    assert mass.average_precision.value == pytest.approx(average_precision_score(labels[:, k], probabilities[:, k]))
    assert mass.reliability.ece_after.value == pytest.approx(calibration_error(labels[:, k], probabilities[:, k])[0])
    assert mass.reliability.brier_before != pytest.approx(mass.reliability.brier_after.value)
    assert (hernia.average_precision, hernia.reliability) == (None, None)


def test_the_view_alone_says_something_over_all_and_nothing_within_a_view(measured: Measured) -> None:
    evaluation, labels, _, metadata, _ = measured
    expected = roc_auc_score(1 - labels[:, 0], metadata["view"] == "AP")
    assert evaluation.overall.view_only_abnormal_auroc.value == pytest.approx(expected)
    assert expected > 0.6
    assert evaluation.by_view["AP"].view_only_abnormal_auroc.value == 0.5
    assert evaluation.by_view["PA"].view_only_macro_auroc.value == 0.5


def test_a_finding_of_two_patients_gets_no_auroc(measured: Measured) -> None:
    evaluation, labels, probabilities, _, _ = measured
    assert tuple(evaluation.findings) == FINDINGS
    assert (evaluation.findings["Hernia"].positives, evaluation.findings["Hernia"].auroc) == (4, None)
    k = CATEGORIES.index("Mass")
    mass = evaluation.findings["Mass"]
    assert mass.positives == labels[:, k].sum()
    assert mass.auroc.value == pytest.approx(roc_auc_score(labels[:, k], probabilities[:, k]))


def test_reliability_is_of_the_abnormal_probability_before_and_after(measured: Measured) -> None:
    evaluation, labels, probabilities, _, _ = measured
    found, abnormal = evaluation.reliability, 1 - labels[:, 0]
    before = 1 - expit(3 * np.log(probabilities[:, 0] / (1 - probabilities[:, 0])))
    assert found.brier_before == pytest.approx(brier_score_loss(abnormal, before))
    assert found.brier_after.value == pytest.approx(brier_score_loss(abnormal, 1 - probabilities[:, 0]))
    assert found.ece_before == pytest.approx(calibration_error(abnormal, before)[0])
    assert found.ece_after.value == pytest.approx(calibration_error(abnormal, 1 - probabilities[:, 0])[0])


def test_the_pooled_auroc_stands_beside_that_of_the_training_prevalences(measured: Measured) -> None:
    evaluation, labels, probabilities, _, train_labels = measured
    findings = labels[:, 1:].ravel()
    assert evaluation.pooled_auroc == pytest.approx(roc_auc_score(findings, probabilities[:, 1:].ravel()))
    prior = np.broadcast_to(train_labels.mean(0)[1:], (300, 14)).ravel()
    assert evaluation.constant_prior_pooled_auroc == pytest.approx(roc_auc_score(findings, prior))


def test_films_of_too_few_abnormal_patients_are_refused() -> None:
    labels, logits, metadata = films(1)
    labels[:] = 0
    labels[8:, 0] = 1
    with pytest.raises(ValueError, match="too few patients of one class"):
        evaluate(labels, expit(logits), expit(logits), metadata, labels, metadata)
