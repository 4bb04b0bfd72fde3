"""A whole evaluation, of the shipped model as it is stored and of a tiny one made on the spot."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr.evaluation.evaluate import calibration_error
from cxr.evaluation.report import Report
from cxr.evaluation.run import report_of
from cxr.evaluation.scored import AGE_GROUPS, ScoredFilms, age_group, film_key, load_scored, save_scored
from cxr.evaluation.stored import REPORT_FILE, TEST_FILE, load_evaluation
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING_INDEX
from cxr.model.bundle import BundleRejected, bundle_path, load_bundle
from cxr.model.engine import Engine


@pytest.fixture(scope="module")
def shipped():
    return load_evaluation(load_bundle(bundle_path("default")))


def test_shipped_model_carries_the_evaluation_of_its_card(shipped):
    card = load_bundle(bundle_path("default")).card
    report = shipped.report
    assert report.held_out
    assert (report.films, report.patients) == (card.data.splits["test"].films, card.data.splits["test"].patients)
    assert report.abnormal.auroc == card.evaluation.overall.abnormal_auroc
    assert report.macro_auroc == card.evaluation.overall.macro_auroc
    # The card is of Keras' scores, the report of the serving graph's.
    assert report.calibration.ece.value == pytest.approx(card.evaluation.reliability.ece_after.value, abs=1e-5)
    assert report.by_source["jrzech"].abnormal_auroc == card.evaluation.by_source["jrzech"].abnormal_auroc


def test_numbers_of_the_report_are_those_of_the_stored_scores(shipped):
    films, report = shipped.films, shipped.report
    abnormal, score = films.abnormal, films.abnormal_probability
    assert report.abnormal.auroc.value == pytest.approx(roc_auc_score(abnormal, score), abs=1e-6)
    assert report.abnormal.auprc.value == pytest.approx(average_precision_score(abnormal, score), abs=1e-6)
    k = CATEGORIES.index("Effusion")
    effusion = report.findings["Effusion"]
    assert effusion.auroc.value == pytest.approx(roc_auc_score(films.labels[:, k], films.probabilities[:, k]), abs=1e-6)
    assert effusion.n_positive == films.labels[:, k].sum()
    point = report.operating_points["balanced"]
    flagged = score >= point.threshold
    assert point.abnormal.sensitivity.value == pytest.approx(flagged[abnormal == 1].mean(), abs=0.01)
    pooled = roc_auc_score(films.labels[:, 1:].ravel(), films.probabilities[:, 1:].ravel())
    assert report.pooled_auroc == pytest.approx(pooled, abs=1e-6)
    prior = np.broadcast_to(films.labels.mean(0), films.labels.shape)[:, 1:]
    baseline = roc_auc_score(films.labels[:, 1:].ravel(), prior.ravel())
    assert report.baselines.constant_prior_pooled_auc == pytest.approx(baseline)


def test_stored_report_has_robustness_and_randomisation(shipped):
    assert len(shipped.report.robustness) == 41
    assert shipped.report.robustness[0].abnormal_auroc == shipped.report.abnormal.auroc
    assert shipped.report.randomisation.stages[0].correlation.value == pytest.approx(1)


def test_json_has_the_fields_that_other_programs_rely_on(shipped):
    found = json.loads(shipped.report.model_dump_json())
    assert set(found["abnormal"]["auroc"]) == {"value", "low", "high"}
    assert {"auprc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1"} <= set(found["abnormal"])
    assert set(found["findings"]) == set(FINDINGS)
    assert {"n_positive", "auroc", "auprc"} <= set(found["findings"]["Hernia"])
    assert found["findings"]["Hernia"]["auroc"] is None
    assert {"ece", "brier"} <= set(found["calibration"])
    assert set(found["operating_points"]) == {"rule-out", "balanced", "rule-in"}
    assert {"view_only", "constant_prior_pooled_auc"} <= set(found["baselines"])
    assert {"films", "patients", "macro_auroc", "by_source", "by_view", "by_sex", "by_age", "localisation"} <= set(
        found
    )
    assert Report.model_validate_json(json.dumps(found)) == shipped.report


def scored(scores, labels, patients=None) -> ScoredFilms:
    """Films whose abnormal probability is `scores`, and whose only finding is "Mass"."""
    import pandas as pd

    n = len(scores)
    truth = np.zeros((n, 15), np.uint8)
    truth[:, NO_FINDING_INDEX], truth[:, CATEGORIES.index("Mass")] = 1 - labels, labels
    probabilities = np.full((n, 15), 0.1)
    probabilities[:, NO_FINDING_INDEX], probabilities[:, CATEGORIES.index("Mass")] = 1 - scores, scores
    metadata = pd.DataFrame(
        {
            "patient": np.arange(n) if patients is None else patients,
            "view": np.where(np.arange(n) % 2, "PA", "AP"), "sex": "F", "source": "made", "age": 50.0,
        },
        index=[f"{k:08d}_000.png" for k in range(n)],
    )  # fmt: skip
    return ScoredFilms("made", truth, probabilities, probabilities, metadata)


@pytest.fixture(scope="module")
def engine():
    return Engine(load_bundle(bundle_path("default")))


def test_random_scores_are_worth_one_half(engine):
    rng = np.random.default_rng(0)
    report = report_of(engine, scored(rng.random(600), rng.integers(0, 2, 600)), [], held_out=False)
    assert report.abnormal.auroc.low < 0.5 < report.abnormal.auroc.high
    assert report.baselines.view_only.abnormal_auroc.value == pytest.approx(0.5, abs=0.06)
    missed = report.workload.at_70.missed
    assert missed.low < 0.7 < missed.high


def test_shuffled_labels_are_worth_one_half(engine, shipped):
    films = shipped.films
    order = np.random.default_rng(1).permutation(len(films.labels))
    mixed = ScoredFilms("mixed", films.labels[order], films.probabilities, films.uncalibrated, films.metadata)
    auroc = report_of(engine, mixed, [], held_out=False).abnormal.auroc
    assert auroc.low < 0.5 < auroc.high


def test_calibration_error_of_true_probabilities_is_what_it_is_said_to_be(engine):
    scores = np.random.default_rng(3).random(400)
    drawn = [(np.random.default_rng(seed).random(400) < scores).astype(int) for seed in range(100, 140)]
    said = report_of(engine, scored(scores, drawn[0]), [], held_out=False).calibration.ece_if_honest
    errors = [calibration_error(labels, scores)[0] for labels in drawn]
    assert sum(said.low <= error <= said.high for error in errors) >= 34
    assert np.mean(errors) == pytest.approx(said.value, abs=0.01)


def test_unknown_views_are_no_baseline(engine):
    films = scored(np.linspace(0, 1, 60), np.tile([0, 1], 30))
    films.metadata["view"] = "unknown"
    assert report_of(engine, films, [], held_out=False).baselines.view_only.abnormal_auroc is None


def test_one_class_or_one_patient_is_too_few_to_say(engine):
    scores = np.linspace(0, 1, 40)
    alone = report_of(engine, scored(scores, np.ones(40, int)), [], held_out=False)
    assert alone.abnormal.auroc is None
    assert Report.model_validate_json(alone.model_dump_json()) == alone
    one = report_of(engine, scored(scores, (scores > 0.5).astype(int), np.zeros(40, int)), [], held_out=False)
    assert one.abnormal.auroc is None
    assert one.abnormal.sensitivity is None
    assert one.workload.at_70 is None


def test_constant_prior_scores_what_it_does_on_the_whole_release():
    from cxr.dataset.table import release

    labels = release().labels
    shares = labels.mean(0)
    positives = labels.sum(0)
    weights = np.r_[positives, len(labels) - positives]
    pooled = roc_auc_score(np.repeat([1, 0], 15), np.tile(shares, 2), sample_weight=weights)
    assert round(pooled, 3) == 0.832


def test_age_groups():
    import pandas as pd

    ages = pd.Series([0, 17.9, 18, 39, 40, 59, 60, 79.5, 80, 95, np.nan])
    a, b, c, d, e = AGE_GROUPS
    assert age_group(ages).tolist() == [a, a, b, b, c, c, d, d, e, e, "unknown"]


def test_scored_films_come_back_without_image_ids(tmp_path):
    films = scored(np.linspace(0, 1, 6), np.array([0, 0, 0, 1, 1, 1]), np.array([7, 7, 9, 9, 11, 11]))
    save_scored(films, tmp_path / "t.npz")
    back = load_scored(tmp_path / "t.npz")
    np.testing.assert_array_equal(back.labels, films.labels)
    np.testing.assert_allclose(back.probabilities, films.probabilities, atol=1e-6)
    assert back.patients.tolist() == [0, 0, 1, 1, 2, 2]
    assert back.metadata.index.tolist() == [film_key(image_id) for image_id in films.metadata.index]
    assert b"00000001_000" not in (tmp_path / "t.npz").read_bytes()


def test_finetune_stores_the_evaluation_of_its_test_patients(tiny_bundle):
    stored = load_evaluation(tiny_bundle)
    assert stored.report.films == tiny_bundle.card.data.splits["test"].films
    assert stored.report.abnormal.auroc == tiny_bundle.card.evaluation.overall.abnormal_auroc
    assert {REPORT_FILE, TEST_FILE} <= set(tiny_bundle.card.files)


def test_stored_evaluation_that_cant_be_read_is_refused(tiny_bundle, tmp_path):
    import shutil

    from cxr.model.attach import attach

    copy = load_bundle(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))
    broken = attach(copy, (REPORT_FILE,), lambda folder: (folder / REPORT_FILE).write_text("{}"))
    with pytest.raises(BundleRejected, match="make it anew"):
        load_evaluation(broken)


def test_bundle_is_as_it_was_when_what_is_attached_fails(tiny_bundle, tmp_path):
    import shutil

    from cxr.model.attach import attach

    copy = load_bundle(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))

    def fails(folder):
        (folder / "model.onnx").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        attach(copy, ("model.onnx",), fails)
    assert load_bundle(tmp_path / "copy").sha256 == copy.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
