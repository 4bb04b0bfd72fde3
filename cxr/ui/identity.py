"""Persons, their roles, and what a login says of them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from cxr.settings import settings

LONGEST: Final = 80
"""Characters of a name under which things are recorded."""
SKEW: Final = 300.0
"""Seconds by which the clock of the identity provider may be ahead."""


class Role(StrEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = "viewer"
    READER = "reader"
    ADMINISTRATOR = "administrator"

    def may(self, needed: "Role") -> bool:
        """Whether this role is enough where `needed` is."""
        roles = list(Role)
        return roles.index(self) >= roles.index(needed)


@dataclass(frozen=True)
class LoginKey:
    """Names one login: who vouches, for whom, since when."""

    issuer: str
    subject: str
    issued: float


@dataclass(frozen=True)
class Person:
    """Somebody at a browser.

    Attributes:
        name: under which actions are recorded; "" where nobody logged in.
        role: what they may do; None: nothing.
        why: why they are what they are, in one sentence.
        login: by which they came; None where there is no login, or none that counts.
    """

    name: str
    role: Role | None
    why: str
    login: LoginKey | None = None

    @property
    def administrator(self) -> bool:
        """May start jobs, decide which model serves, and delete studies."""
        return self.may(Role.ADMINISTRATOR)

    @property
    def reads(self) -> bool:
        """May see whose films they are, read studies, and take films in."""
        return self.may(Role.READER)

    def may(self, needed: Role) -> bool:
        """Whether this person may do what `needed` may."""
        return self.role is not None and self.role.may(needed)


def key_of(claims: Mapping[str, Any]) -> LoginKey | None:
    """Which login these claims are of; None where nobody is logged in by them, or they do not say whom and since when.

    Args:
        claims: of the identity token, and Streamlit's `is_logged_in`.
    """
    subject, issued = claims.get("sub"), claims.get("iat")
    if claims.get("is_logged_in") is not True or not isinstance(subject, str) or not subject:
        return None
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        return None
    return LoginKey(str(claims.get("iss", "")), subject, float(issued))


def ends(key: LoginKey) -> float:
    """When a login is over, in seconds since 1970: `CXR_LOGIN_HOURS` after the provider issued it."""
    return key.issued + settings().login_hours * 3600


def person_of(claims: Mapping[str, Any], now: float, ended: Collection[LoginKey] = ()) -> Person:
    """Who is asking, by what a login says.

    The moment when the identity token was issued counts and not when it expires: that is about the moment of logging
    in, which for some providers is over after five minutes.

    Args:
        claims: of the identity token, and Streamlit's `is_logged_in`.
        now: seconds since 1970.
        ended: logins that a logout has ended.
    """
    key = key_of(claims)
    if key is None or key.issued > now + SKEW:
        return Person("", None, "")
    if key in ended:
        return Person("", None, "You logged out.")
    if now >= ends(key):
        return Person("", None, f"Your login has ended after {settings().login_hours:g} hours.")
    name = _name(claims, key.subject)
    roles = _roles(claims)
    if not roles:
        return Person(name, None, "You are logged in, but nobody has given you a role in this app.", key)
    role = max(roles, key=list(Role).index)
    return Person(name, role, f"You are logged in as {'an' if role == Role.ADMINISTRATOR else 'a'} {role}.", key)


def _roles(claims: Mapping[str, Any]) -> set[Role]:
    known = settings()
    given = set(_values(claims, known.role_claim)) if known.role_claim else set()
    mail = _verified_mail(claims)
    by_claim = {
        Role.VIEWER: known.viewer_values,
        Role.READER: known.reader_values,
        Role.ADMINISTRATOR: known.administrator_values,
    }
    by_mail = {Role.VIEWER: known.viewers, Role.READER: known.readers, Role.ADMINISTRATOR: known.administrators}
    return {
        role
        for role in Role
        if given & set(by_claim[role]) or (mail and mail in {one.strip().casefold() for one in by_mail[role]})
    }


def _verified_mail(claims: Mapping[str, Any]) -> str:
    """The e-mail address, in small letters, if the provider vouches for it: otherwise anybody could write in another's.
    "" where it does not."""
    mail = claims.get("email")
    return mail.strip().casefold() if isinstance(mail, str) and claims.get("email_verified") is True else ""


def _values(claims: Mapping[str, Any], path: str) -> Iterator[str]:
    """What a claim says, one or several; its name may itself contain dots, as addresses do."""
    if path in claims:
        found = claims[path]
        yield from (one for one in (found if isinstance(found, list | tuple) else [found]) if isinstance(one, str))
    for place, sign in enumerate(path):
        if sign == "." and isinstance(inner := claims.get(path[:place]), Mapping):
            yield from _values(inner, path[place + 1 :])


def _name(claims: Mapping[str, Any], subject: str) -> str:
    """A name that nobody else has: the e-mail address where it is vouched for, else the provider's own number, which
    follows the name that a person may have chosen."""
    mail = _verified_mail(claims)
    chosen = claims.get("preferred_username") or claims.get("name")
    name = mail or (f"{chosen} ({subject})" if isinstance(chosen, str) and chosen != subject else subject)
    clean = _printable(name)
    if len(clean) <= LONGEST:
        return clean
    own, digest = _printable(subject), sha256(subject.encode(errors="replace")).hexdigest()[:16]
    # Cut off alone, the numbers of two persons could become one name.
    return own if len(own) <= LONGEST else f"{own[: LONGEST - 17]} {digest}"


def _printable(name: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())
