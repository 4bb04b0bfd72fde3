"""Counts and statistics by hand, against pandas, numpy and scipy on random selections, and of the shipped table."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from handmade_table import film_table, label_frame, random_table
from scipy.stats import binomtest

from cxr.dataset.filters import Filters, select
from cxr.dataset.statistics import (
    GROUPS,
    Leak,
    any_finding,
    box_coverage,
    by_follow_up,
    category_counts,
    co_occurrence,
    combinations,
    conditional,
    correlation,
    films_by_group,
    finding_counts,
    findings_per_film,
    lift,
    prevalence,
    split_leak,
    wilson,
)
from cxr.dataset.summary import DECADES, FOLLOW_UPS, Summary, decade, summarise
from cxr.dataset.table import UNKNOWN, FilmTable, release
from cxr.findings import CATEGORIES, FINDINGS

TOTALS = {
    "No Finding": 60_361,
    "Infiltration": 19_894,
    "Effusion": 13_317,
    "Atelectasis": 11_559,
    "Nodule": 6_331,
    "Mass": 5_782,
    "Pneumothorax": 5_302,
    "Consolidation": 4_667,
    "Pleural_Thickening": 3_385,
    "Cardiomegaly": 2_776,
    "Emphysema": 2_516,
    "Edema": 2_303,
    "Fibrosis": 1_686,
    "Pneumonia": 1_431,
    "Hernia": 227,
}
SEEDS = pytest.mark.parametrize("seed", range(4))


def whole(table: FilmTable) -> Summary:
    return summarise(table, np.arange(len(table)))


def selected(seed: int) -> tuple[Summary, pd.DataFrame]:
    """Some films of a random table, in any order: their summary, and what pandas knows of them row for row."""
    table = random_table(seed)
    films = pd.concat([table.films, label_frame(table)], axis=1)
    # The place of each film among all films of its patient, whether they are selected or not.
    films["place"] = films.groupby("patient")["follow_up"].rank(method="first").astype(int)
    films["decade"] = pd.cut(films["age"], [*range(0, 91, 10), 999], right=False, labels=list(DECADES))
    films["decade"] = films["decade"].astype(object).fillna(UNKNOWN)
    rows = np.random.default_rng(seed).permutation(len(table))[:170]
    return summarise(table, rows), films.iloc[rows]


def labels_of(films: pd.DataFrame) -> pd.DataFrame:
    return films[list(CATEGORIES)]


# Films of three patients: 7 has the rows 0, 1 and 4, in the order 1, 4, 0.
HAND = film_table(
    [("Mass", "Edema"), ("Mass",), (), ("Edema",), (), ("Mass", "Edema")],
    patient=[7, 7, 8, 9, 7, 9],
    follow_up=[5, 0, 0, 0, 2, 1],
    age=[9.5, 10, np.nan, 104, 89, 90],
    sex=["F", "M", "F", "M", "F", "unknown"],
    view=["PA", "AP", "AP", "AP", "PA", "unknown"],
)


@pytest.fixture(scope="module")
def shipped() -> Summary:
    return whole(release())


def test_a_summary_by_hand() -> None:
    summary = summarise(HAND, np.array([0, 1, 3, 4, 5]))
    assert (summary.films, summary.patients) == (5, 2)
    assert summary.films_per_patient.tolist() == [0, 0, 1, 1]
    at = {tuple(CATEGORIES[k] for k in np.flatnonzero(row)): k for k, row in enumerate(summary.kinds)}
    both, mass, edema, none = (at[names] for names in (("Edema", "Mass"), ("Mass",), ("Edema",), ("No Finding",)))
    cells = {tuple(int(k) for k in cell): summary.counts[tuple(cell)] for cell in np.argwhere(summary.counts)}
    assert cells == {
        (both, 0, 0, 0): 1,
        (mass, 1, 1, 1): 1,
        (edema, 1, 1, 9): 1,
        (none, 0, 0, 8): 1,
        (both, 2, 2, 9): 1,
    }
    assert summary.per_kind.tolist() == [{both: 2}.get(k, 1) for k in range(4)]
    places = {tuple(int(k) for k in cell) for cell in np.argwhere(summary.by_follow_up)}
    assert places == {(both, 2), (mass, 0), (edema, 0), (none, 1), (both, 1)}
    assert summarise(HAND, np.array([2])).counts[none, 1, 0, 10] == 1


@SEEDS
def test_a_summary_counts_as_pandas_groups(seed: int) -> None:
    summary, films = selected(seed)
    kind = [
        next(k for k, row in enumerate(summary.kinds) if (row == film).all()) for film in labels_of(films).to_numpy()
    ]
    place = {"view": "PA AP unknown", "sex": "F M unknown"}
    codes = zip(
        kind,
        *(films[column].map(place[column].split().index) for column in place),
        films["decade"].map([*DECADES, UNKNOWN].index),
        strict=True,
    )
    expected = Counter(tuple(int(c) for c in code) for code in codes)
    assert {tuple(map(int, cell)): summary.counts[tuple(cell)] for cell in np.argwhere(summary.counts)} == expected
    assert summary.films == len(films)
    assert summary.patients == films["patient"].nunique()
    each = Counter(films["patient"].value_counts())
    assert {k: int(n) for k, n in enumerate(summary.films_per_patient) if n} == each


def test_decades_begin_at_ten_times_something() -> None:
    ages = np.array([0, 9, 9.99, 10, 19, 20, 89, 90, 104, 119, np.nan, 1 / 12], np.float32)
    assert decade(ages).tolist() == [0, 0, 0, 1, 1, 2, 8, 9, 9, 9, 10, 0]
    assert (len(DECADES), DECADES[0], DECADES[8], DECADES[9]) == (10, "0 to 9", "80 to 89", "90 and older")


def test_counts_by_hand() -> None:
    counts = category_counts(whole(HAND))
    assert counts[counts > 0].to_dict() == {"No Finding": 2, "Mass": 3, "Edema": 3}
    assert finding_counts(whole(HAND)).loc["Mass"].to_dict() == {"films": 3, "of_all": 0.5, "of_any_finding": 0.75}
    assert any_finding(whole(HAND)).to_dict() == {"No finding": 2, "Any finding": 4}
    assert findings_per_film(whole(HAND)).to_dict() == {0: 2, 1: 2, 2: 2}


@SEEDS
def test_counts_are_pandas_sums(seed: int) -> None:
    summary, films = selected(seed)
    labels, findings = labels_of(films), films[list(FINDINGS)]
    pd.testing.assert_series_equal(category_counts(summary), labels.sum())
    abnormal = findings.any(axis=1)
    expected = pd.DataFrame(
        {"films": findings.sum(), "of_all": findings.mean(), "of_any_finding": findings[abnormal].mean()}
    )
    pd.testing.assert_frame_equal(finding_counts(summary), expected)
    assert any_finding(summary).to_dict() == {"No finding": (~abnormal).sum(), "Any finding": abnormal.sum()}
    number = findings_per_film(summary)
    assert number[number > 0].to_dict() == findings.sum(axis=1).value_counts().to_dict()
    assert number.index.tolist() == list(range(len(number)))


def test_co_occurrence_by_hand() -> None:
    both = co_occurrence(whole(HAND))
    assert both.loc["Mass", ["Mass", "Edema", "No Finding"]].tolist() == [3, 2, 0]
    assert conditional(whole(HAND)).loc["Mass", "Edema"] == pytest.approx(2 / 3)
    assert lift(whole(HAND)).loc["Mass", "Edema"] == pytest.approx((2 / 6) / (3 / 6 * 3 / 6))
    # phi of [[1, 0, 1, 1], ...]: (6 * 2 - 3 * 3) / sqrt(3 * 3 * 3 * 3)
    assert correlation(whole(HAND)).loc["Mass", "Edema"] == pytest.approx(3 / 9)
    assert np.isnan(correlation(whole(HAND)).loc["Mass", "Hernia"])
    assert np.isnan(conditional(whole(HAND)).loc["Hernia", "Mass"])
    assert conditional(whole(HAND)).loc["Mass", "Hernia"] == 0
    assert np.isnan(lift(whole(HAND)).loc["Mass", "Hernia"])


@SEEDS
def test_pairs_are_pandas_crosstabs_and_correlations(seed: int) -> None:
    summary, films = selected(seed)
    labels = labels_of(films)
    pd.testing.assert_frame_equal(correlation(summary), labels.corr(), rtol=1e-12, atol=1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(correlation(summary), np.corrcoef(labels.to_numpy().T), rtol=1e-9, atol=1e-12)
    both, given, more = co_occurrence(summary), conditional(summary), lift(summary)
    for one, other in np.random.default_rng(seed).choice(CATEGORIES, (30, 2)):
        table = pd.crosstab(labels[one], labels[other]).reindex(index=[0, 1], columns=[0, 1], fill_value=0)
        carry_one, carry_other = table.loc[1].sum(), table[1].sum()
        assert both.loc[one, other] == table.loc[1, 1]
        if carry_one:
            assert given.loc[one, other] == pytest.approx(table.loc[1, 1] / carry_one)
        if carry_one and carry_other:
            assert more.loc[one, other] == pytest.approx(table.loc[1, 1] * len(films) / carry_one / carry_other)


def test_combinations_by_hand_and_ties_in_the_order_of_their_names() -> None:
    table = film_table([("Mass",), (), ("Edema", "Mass"), ("Mass",), ("Hernia",), ("Atelectasis", "Mass"), ()])
    found = combinations(whole(table), 3)
    assert found["findings"].tolist() == [("Mass",), ("Atelectasis", "Mass"), ("Edema", "Mass")]
    assert found["films"].tolist() == [2, 1, 1]
    assert found["share"].tolist() == pytest.approx([2 / 7, 1 / 7, 1 / 7])
    assert found.index.tolist() == [0, 1, 2]
    assert combinations(summarise(table, np.array([1, 4])), 9)["findings"].tolist() == [("Hernia",)]


@SEEDS
@pytest.mark.parametrize("top", [1, 5, 1000])
def test_combinations_are_the_most_common_of_a_counter(seed: int, top: int) -> None:
    summary, films = selected(seed)
    counted = Counter(tuple(name for name in FINDINGS if film[name]) for _, film in films.iterrows())
    del counted[()]
    expected = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:top]
    found = combinations(summary, top)
    assert list(zip(found["findings"], found["films"], strict=True)) == expected
    assert found["share"].tolist() == pytest.approx([count / len(films) for _, count in expected])


@pytest.mark.parametrize("among", [1, 2, 7, 30, 500, 112_120])
def test_intervals_are_scipy_s(among: int) -> None:
    hits = np.unique(np.linspace(0, among, 13).astype(int))
    low, high = wilson(hits, np.full(len(hits), among))
    expected = [binomtest(int(k), among).proportion_ci(0.95, method="wilson") for k in hits]
    np.testing.assert_allclose(low, [interval.low for interval in expected], atol=1e-12)
    np.testing.assert_allclose(high, [interval.high for interval in expected], atol=1e-12)
    assert (low[0], high[-1]) == (0, 1)
    assert (low >= 0).all()
    assert (high <= 1).all()


def test_an_interval_by_hand() -> None:
    # p = 1/2, n = 4, z^2 = 3.8415: middle 1/2, half of sqrt(z^2 / (n + z^2)).
    half = np.sqrt(3.841459 / (4 + 3.841459)) / 2
    assert wilson(np.array(2), np.array(4)) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_there_is_no_interval_without_films() -> None:
    low, high = wilson(np.array([[0, 0], [0, 2]]), np.array([[0, 3], [0, 2]]))
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [[True, False], [True, False]]
    assert (low[0, 1], high[1, 1]) == (0, 1)


def test_prevalence_by_hand() -> None:
    table = prevalence(whole(HAND), "view").set_index(["category", "group"])
    assert table.loc[("Mass", "PA")].tolist()[:3] == [2, 1, 0.5]
    assert table.loc[("Mass", "AP")].tolist()[:3] == [3, 1, pytest.approx(1 / 3)]
    assert table.loc[("Mass", "unknown")].tolist()[:3] == [1, 1, 1]
    assert prevalence(summarise(HAND, np.array([1, 2])), "view")["group"].unique().tolist() == ["AP"]
    assert films_by_group(whole(HAND), "sex").to_dict() == {"F": 3, "M": 2, "unknown": 1}
    ages = films_by_group(whole(HAND), "age")
    assert list(ages.items()) == [("0 to 9", 1), ("10 to 19", 1), ("80 to 89", 1), ("90 and older", 2), ("unknown", 1)]


@SEEDS
@pytest.mark.parametrize(("by", "column"), [("view", "view"), ("sex", "sex"), ("age", "decade")])
def test_prevalence_is_pandas_group_by_with_scipy_s_intervals(seed: int, by: str, column: str) -> None:
    summary, films = selected(seed)
    groups = films.groupby(films[column].astype(str))[list(CATEGORIES)]
    sizes, positives = groups.size(), groups.sum()
    order = [group for group in GROUPS[by] if group in sizes.index]
    table = prevalence(summary, by)
    assert list(table[["category", "group"]].itertuples(index=False, name=None)) == [
        (category, group) for category in CATEGORIES for group in order
    ]
    assert list(films_by_group(summary, by).items()) == list(sizes[order].items())
    for category, group, among, hits, share, low, high in table.itertuples(index=False):
        assert (among, hits) == (sizes[group], positives.loc[group, category])
        assert share == hits / among
        assert (low, high) == pytest.approx(tuple(binomtest(hits, among).proportion_ci(0.95, "wilson")), abs=1e-9)


def test_follow_up_by_hand() -> None:
    table = by_follow_up(whole(HAND))
    assert table["films"].to_dict() == {"1": 3, "2": 2, "3": 1}
    assert table["Mass"].to_dict() == {"1": pytest.approx(1 / 3), "2": 0.5, "3": 1}
    assert by_follow_up(summarise(HAND, np.array([0])))["films"].to_dict() == {"3": 1}


@SEEDS
def test_follow_up_is_pandas_rank_in_the_whole_table(seed: int) -> None:
    summary, films = selected(seed)
    names = ["1", "2", "3", "4", "5", "6 to 10", "11 to 20", "21 to 50", "51 and later"]
    groups = films.groupby(pd.cut(films["place"], [0, 1, 2, 3, 4, 5, 10, 20, 50, 999], labels=names), observed=True)
    table = by_follow_up(summary)
    assert list(table["films"].items()) == list(groups.size().items())
    np.testing.assert_allclose(table[list(CATEGORIES)], groups[list(CATEGORIES)].mean())
    assert FOLLOW_UPS == (0, 1, 2, 3, 4, 5, 10, 20, 50)


def test_a_leak_by_hand() -> None:
    # Two patients, of 1 and of 2 films; the two are parted with probability 2 * 0.2 * 0.8.
    table = film_table([()] * 3, patient=[1, 2, 2])
    found = split_leak(whole(table))
    assert (found.films_on_both_sides, found.test_films_known) == pytest.approx((2 * 0.32 / 3, 2 * 0.8 / 3))


@pytest.mark.parametrize(("seed", "test"), [(0, 0.2), (1, 0.2), (2, 0.35)])
def test_a_leak_is_what_random_splits_show(seed: int, test: float) -> None:
    summary, films = selected(seed)
    rng = np.random.default_rng(seed)
    patient = np.unique(films["patient"], return_inverse=True)[1]
    both, known = [], []
    for _ in range(4000):
        out = rng.random(len(patient)) < test
        in_test, in_train = np.bincount(patient[out], minlength=200) > 0, np.bincount(patient[~out], minlength=200) > 0
        both.append((in_test & in_train)[patient].mean())
        known.append((in_train[patient] & out).sum())
    expected = Leak(float(np.mean(both)), float(np.sum(known) / (4000 * test * len(patient))))
    found = split_leak(summary, test)
    assert found.films_on_both_sides == pytest.approx(expected.films_on_both_sides, abs=0.005)
    assert found.test_films_known == pytest.approx(expected.test_films_known, abs=0.005)


@pytest.mark.parametrize("test", [0.1, 0.2, 0.3, 0.35, 0.9])
def test_there_is_no_leak_where_each_patient_has_one_film(test: float) -> None:
    found = split_leak(whole(film_table([()] * 5)), test)
    assert found == Leak(0, 0)
    assert f"{found.films_on_both_sides:.0%}" == "0%"


def test_coverage_by_hand() -> None:
    boxes = pd.DataFrame([(0, 0, 4, 2), (2, 1, 6, 2)], columns=list("xywh"))
    # Cells of 2 x 2 pixels: the centres are at 1, 3, 5 and 7. The first box covers two, the second three beside it.
    assert (2 * box_coverage(boxes, 8, 4)).tolist() == [[1, 2, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert box_coverage(boxes.iloc[:0], 8, 3).tolist() == [[0] * 3] * 3


@SEEDS
def test_coverage_is_that_of_painted_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = pd.DataFrame(rng.integers(0, 33, (40, 4)), columns=list("xywh"))
    painted = np.zeros((64, 64))
    for x, y, w, h in boxes.to_numpy():
        painted[y : y + h, x : x + w] += 1
    # Centres of 32 cells of 2 pixels are the upper left corners of their lower right pixels.
    np.testing.assert_allclose(box_coverage(boxes, 64, 32), painted[1::2, 1::2] / 40)


def test_nothing_selected_gives_empty_tables_and_no_numbers() -> None:
    nothing = summarise(HAND, np.array([], int))
    assert (nothing.films, nothing.patients, nothing.films_per_patient.tolist()) == (0, 0, [0])
    assert category_counts(nothing).tolist() == [0] * 15
    assert finding_counts(nothing)[["of_all", "of_any_finding"]].isna().all(axis=None)
    assert findings_per_film(nothing).sum() == 0
    assert correlation(nothing).isna().all(axis=None)
    assert [len(combinations(nothing, 5)), len(by_follow_up(nothing))] == [0, 0]
    assert [len(prevalence(nothing, by)) + len(films_by_group(nothing, by)) for by in GROUPS] == [0, 0, 0]
    assert split_leak(nothing) == Leak(0, 0)


def test_the_shipped_table_has_the_known_totals(shipped: Summary) -> None:
    assert category_counts(shipped).to_dict() == TOTALS
    assert (shipped.films, shipped.patients) == (112_120, 30_805)
    both = any_finding(shipped)
    assert both.tolist() == [60_361, 51_759]
    assert (100 * both / shipped.films).round(1).tolist() == [53.8, 46.2]
    assert findings_per_film(shipped).tolist()[:4] == [60_361, 30_963, 14_306, 4_856]
    assert finding_counts(shipped)["of_any_finding"]["Infiltration"] == pytest.approx(19_894 / 51_759)
    first = summarise(release(), select(release(), Filters(first=True)))
    assert (first.films, first.patients, by_follow_up(first).index.tolist()) == (30_805, 30_805, ["1"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("Emphysema", "Pneumothorax", 0.18), ("Effusion", "Atelectasis", 0.17), ("Pneumonia", "Edema", 0.17)],
)
def test_the_shipped_table_has_the_known_correlations(shipped: Summary, one: str, other: str, expected: float) -> None:
    assert round(correlation(shipped).loc[one, other], 2) == expected
    assert round(correlation(shipped).loc[other, one], 2) == expected


def test_the_statistics_of_the_shipped_table_are_pandas_(shipped: Summary) -> None:
    labels, films = label_frame(release()), release().films
    pd.testing.assert_frame_equal(correlation(shipped), labels.corr(), rtol=1e-9)
    pd.testing.assert_frame_equal(co_occurrence(shipped), labels.T @ labels)
    shares = prevalence(shipped, "view").pivot_table("share", "group", "category")
    expected = labels.groupby(films["view"].astype(str)).mean()
    pd.testing.assert_frame_equal(shares[list(CATEGORIES)], expected, check_names=False)
