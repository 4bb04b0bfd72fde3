"""From queued to scored: what the columns of a study say, who may score what, and what of films that make trouble."""

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
import until as waiting
from small_films import CARD, Brightness, dicom, png
from sqlalchemy import func, select, update

from cxr.classify import NO_SCOPE_CHECK
from cxr.findings import FINDINGS
from cxr.model.verdict import decide
from cxr.samples import SAMPLES
from cxr.settings import ROOT, settings
from cxr.worklist import scoring as module
from cxr.worklist.columns import shortcomings
from cxr.worklist.database import DatabaseUnavailable
from cxr.worklist.intake import OTHER_PATIENT, take_in
from cxr.worklist.scoring import Scorer, restate, score_film, score_queued
from cxr.worklist.scoring_queue import Leases
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import finish, study
from cxr.worklist.tables import AuditLine, Film, Result, Study

UID = "1.2.826.0.1.77"


def take(database, films, data):
    return take_in(database, films, "film.png", data, who="Ada", source="drop")


def rows(database, kind=Film):
    with database.reading() as session:
        return list(session.scalars(select(kind).order_by(kind.__mapper__.primary_key[0])))


def change(database, kind, **values):
    with database.writing() as session:
        session.execute(update(kind).values(**values))


until = partial(waiting.until, seconds=90)


@pytest.fixture
def leases(database, films):
    with Leases(database, films.root.parent / "scoring") as found:
        yield found


def test_the_columns_are_those_of_the_verdict_on_the_worst_film(database, films):
    for seed, level in enumerate((0.2, 0.9, 0.4)):
        take(database, films, dicom(level, seed, StudyInstanceUID=UID, ViewPosition="PA"))
    engine = Brightness()
    assert score_queued(database, films, engine) == 3
    (study,), results = rows(database, Study), rows(database, Result)
    highest = max(1 - result.probabilities[0] for result in results)
    vector = np.array(max(results, key=lambda result: -result.probabilities[0]).probabilities)
    verdict = decide(vector, engine.bundle.card.operating_point("balanced"))
    assert study.abnormal == pytest.approx(highest)
    assert (study.verdict, study.model) == (verdict.name, engine.bundle.sha256)
    flagged = {found.name: found.flagged for found in verdict.findings}
    assert study.findings == [[name, pytest.approx(highest), flagged[name]] for name, *_ in study.findings]
    assert {name for name, *_ in study.findings} == set(FINDINGS)
    strict = engine.bundle.card.operating_point("rule-in").findings
    assert study.critical == [name for name in settings().critical_findings if highest >= strict[name].threshold]
    assert study.critical
    for film in rows(database):
        assert (film.state, film.attempts, film.lease_by, film.facts["view"]) == (FilmState.SCORED, 0, None, "PA")
        assert films.thumbnail(film.sha256).startswith(b"\xff\xd8")
        assert films.result(film.sha256, engine.bundle.sha256).map_shift == engine.bundle.card.map_shift
    with database.reading() as session:
        assert session.scalar(select(func.count()).where(AuditLine.event == "Film scored")) == 3


def test_a_damaged_film_is_not_analysed_and_has_no_say(database, films):
    take(database, films, png(0.5)[:200])
    take(database, films, dicom(0.3, 1, StudyInstanceUID=UID))
    take(database, films, dicom(0.9, 2, StudyInstanceUID=UID)[:-500])
    score_queued(database, films, Brightness())
    first, second, third = rows(database)
    assert (first.state, second.state, third.state) == (FilmState.REFUSED, FilmState.SCORED, FilmState.REFUSED)
    assert first.reason == "The PNG file is truncated or damaged."
    alone, study = rows(database, Study)
    assert (alone.model, alone.abnormal, alone.findings) == (None, None, [])
    assert study.abnormal == pytest.approx(0.3, abs=0.02)


