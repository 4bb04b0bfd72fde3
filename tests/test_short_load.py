"""The load test in little: three readers and one who fills the worklist, over real websockets, for some seconds.

Only one film is read at a time and only two sessions may be in the line, so all that the line does is seen.
"""

from typing import Any

import pytest

from benchmarks.load import measure


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return measure(4, 1, 12, 3, 3, {"CXR_READING_WORKERS": "1", "CXR_READING_PLACES": "2"})


def test_nobody_meets_an_error(found: dict[str, Any]) -> None:
    assert found["errors"] == []
    assert found["errors in the log"] == []
    assert found["films read"] >= 3


def test_nobody_sees_a_film_of_somebody_else(found: dict[str, Any]) -> None:
    assert found["films of others seen"] == []


def test_everybody_gets_what_he_gets_alone(found: dict[str, Any]) -> None:
    assert found["differences from single use"] == []


def test_who_waits_is_told_where_he_stands(found: dict[str, Any]) -> None:
    assert 1 <= found["greatest number of films of others before one"] <= 3


def test_the_third_is_told_that_the_line_is_full_and_gets_his_turn(found: dict[str, Any]) -> None:
    assert found["times told that the line is full"] > 0


def test_worklist_is_scored_all_the_same(found: dict[str, Any]) -> None:
    assert found["worklist"]["dropped"] == found["worklist"]["in the worklist"] > 0
    assert found["worklist"]["still unscored"] == 0
