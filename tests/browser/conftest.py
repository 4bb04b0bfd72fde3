"""A running app and a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kaggle_folder import chest_film, write_folder
from playwright.sync_api import Browser, Page, expect, sync_playwright
from served import FLAGS, free_port, running_app

# A busy machine may take long over a film; what never comes still fails.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app that runs for these tests, with a data set that was made on the spot."""
    place, port = tmp_path_factory.mktemp("app"), free_port()
    data = {"CXR_DATA": str(write_folder(place / "set", picture=chest_film())), "CXR_CACHE_DIR": str(place / "cache")}
    with running_app(place, port, **data):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; `make test` installs it. It is closed after each file: other tests come after these, and
    Playwright keeps its event loop running for as long as it is open."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, address: str, tmp_path: Path) -> Iterator[Page]:
    """The page "Read a film", loaded and at rest."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.goto(f"{address}/read_film")
    opened.get_by_text("Drop in a chest film").wait_for()
    yield opened
    context.close()
