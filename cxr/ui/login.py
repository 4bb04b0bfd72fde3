"""How people log in: by OpenID Connect, where `.streamlit/secrets.toml` has a part [auth]; else there is no login."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from streamlit.auth_util import get_cookie_with_chunks, get_redirect_uri, validate_auth_credentials
from streamlit.errors import StreamlitAuthError, StreamlitSecretNotFoundError
from streamlit.runtime.secrets import AttrDict, secrets_singleton
from streamlit.web.server.server_util import AUTH_COOKIE_NAME, get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

from cxr.settings import settings
from cxr.ui.addresses import only_this_machine
from cxr.ui.identity import LoginKey, ends, key_of

SHORTEST_SECRET: Final = 32
FILE: Final = ".streamlit/secrets.toml"


class BadLogin(Exception):
    """The login is not set up as it has to be; in one sentence."""


@dataclass(frozen=True)
class Login:
    """A login that is set up.

    Attributes:
        host: name under which people reach the app.
        https: whether they do so over TLS.
    """

    host: str
    https: bool


@lru_cache(maxsize=1)
def login() -> Login | None:
    """How people log in, read once a process; None: there is no login.

    Raises:
        BadLogin: the file can't be read, or what it says is not enough, or not safe.
    """
    try:
        secrets = secrets_singleton.to_dict()
    except StreamlitSecretNotFoundError as error:
        if error.error_id == "no-secrets-found":
            return None
        raise BadLogin(f"{FILE} can't be read, so whether people have to log in is not known.") from None
    if "auth" not in secrets:
        return None
    try:
        validate_auth_credentials("default")
        address = get_redirect_uri(AttrDict(secrets["auth"])) or ""
    except (StreamlitAuthError, TypeError, AttributeError) as error:
        raise BadLogin(f"The part [auth] of {FILE} is not complete: {' '.join(str(error).split())}") from None
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or not parts.path.endswith("/oauth2callback"):
        raise BadLogin(f"redirect_uri in {FILE} has to be the app's address and end with /oauth2callback.")
    if parts.scheme == "http" and not only_this_machine(host):
        raise BadLogin(
            f"redirect_uri in {FILE} has to begin with https:// : over {host} without TLS anybody on the way can read "
            "the login and the films."
        )
    if len(str(secrets["auth"]["cookie_secret"])) < SHORTEST_SECRET:
        raise BadLogin(f"cookie_secret in {FILE} has to be random and {SHORTEST_SECRET} characters long at least.")
    known = settings()
    if not known.role_claim and not (known.viewers or known.readers or known.administrators):
        raise BadLogin(
            "With a login nobody would have a role: set CXR_ROLE_CLAIM, or CXR_ADMINISTRATORS and the other lists."
        )
    return Login(host, parts.scheme == "https")


def claims_of(cookies: Mapping[str, str]) -> Mapping[str, Any]:
    """What the login cookie of a request says; nothing where there is none, or it was not signed by this app."""
    secret = get_cookie_secret()

    def one(name: str) -> bytes | None:
        value = cookies.get(name)
        return None if value is None else decode_signed_value(secret, name, value.encode("latin-1"))

    try:
        found = json.loads(get_cookie_with_chunks(one, AUTH_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


_ended: dict[LoginKey, None] = {}


def ended() -> Mapping[LoginKey, None]:
    """Logins that ended by a logout: whoever kept the cookie, or another tab, has no use of it in this process."""
    return _ended


def end(claims: Mapping[str, Any]) -> None:
    """A person logs out: this login counts no longer."""
    if (key := key_of(claims)) is not None:
        _ended[key] = None
    for old in [one for one in _ended if ends(one) < time.time()]:
        del _ended[old]
