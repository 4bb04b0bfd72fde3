"""The gate on arrays, against scikit-learn and cases counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from cxr.evaluation.compare import matched_sensitivities, sensitivity_at_specificity
from cxr.evaluation.neither import NotComparable, PairedFilms
from cxr.findings import CATEGORIES
from cxr.gate import MARGINS, Margins, metric_checks, points_check, source_checks
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.card import Calibration, Card
from cxr.registry import Check

FILMS = 400
RULE_OUT = "Sensitivity at the specificity of default at rule-out"


@pytest.fixture(scope="module")
def card() -> Card:
    return load_bundle(bundle_path("default")).card


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def films() -> PairedFilms:
    """Two models that say the same of films with "No Finding", "Mass" or "Nodule", one film of each patient."""
    rng = np.random.default_rng(0)
    labels = np.zeros((FILMS, len(CATEGORIES)), np.uint8)
    which = [CATEGORIES.index(name) for name in ("No Finding", "Mass", "Nodule")]
    labels[np.arange(FILMS), rng.choice(which, FILMS, p=[0.4, 0.3, 0.3])] = 1
    scores = logistic(2.0 * labels - 1 + rng.normal(size=labels.shape))
    sources = np.where(np.arange(FILMS) < 150, "jrzech", "talo").astype(str)
    sources[-4:] = "few"
    return PairedFilms("hand-made", labels, scores, scores.copy(), np.arange(FILMS), sources)


def of(checks: tuple[Check, ...], name: str) -> Check:
    return next(check for check in checks if check.name.startswith(name))


def changed(films: PairedFilms, amount: float, seed: int = 1, column: slice | int = slice(None)) -> PairedFilms:
    """The candidate's scores with noise of such a size in the logits."""
    logits = np.log(films.candidate / (1 - films.candidate))
    logits[:, column] += amount * np.random.default_rng(seed).normal(size=logits[:, column].shape)
    return replace(films, candidate=logistic(logits))


def test_a_model_as_good_as_the_champion_passes_with_differences_of_nothing(films: PairedFilms, card: Card) -> None:
    checks = metric_checks(films, card, card)
    assert [check.name for check in checks] == [
        "AUROC for abnormal",
        "Macro-AUROC over 2 of 14 findings",
        "Sensitivity at the specificity of default at rule-out",
        "Sensitivity at the specificity of default at balanced",
        "Sensitivity at the specificity of default at rule-in",
        "Calibration error",
    ]
    assert all(check.passed for check in checks)
    for check in checks:
        assert check.difference is not None
        assert (check.difference.value, check.difference.low, check.difference.high) == (0, 0, 0)


def test_differences_are_those_of_scikit_learn(films: PairedFilms, card: Card) -> None:
    worse = changed(films, 1.0)
    checks = metric_checks(worse, card, card)
    abnormal = 1 - films.labels[:, 0]
    expected = roc_auc_score(abnormal, 1 - worse.candidate[:, 0]) - roc_auc_score(abnormal, 1 - films.champion[:, 0])
    difference = of(checks, "AUROC for abnormal").difference
    assert difference is not None
    assert difference.value == pytest.approx(expected)
    columns = [CATEGORIES.index(name) for name in ("Mass", "Nodule")]
    macro = [roc_auc_score(films.labels[:, columns], s[:, columns]) for s in (worse.candidate, films.champion)]
    found = of(checks, "Macro-AUROC").difference
    assert found is not None
    assert found.value == pytest.approx(macro[0] - macro[1])


def test_a_worse_model_fails_and_the_sentence_has_the_numbers(films: PairedFilms, card: Card) -> None:
    check = of(metric_checks(changed(films, 1.5), card, card), "AUROC for abnormal")
    assert not check.passed
    assert check.difference is not None
    assert check.difference.value < -MARGINS.abnormal_auroc
    assert f"difference {check.difference.value:+.3f} ({check.difference.low:+.3f} to " in check.said
    assert check.said.endswith(": worse by more than 0.02.")


