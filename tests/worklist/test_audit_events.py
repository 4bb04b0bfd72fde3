"""What may stand in an audit line: never a patient's name or number, a file's name, or anybody's words."""

import ast

import pytest

from cxr.settings import ROOT
from cxr.worklist.audit_events import ALLOWED, ANYWHERE, Event, NotForTheTrail, check

PRIVATE = (
    "DOE^JANE",
    "Doe, Jane",
    "00000013_005.png",
    "IM-0001.dcm",
    "films.zip",
    "/home/a/b",
    "two\nlines",
    "",
    b"x",
    1j,
)
PEOPLE = {"taken_from"}
"""Keys whose value is the name of somebody who acts."""


@pytest.mark.parametrize("event", Event)
def test_no_detail_of_any_event_takes_what_is_a_patients(event: Event) -> None:
    check("Ada", event, "study 1", {})
    for key in {**ANYWHERE, **ALLOWED[event]}.keys() - PEOPLE:
        for value in PRIVATE:
            with pytest.raises(NotForTheTrail) as refused:
                check("Ada", event, "study 1", {key: value})  # type: ignore[dict-item]
            assert not str(value) or str(value) not in str(refused.value)


@pytest.mark.parametrize("what", [*map(str, PRIVATE[:-2]), "study", "study x", "patient 7", "film 00000013_005.png"])
def test_what_it_was_done_to_is_a_number_or_a_models_name(what: str) -> None:
    with pytest.raises(NotForTheTrail):
        check("Ada", Event.IMPORT, what, {})


@pytest.mark.parametrize(
    "what", ["study 12", "film 3", "job 0007-lung", "model default", "model v2 (small)", "worklist", "audit trail"]
)
def test_what_the_program_acts_on_has_a_name(what: str) -> None:
    check("Ada", Event.IMPORT, what, {})


@pytest.mark.parametrize("who", ["", "Ada\nstudy 3", "Ada\0", "x" * 201, "\ud800"])
def test_who_did_it_is_a_name_on_one_line(who: str) -> None:
    with pytest.raises(NotForTheTrail, match="name of who did it"):
        check(who, Event.READ, "study 1", {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", -1])
def test_a_number_is_one(value: object) -> None:
    with pytest.raises(NotForTheTrail, match=r"detail 'films'"):
        check("Ada", Event.IMPORT, "study 1", {"films": value})  # type: ignore[dict-item]


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(NotForTheTrail, match=r"'Reading finished' has no place for 'patient'"):
        check("Ada", Event.READ, "study 1", {"patient": 7})


def test_every_event_has_its_words_and_fits_its_column() -> None:
    assert set(ALLOWED) == set(Event)
    assert max(len(event.value) for event in Event) <= 32


def _lines_of_the_program() -> list[tuple[str, ast.Call]]:
    """Every call in the program that writes an audit line, and where it is."""
    found = []
    for file in [*(ROOT / "cxr").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]:
        source = file.read_text()
        for node in ast.walk(ast.parse(source)) if "who=" in source else ():
            if isinstance(node, ast.Call) and {"who", "event", "what"} <= {given.arg for given in node.keywords}:
                found.append((f"{file.relative_to(ROOT)}:{node.lineno}", node))
    return found


def test_the_program_writes_only_what_has_a_place() -> None:
    lines = _lines_of_the_program()
    assert len(lines) > 5
    for where, call in lines:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        event = given["event"]
        if isinstance(event, ast.Attribute) and event.attr in Event.__members__:
            places = {"who", "event", "what", None, *ANYWHERE, *ALLOWED[Event[event.attr]]}
            assert given.keys() <= places, f"{where} says {given.keys() - places}"
