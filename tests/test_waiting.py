"""A second opinion is heavy work of a page, too: it waits in the line in which films wait."""

from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cxr.model.heatmap import METHODS
from cxr.settings import settings
from cxr.turns import reading_line
from cxr.ui import second_opinion
from cxr.ui.waiting import turn_of


def page() -> None:
    from types import SimpleNamespace

    import numpy as np

    from cxr.ui.second_opinion import show_second_opinion

    reading = SimpleNamespace(grey=np.zeros((8, 8), np.uint8), prediction=SimpleNamespace(square=np.zeros((8, 8))))
    bundle = SimpleNamespace(sha256="ab", card=SimpleNamespace(categories=("Mass",), map_shift=(0.0, 0.0)))
    show_second_opinion({}, reading, "Mass", bundle)


@pytest.fixture
def looked(changed_settings: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was computed, and how many had their turn or waited for it meanwhile; there is place for one."""
    changed_settings.setenv("CXR_READING_PLACES", "1")
    settings.cache_clear()
    found: list[tuple[str, int]] = []

    def loaded(bundle):
        found.append(("loads", reading_line().length))

    def computed(bundle, square, finding, method):
        found.append((method, reading_line().length))
        return np.ones((2, 2), np.float32)

    changed_settings.setattr(second_opinion, "second_opinions", SimpleNamespace(load=loaded, heatmap=computed))
    return found


def test_a_second_opinion_takes_a_turn_for_each_of_its_steps(looked):
    app = AppTest.from_function(page).run()
    app.button[0].click().run()
    assert not app.exception
    assert looked == [("loads", 1), *((method, 1) for method in METHODS)]
    assert reading_line().length == 0 and not app.button and not app.warning


def test_a_second_opinion_for_which_there_is_no_place_can_be_asked_for_again(looked):
    app = AppTest.from_function(page).run()
    with reading_line().joined():
        app.button[0].click().run()
        assert not app.exception
        assert "no more can wait" in app.warning[0].value
        assert looked == []
    app.button[0].click().run()
    assert [what for what, _ in looked] == ["loads", *METHODS] and not app.warning


def test_a_bar_says_what_waits_and_then_what_is_done():
    said = []
    bar = SimpleNamespace(progress=lambda share, words: said.append((share, words)))
    place = SimpleNamespace(turn=None)

    def turn(tell):
        tell(2)
        return reading_line().joined(always=True)

    place.turn = turn
    with turn_of(place, bar, 0.5, "film 2 of 3", "Reading film 2 of 3"):
        assert said == [
            (0.5, "Waiting with film 2 of 3: 2 films of others are before it"),
            (0.5, "Reading film 2 of 3"),
        ]
