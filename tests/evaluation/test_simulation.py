"""The simulated worklist against queueing theory, and against a reading room without a simulation library."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cxr.evaluation.simulation import AGEING_RULE, Inputs, Simulation, Spread, Turnaround, draw, read, simulate

PERFECT = (np.ones(1), np.zeros(1))
RNG = np.random.default_rng(0)
FAIR = (RNG.beta(3, 2, 300), RNG.beta(2, 3, 400))
SMALL = Inputs(films=40, runs=12, readers=2, films_per_hour=45, ageing_minutes=20)


def read_by_hand(
    arrived: np.ndarray, reading: np.ndarray, readers: int, scores: np.ndarray | None = None, ageing: float = math.inf
) -> np.ndarray:
    """Minute of each report. Whenever a reader is free, every film that waits is looked at anew."""
    free, waiting, reported = [0.0] * readers, list(range(len(arrived))), np.zeros(len(arrived))
    while waiting:
        now = max(min(free), arrived[waiting].min())
        here = [film for film in waiting if arrived[film] <= now]
        film = here[0] if scores is None else max(here, key=lambda i: scores[i] + (now - arrived[i]) / ageing)
        waiting.remove(film)
        reported[film] = now + reading[film]
        free[free.index(min(free))] = reported[film]
    return reported


def mean_of(turnaround: Turnaround | None) -> float:
    assert turnaround is not None
    return turnaround.mean.value


def test_one_reader_done_by_hand() -> None:
    arrived, reading = np.array([1.0, 2, 3, 4.5]), np.array([5.0, 2, 1, 4])
    log = read(arrived, reading, np.array([0.1, 0.2, 0.9, 0.5]), readers=1)
    # The first is begun before the others are there and is not interrupted; then by urgency.
    assert log.started.tolist() == [1, 11, 6, 7]
    assert log.reported.tolist() == [6, 13, 7, 11]
    assert log.reader.tolist() == [0, 0, 0, 0]


def test_two_readers_done_by_hand() -> None:
    arrived, reading = np.array([0.0, 1, 2, 3]), np.array([10.0, 4, 1, 1])
    log = read(arrived, reading, np.zeros(4), readers=2)
    assert log.started.tolist() == [0, 1, 5, 6]
    assert log.reader[0] != log.reader[1]
    assert log.reader[1] == log.reader[2] == log.reader[3]


def test_an_hour_of_waiting_outweighs_a_certain_finding_by_hand() -> None:
    # While film 0 is read, film 1 (score 0) waits; films 2 and 3 (score 1) come 50 and 70 minutes after it.
    arrived, reading = np.array([0.0, 1, 51, 71]), np.array([100.0, 1, 1, 1])
    log = read(arrived, reading, np.array([0.0, 0, 1, 1]) - arrived / 60, readers=1)
    assert log.started.tolist() == [0, 101, 100, 102]


@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ageing", [None, 15.0, math.inf])
def test_films_are_read_as_by_hand(readers: int, seed: int, ageing: float | None) -> None:
    films = draw(Inputs(films=150, films_per_hour=22 * readers, readers=readers, seed=seed), 0, *FAIR)
    if ageing is None:
        log = read(films.arrived, films.reading, -films.arrived, readers)
        expected = read_by_hand(films.arrived, films.reading, readers)
    else:
        log = read(films.arrived, films.reading, films.scores - films.arrived / ageing, readers)
        expected = read_by_hand(films.arrived, films.reading, readers, films.scores, ageing)
    np.testing.assert_allclose(log.reported, expected)


@pytest.mark.parametrize("readers", [1, 4])
def test_every_film_is_read_once_and_nobody_idles_while_films_wait(readers: int) -> None:
    films = draw(Inputs(films=300, films_per_hour=25 * readers, readers=readers), 0, *FAIR)
    busy = []
    for urgency in (-films.arrived, films.scores):
        log = read(films.arrived, films.reading, urgency, readers)
        np.testing.assert_allclose(log.reported - log.started, films.reading)
        assert (log.started >= films.arrived - 1e-9).all()
        assert set(log.reader.tolist()) == set(range(readers))
        for reader in range(readers):
            turns = np.argsort(log.started[log.reader == reader])
            begun, done = (part[log.reader == reader][turns] for part in (log.started, log.reported))
            assert (begun[1:] >= done[:-1] - 1e-9).all()
        # Just before a film that waited was begun, all readers were reading.
        for start in log.started[log.started > films.arrived + 1e-6]:
            assert ((log.started < start - 1e-9) & (log.reported >= start - 1e-9)).sum() == readers
        busy.append((log.reported - log.started).sum())
    assert busy[0] == pytest.approx(busy[1])


def test_one_reader_is_done_at_the_same_minute_in_any_order() -> None:
    films = draw(Inputs(films=300), 0, *FAIR)
    ends = [read(films.arrived, films.reading, urgency, 1).reported for urgency in (-films.arrived, films.scores)]
    assert ends[0].max() == pytest.approx(ends[1].max())
    assert (ends[0] != ends[1]).any()


def test_a_film_is_overtaken_only_by_films_that_arrive_within_the_ageing_time() -> None:
    films = draw(Inputs(films=400, films_per_hour=40), 0, *PERFECT)
    log = read(films.arrived, films.reading, films.scores - films.arrived / 30, 1)
    overtaken = (films.arrived[:, None] < films.arrived) & (log.started[:, None] > log.started)
    lead = (films.arrived - films.arrived[:, None])[overtaken]
    assert 25 < lead.max() <= 30
    assert "overtaken" in AGEING_RULE


@pytest.fixture(scope="module")
def two_classes() -> Simulation:
    """Perfect scores and no ageing: two classes of priority. 0.24 films a minute, 2.5 minutes each: 60% utilisation."""
    inputs = Inputs(films_per_hour=14.4, films=4000, runs=12, ageing_minutes=math.inf, prevalence=0.4)
    return simulate(inputs, *PERFECT)


def test_one_reader_is_an_m_m_1_queue(two_classes: Simulation) -> None:
    assert two_classes.utilisation == pytest.approx(0.6)
    expected = 1 / (1 / 2.5 - 0.24)
    assert mean_of(two_classes.as_they_come.abnormal) == pytest.approx(expected, rel=0.04)
    assert mean_of(two_classes.as_they_come.normal) == pytest.approx(expected, rel=0.04)
    # Time in an M/M/1 queue is exponential, so 10% of the films take longer than ln 10 of its mean.
    assert two_classes.as_they_come.normal is not None
    assert two_classes.as_they_come.normal.p90.value == pytest.approx(expected * math.log(10), rel=0.05)


def test_perfect_scores_make_two_classes_of_priority(two_classes: Simulation) -> None:
    # Cobham 1954: waiting R / (1 - rho1) and R / ((1 - rho1) (1 - rho)), R = rho / mu the reading still to do.
    remaining, first = 0.6 * 2.5, 0.4 * 0.6
    assert mean_of(two_classes.by_model.abnormal) == pytest.approx(remaining / (1 - first) + 2.5, rel=0.04)
    assert mean_of(two_classes.by_model.normal) == pytest.approx(remaining / (1 - first) / (1 - 0.6) + 2.5, rel=0.04)


def test_three_readers_are_an_m_m_c_queue() -> None:
    inputs = Inputs(films_per_hour=54, readers=3, films=4000, runs=8)
    assert inputs.utilisation == pytest.approx(0.75)
    offered = 3 * 0.75
    last = offered**3 / 6 / (1 - 0.75)
    waits = last / (1 + offered + offered**2 / 2 + last)  # Erlang C
    films = [draw(inputs, run, *FAIR) for run in range(8)]
    minutes = [(read(one.arrived, one.reading, -one.arrived, 3).reported - one.arrived).mean() for one in films]
    assert np.mean(minutes) == pytest.approx(2.5 + waits * 2.5 / (3 * (1 - 0.75)), rel=0.04)


@pytest.mark.parametrize("ageing", [60.0, math.inf])
def test_useless_scores_change_nothing(ageing: float) -> None:
    result = simulate(replace(SMALL, ageing_minutes=ageing), np.full(3, 0.4), np.full(2, 0.4))
    assert result.by_model == result.as_they_come
    assert result.abnormal_change == result.normal_change == Spread(0, 0, 0)


def test_the_result_is_that_of_every_run_done_by_hand() -> None:
    result = simulate(SMALL, *FAIR)
    means = np.zeros((12, 2, 2))
    tails = np.zeros((12, 2, 2))
    for run in range(12):
        films = draw(SMALL, run, *FAIR)
        for order, extra in enumerate(((), (films.scores, 20.0))):
            minutes = read_by_hand(films.arrived, films.reading, 2, *extra) - films.arrived
            for kind, among in enumerate((films.abnormal, ~films.abnormal)):
                means[run, order, kind] = minutes[among].mean()
                tails[run, order, kind] = np.percentile(minutes[among], 90)
    for order, found in enumerate((result.as_they_come, result.by_model)):
        for kind, turnaround in enumerate((found.abnormal, found.normal)):
            assert turnaround is not None
            assert_spread(turnaround.mean, means[:, order, kind])
            assert_spread(turnaround.p90, tails[:, order, kind])
    changes = 100 * (means[:, 1] / means[:, 0] - 1)
    assert_spread(result.abnormal_change, changes[:, 0])
    assert_spread(result.normal_change, changes[:, 1])
    assert result.inputs == SMALL


def assert_spread(found: Spread | None, values: np.ndarray) -> None:
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), *np.percentile(values, [2.5, 97.5])))


def test_a_better_model_brings_abnormal_films_forward() -> None:
    inputs = Inputs(runs=20)
    fair, perfect = (simulate(inputs, *scores) for scores in (FAIR, PERFECT))
    assert fair.abnormal_change is not None
    assert perfect.abnormal_change is not None
    assert perfect.abnormal_change.high < 0
    assert perfect.abnormal_change.value < fair.abnormal_change.value < 0
    assert perfect.normal_change is not None
    assert perfect.normal_change.value > 0
    backwards = simulate(inputs, *PERFECT[::-1])
    assert backwards.abnormal_change is not None
    assert backwards.abnormal_change.value > 0


def test_the_seed_decides_the_result() -> None:
    assert simulate(SMALL, *FAIR) == simulate(SMALL, *FAIR)
    other = simulate(replace(SMALL, seed=1), *FAIR)
    assert mean_of(other.as_they_come.normal) != mean_of(simulate(SMALL, *FAIR).as_they_come.normal)


def test_runs_differ_and_stay_when_there_are_more_of_them_or_of_readers() -> None:
    first, again, next_run = (
        draw(inputs, run, *FAIR) for inputs, run in ((SMALL, 0), (replace(SMALL, runs=50, readers=9), 0), (SMALL, 1))
    )
    for name in ("arrived", "abnormal", "scores", "reading"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(next_run, name)).any()


def test_films_are_drawn_as_the_inputs_say() -> None:
    inputs = Inputs(films=40_000, films_per_hour=30, prevalence=0.2, minutes_per_film=1.5)
    abnormal_scores, normal_scores = np.array([0.7, 0.8]), np.array([0.1, 0.2, 0.3])
    films = draw(inputs, 0, abnormal_scores, normal_scores)
    gaps = np.diff(films.arrived, prepend=0)
    for minutes, mean in ((gaps, 2), (films.reading, 1.5)):
        assert minutes.mean() == pytest.approx(mean, rel=0.03)
        assert minutes.std() == pytest.approx(mean, rel=0.03)
    assert films.abnormal.mean() == pytest.approx(0.2, abs=0.01)
    for kind, scores in ((films.abnormal, abnormal_scores), (~films.abnormal, normal_scores)):
        drawn, counts = np.unique(films.scores[kind], return_counts=True)
        np.testing.assert_array_equal(drawn, scores)
        np.testing.assert_allclose(counts / kind.sum(), 1 / len(scores), atol=0.02)


def test_a_worklist_that_only_grows_is_flagged() -> None:
    calm, full, flooded = (
        simulate(Inputs(films_per_hour=rate, films=50, runs=5), *FAIR) for rate in (20.0, 24.0, 60.0)
    )
    assert (calm.overloaded, full.overloaded, flooded.overloaded) == (False, True, True)
    assert flooded.utilisation == pytest.approx(2.5)
    longer = simulate(Inputs(films_per_hour=60, films=200, runs=5), *FAIR)
    assert mean_of(longer.as_they_come.normal) > 2 * mean_of(flooded.as_they_come.normal)
    assert Inputs(films_per_hour=60, readers=5).utilisation == pytest.approx(0.5)


def test_runs_without_a_film_of_a_class_have_no_say_in_it() -> None:
    inputs = Inputs(films=1, runs=30, prevalence=0.5)
    result = simulate(inputs, *FAIR)
    films = [draw(inputs, run, *FAIR) for run in range(30)]
    minutes = [one.reading[0] for one in films if one.abnormal[0]]
    assert 0 < len(minutes) < 30
    assert result.as_they_come.abnormal is not None
    assert_spread(result.as_they_come.abnormal.mean, np.array(minutes))


def test_a_class_without_films_in_any_run_has_no_turnaround() -> None:
    result = simulate(Inputs(films=3, runs=2, prevalence=1e-9), *FAIR)
    assert result.as_they_come.abnormal is None
    assert result.by_model.abnormal is None
    assert result.abnormal_change is None
    assert result.by_model.normal is not None
    assert result.normal_change is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"films_per_hour": 0.0}, "Films per hour must be a number above 0, not 0.0."),
        ({"films_per_hour": math.inf}, "Films per hour must be a number above 0, not inf."),
        ({"minutes_per_film": -1.0}, "Minutes per film must be a number above 0, not -1.0."),
        ({"minutes_per_film": math.nan}, "Minutes per film must be a number above 0, not nan."),
        ({"ageing_minutes": 0.0}, "The ageing time must be above 0 minutes, not 0.0."),
        ({"ageing_minutes": math.nan}, "The ageing time must be above 0 minutes, not nan."),
        ({"prevalence": 0.0}, "The prevalence must be above 0 and below 1, not 0.0."),
        ({"prevalence": 1.0}, "The prevalence must be above 0 and below 1, not 1.0."),
        ({"readers": 0}, "Readers must be a whole number of at least 1, not 0."),
        ({"readers": 1.5}, "Readers must be a whole number of at least 1, not 1.5."),
        ({"films": 0}, "Films must be a whole number of at least 1, not 0."),
        ({"runs": 1}, "Runs must be a whole number of at least 2, not 1."),
        ({"seed": -1}, "Seed must be a whole number of at least 0, not -1."),
    ],
)
def test_inputs_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Inputs(**changes)  # type: ignore[arg-type]
    assert str(refused.value) == message


def test_scores_that_are_none_or_no_probabilities_are_refused() -> None:
    good = np.array([0.5])
    with pytest.raises(ValueError, match="no scores of abnormal films"):
        simulate(SMALL, np.array([]), good)
    with pytest.raises(ValueError, match="no scores of normal films"):
        simulate(SMALL, good, np.array([]))
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="scores of the normal films must be probabilities"):
            simulate(SMALL, good, np.array([0.5, bad]))
