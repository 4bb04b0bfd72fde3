"""The line of films that wait to be read."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import until as waiting

from cxr.settings import settings
from cxr.turns import Line, LineFull, Place, reading_line

until = partial(waiting.until, seconds=20)


class Stop(BaseException):
    """As Streamlit ends the run of a page: no `Exception`."""


@contextmanager
def held(line: Line) -> Iterator[threading.Event]:
    """Somebody's film is being read until the event is set."""
    begun, go = threading.Event(), threading.Event()

    def reads() -> None:
        with line.joined() as place, place.turn():
            begun.set()
            go.wait(20)

    thread = threading.Thread(target=reads)
    thread.start()
    assert begun.wait(20)
    try:
        yield go
    finally:
        go.set()
        thread.join()


def batch(line: Line, name: str, films: int, order: list[str]) -> threading.Thread:
    """Somebody who brings some films; each is noted as it is read. Returns once the first one waits."""
    before = line.length

    def reads() -> None:
        with line.joined() as place:
            for _ in range(films):
                with place.turn():
                    order.append(name)

    thread = threading.Thread(target=reads)
    thread.start()
    until(lambda: line.length > before)
    return thread


def test_never_more_films_at_a_time_than_workers() -> None:
    line, now, most, lock = Line(2, 50), 0, 0, threading.Lock()

    def reads() -> None:
        nonlocal now, most
        with line.joined() as place:
            for _ in range(5):
                with place.turn():
                    with lock:
                        now += 1
                        most = max(most, now)
                    time.sleep(0.002)
                    with lock:
                        now -= 1

    threads = [threading.Thread(target=reads) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (most, now, line.length) == (2, 0, 0)


def test_turns_go_round_so_one_film_does_not_wait_for_a_neighbours_hundred() -> None:
    line, order = Line(1, 50), []
    with held(line):
        threads = [batch(line, "a", 100, order), batch(line, "b", 1, order), batch(line, "c", 3, order)]
    for thread in threads:
        thread.join(20)
    assert order[:6] == ["a", "b", "c", "a", "c", "a"]
    assert len(order) == 104


def test_threads_that_share_a_place_share_its_turns() -> None:
    line, order = Line(1, 50), []

    def one(place: Place, name: str) -> None:
        with place.turn():
            order.append(name)

    with line.joined(always=True) as shared:
        with held(line):
            threads = []
            for number, name in enumerate(["shared", "shared", "shared"], 2):
                threads.append(threading.Thread(target=one, args=(shared, name)))
                threads[-1].start()
                until(lambda number=number: line.length == number)
            threads.append(batch(line, "other", 1, order))
        for thread in threads:
            thread.join(20)
    assert order == ["shared", "other", "shared", "shared"]


def test_who_waits_is_told_how_many_films_of_others_come_first() -> None:
    line, told, done = Line(1, 50), [], []
    with held(line) as go:
        first = batch(line, "first", 9, done)

        def reads() -> None:
            with line.joined() as place, place.turn(told.append):
                done.append("me")

        me = threading.Thread(target=reads)
        me.start()
        until(lambda: told)
        # The one that is being read, and the next one of the other place; its eight others come after mine.
        assert told[0] == 2
        go.set()
    me.join(20)
    first.join(20)
    assert done.index("me") == 1


def test_of_a_place_with_many_films_only_those_of_the_rounds_before_count() -> None:
    line, told = Line(1, 50), []

    def one(place: Place, tell: Callable[[int], object]) -> None:
        with place.turn(tell):
            pass

    with line.joined(always=True) as many, line.joined() as mine:
        with held(line):
            threads = [threading.Thread(target=one, args=(many, lambda before: None)) for _ in range(4)]
            for number, thread in enumerate(threads, 2):
                thread.start()
                until(lambda number=number: line.length == number)
            threads.append(threading.Thread(target=one, args=(mine, told.append)))
            threads[-1].start()
            until(lambda: told)
        for thread in threads:
            thread.join(20)
    # The one that is being read, and one of the four.
    assert told[0] == 2


@pytest.mark.parametrize("kind", [ValueError, Stop])
def test_film_that_fails_harms_nobody(kind: type[BaseException]) -> None:
    line, order = Line(1, 50), []
    with pytest.raises(kind), line.joined() as place, place.turn():
        raise kind
    with line.joined() as place, place.turn():
        order.append("next")
    assert (order, line.length) == (["next"], 0)


def test_who_goes_away_while_he_waits_frees_his_place() -> None:
    line, order, gone = Line(1, 2), [], []

    def stopped(before: int) -> None:
        raise Stop

    def reads() -> None:
        try:
            with line.joined() as place, place.turn(stopped):
                order.append("gone")
        except Stop:
            gone.append(True)

    with held(line):
        thread = threading.Thread(target=reads)
        thread.start()
        thread.join(20)
        assert gone and line.length == 1
        # With two places, of which one is taken, there is room for another again.
        other = batch(line, "other", 1, order)
    other.join(20)
    assert (order, line.length) == (["other"], 0)


def test_one_too_many_is_told_so_and_can_try_again() -> None:
    line = Line(1, 1)
    with held(line), pytest.raises(LineFull, match="Try again") as refused, line.joined():
        pass
    assert "1 other " in str(refused.value)
    with line.joined() as place, place.turn():
        assert line.length == 1


def test_background_work_is_never_refused_and_takes_nobodys_place() -> None:
    line = Line(1, 1)
    with line.joined(always=True), line.joined() as place, line.joined(always=True), place.turn():
        assert line.length == 1


def test_line_is_of_the_settings(changed_settings: pytest.MonkeyPatch) -> None:
    assert reading_line() is reading_line()
    changed_settings.setenv("CXR_READING_PLACES", "1")
    settings.cache_clear()
    with reading_line().joined(), pytest.raises(LineFull), reading_line().joined():
        pass