def test_a_model_that_lacks_points_and_findings_is_no_trouble(database, films):
    lacking = [name for name in FINDINGS if name not in ("Mass", "Effusion")]
    point = CARD.operating_point("balanced")
    known = {name: found for name, found in point.findings.items() if name not in lacking}
    categories = tuple(name for name in CARD.categories if name not in lacking)
    points = (point.model_copy(update={"findings": known}),)
    card = CARD.model_copy(update={"categories": categories, "operating_points": points})
    take(database, films, png(0.9))
    score_queued(database, films, Brightness(card=card))
    (study,), (result,) = rows(database, Study), rows(database, Result)
    assert [name for name, *_ in study.findings] == ["Effusion", "Mass"]
    assert (study.verdict, study.critical) == ("abnormal", [])
    assert result.probabilities.count(None) == len(lacking)
    said = " ".join(shortcomings(card))
    assert "rule-in" in said and "does not know Pneumothorax" in said
    assert shortcomings(CARD) == ()


def test_another_model_scores_anew_what_waits_and_leaves_what_was_read(database, films):
    for seed in range(3):
        take(database, films, png(0.6, seed))
    score_queued(database, films, Brightness("first", factor=0.01))
    with database.writing() as session:
        session.execute(update(Study).where(Study.id == 1).values(status=Status.READ))
        session.execute(update(Study).where(Study.id == 2).values(status=Status.READING))
    other = Brightness("second", factor=1.6)
    assert score_queued(database, films, other) == 1
    read, reading, waiting = rows(database, Study)
    assert (read.verdict, reading.verdict, waiting.verdict) == ("abnormal", "abnormal", "no finding")
    assert waiting.model == other.bundle.sha256 != read.model == reading.model
    # When its reader puts it back, it is scored too.
    with database.writing() as session:
        session.execute(update(Study).where(Study.id == 2).values(status=Status.WAITING))
    assert score_queued(database, films, other) == 1
    assert rows(database, Study)[1].verdict == "no finding"


def test_rolling_back_needs_no_scoring(database, films):
    take(database, films, png(0.6))
    first, second = Brightness("first", factor=0.01), Brightness("second", factor=1.6)
    for engine in (first, second, first):
        score_queued(database, films, engine)
    assert (first.seen, second.seen) == (1, 1)
    (study,) = rows(database, Study)
    assert (study.verdict, study.model) == ("abnormal", first.bundle.sha256)


def test_columns_never_mix_two_models(database, films):
    """As long as one film of a study has a result of the old model only, its columns stay."""
    take(database, films, dicom(0.9, 0, StudyInstanceUID=UID))
    first, second = Brightness("first"), Brightness("second")
    score_queued(database, films, first)
    change(database, Study, status=Status.READING)
    take(database, films, dicom(0.1, 1, StudyInstanceUID=UID))
    assert score_queued(database, films, second) == 1
    (study,) = rows(database, Study)
    assert (study.model, study.abnormal) == (first.bundle.sha256, pytest.approx(0.9, abs=0.02))
    change(database, Study, status=Status.WAITING)
    score_queued(database, films, second)
    (study,) = rows(database, Study)
    assert (study.model, study.abnormal) == (second.bundle.sha256, pytest.approx(0.9, abs=0.02))


def test_other_points_of_the_operator_hold_for_what_waits(database, films, changed_settings):
    take(database, films, png(0.99))
    engine = Brightness()
    score_queued(database, films, engine)
    changed_settings.setenv("CXR_CRITICAL_FINDINGS", '["Mass"]')
    settings.cache_clear()
    restate(database, engine.bundle, all_of_them=True)
    assert rows(database, Study)[0].critical == ["Mass"]


def test_warnings_of_intake_stay(database, films):
    for seed, patient in enumerate(("77", "78")):
        take(database, films, dicom(0.5, seed, StudyInstanceUID=UID, PatientID=patient, ViewPosition="LL"))
    score_queued(database, films, Brightness())
    score_queued(database, films, Brightness("second"))
    first, second = (film.warnings for film in rows(database))
    assert second == [OTHER_PATIENT, *first]
    assert first[0] == NO_SCOPE_CHECK and len(first) == 2


