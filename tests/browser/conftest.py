"""A running app and a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kaggle_folder import write_folder
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cxr.settings import ROOT

# A busy machine may take long over a film; what never comes still fails.
expect.set_options(timeout=30_000)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app that runs for these tests, with a data set that was made on the spot."""
    port = free_port()
    place = tmp_path_factory.mktemp("app")
    log = place / "log.txt"
    data = {"CXR_DATA": str(write_folder(place / "set")), "CXR_CACHE_DIR": str(place / "cache")}
    with log.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT, env=os.environ | data, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{base}/_stcore/health", timeout=1).read()  # noqa: S310
                break
            except OSError:
                assert app.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.3)
        yield base
        assert "Traceback" not in log.read_text()
    finally:
        app.terminate()
        app.wait(timeout=20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; `make test` installs it."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, address: str, tmp_path: Path) -> Iterator[Page]:
    """The app's first page, loaded and at rest."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.goto(address)
    opened.get_by_text("Drop in a chest film").wait_for()
    yield opened
    context.close()
