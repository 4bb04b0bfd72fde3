"""Tables by hand and at random, which of their films are meant, and the shipped table."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from handmade_table import film_table, random_table

from cxr.dataset.filters import MODES, Filters, select
from cxr.dataset.table import RELEASE, FilmTable, films_frame, release
from cxr.findings import CATEGORIES, FINDINGS
from scripts.pack_release import packed


def test_a_table_knows_its_films() -> None:
    table = film_table([("Mass", "Edema"), (), ("Hernia",)], patient=[5, 2, 5])
    assert len(table) == 3
    assert [table.names(row) for row in range(3)] == [["Edema", "Mass"], ["No Finding"], ["Hernia"]]
    assert table.row.to_dict() == {"00000005_000.png": 0, "00000002_000.png": 1, "00000005_001.png": 2}


def test_another_sex_or_view_counts_as_unknown() -> None:
    sexes, views = ["F", "M", "f", None, "unknown"], ["PA", "AP", "LL", np.nan, "unknown"]
    ids = pd.Index(list("abcde"))
    films = films_frame(ids, np.arange(5), np.arange(5), np.arange(5), np.array(sexes), np.array(views, object))
    assert films["sex"].tolist() == ["F", "M", *["unknown"] * 3]
    assert films["view"].tolist() == ["PA", "AP", *["unknown"] * 3]
    assert films["sex"].cat.codes.tolist() == films["view"].cat.codes.tolist() == [0, 1, 2, 2, 2]
    assert films.index.name == "image_id"
    kinds = films[["patient", "follow_up", "age"]].dtypes.tolist()
    assert kinds == [np.int32, np.int16, np.float32]


@pytest.mark.parametrize("seed", range(3))
def test_combinations_and_patients_give_the_table_back(seed: int) -> None:
    table = random_table(seed)
    kinds, kind = table.combination
    assert kinds.dtype == np.uint8
    np.testing.assert_array_equal(kinds[kind], table.labels)
    assert len(np.unique(kinds, axis=0)) == len(kinds) == len(np.unique(table.labels, axis=0))
    numbers, patient = table.patient
    np.testing.assert_array_equal(numbers[patient], table.films["patient"])
    assert len(set(numbers)) == len(numbers) == table.films["patient"].nunique()


def test_rank_is_the_place_by_follow_up_number() -> None:
    table = film_table([()] * 6, patient=[8, 3, 8, 3, 8, 1], follow_up=[7, 0, 2, 40, 3, 9])
    assert table.rank.tolist() == [2, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_rank_is_pandas_rank_within_the_patient(seed: int) -> None:
    films = random_table(seed).films
    expected = films.groupby("patient")["follow_up"].rank(method="first") - 1
    np.testing.assert_array_equal(random_table(seed).rank, expected)


def test_films_of_one_follow_up_number_are_ranked_in_their_order() -> None:
    assert film_table([()] * 4, patient=[1] * 4, follow_up=[5, 5, 0, 5]).rank.tolist() == [1, 2, 0, 3]


def test_boxes_belong_to_films() -> None:
    boxes = [(2, "Mass", 1.0, 2.0, 3.0, 4.0), (0, "Edema", 1.0, 2.0, 3.0, 4.0), (2, "Edema", 5.0, 6.0, 7.0, 8.0)]
    table = film_table([("Mass",)] * 4, boxes=boxes)
    assert table.box_row.tolist() == [2, 0, 2]
    assert table.has_box.tolist() == [True, False, True, False]
    assert not film_table([(), ()]).has_box.any()


def test_the_digest_is_of_the_ids_and_the_labels() -> None:
    table = film_table([("Mass",), ()], boxes=[(0, "Mass", 1.0, 2.0, 3.0, 4.0)])
    assert table.digest == film_table([("Mass",), ()], age=[3, 4]).digest
    others = (film_table([(), ("Mass",)]), film_table([("Edema",), ()]), film_table([("Mass",), ()], patient=[1, 3]))
    assert len({table.digest, *(other.digest for other in others)}) == 4


class Film(NamedTuple):
    """What there is to know of a film, found without the code under test."""

    names: frozenset[str]
    view: str
    sex: str
    age: float
    patient: int
    boxed: bool
    first: bool


@lru_cache
def described(table: FilmTable) -> list[Film]:
    films, drawn = table.films, set(table.boxes["image_id"])
    first: dict[int, tuple[int, int]] = {}
    for row, (patient, follow_up) in enumerate(zip(films["patient"], films["follow_up"], strict=True)):
        first[patient] = min(first.get(patient, (follow_up, row)), (follow_up, row))
    spelt: dict[bytes, frozenset[str]] = {}
    for labels in np.unique(table.labels, axis=0):
        spelt[labels.tobytes()] = frozenset(n for n, v in zip(CATEGORIES, labels, strict=True) if v)
    return [
        Film(spelt[labels.tobytes()], view, sex, age, patient, image_id in drawn, first[patient][1] == row)
        for row, (labels, view, sex, age, patient, image_id) in enumerate(
            zip(table.labels, films["view"], films["sex"], films["age"], films["patient"], films.index, strict=True)
        )
    ]


def satisfies(film: Film, filters: Filters) -> bool:
    """One film against all filters, in words."""
    carried = [name in film.names for name in filters.categories]
    if carried and not {"any": any(carried), "all": all(carried), "none": not any(carried)}[filters.mode]:
        return False
    if filters.ages and not (filters.ages[0] <= int(film.age if film.age == film.age else -1) <= filters.ages[1]):
        return False
    return (
        (not filters.views or film.view in filters.views)
        and (not filters.sexes or film.sex in filters.sexes)
        and (filters.patient is None or film.patient == filters.patient)
        and (not filters.boxed or film.boxed)
        and (not filters.first or film.first)
    )


def expected(films: Sequence[Film], filters: Filters) -> list[int]:
    return [row for row, film in enumerate(films) if satisfies(film, filters)]


EACH = (
    Filters(),
    *(
        Filters(categories=names, mode=mode)
        for names, mode in product((("Mass",), ("No Finding",), ("Edema", "Effusion"), FINDINGS, CATEGORIES), MODES)
    ),
    *(Filters(views=views) for views in (("PA",), ("AP",), ("AP", "PA"))),
    *(Filters(sexes=sexes) for sexes in (("F",), ("M",), ("M", "F"))),
    *(Filters(ages=ages) for ages in ((0, 0), (9, 9), (10, 29), (0, 120), (57, 57), (58, 89), (60, 50))),
    *(Filters(patient=patient) for patient in (0, 1, 13)),
    Filters(boxed=True),
    Filters(first=True),
    Filters(("Infiltration", "Mass"), "any", ("PA",), ("F",), (10, 60), None, False, True),
    Filters(("Nodule", "Hernia"), "none", ("AP",), ("M", "F"), (0, 95), None, True, False),
)


@pytest.mark.parametrize("filters", EACH)
def test_each_filter_keeps_what_it_says(filters: Filters) -> None:
    for seed in (0, 1):
        table = random_table(seed)
        rows = select(table, filters)
        assert rows.dtype == np.intp
        assert rows.tolist() == expected(described(table), filters)


@pytest.mark.parametrize("filters", EACH[3::4])
def test_each_filter_keeps_of_the_release_what_it_says(filters: Filters) -> None:
    assert select(release(), filters).tolist() == expected(described(release()), filters)


@pytest.mark.parametrize("seed", range(10))
def test_filters_combined_at_random_keep_what_they_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(seed, films=200)
    films = described(table)
    for _ in range(20):
        low, high = sorted(int(age) for age in rng.choice([0, 9, 10, 29, 57, 58, 104], 2))
        filters = Filters(
            tuple(rng.choice(CATEGORIES, rng.integers(0, 4))),
            MODES[rng.integers(3)],
            tuple(rng.permutation(["PA", "AP"])[: rng.integers(0, 3)]),
            tuple(rng.permutation(["F", "M"])[: rng.integers(0, 3)]),
            (low, high) if rng.random() < 0.5 else None,
            int(rng.integers(1, 5)) if rng.random() < 0.2 else None,
            rng.random() < 0.1,
            rng.random() < 0.3,
        )
        assert select(table, filters).tolist() == expected(films, filters), filters


def test_both_ends_of_the_ages_are_meant_and_unknown_ages_are_not() -> None:
    table = film_table([()] * 6, age=[29, 30, 30.9, 40, 41, np.nan])
    assert select(table, Filters(ages=(30, 40))).tolist() == [1, 2, 3]
    assert select(table, Filters(ages=(0, 120))).tolist() == [0, 1, 2, 3, 4]
    assert select(table, Filters()).tolist() == [0, 1, 2, 3, 4, 5]


def test_of_several_categories_any_is_meant_unless_said() -> None:
    table = film_table([("Mass",), ("Edema", "Mass"), ("Hernia",)])
    assert select(table, Filters(categories=("Mass", "Edema"))).tolist() == [0, 1]
    assert select(table, Filters(categories=("Mass", "Edema"), mode="all")).tolist() == [1]
    assert select(table, Filters(categories=("Mass", "Edema"), mode="none")).tolist() == [2]


def test_the_first_film_is_the_patient_s_and_not_the_selection_s() -> None:
    table = film_table([("Mass",), (), ("Mass",)], patient=[1, 1, 2], follow_up=[1, 0, 3])
    assert select(table, Filters(categories=("Mass",), first=True)).tolist() == [2]


def test_the_shipped_table_has_the_known_totals() -> None:
    table = release()
    assert (len(table), table.films["patient"].nunique(), len(table.patient[0])) == (112_120, 30_805, 30_805)
    assert table.films["view"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810, "unknown": 0}
    assert table.films["sex"].value_counts().to_dict() == {"M": 63_340, "F": 48_780, "unknown": 0}
    assert (table.films["age"].min(), table.films["age"].max()) == (0, 95)
    assert (len(table.boxes), int(table.has_box.sum())) == (984, 880)
    assert table.boxes["finding"].isin(FINDINGS).all()
    assert len(select(table, Filters(first=True))) == 30_805
    assert table.films.index.is_unique
    assert table.films.index[[0, -1]].tolist() == ["00000001_000.png", "00030805_000.png"]
    assert table.films.index.name == "image_id"
    assert table.labels.dtype == np.uint8
    assert table.films.loc["00000003_000.png"].tolist() == [3, 7, 81, "F", "PA"]
    assert table.names(0) == ["Cardiomegaly"]


def test_the_shipped_table_is_read_once() -> None:
    assert release() is release()


def test_packing_the_shipped_table_gives_the_file_that_it_came_from() -> None:
    pd.testing.assert_frame_equal(packed(release()), pd.read_parquet(RELEASE / "films.parquet"))


def complete(**given: object) -> FilmTable:
    films = {"patient": [3, 4], "age": [7, 8], "sex": ["F", "M"], "view": ["AP", "PA"]} | given
    return film_table([("Mass", "Hernia"), ()], **films)


def test_a_film_is_packed_into_numbers() -> None:
    assert packed(complete(follow_up=[9, 300])).to_dict("list") == {
        "patient": [3, 4],
        "number": [0, 0],
        "follow_up": [9, 300],
        "age": [7, 8],
        "sex": [0, 1],
        "view": [1, 0],
        "labels": [2**13 + 2**14, 1],
    }


@pytest.mark.parametrize("given", [{"age": [7, np.nan]}, {"sex": ["F", "unknown"]}, {"view": ["unknown", "AP"]}])
def test_films_that_the_metadata_do_not_cover_are_not_packed(given: dict[str, list]) -> None:
    with pytest.raises(ValueError, match="metadata do not cover all films"):
        packed(complete(**given))


def test_image_ids_of_another_patient_are_not_packed() -> None:
    table = complete()
    table.films["patient"] = [3, 5]
    with pytest.raises(ValueError, match="not made of the patient's number"):
        packed(table)
