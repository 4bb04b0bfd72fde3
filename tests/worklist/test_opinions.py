"""What readers say: kept for good, in their order, with what they were shown."""

import threading
from dataclasses import replace

import pytest
from filled_worklist import add_study, said_of
from sqlalchemy import select

from cxr.worklist.database import Database
from cxr.worklist.opinions import InvalidOpinion, View, history, latest, save
from cxr.worklist.studies import NoSuchStudy
from cxr.worklist.tables import AuditLine, Opinion, Study

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BLIND = View("blind", abnormal="yes", findings={"Effusion": "present", "Mass": "unsure"}, text="Blunted angle, left.")


@pytest.fixture
def study(database: Database) -> int:
    return add_study(database, None, b"film", patient="P-77", name="Jane Doe.png")


def test_opinion_comes_back_as_it_was_written(database: Database, study: int) -> None:
    said = said_of("Effusion")
    informed = replace(BLIND, stage="informed", text="ąβ中🫁\nsecond line")
    save(database, study, "Ada", BLIND, None)
    number = save(database, study, "Ada", informed, said)
    found = latest(database, study)
    assert found is not None
    assert (found.id, found.study, found.reader, found.view, found.said) == (number, study, "Ada", informed, said)
    assert found.written.tzinfo is not None
    before = latest(database, study, stage="blind")
    assert before is not None
    assert (before.view, before.said) == (BLIND, None)


def test_nothing_that_was_said_is_lost(database: Database, study: int) -> None:
    words = [replace(BLIND, text=str(k)) for k in range(3)]
    for view in words:
        save(database, study, "Ada", view, None)
    save(database, study, "Ben", View("blind", abnormal="no"), None)
    assert [row.view for row in history(database, study)] == [*words, View("blind", abnormal="no")]
    mine = latest(database, study, reader="Ada")
    assert mine is not None
    assert mine.view.text == "2"
    assert latest(database, study, reader="Cy") is None


@on_sqlite
def test_saying_the_same_again_is_no_second_opinion(database: Database, study: int) -> None:
    first = save(database, study, "Ada", BLIND, None)
    assert save(database, study, "Ada", BLIND, None) == first
    assert save(database, study, "Ben", BLIND, None) != first
    other = save(database, study, "Ada", replace(BLIND, valid=False), None)
    # Back to the first view is news: the last one counts.
    assert save(database, study, "Ada", BLIND, None) > other
    assert len(history(database, study)) == 4


@on_sqlite
def test_model_that_was_shown_belongs_to_the_opinion(database: Database, study: int) -> None:
    informed = replace(BLIND, stage="informed")
    first = save(database, study, "Ada", informed, said_of("Effusion"))
    assert save(database, study, "Ada", informed, said_of("Effusion", model="cd" * 32)) != first


def test_many_readers_at_once_lose_nothing(database: Database, study: int) -> None:
    def say(reader: str) -> None:
        for k in range(3):
            save(database, study, reader, replace(BLIND, text=str(k)), None)

    threads = [threading.Thread(target=say, args=(f"reader {k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history(database, study)) == 12


@on_sqlite
def test_audit_line_has_the_act_and_none_of_the_words(database: Database, study: int) -> None:
    informed = View("informed", abnormal="no", findings={"Mass": "present"}, text="secret words")
    number = save(database, study, "Ada", informed, said_of("Effusion"))
    with database.reading() as session:
        line = session.scalars(select(AuditLine)).one()
    assert (line.who, line.event, line.what) == ("Ada", "Opinion saved", f"study {study}")
    # The effusion that was flagged is denied, the mass that was not is seen.
    assert (line.detail["opinion"], line.detail["stage"], line.detail["corrected"]) == (number, "informed", 2)
    assert not [text for text in ("secret", "Mass", "Jane", "P-77") if text in str(line.detail)]


@on_sqlite
def test_opinion_and_audit_line_are_both_kept_or_neither(
    database: Database, study: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("no trail")

    monkeypatch.setattr("cxr.worklist.opinions.record", broken)
    with pytest.raises(RuntimeError, match="no trail"):
        save(database, study, "Ada", BLIND, None)
    assert history(database, study) == []


def test_opinions_go_with_their_study(database: Database, study: int) -> None:
    save(database, study, "Ada", BLIND, None)
    with database.writing() as session:
        session.delete(session.get(Study, study))
    with database.reading() as session:
        assert session.scalars(select(Opinion)).all() == []
    with pytest.raises(NoSuchStudy):
        save(database, study, "Ada", BLIND, None)


@on_sqlite
@pytest.mark.parametrize(
    ("reader", "said", "sentence"),
    [(" ", None, "needs the name of its reader"), ("Ada", said_of("Mass"), "is shown no verdict")],
)
def test_what_makes_no_sense_is_not_kept(database: Database, study: int, reader: str, said: object, sentence: str):
    with pytest.raises(InvalidOpinion, match=sentence):
        save(database, study, reader, BLIND, said)  # type: ignore[arg-type]
    assert history(database, study) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"stage": "later"}, "blind or informed, not 'later'"),
        ({"abnormal": "maybe"}, "yes, no or unsure, not 'maybe'"),
        ({"findings": {"Pneumonitis": "present"}}, "no finding 'Pneumonitis'"),
        ({"findings": {"Mass": "yes"}}, "present, absent or unsure, not 'yes'"),
        ({"text": "x" * 20_001}, "20,001 characters; at most 20,000"),
        ({"text": "a\0b"}, "no text"),
        ({"text": "a\ud800b"}, "no text"),
    ],
)
def test_words_that_there_are_not_are_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidOpinion, match=sentence):
        View(**({"stage": "blind"} | given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("view", "any_finding", "mass", "contradictory"),
    [
        (View("blind"), None, None, False),
        (View("blind", abnormal="no"), "no", "absent", False),
        (View("blind", findings={"Hernia": "present"}), "yes", None, False),
        (View("blind", findings={"Hernia": "absent"}), None, None, False),
        (View("blind", abnormal="unsure", findings={"Mass": "present"}), "unsure", "present", False),
        (View("blind", abnormal="no", findings={"Mass": "present"}), "no", "present", True),
    ],
)
def test_what_follows_from_a_view(view: View, any_finding: str | None, mass: str | None, contradictory: bool) -> None:
    assert (view.any_finding, view.says("Mass"), view.contradictory) == (any_finding, mass, contradictory)
