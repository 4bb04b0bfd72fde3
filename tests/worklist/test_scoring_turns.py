"""The worklist's films are scored in turn with those of readers."""

import threading
import time

import pytest
from small_films import Brightness, png

from cxr.settings import settings
from cxr.turns import reading_line
from cxr.worklist.intake import take_in
from cxr.worklist.scoring import score_queued

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_film_of_the_worklist_waits_for_the_readers_turn_and_takes_no_place(database, films, changed_settings) -> None:
    changed_settings.setenv("CXR_READING_WORKERS", "1")
    changed_settings.setenv("CXR_READING_PLACES", "1")
    settings.cache_clear()
    for seed in range(2):
        take_in(database, films, "film.png", png(0.5, seed), who="Ada", source="drop")
    order: list[str] = []
    line = reading_line()

    def score() -> None:
        score_queued(database, films, Brightness(), lambda claimed: order.append("worklist"))

    thread = threading.Thread(target=score)
    with line.joined() as place:
        with place.turn():
            thread.start()
            deadline = time.monotonic() + 60
            while line.length < 2:
                assert thread.is_alive() and time.monotonic() < deadline
                time.sleep(0.01)
            assert order == []
        # The reader's next film comes after one of the worklist, and before the other.
        with place.turn():
            order.append("reader")
    thread.join(60)
    assert sorted(order) == ["reader", "worklist", "worklist"]
    assert order[-1] == "worklist"
    assert line.length == 0
