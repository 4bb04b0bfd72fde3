"""Where the app does not start, and how a login has to be set up."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from logged_in import ROLES, write_secrets
from served import free_port
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton

from cxr.settings import ROOT, settings
from cxr.ui.login import BadLogin, Login, login
from cxr.ui.server import why_not

PUBLIC = "https://cxr.hospital.test"


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options of Streamlit, in place of those that `.streamlit/config.toml` has."""
    changed: dict[str, Any] = {}
    true = config.get_option
    monkeypatch.setattr(config, "get_option", lambda name: changed.get(name, true(name)))
    return changed


@pytest.fixture
def secrets(
    options: dict[str, Any], changed_settings: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., None]]:
    """Has the app read a secrets file that says this."""
    file = tmp_path / "secrets.toml"
    options["secrets.files"] = [str(file)]
    # Streamlit watches the file, and puts what it says into the environment; neither is wanted here.
    changed_settings.setattr(type(secrets_singleton), "_maybe_install_file_watchers", lambda self: None)

    def write(address: str = PUBLIC, text: str | None = None, **changed: str) -> None:
        write_secrets(file, address, **changed)
        if text is not None:
            file.write_text(text)
        again()

    def again() -> None:
        secrets_singleton._reset()
        login.cache_clear()

    for name, value in ROLES.items():
        changed_settings.setenv(name, value)
    settings.cache_clear()
    again()
    yield write
    again()


def test_as_it_ships_it_may_be_served(secrets: Callable[..., None]):
    assert login() is None
    assert why_not() is None


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::", "192.168.1.5", "cxr.hospital.test"])  # noqa: S104
def test_without_a_login_no_other_address_is_served(
    address: str, options: dict[str, Any], secrets: Callable[..., None]
):
    options["server.address"] = address
    why = why_not()
    assert why is not None
    assert "has no login, so anybody there would be its administrator" in why
    options["server.allowedHosts"] = ["cxr.hospital.test"]
    secrets()
    assert why_not() is None


def test_a_login_says_where_people_reach_the_app(secrets: Callable[..., None]):
    secrets()
    assert login() == Login("cxr.hospital.test", https=True)
    secrets("http://localhost:8501")
    assert login() == Login("localhost", https=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cookie_secret": "short"}, "cookie_secret"),
        ({"client_id": "", "text": "[auth]\nredirect_uri = 'https://a.test/oauth2callback'"}, "cookie_secret"),
        ({"text": "[auth"}, "can't be read"),
        ({"text": "auth = 'yes'"}, "not complete"),
        ({"redirect_uri": "https://cxr.hospital.test/"}, "end with /oauth2callback"),
        ({"redirect_uri": "cxr.hospital.test/oauth2callback"}, "the app's address"),
        ({"redirect_uri": "http://cxr.hospital.test/oauth2callback"}, "https://"),
    ],
)
def test_a_login_that_is_not_complete_or_not_safe_is_none_to_start_with(
    given: dict[str, str], said: str, secrets: Callable[..., None]
):
    secrets(**given)
    with pytest.raises(BadLogin, match=said):
        login()
    why = why_not()
    assert why is not None
    assert said in why
    assert "\n" not in why


def test_a_login_by_which_nobody_would_have_a_role_is_refused(
    secrets: Callable[..., None], changed_settings: pytest.MonkeyPatch
):
    for name in ROLES:
        changed_settings.delenv(name)
    settings.cache_clear()
    secrets()
    assert "nobody would have a role" in str(why_not())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("server.allowedHosts", [], "server.allowedHosts"),
        ("server.allowedHosts", ["*"], "server.allowedHosts"),
        ("server.allowedHosts", ["localhost"], "start with --server.allowedHosts cxr.hospital.test"),
        ("server.enableCORS", False, "have to stay on"),
        ("server.enableXsrfProtection", False, "have to stay on"),
        ("server.trustedUserHeaders", {"X-User": "email"}, "has to stay empty"),
    ],
)
def test_options_that_would_open_it_are_refused(
    name: str, value: object, said: str, options: dict[str, Any], secrets: Callable[..., None]
):
    secrets()
    options["server.allowedHosts"] = ["cxr.hospital.test"]
    assert why_not() is None
    options[name] = value
    assert said in str(why_not())


def test_a_setting_that_is_wrong_is_named_without_its_value(
    secrets: Callable[..., None], changed_settings: pytest.MonkeyPatch
):
    changed_settings.setenv("CXR_LOGIN_HOURS", "a secret word")
    settings.cache_clear()
    why = str(why_not())
    assert "login_hours" in why
    assert "a secret word" not in why


def test_streamlit_run_on_another_address_ends_with_one_sentence_before_anything_is_served(tmp_path: Path):
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.address", "0.0.0.0"],  # noqa: S104
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1] == (
        "Not started. The app would answer on 0.0.0.0 and has no login, so anybody there would be its administrator: "
        "start it on 127.0.0.1, or set up a login (README)."
    )
    assert "Traceback" not in done.stderr
