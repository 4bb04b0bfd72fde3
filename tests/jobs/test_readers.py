"""What a reader of a job's folder is told: for how long it ran, that it is silent, and curves that are quickly read."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from cxr import jobs
from cxr.cli_jobs import _line
from cxr.jobs import State, history, process
from cxr.jobs.folder import (
    PROGRESS_FILE,
    RUN_LOCK,
    STATE_FILE,
    StoredState,
    changing,
    read_part,
    stored_job,
    write_event,
    write_part,
)
from cxr.jobs.history import MOST_DRAWN, STEP_COLUMNS, Curves, read_steps
from cxr.jobs.process import Process
from cxr.jobs.progress import Live
from cxr.jobs.reading import _written
from cxr.jobs.recorder import Recorder
from cxr.lock import locked
from cxr.training.listener import StepMetrics


def events(*given: tuple[State, float]) -> tuple[jobs.Event, ...]:
    """Events of so many seconds ago."""
    now = datetime.now(UTC)
    return tuple(jobs.Event(state=s, time=now - timedelta(seconds=ago), cause="So.", who="Ada") for s, ago in given)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ([(State.QUEUED, 90)], 0),
        ([(State.QUEUED, 90), (State.RUNNING, 80)], 80),
        ([(State.QUEUED, 90), (State.RUNNING, 80), (State.CANCELLED, 70), (State.QUEUED, 50), (State.RUNNING, 30)], 40),
        ([(State.QUEUED, 90), (State.RUNNING, 80), (State.FINISHED, 20)], 60),
        # A clock that was set back.
        ([(State.QUEUED, 90), (State.RUNNING, 80), (State.INTERRUPTED, 99)], 0),
    ],
)
def test_the_time_of_running_is_that_of_all_processes(running, given, seconds):
    state = read_part(running.folder / STATE_FILE, StoredState)
    write_part(running.folder / STATE_FILE, state.model_copy(update={"events": events(*given)}))
    assert jobs.job(running.id).running_seconds == pytest.approx(seconds, abs=2)


def silent(job: jobs.Job, seconds: float) -> str | None:
    """What is said of a job whose process last said something so long ago."""
    Recorder(job.folder, lambda: False).write_progress()
    live = read_part(job.folder / PROGRESS_FILE, Live)
    write_part(job.folder / PROGRESS_FILE, live.model_copy(update={"beat": live.beat - seconds}))
    return jobs.job(job.id).remark


def test_a_running_job_that_is_silent_is_told_of(running):
    assert silent(running, 50) is None
    assert silent(running, 300) == "No sign of life for 5 min."
    with changing(running.folder) as stored:
        write_event(stored, State.QUEUED, "It was started again.", "the test")
    assert silent(running, 300) is None


def test_no_time_is_left_once_training_is_over(running):
    recorder = Recorder(running.folder, lambda: False)
    recorder.step(
        StepMetrics(epoch=2, step=10, epochs=9, steps=10, loss=1, learning_rate=0, films_per_second=9, waiting=0,
                    epoch_seconds=60, seconds_left=420)
    )  # fmt: skip
    recorder.write_progress()
    assert not jobs.job(running.id).live.trained
    assert _line(jobs.job(running.id)).endswith(", about 7 min left")
    recorder.trained()
    recorder.note("kept epoch 1; calibrating and evaluating")
    recorder.write_progress()
    assert jobs.job(running.id).live.trained
    assert _line(jobs.job(running.id)) == "running: kept epoch 1; calibrating and evaluating"


def test_a_process_that_can_not_be_seen_lives_while_it_holds_its_lock(running, place):
    """As one in a container, where the numbers of processes are others."""
    handle = str(Process(**(vars(process.process(os.getpid())) | {"pid": 2**22 + 1})))
    state = read_part(running.folder / STATE_FILE, StoredState)
    write_part(running.folder / STATE_FILE, state.model_copy(update={"handle": handle}))
    with locked(running.folder / RUN_LOCK):
        assert jobs.job(running.id).state is State.RUNNING
        assert place.backend.lives(stored_job(running.folder))
    assert jobs.job(running.id).state is State.INTERRUPTED
    assert not place.backend.lives(stored_job(running.folder))


def test_a_file_that_vanishes_while_it_is_looked_at_is_as_old_as_its_job(running):
    assert _written(stored_job(running.folder), "stop.json") == running.created


HEADER = ",".join(STEP_COLUMNS)


def steps(folder: Path, *lines: str) -> pd.DataFrame:
    (folder / "steps.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return read_steps(folder)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("1,2,3,0.1234567890123456789,1e-3,9,0.25", True),
        ("1,2,3,,1e-3,9,0.25", True),
        ("1,2,3,0.5,1e-3,9,", True),
        ("1,2,3,nan,1e-3,9,0.25", True),
        ("1,2,3,0.5,1e-3,9", False),
        ("1,2,3,0.5,1e-3,9,0.25,7", False),
        ("1,2,3,x,1e-3,9,0.25", False),
        (",2,3,0.5,1e-3,9,0.25", False),
        ("", False),
    ],
)
def test_the_quick_way_reads_what_the_careful_one_does(tmp_path, monkeypatch, line, counts):
    lines = ("1,1,3,0.9,1e-3,9,0.25", line, "1,3,3,0.7,1e-3,9,0.25")
    quick = steps(tmp_path, *lines)
    assert len(quick) == 2 + counts
    monkeypatch.setattr(history, "_sound_table", lambda file, columns: None)
    history._steps.cache_clear()
    pd.testing.assert_frame_equal(read_steps(tmp_path), quick, check_exact=True)


def test_a_file_of_steps_is_read_again_only_when_it_has_changed(tmp_path, monkeypatch):
    read = []
    table = history._table
    monkeypatch.setattr(history, "_table", lambda *about: read.append(about) or table(*about))
    first = steps(tmp_path, "1,1,3,0.9,1e-3,9,0.25")
    first["loss"] = 0
    assert read_steps(tmp_path)["loss"].tolist() == [0.9]
    assert len(read) == 1
    assert len(steps(tmp_path, "1,1,3,0.9,1e-3,9,0.25", "1,2,3,0.8,1e-3,9,0.25")) == 2
    assert len(read) == 2


def test_sound_steps_take_the_quick_way(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "_rows", None)
    assert len(steps(tmp_path, *(f"1,{n},50000,0.5,1e-3,9,0.25" for n in range(1, 50001)))) == 50000


def test_few_rows_are_drawn_and_the_last_is_one_of_them(tmp_path):
    many = pd.DataFrame({"step": range(43_211)})
    drawn = Curves(many, many).drawn_steps["step"]
    assert len(drawn) == MOST_DRAWN
    assert (drawn.iloc[0], drawn.iloc[-1]) == (0, 43_210)
    assert drawn.diff().iloc[1:].between(21, 22).all()
    few = many[:MOST_DRAWN]
    assert Curves(few, few).drawn_steps is few
