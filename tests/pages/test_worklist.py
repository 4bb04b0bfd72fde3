"""The page "Worklist", run without a browser."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from driven import component, words
from streamlit.testing.v1 import AppTest

from cxr.findings import FINDINGS
from cxr.model.bundle import bundle_path, load_bundle
from cxr.samples import SAMPLES
from cxr.settings import ROOT, settings
from cxr.ui.model import engine_of
from cxr.ui.worklist import list_view, study_view
from cxr.worklist import opinions
from cxr.worklist.database import Database, database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.opinions import View
from cxr.worklist.scoring import score_queued
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import Query, claim, finish, list_studies, study
from cxr.worklist.tables import Film, Study

MODEL = "ab" * 32


@pytest.fixture
def db(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """An empty worklist of the test's own."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    settings.cache_clear()
    return database()


def opened(**address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def rows(app: AppTest) -> list[dict[str, Any]]:
    return component(app, "study_list")["rows"]


def form(app: AppTest) -> dict[str, Any]:
    return component(app, "opinion_form")


def add(db: Database, name: str, abnormal: float | None, *flagged: str, critical: tuple[str, ...] = ()) -> int:
    """A study with one film that was scored, or waits for it."""
    findings = [[finding, 0.6 if finding in flagged else 0.1, finding in flagged] for finding in FINDINGS]
    state = FilmState.QUEUED if abnormal is None else FilmState.SCORED
    now = datetime.now(UTC)
    film = Film(
        sha256=name.encode().hex().ljust(64, "0"), name=name, source="drop", size=1, arrived=now, state=state,
        facts={"view": "PA"}, warnings=[],
    )  # fmt: skip
    listed = [] if abnormal is None else sorted(findings, key=lambda f: -f[1])
    entry = Study(
        key=name, name=name, patient=name[:8], arrived=now, status=Status.WAITING, abnormal=abnormal,
        model=None if abnormal is None else MODEL, verdict=None if abnormal is None else "abnormal",
        critical=list(critical), findings=listed, films=[film],
    )  # fmt: skip
    with db.writing() as session:
        session.add(entry)
        session.flush()
        return entry.id


@pytest.fixture
def scored(db: Database) -> int:
    """The sample film of an adult, in the worklist and scored by the model that ships."""
    sample = SAMPLES[0]
    taken = take_in(db, film_folder(), sample.file, sample.read(), who="test", source="drop")
    score_queued(db, film_folder(), engine_of("default"))
    return taken.study


def test_empty_list_says_what_to_do_and_what_the_order_is(db: Database) -> None:
    app = opened()
    assert component(app, "study_list")["empty"].startswith("No films yet.")
    assert "The most probably abnormal first." in words(app)
    assert "not a medical device" in words(app)


def test_rows_are_in_the_order_of_risk_or_of_arrival(db: Database) -> None:
    for name, abnormal in (("low", 0.1), ("high", 0.9), ("waits", None)):
        add(db, name, abnormal)
    add(db, "urgent", 0.3, "Pneumothorax", critical=("Pneumothorax",))
    app = opened()
    assert [row["name"] for row in rows(app)] == ["urgent", "high", "waits", "low"]
    assert rows(app)[0]["critical"] == [["Pneumothorax", 0.6]]
    assert rows(app)[2]["verdict"] == "Waits for its score"
    app.segmented_control(key="worklist-order").set_value("By arrival").run()
    assert [row["name"] for row in rows(app)] == ["low", "high", "waits", "urgent"]
    assert "whatever the model says" in words(app)


def test_search_and_filters(db: Database) -> None:
    add(db, "alpha", 0.9, "Mass")
    add(db, "beta", 0.8, "Effusion")
    app = opened()
    app.text_input(key="worklist-search").set_value("ALP").run()
    assert [row["name"] for row in rows(app)] == ["alpha"]
    app.text_input(key="worklist-search").set_value("").run()
    app.selectbox(key="worklist-finding").set_value("Effusion").run()
    assert [row["name"] for row in rows(app)] == ["beta"]
    app.segmented_control(key="worklist-status").set_value("Read").run()
    assert component(app, "study_list")["empty"] == "No study is as the filters ask for."


def test_drop_is_stored_before_the_page_says_so_and_the_same_film_is_there_once(db: Database) -> None:
    app = opened()
    data = SAMPLES[0].read()
    app.file_uploader[0].upload("a.dcm", data, "application/dicom").run()
    assert not app.exception
    assert "1 film stored." in app.success[0].value
    assert film_folder().bytes(list_studies(db, Query())[0][0].films[0].sha256) == data
    app.file_uploader[0].upload("b.dcm", data, "application/dicom").run()
    assert "Nothing new. 1 film known already." in app.success[0].value
    app.file_uploader[0].upload("note.txt", b"no film", "text/plain").run()
    assert "note.txt" in app.error[0].value.replace("\\", "")
    assert len(list_studies(db, Query())[0]) == 1


def test_opening_a_study_claims_it_and_going_back_gives_it_back(db: Database, scored: int) -> None:
    app = opened(study=str(scored))
    assert study(db, scored).status == Status.READING
    assert "Abnormal" in words(app) or "No finding" in words(app) or "Uncertain" in words(app)
    assert "held-out patients this threshold flagged" in words(app)
    assert len(form(app)["rows"]) == 14
    next(button for button in app.button if button.label == "Worklist").click().run()
    assert study(db, scored).status == Status.WAITING
    assert [row["id"] for row in rows(app)] == [scored]


def test_second_reader_sees_who_reads_and_can_say_nothing(db: Database, scored: int) -> None:
    claim(db, scored, "Dr First")
    app = opened(study=str(scored), reader="Dr Second")
    assert "In reading by Dr First" in words(app)
    assert form(app)["disabled"]
    assert study(db, scored).reader == "Dr First"


def test_blind_reading_hides_the_verdict_until_the_reader_has_said_something(db: Database, scored: int) -> None:
    app = opened(reader="Ada", blind="1")
    assert rows(app)[0]["probability"] is None
    assert rows(app)[0]["findings"] == rows(app)[0]["critical"] == []
    app = opened(study=str(scored), reader="Ada", blind="1")
    shown = form(app)
    assert not shown["informed"]
    assert all(line["probability"] is None and line["flagged"] is None for line in shown["rows"])
    assert "abnormal probability" not in words(app)
    assert component(app, "film_viewer")["film"]["findings"] == []
    study_view._sent(db, study(db, scored), "Ada", View("blind", abnormal="yes"), None, "show")
    app.run()
    assert form(app)["informed"]
    assert "abnormal probability" in words(app)
    assert [row.view.stage for row in opinions.history(db, scored)] == ["blind", "informed"]
    # What has been seen can't be unseen, not by a reload either.
    assert form(opened(study=str(scored), reader="Ada", blind="1"))["informed"]
    assert not form(opened(study=str(scored), reader="Bob", blind="1"))["informed"]


def test_a_verdict_that_was_seen_without_a_word_is_seen(db: Database, scored: int) -> None:
    assert form(opened(study=str(scored), reader="Ada"))["informed"]
    assert form(opened(study=str(scored), reader="Ada", blind="1"))["informed"]
    assert not form(opened(study=str(scored), reader="Bob", blind="1"))["informed"]


@pytest.mark.parametrize("stage", ["blind", "informed"])
def test_nothing_is_read_or_shown_of_which_nothing_was_said(db: Database, scored: int, stage: opinions.Stage) -> None:
    claim(db, scored, "Ada")
    for act in ("done", "show"):
        study_view._sent(db, study(db, scored), "Ada", View(stage), None, act)
    assert study(db, scored).status == Status.READING
    assert opinions.history(db, scored) == []


def test_a_film_that_the_reader_was_not_shown_is_not_read(db: Database, scored: int) -> None:
    opened(study=str(scored), reader="Ada")
    shown = study(db, scored)
    with db.writing() as session:
        now = datetime.now(UTC)
        film = Film(sha256="f" * 64, name="lateral", source="drop", size=1, arrived=now, state=FilmState.QUEUED)
        known = session.get_one(Study, scored)
        known.films.append(film)
    app = AppTest.from_function(_done, kwargs={"number": scored, "films": shown.films[:1]})
    app.run()
    assert "Further films of study 1 came in meanwhile" in app.markdown[0].value
    assert study(db, scored).status == Status.READING


def _done(number: int, films: tuple[object, ...]) -> None:
    from dataclasses import replace

    import streamlit as st

    from cxr.ui.worklist import study_view
    from cxr.worklist.database import database
    from cxr.worklist.opinions import View
    from cxr.worklist.studies import study

    shown = replace(study(database(), number), films=films)
    study_view._sent(database(), shown, "Ada", View("informed", abnormal="yes"), None, "done")
    st.markdown(st.session_state[study_view.NOT_SAVED][1])


def test_a_page_of_the_list_that_is_no_more_is_followed_by_the_last_one(db: Database) -> None:
    numbers = [add(db, f"film {number:02}", 0.5) for number in range(41)]
    app = opened()
    app.session_state[list_view._page_key(Query())] = 2
    app.run()
    assert [row["id"] for row in rows(app)] == [numbers[-1]]
    last = study(db, numbers[-1])
    finish(db, last.id, "Ben", [film.id for film in last.films])
    app.run()
    assert len(rows(app)) == 40


def test_what_makes_a_study_critical_stands_with_how_often_it_was_right(
    db: Database, scored: int, changed_settings: pytest.MonkeyPatch
) -> None:
    flagged = next(name for name, _, found in study_findings(db, scored) if found)
    with db.writing() as session:
        session.get_one(Study, scored).critical = [flagged]
    said = words(opened(study=str(scored), reader="Ada"))
    assert "at the rule-in point" in said
    measured = load_bundle(bundle_path("default")).card.operating_point("rule-in").findings[flagged]
    assert f"flagged {100 * measured.sensitivity.value:.0f} of 100 held-out films with" in said


def study_findings(db: Database, number: int) -> list[tuple[str, float, bool]]:
    return [(found.name, found.probability, found.flagged) for found in study(db, number).findings]


def test_reload_shows_what_was_given(db: Database, scored: int) -> None:
    opened(study=str(scored), reader="Ada")
    view = View("informed", abnormal="yes", findings={"Mass": "present"}, text="right upper lobe")
    study_view._sent(db, study(db, scored), "Ada", view, None, None)
    shown = form(opened(study=str(scored), reader="Ada"))["view"]
    assert shown == {"valid": True, "abnormal": "yes", "findings": {"Mass": "present"}, "text": "right upper lobe"}


def test_study_that_is_gone_is_a_sentence(db: Database) -> None:
    assert "There is no study 77" in words(opened(study="77"))


def test_study_of_another_model_says_by_which(db: Database, scored: int) -> None:
    with db.writing() as session:
        row = session.get(Study, scored)
        assert row is not None
        row.model = MODEL
        row.films[0].results[0].model = MODEL
        row.films[0].results[0].model_name = "older"
    said = words(opened(study=str(scored))).replace("*", "")
    assert "Scored by the model older (abababababab); by now default" in said


def test_database_that_cannot_be_used_is_a_sentence(
    changed_settings: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "file"))
    settings.cache_clear()
    assert "can't be used" in opened().error[0].value
