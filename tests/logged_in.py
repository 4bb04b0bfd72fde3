"""A login for tests: what `.streamlit/secrets.toml` would say, and cookies as the app signs them."""

import json
import time
from pathlib import Path
from typing import Any, Final

from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

SECRET: Final = "0123456789abcdef" * 2
CLAIM: Final = "realm_access.roles"
PEOPLE: Final = {
    "viewer": {"email": "vera@hospital.test", "email_verified": True},
    "reader": {"email": "ruth@hospital.test", "email_verified": True, "realm_access": {"roles": ["staff", "reader"]}},
    "administrator": {"email": "ada@hospital.test", "email_verified": True},
    "nobody": {"email": "nora@hospital.test", "email_verified": True},
}
"""Subjects of the identity provider with what it says of them: two have their role from a list, one from a claim."""
ROLES: Final = {
    "CXR_ROLE_CLAIM": CLAIM,
    "CXR_VIEWERS": '["Vera@Hospital.test"]',
    "CXR_ADMINISTRATORS": '["ada@hospital.test"]',
}
"""Settings that give the people above their roles."""


def write_secrets(
    file: Path, address: str, provider: str = "http://127.0.0.1:9", **changed: str
) -> Path:  # fmt: skip
    """A secrets file for an app at `address`; `changed` in place of what it would say in [auth]."""
    said = {
        "redirect_uri": f"{address}/oauth2callback",
        "cookie_secret": SECRET,
        "client_id": "cxr",
        "client_secret": "not a secret in a test",
        "server_metadata_url": f"{provider}/.well-known/openid-configuration",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in (said | changed).items()]
    file.write_text("[auth]\n" + "\n".join(lines) + "\n")
    return file


def claims(subject: str, *, age: float = 0.0, **more: Any) -> dict[str, Any]:
    """What a login says of somebody, `age` seconds after it."""
    return {
        "iss": "http://provider.test", "sub": subject, "iat": time.time() - age, "is_logged_in": True,
        "provider": "default", **PEOPLE.get(subject, {}), **more,
    }  # fmt: skip


def cookie(said: dict[str, Any], address: str, secret: str = SECRET) -> str:
    """A login cookie as the app at `address` would sign it."""
    return create_signed_value(secret, "_streamlit_user", json.dumps(said | {"origin": address})).decode()