def test_what_a_dead_process_scored_is_taken_over_at_once(database, films, leases):
    take(database, films, png(0.5))
    dead = Leases(database, films.root.parent / "scoring")
    with dead:
        assert dead.next("m").attempts == 1
        assert leases.next("m") is None
        # Its lock's file stays, as with a process that was killed.
        lock = dead._lock_file(dead.token)
        lock.rename(lock.with_suffix(".kept"))
    lock.with_suffix(".kept").rename(lock)
    leases.clear()
    assert lock.exists()
    assert leases.next("m").attempts == 2
    leases.clear()
    assert not lock.exists()


def test_a_lease_of_another_machine_runs_out(database, films, leases):
    take(database, films, png(0.5))
    soon = datetime.now(UTC) + timedelta(seconds=30)
    change(database, Film, state=FilmState.SCORING, lease_by="elsewhere", lease_until=soon)
    assert leases.next("m") is None
    change(database, Film, lease_until=soon - timedelta(seconds=31))
    assert leases.next("m") is not None


def test_a_lease_is_renewed_as_long_as_the_film_is_scored(database, films):
    take(database, films, png(0.5))
    with Leases(database, films.root.parent / "scoring", lease_seconds=0.6) as mine:
        mine.next("m")
        (before,) = (film.lease_until for film in rows(database))
        until(lambda: rows(database)[0].lease_until > before)


def test_what_was_taken_over_is_not_stored_twice(database, films, leases):
    take(database, films, png(0.5))
    claimed = leases.next("m")
    change(database, Film, lease_by="other")
    score_film(database, films, leases, claimed, Brightness())
    assert rows(database)[0].state == FilmState.SCORING
    assert not rows(database, Result)


def test_a_film_deleted_while_it_is_scored_leaves_nothing(database, films, leases):
    take(database, films, png(0.5))
    claimed = leases.next("m")
    with database.writing() as session, films.removing():
        session.delete(session.get(Study, claimed.study))
        films.remove(claimed.sha256)
    score_film(database, films, leases, claimed, Brightness())
    assert not rows(database, Result)
    assert not films.folder(claimed.sha256).exists()


def test_a_film_that_ended_the_program_three_times_is_refused(database, films):
    take(database, films, png(0.5))
    take(database, films, png(0.6, 1))
    with database.writing() as session:
        session.execute(update(Film).where(Film.id == 1).values(attempts=3))
    seen = []
    score_queued(database, films, Brightness(), lambda claimed: seen.append(claimed.film))
    assert seen == [2, 1]
    assert rows(database)[0].reason == "Scoring it ended the program three times."


def test_an_error_of_the_program_is_tried_three_times(database, films):
    take(database, films, png(0.5))
    engine = Brightness()
    engine.predict = lambda films: 1 // 0
    assert score_queued(database, films, engine) == 3
    (film,) = rows(database)
    assert film.reason == "Scoring it failed 3 times (ZeroDivisionError)."


def test_a_lost_file_and_a_number_that_is_none_are_said(database, films):
    take(database, films, png(0.5))
    take(database, films, png(0.6, 1))
    (films.folder(rows(database)[0].sha256) / "film").unlink()
    score_queued(database, films, Brightness("m", card=CARD.model_copy(update={"name": "m"})))
    assert rows(database)[0].reason.startswith("The file is no longer in the folder of films")
    take(database, films, png(0.7, 2))
    engine = Brightness("nan")
    engine._of = lambda film: module.answer and _without_number(film)
    score_queued(database, films, engine)
    assert rows(database)[2].reason == "The model gives no number for this film."


def _without_number(film):
    prediction = Brightness()._of(film)
    prediction.probabilities[0] = np.nan
    return prediction


