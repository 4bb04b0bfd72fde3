"""From a click to a promoted model and back, in a real browser, on real films where there are any."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kaggle_folder import write_folder
from playwright.sync_api import Browser, Locator, Page, expect
from served import free_port, running_app

from cxr.samples import FOLDER
from cxr.settings import ROOT

pytestmark = pytest.mark.browser
MODEL = "made-here"
EPOCHS = 16
SHARDS = 5
PATIENT = 180_000
"""Milliseconds that a training process may take to start, or to end, on a busy machine."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Models, jobs and cache of the test's own; NIH's films, or some made on the spot."""
    real = Path(os.environ.get("CXR_TEST_DATA", ROOT.parent / "shared" / "data")) / "nih"
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("registry.json"))
    films = part_of(real, tmp_path / "nih") if real.is_dir() else write_folder(tmp_path / "set", patients=180)
    return {
        "CXR_MODELS_DIR": str(tmp_path / "models"),
        "CXR_RUNS_DIR": str(tmp_path / "runs"),
        "CXR_CACHE_DIR": str(tmp_path / "cache"),
        "CXR_DATA": str(films),
    }


def part_of(release: Path, folder: Path) -> Path:
    """The tables of a release with a few of its shards: a job's time is mostly that of reading them."""
    (folder / "data").mkdir(parents=True)
    for file in (*release.glob("*.csv*"), *sorted((release / "data").glob("*.tfrec"))[:SHARDS]):
        (folder / file.relative_to(release)).symlink_to(file)
    return folder


@pytest.fixture
def opened(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def section(page: Page, name: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True).first.click()


def state(page: Page) -> Locator:
    """The badge of the job that is looked at."""
    return page.locator(".stMarkdownBadge").filter(
        has_text=re.compile("queued|running|finished|failed|cancelled|interrupted")
    )


def open_first_job(page: Page) -> None:
    """Mark the first row of the table."""
    page.get_by_test_id("stDataFrame").first.click(position={"x": 16, "y": 52})
    expect(page.get_by_role("heading", name=re.compile(MODEL))).to_be_visible()


def epochs_done(page: Page) -> int:
    text = page.get_by_test_id("stMetric").filter(has_text="Epoch").first.get_by_test_id("stMetricValue").inner_text()
    return int(text.split(" of ")[0])


def confirm(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


def read_a_film(page: Page) -> None:
    """Let the serving model read a film that ships."""
    page.get_by_role("link", name="Read a film").click()
    page.locator("input[type=file]").set_input_files(FOLDER / "adult_pa.dcm")
    # A model that was made from films of noise has a scope check that knows no others.
    answer = re.compile("^(Abnormal|No finding|Uncertain|Not analysed)$")
    expect(page.get_by_role("heading", name=answer)).to_be_visible()


def start_a_job(page: Page) -> None:
    section(page, "New job")
    page.get_by_text("Quick check").click()
    page.get_by_text("All options").click()
    name = page.get_by_role("textbox", name="Name of the new model")
    name.fill(MODEL)
    name.press("Enter")
    for option, value in (("Input size", "64"), ("Epochs", str(EPOCHS))):
        field = page.get_by_role("spinbutton", name=option, exact=True)
        field.fill(value)
        field.press("Enter")
    expect(page.get_by_text(re.compile(rf"--model {MODEL} --input-size 64 --epochs {EPOCHS} --frozen"))).to_be_visible()
    page.get_by_role("button", name="Check and start").click()
    start = page.get_by_role("dialog").get_by_role("button", name="Start", exact=True)
    expect(start).to_be_visible(timeout=PATIENT)
    start.dblclick()
    expect(page.get_by_role("heading", name=re.compile(MODEL))).to_be_visible()


def test_from_a_click_to_a_promoted_model_and_back(opened: Page, environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/admin"
    with running_app(tmp_path, port, **environment) as app:
        opened.goto(address)
        start_a_job(opened)
        expect(state(opened)).to_have_text(re.compile("running"), timeout=PATIENT)
        # The curve moves by itself.
        expect(opened.get_by_text("AUROC on the validation patients").first).to_be_visible(timeout=PATIENT)
        seen = epochs_done(opened)
        expect(opened.get_by_test_id("stMetric").filter(has_text="Epoch").first).not_to_contain_text(
            f"{seen} of {EPOCHS}", timeout=PATIENT
        )
        opened.reload()
        open_first_job(opened)
        opened.get_by_role("button", name="Cancel", exact=True).click()
        confirm(opened, "Cancel the job")
        expect(state(opened)).to_have_text(re.compile("cancelled"), timeout=PATIENT)
        assert 1 <= epochs_done(opened) < EPOCHS
        opened.get_by_role("button", name="Resume", exact=True).click()
        confirm(opened, "Resume the job")
        expect(state(opened)).to_have_text(re.compile("running"), timeout=PATIENT)
        # The app is gone; the job is not.
        app.kill()
    with running_app(tmp_path, port, **environment):
        opened.goto(address)
        open_first_job(opened)
        expect(state(opened)).to_have_text(re.compile("finished"), timeout=2 * PATIENT)
        assert len(list((tmp_path / "runs").glob("*/job.json"))) == 1, "a double click is one job"

        opened.get_by_role("button", name="To the model").click()
        expect(
            opened.get_by_text(re.compile(f"{MODEL} (passes|does not pass) the gate against default"))
        ).to_be_visible(timeout=PATIENT)
        expect(opened.get_by_text("AUROC for abnormal", exact=True)).to_be_visible()
        opened.get_by_role("button", name=re.compile("^upgrade Promote|^Promote")).click()
        dialog = opened.get_by_role("dialog")
        dialog.get_by_role("textbox", name="Why").fill("To see whether it can be done")
        dialog.get_by_role("textbox", name="Why").press("Tab")
        if dialog.get_by_text("I override the gate").is_visible():
            dialog.get_by_text("I override the gate").click()
        confirm(opened, "Promote")
        expect(opened.get_by_text(f"{MODEL} serves.")).to_be_visible(timeout=PATIENT)
        read_a_film(opened)
        expect(opened.get_by_text(re.compile(f"Model {MODEL}, trained on"))).to_be_visible()

        opened.get_by_role("link", name="Admin").click()
        section(opened, "Models")
        opened.get_by_role("button", name="Roll back").click()
        dialog = opened.get_by_role("dialog")
        dialog.get_by_role("textbox", name="Why").fill("It was a test")
        dialog.get_by_role("textbox", name="Why").press("Tab")
        confirm(opened, "Roll back")
        expect(opened.get_by_text("default serves.")).to_be_visible(timeout=PATIENT)
        expect(opened.get_by_text(re.compile("Model default, trained on"))).to_be_visible()