def test_a_better_model_passes(films: PairedFilms, card: Card) -> None:
    worse = changed(films, 1.0)
    turned = replace(worse, candidate=worse.champion, champion=worse.candidate)
    aurocs = metric_checks(turned, card, card)[:2]
    assert all(check.passed and check.difference is not None and check.difference.low > 0 for check in aurocs)


def test_surely_worse_fails_however_little_it_is(films: PairedFilms, card: Card) -> None:
    # Every abnormal film looks a little less so, and no other one does.
    wide = Margins(abnormal_auroc=0.5, macro_auroc=0.5, sensitivity=0.9, calibration_error=0.5)
    scores = films.candidate.copy()
    abnormal = films.labels[:, 0] == 0
    scores[abnormal, 0] = logistic(np.log(scores[abnormal, 0] / (1 - scores[abnormal, 0])) + 0.3)
    worse = replace(films, candidate=scores)
    check = of(metric_checks(worse, card, card, wide), "AUROC for abnormal")
    assert check.difference is not None
    assert check.difference.high < 0
    assert not check.passed
    assert check.said.endswith(": worse over the whole interval.")


def test_within_the_margin_and_not_surely_worse_passes(films: PairedFilms, card: Card) -> None:
    wide = Margins(abnormal_auroc=0.5)
    slightly = changed(films, 0.2, seed=4, column=0)
    check = of(metric_checks(slightly, card, card, wide), "AUROC for abnormal")
    assert check.difference is not None
    assert check.difference.low < 0 < check.difference.high
    assert check.passed


def test_too_few_patients_fail_the_abnormal_auroc_and_decide_nothing_else(films: PairedFilms, card: Card) -> None:
    few = films.subset(np.r_[np.flatnonzero(films.labels[:, 0] == 1)[:4], np.flatnonzero(films.labels[:, 0] == 0)[:4]])
    checks = metric_checks(few, card, card)
    assert (of(checks, "AUROC for abnormal").passed, of(checks, "AUROC for abnormal").said) == (
        False,
        "Too few to say.",
    )
    assert all(check.passed for check in checks[1:])
    assert "Too few to say, so it does not decide." in {check.said for check in checks[1:]}


def test_it_is_patients_that_are_counted_not_films(films: PairedFilms, card: Card) -> None:
    four = replace(films, patients=np.arange(FILMS) % 4)
    assert not of(metric_checks(four, card, card), "AUROC for abnormal").passed


def test_probabilities_that_are_off_fail_though_the_ranking_is_the_same(films: PairedFilms, card: Card) -> None:
    # Normal distributions of logits, 2 apart and of variance 1, mean these odds.
    share = films.labels[:, 0].mean()
    logits = 2 * np.log(films.champion / (1 - films.champion)) + np.log(share / (1 - share))
    off = replace(films, champion=logistic(logits), candidate=logistic(logits + 1))
    checks = metric_checks(off, card, card)
    assert of(checks, "AUROC for abnormal").passed
    check = of(checks, "Calibration error")
    assert not check.passed
    assert check.difference is not None
    assert check.difference.value > 0.05
    turned = replace(off, candidate=off.champion, champion=off.candidate)
    assert of(metric_checks(turned, card, card), "Calibration error").passed


def test_scores_that_are_no_probabilities_are_not_held_against_a_candidate(films: PairedFilms, card: Card) -> None:
    from cxr.model.card import OperatingNorm

    imported = card.model_copy(update={"calibration": OperatingNorm(thresholds=(0.5,) * 15)})
    check = of(metric_checks(films, card, imported), "Calibration error")
    assert (check.passed, check.difference) == (True, None)
    assert "are no probabilities" in check.said


def test_scores_that_are_not_numbers_compare_with_nothing(films: PairedFilms, card: Card) -> None:
    broken = films.candidate.copy()
    broken[3, CATEGORIES.index("Mass")] = np.nan
    with pytest.raises(NotComparable, match=r"^The scores of default are not finite numbers on 1 films\.$"):
        metric_checks(replace(films, candidate=broken), card, card)


