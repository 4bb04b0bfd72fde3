"""A radiologist's first minutes, in a real browser."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from cxr.samples import FOLDER

pytestmark = pytest.mark.browser

ADULT = FOLDER / "adult_pa.dcm"


def upload(page: Page, *files) -> None:
    page.locator("input[type=file]").set_input_files([str(file) for file in files])


def film_pixels(page: Page) -> np.ndarray:
    """The film as it is on the screen, float (height, width, 3)."""
    page.wait_for_timeout(300)
    return np.asarray(Image.open(io.BytesIO(film(page).screenshot())).convert("RGB"), float)


def film(page: Page):
    """The film in the viewer, once it is drawn."""
    return page.locator(".pane[data-painter][aria-busy=false]").first


def colourfulness(pixels: np.ndarray) -> float:
    """Mean spread between the channels; a grey film has none."""
    return float(np.ptp(pixels, axis=2).mean())


def films(page: Page):
    """The list of films."""
    return page.get_by_role("radiogroup", name=re.compile("most probably abnormal first"))


def verdict(page: Page):
    return page.get_by_role("heading", name=re.compile("^(Abnormal|No finding|Uncertain)$"))


def test_real_dicom_to_verdict_to_heatmap_and_a_bad_file(page: Page, tmp_path):
    upload(page, ADULT)
    expect(verdict(page)).to_be_visible()
    expect(page.get_by_text("held-out patients this threshold flagged")).to_be_visible()
    expect(page.get_by_text("Research software, not a medical device.").first).to_be_visible()

    before = film_pixels(page)
    assert colourfulness(before) < 1, "the heatmap must be off at first"
    film(page).press("h")
    expect(page.get_by_role("slider", name="Opacity")).to_have_value("60")
    expect(film(page).locator(".mode")).to_contain_text("Heatmap 60%")
    after = film_pixels(page)
    assert after.shape == before.shape
    assert colourfulness(after) > 3
    # Where nothing speaks for the finding the film is untouched.
    assert (np.abs(after - before).max(axis=2) < 12).mean() > 0.2

    bad = tmp_path / "holiday.png"
    bad.write_text("this is text")
    upload(page, bad)
    expect(page.get_by_text("This is not a PNG, JPEG or DICOM file.")).to_be_visible()
    films(page).get_by_text("adult_pa.dcm").click()
    expect(verdict(page)).to_be_visible()


def test_download_is_the_result_of_the_film(page: Page):
    upload(page, ADULT)
    expect(verdict(page)).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Result (JSON)").click()
    record = json.loads(waiting.value.path().read_text())
    assert waiting.value.suggested_filename == "adult_pa.dcm.json"
    assert (record["file"], record["status"], len(record["findings"])) == ("adult_pa.dcm", "ok", 14)
    assert verdict(page).inner_text().lower() == record["verdict"]


def test_batch_of_films_with_a_bad_one_among_them(page: Page, tmp_path):
    bad = tmp_path / "empty.dcm"
    bad.write_bytes(b"")
    upload(page, *sorted(FOLDER.glob("*.[dj]*")), bad)
    expect(films(page).get_by_role("radio")).to_have_count(4)
    expect(films(page).get_by_text("Not analysed")).to_have_count(1)


def test_card_opens_and_the_films_are_still_there_after(page: Page):
    upload(page, ADULT)
    expect(verdict(page)).to_be_visible()
    page.get_by_role("link", name="Card", exact=True).click()
    expect(page.get_by_role("heading", name="Model card: default")).to_be_visible()
    page.get_by_role("link", name="Read a film").click()
    expect(films(page).get_by_text("adult_pa.dcm")).to_be_visible()


def test_nothing_is_asked_of_the_internet(page: Page, address: str):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    upload(page, ADULT)
    expect(verdict(page)).to_be_visible()
    assert [
        url for url in asked if not url.startswith((address, "data:", "blob:", address.replace("http", "ws")))
    ] == []
