"""From the numbers of a data set to one of its films, to its verdict, in a real browser."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def open_dataset(page: Page) -> None:
    page.get_by_role("link", name="Dataset").click()
    expect(page.get_by_role("heading", name=re.compile("^Dataset: "))).to_be_visible()


def films(page: Page):
    return page.get_by_test_id("stMetric").filter(has_text="Films").first.get_by_test_id("stMetricValue")


def thumbnails(page: Page):
    return page.get_by_role("button", name=re.compile(r"^\d{8}_\d{3}\.png: "))


def test_filter_open_a_film_with_a_box_and_read_it(page: Page):
    open_dataset(page)
    expect(films(page)).to_have_text("120")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    page.get_by_text("Only films with boxes").click()
    expect(films(page)).to_have_text("20")
    page.get_by_role("tab", name="Films").click()
    expect(thumbnails(page)).to_have_count(20)
    page.get_by_role("button", name=re.compile(r"^00000007_000\.png: Mass")).click()
    expect(page.get_by_role("heading", name="00000007_000.png")).to_be_visible()
    film = page.locator(".pane[data-painter][aria-busy=false]").first
    expect(film).to_have_attribute("aria-label", re.compile("with boxes of Mass"))
    page.wait_for_timeout(300)
    pixels = np.asarray(Image.open(io.BytesIO(film.screenshot())).convert("RGB"), float)
    assert (np.ptp(pixels, axis=2) > 60).sum() > 200, "the box is drawn in colour"
    expect(page.get_by_text("All 3 films of patient 7, in order")).to_be_visible()

    page.get_by_role("button", name="Read this film").click()
    expect(page.get_by_role("heading", name=re.compile("^(Abnormal|No finding|Uncertain|Below)"))).to_be_visible()
    expect(page.get_by_text("if the model was trained on this patient")).to_be_visible()
    expect(page.get_by_text("Text-mined from the report")).to_have_count(0)
    page.get_by_text("Show the labels of the data set").click()
    expect(page.get_by_text("Text-mined from the report")).to_be_visible()


def test_films_can_be_walked_and_opened_by_keyboard(page: Page):
    open_dataset(page)
    page.get_by_role("tab", name="Films").click()
    expect(thumbnails(page)).to_have_count(24)
    thumbnails(page).nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 120")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("3 of 120")).to_be_visible()
    page.get_by_role("button", name="All films").click()
    expect(thumbnails(page)).to_have_count(24)
    pictures = thumbnails(page).locator("img")
    assert pictures.count() == 24
    assert all(pictures.nth(k).evaluate("i => i.naturalWidth") > 0 for k in range(24))


def test_numbers_of_a_chart_come_as_csv(page: Page):
    open_dataset(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").first.click()
    lines = waiting.value.path().read_text().splitlines()
    assert waiting.value.suggested_filename == "categories.csv"
    assert lines[0] == "category,films"
    assert {"Mass,60", "No Finding,60", "Effusion,20"} <= set(lines)


def test_bad_table_is_refused_in_words(page: Page, tmp_path):
    open_dataset(page)
    bad = tmp_path / "bad.csv"
    bad.write_text("a;b;c\n1;2;3\n")
    page.get_by_text("Another table").click()
    page.locator("input[type=file]").set_input_files(str(bad))
    expect(page.get_by_text("Its columns are separated by semicolons")).to_be_visible()
    expect(films(page)).to_have_text("120")
