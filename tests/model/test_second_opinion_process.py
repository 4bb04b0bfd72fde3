"""Second opinions come from a process of their own, which may end at any moment."""

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from synthetic import encoded, synthetic_film
from until import until

from cxr.model.bundle import Bundle, BundleRejected
from cxr.model.engine import Engine
from cxr.model.export import load_keras
from cxr.model.heatmap import METHODS
from cxr.model.second_opinion import second_opinion
from cxr.model.second_opinion_process import NoSecondOpinion, SecondOpinions
from cxr.radiograph import read_radiograph


@pytest.fixture(scope="module")
def opinions() -> Iterator[SecondOpinions]:
    made = SecondOpinions()
    yield made
    made.close()


@pytest.fixture(scope="module")
def square(tiny_bundle: Bundle) -> np.ndarray:
    film = read_radiograph(encoded(synthetic_film(np.random.default_rng(5), (34, 12))))
    return Engine(tiny_bundle).predict([film])[0].square


def test_it_gives_what_is_computed_here(opinions, tiny_bundle, square):
    opinions.load(tiny_bundle)
    before = opinions.pid
    for method, grid in second_opinion(load_keras(tiny_bundle), square, "Mass"):
        np.testing.assert_allclose(opinions.heatmap(tiny_bundle, square, "Mass", method), grid, atol=1e-5)
    assert opinions.pid == before


def test_what_fails_is_said_and_the_next_one_gets_an_answer(opinions, tiny_bundle, square):
    with pytest.raises(NoSecondOpinion, match="ValueError"):
        opinions.heatmap(tiny_bundle, square, "Fracture", METHODS[0])
    with pytest.raises(BundleRejected, match="Another model serves by now"):
        opinions.heatmap(dataclasses.replace(tiny_bundle, sha256="0" * 64), square, "Mass", METHODS[0])
    assert opinions.heatmap(tiny_bundle, square, "Mass", METHODS[0]) is not None


def test_one_that_ended_meanwhile_is_replaced(opinions, tiny_bundle, square):
    opinions.load(tiny_bundle)
    killed, said = opinions.pid, []
    os.kill(killed, signal.SIGKILL)

    def ask() -> None:
        try:
            opinions.load(tiny_bundle)
        except NoSecondOpinion as error:
            said.append(str(error))

    # One that was idle is replaced, and nobody notices.
    opinions.load(tiny_bundle)
    assert opinions.pid not in (killed, None)
    asking = threading.Thread(target=ask)
    opinions.close()
    asking.start()
    until(lambda: opinions.pid)
    os.kill(opinions.pid, signal.SIGKILL)
    asking.join()
    assert said == ["The program that computes it ended before it was done. Try again."]
    assert opinions.pid is None


def test_when_nobody_asks_any_more_it_ends(tiny_bundle):
    made = SecondOpinions(idle_seconds=0.1)
    with pytest.raises(BundleRejected, match="no readable"):
        made.load(dataclasses.replace(tiny_bundle, path=tiny_bundle.path / "gone"))
    until(lambda: made.pid is None)
