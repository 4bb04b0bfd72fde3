"""Roles, and what a login says of a person."""

from typing import Any

import pytest
from logged_in import ROLES, claims

from cxr.settings import settings
from cxr.ui.identity import Role, key_of, person_of

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _roles(changed_settings: pytest.MonkeyPatch) -> None:
    for name, value in ROLES.items():
        changed_settings.setenv(name, value)
    settings.cache_clear()


def said(subject: str, **more: Any) -> dict[str, Any]:
    return claims(subject, **more) | {"iat": NOW - 60}


def test_each_role_may_what_the_ones_before_it_may():
    assert [[role.may(needed) for needed in Role] for role in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize("subject", ["viewer", "reader", "administrator"])
def test_role_comes_from_a_list_or_from_a_claim_within_another(subject: str):
    person = person_of(said(subject), NOW)
    assert person.role == Role(subject)
    assert (person.reads, person.administrator) == (subject != "viewer", subject == "administrator")
    assert person.name == said(subject)["email"]


def test_the_highest_of_several_roles_counts():
    assert person_of(said("viewer", realm_access={"roles": ["reader"]}), NOW).role == Role.READER


def test_nobody_has_a_role_who_was_given_none():
    person = person_of(said("nobody"), NOW)
    assert person.role is None
    assert person.name == "nora@hospital.test"
    assert "nobody has given you a role" in person.why


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_the_provider_does_not_vouch_for_counts_for_nothing(verified: object):
    person = person_of(said("administrator", email_verified=verified), NOW)
    assert person.role is None
    assert person.name == "administrator", "the provider's own number, not an address that anybody may write in"


@pytest.mark.parametrize(
    ("path", "given", "role"),
    [
        ("groups", {"groups": ["reader", "x"]}, Role.READER),
        ("groups", {"groups": "administrator"}, Role.ADMINISTRATOR),
        ("https://hospital.test/roles", {"https://hospital.test/roles": ["viewer"]}, Role.VIEWER),
        ("resource_access.cxr.roles", {"resource_access": {"cxr": {"roles": ["reader"]}}}, Role.READER),
        ("groups", {"groups": [{"name": "reader"}, 7]}, None),
        ("groups", {"groups": "reader administrator"}, None),
        ("groups.reader", {"groups": ["reader"]}, None),
        ("groups", {}, None),
    ],
)
def test_the_claim_may_be_one_word_or_several_and_lie_deep(
    path: str, given: dict[str, Any], role: Role | None, changed_settings: pytest.MonkeyPatch
):
    changed_settings.setenv("CXR_ROLE_CLAIM", path)
    settings.cache_clear()
    assert person_of(said("nobody", **given), NOW).role == role


def test_words_of_the_provider_can_stand_for_roles(changed_settings: pytest.MonkeyPatch):
    changed_settings.setenv("CXR_READER_VALUES", '["b6c1-radiologists"]')
    settings.cache_clear()
    assert person_of(said("nobody", realm_access={"roles": ["b6c1-radiologists"]}), NOW).role == Role.READER
    assert person_of(said("nobody", realm_access={"roles": ["reader"]}), NOW).role is None


def test_a_login_ends_after_its_hours(changed_settings: pytest.MonkeyPatch):
    changed_settings.setenv("CXR_LOGIN_HOURS", "2")
    settings.cache_clear()
    entry = said("reader")
    assert person_of(entry, entry["iat"] + 2 * 3600 - 1).role == Role.READER
    over = person_of(entry, entry["iat"] + 2 * 3600)
    assert (over.role, over.login, over.name) == (None, None, "")
    assert over.why == "Your login has ended after 2 hours."


@pytest.mark.parametrize(
    "changed",
    [
        {"is_logged_in": False},
        {"is_logged_in": "yes"},
        {"iat": None},
        {"iat": "1800000000"},
        {"iat": True},
        {"iat": NOW + 3600},
        {"sub": ""},
        {"sub": None},
    ],
)
def test_a_login_that_does_not_say_whom_and_since_when_is_none(changed: dict[str, Any]):
    person = person_of(said("administrator") | changed, NOW)
    assert (person.role, person.login) == (None, None)


def test_a_login_that_was_ended_counts_no_longer_and_the_next_one_does():
    entry = said("reader")
    key = key_of(entry)
    assert key is not None
    assert person_of(entry, NOW, {key}).role is None
    assert person_of(entry | {"iat": NOW - 1}, NOW, {key}).role == Role.READER


def test_nobody_can_choose_a_name_that_is_another_persons():
    assert person_of(said("7", name="ruth@hospital.test"), NOW).name == "ruth@hospital.test (7)"
    assert person_of(said("7", preferred_username="a\n\x00b" + "x" * 100), NOW).name == "7"
    assert person_of(said("7", preferred_username="a\n b"), NOW).name == "a b (7)"


def test_two_long_numbers_that_begin_alike_are_two_persons():
    first, second = (person_of(said(f"samlp|{'x' * 100}|{who}"), NOW).name for who in ("ruth", "rita"))
    assert first != second
    assert len(first) == len(second) == 80
