"""Every page in a browser: nothing on it is refused by the content policy, and nobody on another machine is spoken to,
neither by the browser nor by the app. Where the machine allows it all of this runs without any network at all."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kaggle_folder import write_folder
from logged_in import PEOPLE, ROLES, write_secrets
from playwright.sync_api import ConsoleMessage, Page, Request, expect, sync_playwright
from served import FLAGS, free_port, running_app

from cxr.samples import SAMPLES
from cxr.settings import ROOT

ALONE = "CXR_TEST_ALONE"
"""Set in the process that has no network."""
LEAVES = 'ip link set lo up && exec "$@"'
IDENTIFIERS = ("9RG1", SAMPLES[0].file, "ruth@hospital.test", "ada@hospital.test")
"""Of the sample's header, and what else of people has no place in a log."""
SECTIONS = {"Admin": ("New job", "Compare", "Models", "Machine")}
"""What is not behind tabs."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str, Path]]:
    """Addresses of an app with a login and of its provider, and the file with the app's attempts to reach others; its
    log lies beside that file."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    provider_of = pytest.importorskip("oidc_provider_mock")
    port, attempts = free_port(), tmp_path / "attempts.txt"
    address = f"http://127.0.0.1:{port}"
    settings = {
        "CXR_DATA": str(write_folder(tmp_path / "set")),
        "CXR_CACHE_DIR": str(tmp_path / "cache"),
        "CXR_RUNS_DIR": str(tmp_path / "runs"),
        "CXR_TEST_ATTEMPTS": str(attempts),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "tests" / "watched"), os.environ.get("PYTHONPATH")))),
    }
    people = [provider_of.User(sub=name, claims=claims) for name, claims in PEOPLE.items()]
    with provider_of.run_server_in_thread(user_claims=people) as provider:
        login = f"http://localhost:{provider.server_port}"
        secrets = write_secrets(tmp_path / "secrets.toml", address, login)
        with running_app(tmp_path, port, options=["--secrets.files", str(secrets)], **ROLES, **settings):
            yield address, login, attempts


@pytest.mark.skipif(ALONE in os.environ, reason="this is the process without a network")
def test_every_page_does_without_a_network() -> None:
    """The next test, in a network namespace that has the loopback and nothing else; else with the network there is."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", __file__]
    if subprocess.run(["unshare", "-n", "sh", "-c", LEAVES, "sh", "true"], capture_output=True).returncode == 0:
        command = ["unshare", "-n", "sh", "-c", LEAVES, "sh", *command]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {ALONE: "1"}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.skipif(ALONE not in os.environ, reason="run by the test before")
def test_every_page_is_whole_and_speaks_with_nobody(app: tuple[str, str, Path]) -> None:
    address, login, attempts = app
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine")
    asked: set[str] = set()
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(f"{message.text} ({message.page.url if message.page else ''})")

    def note(request: Request) -> None:
        # What the provider's own pages ask for is no business of this app's.
        if not request.headers.get("referer", "").startswith(login):
            asked.add(request.url)

    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, rules])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(60_000)
        context.on("request", note)
        page = context.new_page()
        page.on("websocket", lambda socket: asked.add(socket.url))
        page.goto(address)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="administrator", exact=True).click()
        page.get_by_test_id("stTopNavLink").first.wait_for()
        # The provider's own pages are not this app's.
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))
        for name in [link.split("\n")[-1] for link in page.get_by_test_id("stTopNavLink").all_inner_texts()]:
            page.get_by_test_id("stTopNavLink").filter(has_text=name).click()
            _look_at(page, name)
        browser.close()
    assert said == []
    _ask_as_another_site(address)
    outside = {
        url for url in asked if urlsplit(url).netloc not in ("", urlsplit(address).netloc, urlsplit(login).netloc)
    }
    assert {url for url in outside if not url.startswith(("data:", "blob:"))} == set()
    assert len(asked) > 50
    assert not attempts.exists(), attempts.read_text()
    log = (attempts.parent / "log.txt").read_text()
    assert address in log
    assert not [word for word in IDENTIFIERS if word in log]


def _still(page: Page) -> None:
    """Wait until the page has been run."""
    page.wait_for_timeout(150)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def _look_at(page: Page, name: str) -> None:
    """Open a page's sections, one after the other."""
    _still(page)
    if name == "Read a film":
        page.get_by_test_id("stPopoverButton").filter(has_text="Try a sample").click()
        page.get_by_test_id("stPopoverBody").get_by_role("button").first.click()
        page.locator("canvas").first.wait_for()
    if name == "Worklist":
        sample = SAMPLES[0]
        file = {"name": sample.file, "mimeType": "application/dicom", "buffer": sample.read()}
        page.locator("input[type=file]").first.set_input_files(file)  # type: ignore[arg-type]
        expect(page.get_by_text("1 film stored.")).to_be_visible()
        page.get_by_text(sample.file).first.click()
        page.locator("canvas").first.wait_for()
        page.get_by_test_id("stPopoverButton").filter(has_text="Report").click()
    for number in range(page.get_by_role("tab").count()):
        page.get_by_role("tab").nth(number).click()
        _still(page)
    for section in SECTIONS.get(name, ()):
        page.get_by_text(section, exact=True).first.click()
        _still(page)


def _ask_as_another_site(address: str) -> None:
    """Streamlit would look its own address up on the internet to see whether that site is itself."""
    request = urllib.request.Request(f"{address}/_stcore/health", headers={"Origin": "http://elsewhere.test"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=20)  # noqa: S310
