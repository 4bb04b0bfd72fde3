"""A morning with forty films: dropped, scored, read blind, corrected, reported; all is kept when the app is killed."""

import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from served import free_port, running_app

from cxr.dataset.shards import find_shards, read_records
from cxr.findings import CATEGORIES
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.radiograph import read_radiograph
from cxr.settings import settings

pytestmark = pytest.mark.browser
FILMS = 40
EACH = 4
"""Films of a shard: they have ten, and the films of one patient lie in several."""
PATIENT = 300_000
"""Milliseconds that forty films may take to be stored or scored, or the app to start, on a busy machine."""


@pytest.fixture
def films(shared_data: Path, tmp_path: Path) -> Path:
    """Forty real films as files of a folder."""
    folder = tmp_path / "films"
    folder.mkdir()
    records = (record for shard in find_shards(shared_data / "nih") for record in islice(read_records(shard), EACH))
    for record in islice(records, FILMS):
        (folder / record.image_id).write_bytes(record.image)
    return folder


@pytest.fixture
def desks(browser: Browser) -> Iterator[tuple[Page, Page]]:
    """Two readers at two machines."""
    contexts = [browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark") for _ in range(2)]
    first, second = (context.new_page() for context in contexts)
    for page in (first, second):
        page.set_default_timeout(60_000)
    yield first, second
    for context in contexts:
        context.close()


def expected_order(folder: Path, database: Path) -> list[str]:
    """The films by the rule that the page states, from the graph and the card, by no code of the worklist."""
    bundle = load_bundle(bundle_path("default"))
    engine = Engine(bundle)
    point = bundle.card.operating_point("rule-in")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        arrived = {
            name: datetime.fromisoformat(at) for name, at in connection.execute("SELECT name, arrived FROM study")
        }
    first = min(arrived.values())
    ranks = {}
    for file in folder.iterdir():
        probabilities = engine.predict([read_radiograph(file.read_bytes())])[0].probabilities
        urgent = any(
            probabilities[CATEGORIES.index(name)] >= point.findings[name].threshold
            for name in ("Pneumothorax", "Effusion")
        )
        waited = (first - arrived[file.name]).total_seconds() / 3600
        ranks[file.name] = 1 - probabilities[0] + (2 if urgent else 0) + waited / settings().ageing_hours
    return sorted(ranks, key=lambda name: -ranks[name])


def names(page: Page) -> list[str]:
    return page.locator(".row .name").all_inner_texts()


def row(page: Page, name: str) -> Locator:
    return page.locator(".row", has_text=name)


def mark(page: Page, question: str, answer: str) -> Locator:
    group = page.get_by_role("radiogroup", name=question, exact=True)
    return group.get_by_role("radio", name=answer, exact=True)


def heading(page: Page) -> Locator:
    return page.locator(".st-key-worklist-heading")


def say(page: Page, question: str, answer: str) -> None:
    """Answer, and wait until it is kept."""
    mark(page, question, answer).click()
    expect(mark(page, question, answer)).to_have_attribute("aria-checked", "true")
    expect(page.locator(".saved")).to_have_text(re.compile(r"^Saved \d\d:\d\d:\d\d$"))


def test_a_morning(desks: tuple[Page, Page], films: Path, tmp_path: Path) -> None:
    page, other = desks
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running_app(tmp_path, port) as app:
        page.goto(f"{address}/?reader=Dr+A&blind=1")
        page.locator("input[type=file]").first.set_input_files(sorted(films.iterdir()))
        expect(page.get_by_text(f"{FILMS} films stored.")).to_be_visible(timeout=PATIENT)
        expect(page.get_by_text(re.compile(r"^Scoring: "))).to_have_count(0, timeout=PATIENT)
        expect(page.locator(".row", has_text="Not shown")).to_have_count(FILMS, timeout=PATIENT)
        in_order = expected_order(films, tmp_path / "worklist" / "worklist.sqlite3")
        assert names(page) == in_order

        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(heading(page)).to_contain_text(in_order[0])
        expect(page.get_by_role("heading", name="Blind reading")).to_be_visible()
        expect(page.get_by_text(re.compile("abnormal probability"))).to_have_count(0)
        other.goto(f"{address}/?reader=Dr+B")
        expect(row(other, in_order[0])).to_contain_text("In reading")
        expect(row(other, in_order[0])).to_contain_text("by Dr A")

        say(page, "Abnormal", "Yes")
        say(page, "Effusion", "Present")
        page.get_by_role("textbox", name="Free text").fill("blunt left angle")
        page.get_by_role("textbox", name="Free text").blur()
        expect(page.locator(".saved")).to_have_text(re.compile("^Saved "))
        page.reload()
        expect(page.get_by_role("heading", name="Blind reading")).to_be_visible()
        expect(mark(page, "Effusion", "Present")).to_have_attribute("aria-checked", "true")
        expect(page.get_by_role("textbox", name="Free text")).to_have_value("blunt left angle")

        page.keyboard.press("d")
        expect(page.get_by_role("heading", name=re.compile("^(Abnormal|No finding|Uncertain)$"))).to_be_visible()
        expect(page.get_by_text(re.compile("The abnormal probability 0"))).to_be_visible()
        say(page, "Effusion", "Absent")
        page.get_by_role("button", name="Report").click()
        expect(page.get_by_test_id("stCode")).to_contain_text(
            re.compile(r"Absent: [^.]*effusion.*blunt left angle", re.S)
        )
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Study (PDF)").click()
        assert waiting.value.path().read_bytes().startswith(b"%PDF-")
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)

        page.keyboard.press("n")
        expect(heading(page)).to_contain_text(in_order[1])
        expect(other.locator(".row")).to_have_count(FILMS - 1)
        say(page, "Abnormal", "Unsure")
        app.kill()
    with running_app(tmp_path, port):
        page.goto(f"{address}/?reader=Dr+A&blind=1")
        expect(page.locator(".row")).to_have_count(FILMS - 1, timeout=PATIENT)
        assert names(page) == in_order[1:]
        page.get_by_test_id("stButtonGroup").get_by_text("All", exact=True).click()
        expect(page.locator(".row")).to_have_count(FILMS)
        expect(row(page, in_order[0])).to_contain_text("by Dr A")
        row(page, in_order[0]).click()
        expect(mark(page, "Effusion", "Absent")).to_have_attribute("aria-checked", "true")
        expect(page.get_by_role("textbox", name="Free text")).to_have_value("blunt left angle")
        page.keyboard.press("u")
        row(page, in_order[1]).click()
        expect(page.get_by_role("heading", name="Blind reading")).to_be_visible()
        expect(mark(page, "Abnormal", "Unsure")).to_have_attribute("aria-checked", "true")
