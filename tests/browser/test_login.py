"""Logging in with a real provider of OpenID Connect on this machine, in a real browser."""

import os
from collections.abc import Iterator

import pytest
from filled_worklist import new_study
from logged_in import PEOPLE, ROLES, write_secrets
from playwright.sync_api import Browser, BrowserContext, Page, expect
from served import free_port, running_app

from cxr.settings import settings
from cxr.worklist.database import database


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app whose people log in with a provider of their own; its worklist holds study 1."""
    # It is made for plain http, and says so itself.
    os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")
    provider_of = pytest.importorskip("oidc_provider_mock")
    place, port = tmp_path_factory.mktemp("login"), free_port()
    address = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_WORKLIST_DIR", str(place / "worklist"))
        settings.cache_clear()
        with database().writing() as session:
            session.add(new_study(b"film", patient="PATIENT4711", accession="ACC0815", name="doejane"))
    settings.cache_clear()
    people = [provider_of.User(sub=name, claims=claims) for name, claims in PEOPLE.items()]
    with provider_of.run_server_in_thread(user_claims=people) as provider:
        secrets = write_secrets(place / "secrets.toml", address, f"http://localhost:{provider.server_port}")
        with running_app(place, port, options=["--secrets.files", str(secrets)], **ROLES):
            yield address


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of somebody's own."""
    own = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    own.set_default_timeout(60_000)
    yield own
    own.close()


def log_in(page: Page, app: str, person: str, path: str = "") -> None:
    """From a page of the app through the provider and back."""
    page.goto(f"{app}/{path}")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name=person, exact=True).click()
    page.wait_for_url(f"{app}/**")


def log_out(page: Page) -> None:
    page.get_by_test_id("stPopoverButton").filter(has_text="hospital.test").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="End session").click()
    page.get_by_role("button", name="Log in").wait_for()


def navigation(page: Page) -> list[str]:
    """What the navigation offers."""
    page.get_by_test_id("stTopNavLink").first.wait_for()
    return [text.splitlines()[-1] for text in page.get_by_test_id("stTopNavLink").all_inner_texts()]


PATIENT = "PATIENT4711"


def test_before_a_login_there_is_the_login_page_and_nothing_else(context: BrowserContext, app: str):
    page = context.new_page()
    for path in ("", "admin", "read_film", "?study=1"):
        page.goto(f"{app}/{path}")
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.get_by_text("Research software, not a medical device.")).to_be_visible()
        assert page.get_by_test_id("stTopNavLink").count() == 0
        assert PATIENT not in page.content()
        assert "AUROC" not in page.content()
        assert page.get_by_text("Page not found").count() == 0
    page.goto(f"{app}/oauth2callback?code=made-up&state=made-up")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert "_streamlit_user" not in {one["name"] for one in context.cookies()}


def test_a_viewer_sees_pages_without_patients_and_logs_out(context: BrowserContext, app: str):
    page = context.new_page()
    log_in(page, app, "viewer")
    expect(page.get_by_text("Drop in a chest film")).to_be_visible()
    assert navigation(page) == ["Read a film", "Dataset", "How good is it?", "Model card"]
    expect(page.get_by_text("vera@hospital.test, viewer")).to_be_visible()
    for path, role in (("worklist?study=1", "readers"), ("admin", "administrators")):
        page.goto(f"{app}/{path}")
        expect(page.get_by_text(f"This page is for {role}.")).to_be_visible()
        assert PATIENT not in page.content()
    cookie = next(one for one in context.cookies() if one["name"] == "_streamlit_user")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    log_out(page)
    assert "_streamlit_user" not in {one["name"] for one in context.cookies()}
    # Whoever kept the cookie has no use of it.
    context.add_cookies([{key: cookie[key] for key in ("name", "value", "domain", "path")}])  # type: ignore[list-item,literal-required]
    page.goto(app)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.get_by_text("You logged out.")).to_be_visible()


def test_a_reader_reads_under_their_own_name_and_administers_nothing(context: BrowserContext, app: str):
    page = context.new_page()
    log_in(page, app, "reader", "?study=1")
    assert navigation(page)[0] == "Worklist"
    page.goto(f"{app}/?study=1&reader=somebody%20else")
    expect(page.get_by_text(f"Patient {PATIENT}, accession ACC0815")).to_be_visible()
    expect(page.get_by_text("In reading by you")).to_be_visible()
    assert page.get_by_role("button", name="Delete").count() == 0
    page.goto(f"{app}/admin")
    expect(page.get_by_text("This page is for administrators.")).to_be_visible()
    other = context.new_page()
    other.goto(app)
    expect(other.get_by_text("In reading", exact=True)).to_be_visible()
    assert other.get_by_label("Reading as").count() == 0
    # A logout in one tab ends the other, which asks for the list's news.
    log_out(page)
    expect(other.get_by_role("button", name="Log in")).to_be_visible()
    assert PATIENT not in other.content()


def test_an_administrator_administers(context: BrowserContext, app: str):
    page = context.new_page()
    log_in(page, app, "administrator", "admin")
    assert navigation(page)[-1] == "Admin"
    page.goto(f"{app}/admin")
    expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
    expect(page.get_by_text("ada@hospital.test, administrator").first).to_be_visible()


def test_somebody_without_a_role_gets_a_sentence_and_nothing_else(context: BrowserContext, app: str):
    page = context.new_page()
    log_in(page, app, "nobody")
    expect(page.get_by_text("nobody has given you a role in this app")).to_be_visible()
    assert page.get_by_test_id("stTopNavLink").count() == 0
    assert "AUROC" not in page.content()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_cookie_that_was_changed_is_no_login(context: BrowserContext, app: str):
    page = context.new_page()
    log_in(page, app, "viewer")
    expect(page.get_by_text("vera@hospital.test, viewer")).to_be_visible()
    cookie = next(one for one in context.cookies() if one["name"] == "_streamlit_user")
    value = cookie["value"]
    changed = value[:20] + ("A" if value[20] != "A" else "B") + value[21:]
    context.add_cookies([{"name": cookie["name"], "value": changed, "domain": "127.0.0.1", "path": "/"}])
    page.goto(app)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
