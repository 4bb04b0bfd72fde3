"""What the pages give to whom, run without a browser."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from driven import words
from logged_in import ROLES, claims
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from cxr.settings import ROOT, settings
from cxr.ui import login as login_module
from cxr.ui.login import Login
from cxr.ui.who import asking
from cxr.worklist.database import database
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Study

PAGES = {
    "worklist": "reader", "read_film": "viewer", "dataset": "viewer", "evaluation": "viewer", "model_card": "viewer",
    "admin": "administrator",
}  # fmt: skip
"""Who may open which page."""
ORDER = ["nobody", "viewer", "reader", "administrator"]
PATIENT, ACCESSION, FILE = "PATIENT4711", "ACC0815", "doejane"


@pytest.fixture
def study(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Number of a study in a worklist of the test's own."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    settings.cache_clear()
    now = datetime.now(UTC)
    film = Film(
        sha256="ab" * 32, name=FILE, source="drop", size=1, arrived=now, state=FilmState.REFUSED, facts={},
        warnings=[], reason="Not a film.",
    )  # fmt: skip
    entry = Study(
        key="one", name=FILE, patient=PATIENT, accession=ACCESSION, arrived=now, status=Status.WAITING, critical=[],
        findings=[], films=[film],
    )  # fmt: skip
    with database().writing() as session:
        session.add(entry)
        session.flush()
        return entry.id


@pytest.fixture
def with_login(changed_settings: pytest.MonkeyPatch) -> None:
    """As if `.streamlit/secrets.toml` had a login."""
    for name, value in ROLES.items():
        changed_settings.setenv(name, value)
    settings.cache_clear()
    login_module._ended.clear()
    for module in ("who", "login_page"):
        changed_settings.setattr(f"cxr.ui.{module}.login", lambda: Login("127.0.0.1", https=False))


def opened(page: str, said: dict[str, Any] | None, **address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.user = said or {"is_logged_in": False}
    for name, value in address.items():
        app.query_params[name] = value
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def everything(app: AppTest) -> str:
    """All that the page was sent."""
    return str(app._tree) + words(app)


def line(app: AppTest) -> str:
    """Who is asking, as the line beside the navigation says."""
    return " ".join(block.proto.popover.label for block in app.get("popover")).replace("\\", "")


def shut(app: AppTest) -> bool:
    """Whether the page holds nothing but the way in, or the sentence that says why not."""
    text = everything(app)
    said = all(one not in text for one in (PATIENT, ACCESSION, FILE, "AUROC", "**default**"))
    return said and "not a medical device" in text and len(app.button) <= 1 and not app.get("file_uploader")


@pytest.mark.usefixtures("with_login")
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("first", [False, True], ids=["through app.py", "without it"])
def test_without_a_login_every_page_is_the_login_page(
    page: str, first: bool, study: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PagesManager, "uses_pages_directory", first)
    app = opened(page, None, study=str(study))
    assert shut(app)
    assert [button.label for button in app.button] == ["Log in"]


@pytest.mark.usefixtures("with_login")
@pytest.mark.parametrize("subject", ["nobody", "viewer", "reader"])
@pytest.mark.parametrize("page", ["worklist", "admin", "model_card"])
def test_a_page_is_for_its_role_and_those_above(page: str, subject: str, study: int) -> None:
    app = opened(page, claims(subject), study=str(study))
    text = everything(app)
    if subject == "nobody":
        assert shut(app)
        assert "nobody has given you a role" in words(app)
        assert [button.label for button in app.button] == ["Log out"]
    elif ORDER.index(subject) < ORDER.index(PAGES[page]):
        assert f"This page is for {PAGES[page]}s. You are logged in as a {subject}." in words(app)
        assert all(one not in text for one in (PATIENT, ACCESSION, FILE))
        assert [button.label for button in app.button] == ["Log out"]
    else:
        assert "This page is for" not in words(app)
        assert f"hospital.test, {subject}" in line(app)


@pytest.mark.usefixtures("with_login")
def test_a_reader_reads_under_the_name_of_the_login_whatever_the_address_says(study: int) -> None:
    app = opened("worklist", claims("reader"), study=str(study), reader="somebody else")
    text = everything(app)
    assert PATIENT in text
    assert ACCESSION in text
    assert "by you" in words(app)
    with database().reading() as session:
        assert session.get_one(Study, study).reader == "ruth@hospital.test"
    listed = opened("worklist", claims("reader"), reader="somebody else")
    assert "Reading as" not in [field.label for field in listed.text_input]
    assert "somebody else" not in words(listed)


@pytest.mark.usefixtures("with_login")
@pytest.mark.parametrize(("subject", "may"), [("reader", False), ("administrator", True)])
def test_only_administrators_delete_studies(subject: str, may: bool, study: int) -> None:
    app = opened("worklist", claims(subject), study=str(study))
    assert ("Delete" in [button.label for button in app.button]) == may


@pytest.mark.usefixtures("with_login")
def test_an_open_page_ends_with_its_login(changed_settings: pytest.MonkeyPatch) -> None:
    said = claims("reader")
    app = opened("worklist", said)
    assert "ruth@hospital.test, reader" in line(app)
    changed_settings.setattr("cxr.ui.who.time", SimpleNamespace(time=lambda: said["iat"] + 12 * 3600 + 1))
    app.run()
    assert shut(app)
    assert "Your login has ended after 12 hours." in words(app)


@pytest.mark.usefixtures("with_login")
def test_an_open_page_ends_with_a_logout_elsewhere() -> None:
    said = claims("reader")
    app = opened("worklist", said)
    login_module.end(said)
    app.run()
    assert shut(app)
    assert "You logged out." in words(app)


def test_on_ones_own_machine_the_page_says_who_is_its_administrator() -> None:
    app = opened("model_card", None)
    assert "administrator of this machine" in words(app)
    assert not [button for button in app.button if button.label == "Log out"]


@pytest.mark.parametrize("page", PAGES)
def test_on_another_address_without_a_login_a_page_is_one_sentence(
    page: str, study: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr.ui.who.st.get_option", lambda name: "0.0.0.0")  # noqa: S104 - the case that is refused
    app = opened(page, None, study=str(study))
    assert shut(app)
    assert "has no login, so anybody there would be its administrator" in words(app)
    assert not app.button


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-Ip"])
def test_through_a_proxy_without_a_login_nobody_is_anybody(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setattr("cxr.ui.who.st.context", SimpleNamespace(headers={"Host": "127.0.0.1:8501"}))
    assert asking().administrator
    monkeypatch.setattr("cxr.ui.who.st.context", SimpleNamespace(headers={header: "10.0.0.7"}))
    assert asking().role is None
    assert "came through a proxy" in asking().why