def test_the_disk_below_is_no_matter_of_the_film(database, films, leases, monkeypatch):
    take(database, films, png(0.5))
    claimed = leases.next("m")

    def unreadable(sha256):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(films, "bytes", unreadable)
    with pytest.raises(OSError, match="Input"):
        score_film(database, films, leases, claimed, Brightness())
    (film,) = rows(database)
    assert (film.state, film.attempts) == (FilmState.QUEUED, 0)


def test_the_scorer_scores_what_comes_and_goes_over_to_another_model(database, films):
    serving = [Brightness("first", factor=0.01)]
    # Pages that were opened before in this process have threads of their own.
    before = set(threading.enumerate())
    scorer = Scorer(database, films, engine=lambda: serving[0], workers=2, poll_seconds=0.1)
    scorer.start()
    try:
        for seed in range(4):
            take(database, films, png(0.6, seed))
        until(lambda: [study.verdict for study in rows(database, Study)] == ["abnormal"] * 4)
        serving[0] = Brightness("second", factor=1.6)
        until(lambda: [study.verdict for study in rows(database, Study)] == ["no finding"] * 4)
        assert scorer.problems == ()
    finally:
        scorer.stop()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("scoring")]
    take(database, films, png(0.6, 9))
    time.sleep(0.3)
    assert rows(database)[-1].state == FilmState.QUEUED


def test_the_scorer_says_what_stands_in_its_way_and_goes_on_after_it(database, films):
    broken = [True]
    engine = Brightness()

    def serving():
        if broken:
            raise DatabaseUnavailable("The database is gone.")
        return engine

    scorer = Scorer(database, films, engine=serving, poll_seconds=0.05)
    scorer.start()
    try:
        until(lambda: scorer.problems == ("The database is gone.",))
        take(database, films, png(0.5))
        broken.clear()
        until(lambda: rows(database)[0].state == FilmState.SCORED)
        until(lambda: scorer.problems == ())
    finally:
        scorer.stop()


def test_what_was_read_before_its_score_came_gets_it(database, films):
    taken = take(database, films, png(0.5))
    finish(database, taken.study, "Ada", [taken.film])
    score_queued(database, films, Brightness())
    found = study(database, taken.study)
    assert (found.status, found.analysed) == (Status.READ, True)


def test_no_more_films_are_decoded_at_a_time_than_there_are_workers(database, films):
    now, most, lock = [0], [0], threading.Lock()
    # Each waits for the other, so there are two at some time, however slow the machine is.
    both = threading.Barrier(2, timeout=60)
    engine = Brightness()
    predict = engine.predict

    def counted(some):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait()
        with lock:
            now[0] -= 1
        return predict(some)

    engine.predict = counted
    for seed in range(8):
        take(database, films, png(0.5, seed))
    scorer = Scorer(database, films, engine=lambda: engine, workers=2, poll_seconds=0.1)
    scorer.start()
    until(lambda: {film.state for film in rows(database)} == {FilmState.SCORED})
    scorer.stop()
    assert most == [2]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_scorer_and_the_inbox_of_a_process_are_one_and_end_with_it(database, films, tmp_path, changed_settings):
    (tmp_path / "inbox").mkdir()
    # One that the shipped model's scope check lets through.
    (tmp_path / "inbox" / "film.dcm").write_bytes(SAMPLES[0].read())
    changed_settings.setenv("CXR_INBOX", str(tmp_path / "inbox"))
    code = (
        "import time\n"
        "from cxr.worklist import inbox, scoring\n"
        "inbox.POLL_SECONDS = 0.1\n"
        "assert scoring.scorer() is scoring.scorer()\n"
        "watcher = inbox.inbox()\n"
        "assert watcher is inbox.inbox()\n"
        "from cxr.worklist.studies import Query, list_studies\n"
        "while not any(study.analysed for study in list_studies(scoring.database(), Query())[0]):\n"
        "    time.sleep(0.1)\n"
        "assert scoring.scorer().problems == watcher.problems == ()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((films.root.parent / "scoring").glob("*.lock"))