def test_sources_with_enough_patients_are_told_and_others_not(films: PairedFilms, card: Card) -> None:
    names = [check.name for check in source_checks(films, card, card)]
    assert names == [
        "AUROC for abnormal, source talo",
        "Macro-AUROC over 2 of 14 findings, source talo",
        "AUROC for abnormal, source jrzech",
        "Macro-AUROC over 2 of 14 findings, source jrzech",
    ]
    part = films.subset(films.sources == "jrzech")
    worse = changed(films, 1.0)
    abnormal = 1 - part.labels[:, 0]
    ours = worse.subset(films.sources == "jrzech")
    check = of(source_checks(worse, card, card), "AUROC for abnormal, source jrzech")
    assert check.difference is not None
    expected = roc_auc_score(abnormal, 1 - ours.candidate[:, 0]) - roc_auc_score(abnormal, 1 - ours.champion[:, 0])
    assert check.difference.value == pytest.approx(expected)


def test_matched_sensitivities_of_a_case_counted_by_hand() -> None:
    # The second flags two of four negatives at 0.5. With two false alarms the first finds 3 of 4, the second 4 of 4.
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    first = np.array([0.9, 0.8, 0.4, 0.3, 0.95, 0.85, 0.7, 0.35])
    second = np.array([0.6, 0.55, 0.2, 0.1, 0.9, 0.8, 0.7, 0.45])
    ours, theirs = matched_sensitivities(labels, first, second, 0.5)
    assert (ours(None)[0], theirs(None)[0]) == (0.75, 1.0)
    # A resample in which the negatives that the second flags are drawn twice, and one of the others not at all.
    weights = np.array([[2, 1, 1, 0, 1, 1, 1, 1]], np.float32)
    assert ours(weights)[0] == 0.75
    # In one without its false alarms none is allowed: the first flags above 0.4.
    weights = np.array([[0, 0, 2, 2, 1, 1, 1, 1]], np.float32)
    assert ours(weights)[0] == 0.75
    assert np.isnan(ours(np.array([[0, 0, 0, 0, 1, 1, 1, 1]], np.float32))[0])


@pytest.mark.parametrize("decimals", [None, 1])
def test_sensitivity_at_a_specificity_is_that_of_scikit_learn_s_curve(decimals: int | None) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.4).astype(np.uint8)
    scores = labels + rng.normal(size=200)
    scores = scores if decimals is None else scores.round(decimals)
    alarms, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    for specificity in (0.0, 0.31, 0.5, 0.9, 0.95, 1.0):
        expected = found[alarms <= 1 - specificity + 1e-12].max()
        got = sensitivity_at_specificity(labels, scores, np.array([specificity]), np.ones((1, 200), np.float32))
        assert got[0] == pytest.approx(expected)


def test_thresholds_have_to_be_the_candidate_s_own(card: Card) -> None:
    copied = points_check(card.model_copy(update={"name": "other"}), card)
    assert (copied.passed, copied.said) == (
        False, "Its thresholds are those of default; they have to be chosen anew for this model.",
    )  # fmt: skip
    first = card.operating_points[0]
    moved = first.model_copy(update={"threshold": first.threshold * 0.999})
    own = card.model_copy(update={"operating_points": (moved, *card.operating_points[1:])})
    assert points_check(own, card).passed
    assert "146 films of 109 patients" in points_check(own, card).said


def test_a_candidate_without_calibration_patients_of_its_own_fails(card: Card) -> None:
    assert not points_check(card.model_copy(update={"data": None}), card).passed
    assert card.data is not None
    splits = {name: count for name, count in card.data.splits.items() if name != "calibration"}
    without = card.model_copy(update={"data": card.data.model_copy(update={"splits": splits})})
    assert not points_check(without, card).passed
    assert isinstance(card.calibration, Calibration)
