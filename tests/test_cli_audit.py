"""`python -m cxr audit verify` and `audit show`."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from cxr.cli import main
from cxr.settings import settings
from cxr.worklist.audit import Event, record
from cxr.worklist.database import Database, database


@pytest.fixture
def trail(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """Two lines."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path))
    changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    settings.cache_clear()
    with database().writing() as session:
        record(session, who="Ada", event=Event.CLAIMED, what="study 12", forced=True, minutes=31.25)
        record(session, who="Grace", event=Event.DELETED, what="study 12", films=2)
    return database()


def test_a_sound_trail_is_status_0_and_its_end_can_be_noted(trail, capsys):
    assert main(["audit", "verify"]) == 0
    said, last = capsys.readouterr().out.splitlines()
    assert said == "2 lines, none changed, removed or added"
    noted = last.removeprefix("the last one: ")
    assert main(["audit", "verify", "--noted", noted, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"lines": 2, "head": noted.removeprefix("2:"), "first_bad": None, "why": None}


def test_a_trail_that_was_tampered_with_is_status_1_and_a_sentence(trail, capsys):
    with trail.writing() as session:
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("UPDATE audit SET who = 'Bob' WHERE number = 2"))
    assert main(["audit", "verify"]) == 1
    assert capsys.readouterr().err == (
        "Line 2 was changed after it was written.\nThe 1 lines before are as they were written.\n"
    )
    assert main(["audit", "verify", "--noted", f"7:{'0' * 64}"]) == 1
    with pytest.raises(SystemExit) as stop:
        main(["audit", "verify", "--noted", "seven"])
    assert stop.value.code == 2


def test_the_last_lines_are_shown_and_who_looked_is_kept(trail, capsys):
    assert main(["audit", "show", "--last", "1", "--by", "Eve"]) == 0
    assert capsys.readouterr().out.endswith("Z  Grace: Study deleted, study 12 (films 2)\n")
    assert main(["audit", "show", "--by", "Eve"]) == 0
    first, _, third = capsys.readouterr().out.splitlines()
    assert first.startswith("1  ")
    assert first.endswith("Z  Ada: Reading begun, study 12 (forced yes, minutes 31.25)")
    assert third.endswith("Z  Eve: Audit log used, audit trail (lines 1)")
    assert main(["audit", "show", "--last", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["number"], told["who"], told["detail"]) == (4, "Eve", {"lines": 3})
    assert main(["audit", "verify"]) == 0


def test_nobody_looks_without_a_name(trail, capsys):
    assert main(["audit", "show", "--by", ""]) == 1
    assert "needs the name of who did it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["audit", "show", "--last", "0"])


def test_a_database_that_can_not_be_used_is_one_sentence(changed_settings, tmp_path, capsys):
    (tmp_path / "file").touch()
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "file"))
    settings.cache_clear()
    for action in ("verify", "show"):
        assert main(["audit", action]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
