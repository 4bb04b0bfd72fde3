"""What needs no film, by hand, against scikit-learn film by film, and of the shipped table."""

import numpy as np
import pandas as pd
import pytest
from handmade_table import film_table, label_frame, random_table
from sklearn.metrics import roc_auc_score

from cxr.dataset.summary import Summary, summarise
from cxr.dataset.table import FilmTable, release
from cxr.evaluation.baselines import MACRO_OF_NOTHING, Baselines, baselines
from cxr.findings import CATEGORIES, FINDINGS


def whole(table: FilmTable) -> Summary:
    return summarise(table, np.arange(len(table)))


def film_by_film(table: FilmTable, rows: np.ndarray) -> Baselines:
    """The same with a score for each film and each column, and scikit-learn."""
    labels, view = label_frame(table).iloc[rows], table.films["view"].iloc[rows].astype(str).to_numpy()
    shares = pd.DataFrame(np.tile(labels.mean(), (len(labels), 1)), labels.index, labels.columns)
    by_view = labels.groupby(view).transform("mean")
    findings = [name for name in FINDINGS if labels[name].nunique() == 2]
    one_by_one = [roc_auc_score(labels[name], by_view[name]) for name in findings]
    abnormal = labels[list(FINDINGS)].any(axis=1)

    def pooled(scores: pd.DataFrame, columns: tuple[str, ...]) -> float:
        return roc_auc_score(labels[list(columns)].to_numpy().ravel(), scores[list(columns)].to_numpy().ravel())

    return Baselines(
        pooled_15=pooled(shares, CATEGORIES),
        pooled_14=pooled(shares, FINDINGS),
        view_macro=float(np.mean(one_by_one)),
        view_abnormal=roc_auc_score(abnormal, abnormal.groupby(view).transform("mean")),
        view_pooled_14=pooled(by_view, FINDINGS),
    )


def assert_same(found: Baselines, expected: Baselines) -> None:
    assert vars(found) == pytest.approx(vars(expected), abs=1e-9)


def test_one_score_for_all_films_is_one_half() -> None:
    assert roc_auc_score([0, 1, 1, 0, 0], [0.3] * 5) == MACRO_OF_NOTHING


def test_baselines_by_hand() -> None:
    # PA: Mass, Mass, nothing. AP: Edema, nothing, nothing. Shares: nothing 3/6, Mass 2/6, Edema 1/6, 12 columns of 0.
    table = film_table(
        [("Mass",), ("Mass",), (), ("Edema",), (), ()],
        view=["PA", "PA", "PA", "AP", "AP", "AP"],
    )
    found = baselines(whole(table))
    # Mass: 2 of PA (share 2/3) against 1 of PA and 3 of AP (0): each wins 3 and ties with 1. Edema: 1 of AP (1/3)
    # against 2 of AP and 3 of PA (0): wins 3, ties with 2.
    mass, edema = 3.5 / 4, 4 / 5
    assert found.view_macro == pytest.approx((mass + edema) / 2)
    # Any finding: 2 of PA (2/3) and 1 of AP (1/3) against 1 of PA and 2 of AP.
    assert found.view_abnormal == pytest.approx((2 * 2.5 + 1 * 1) / 9)
    # 14 findings, scores 2/6 (2 of 6 films have it), 1/6 (1 of 6) and 0 (none of 72).
    assert found.pooled_14 == pytest.approx((2 * (2 + 5 + 72) + 1 * (2.5 + 72)) / (3 * 81))
    # With "No Finding", score 3/6 (3 of 6): 2 - 1 = the two Masses lose to three negatives of it, each.
    assert found.pooled_15 == pytest.approx((3 * (1.5 + 4 + 5 + 72) + 2 * (2 + 5 + 72) + 1 * (2.5 + 72)) / (6 * 84))
    # Scores by view: Mass in PA 2/3 (2 of 3), Edema in AP 1/3 (1 of 3), 0 for the other 78.
    assert found.view_pooled_14 == pytest.approx((2 * (0.5 + 2 + 78) + 1 * (1 + 78)) / (3 * 81))


@pytest.mark.parametrize("seed", range(8))
def test_baselines_are_scikit_learn_s_film_by_film(seed: int) -> None:
    table = random_table(seed)
    rows = np.random.default_rng(seed).permutation(len(table))[:120]
    assert_same(baselines(summarise(table, rows)), film_by_film(table, rows))


def test_findings_that_no_film_or_each_film_has_are_not_in_the_mean() -> None:
    table = film_table([("Mass", "Edema"), ("Mass",), ("Mass", "Edema"), ("Mass",)], view=["PA", "PA", "PA", "AP"])
    found = baselines(whole(table))
    assert found.view_macro == pytest.approx(roc_auc_score([1, 0, 1, 0], [2 / 3, 2 / 3, 2 / 3, 0]))
    assert np.isnan(found.view_abnormal)


def test_where_a_class_is_missing_there_is_no_number() -> None:
    nothing = vars(baselines(summarise(film_table([()]), np.array([], int))))
    assert np.isnan(list(nothing.values())).all()
    healthy = baselines(whole(film_table([()] * 3)))
    assert healthy.pooled_15 == 1
    assert np.isnan([healthy.pooled_14, healthy.view_macro, healthy.view_abnormal, healthy.view_pooled_14]).all()


def test_of_the_shipped_table_they_are_the_known_ones() -> None:
    found = baselines(whole(release()))
    assert (round(found.pooled_15, 3), round(found.pooled_14, 3)) == (0.832, 0.745)
    assert_same(found, film_by_film(release(), np.arange(len(release()))))
