"""The film viewer: what is on the screen, against the arithmetic done here; and that none of it runs the app."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect
from served import free_port, running_app
from viewer_app import HEIGHT, SHIFT, SPACING, WIDTH, depths, grids, square

from cxr.model.heatmap import overlay, upsample
from cxr.ui.viewer.component import OWN_KEYS

pytestmark = pytest.mark.browser

AS_WITH_A_GRAPHICS_CARD = """
const all = WebGL2RenderingContext.prototype.getExtension
WebGL2RenderingContext.prototype.getExtension = function (name) {
  return name === "WEBGL_debug_renderer_info" ? null : all.call(this, name)
}
"""
"""Without a graphics card the viewer draws on a plain canvas; this hides from it that there is none."""
ONE = depths()["one"]


@pytest.fixture(scope="module")
def viewer_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place, port = tmp_path_factory.mktemp("viewer"), free_port()
    with running_app(place, port, "tests/browser/viewer_app.py", PYTHONPATH=str(Path.cwd())):
        yield f"http://127.0.0.1:{port}"


def opened(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    film(page).and_(page.locator("[data-painter]")).wait_for()
    return page


@pytest.fixture
def viewer(browser: Browser, viewer_address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="dark")
    yield opened(context, viewer_address)
    context.close()


@pytest.fixture(scope="module")
def shared(browser: Browser, viewer_address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="dark")
    yield opened(context, viewer_address)
    context.close()


@pytest.fixture
def at_rest(shared: Page) -> Iterator[Page]:
    """One page for all that the app must not hear of; each test finds the first film as at first, without boxes."""
    shared.mouse.move(0, 0)
    film(shared).focus()
    for name, key in (("model", "q"), ("compare", "p"), ("boxes", "b")):
        if shared.locator(f"[data-action={name}]").get_attribute("aria-pressed") == "true":
            keys(shared, key)
    expect(film(shared)).to_have_attribute("aria-busy", "false")
    shared.get_by_label("Heatmap of").select_option("Effusion")
    film(shared).focus()
    keys(shared, "x", "w", "0")
    yield shared
    shared.wait_for_timeout(200)
    expect(shared.get_by_text("Runs: 1")).to_be_visible()


def film(page: Page, number: int = 0):
    return page.locator(".pane").nth(number)


def keys(page: Page, *pressed: str) -> None:
    for key in pressed:
        page.keyboard.press(key)


def corner(page: Page, name: str, number: int = 0):
    return film(page, number).locator(f".corner.{name}")


def screen(page: Page, number: int = 0) -> np.ndarray:
    """A pane as it is on the screen, int (height, width, 3), without the words in its corners."""
    page.wait_for_timeout(150)
    shot = film(page, number).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), int)


def cut(pixels: np.ndarray, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """What a film of a size covers at one to one, without a rim of 30 pixels: there may be words over it."""
    rows, columns = pixels.shape[:2]
    left, top = -round_up(width / 2 - columns / 2), -round_up(height / 2 - rows / 2)
    return pixels[top + 30 : top + height - 30, left + 30 : left + width - 30]


def round_up(value: float) -> int:
    return int(np.floor(value + 0.5))


def inner(picture: np.ndarray) -> np.ndarray:
    return picture[30:-30, 30:-30]


def middle(page: Page) -> tuple[float, float]:
    box = film(page).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, dx: int, dy: int, button: str = "left") -> None:
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up(button=button)


def heat_of(finding: str) -> np.ndarray:
    return upsample(grids()[finding], HEIGHT, WIDTH, SHIFT)


def test_film_is_shown_as_it_is_read_without_boxes_or_heat(at_rest):
    keys(at_rest, "a")
    shown = cut(screen(at_rest))
    assert (np.ptp(shown, axis=2) == 0).all(), "no colour"
    np.testing.assert_array_equal(shown[..., 0], inner(ONE.picture()))


def test_sigmoid_window_of_the_file_is_shown_as_it_is_read(viewer):
    viewer.get_by_role("button", name="Change film").click()
    expect(corner(viewer, "title")).to_have_text("Film two")
    expect(film(viewer)).to_have_attribute("aria-busy", "false")
    keys(viewer, "a", "b")
    np.testing.assert_array_equal(cut(screen(viewer))[..., 0], inner(depths()["two"].picture()))


def test_window_is_dragged_over_all_16_bits(at_rest):
    keys(at_rest, "a")
    before = cut(screen(at_rest))[..., 0]
    fields = (slice(140, 200), slice(180, 210)), (slice(140, 200), slice(225, 255))
    assert before[fields[0]].max() == before[fields[1]].min(), "8 bits can't tell them apart"
    drag(at_rest, -508, -100)
    unit = (ONE.high - ONE.low) / 512
    centre, width = (ONE.low + ONE.high) / 2 - 100 * unit, (ONE.high - ONE.low) - 508 * unit
    shown = cut(screen(at_rest))[..., 0]
    np.testing.assert_array_equal(shown, inner(ONE.picture(centre - width / 2, centre + width / 2)))
    assert shown[fields[1]].min() - shown[fields[0]].max() >= 19
    expect(corner(at_rest, "window")).to_contain_text(f"W {width:.0f}  L {ONE.zero + centre:.0f}")
    keys(at_rest, "i")
    np.testing.assert_array_equal(cut(screen(at_rest))[..., 0], 255 - shown)
    keys(at_rest, "i", "1")
    np.testing.assert_array_equal(cut(screen(at_rest))[..., 0], before)


def test_wheel_zooms_about_the_pointer_and_drags_move(at_rest):
    keys(at_rest, "a")
    x, y = middle(at_rest)
    at_rest.mouse.move(x + 90, y - 60)
    where = corner(at_rest, "pixel")
    before = [int(n) for n in re.findall(r"\d+", where.inner_text())[:2]]
    at_rest.mouse.wheel(0, -300)
    expect(corner(at_rest, "window")).not_to_contain_text("100%")
    at_rest.mouse.move(x + 91, y - 60)
    after = [int(n) for n in re.findall(r"\d+", where.inner_text())[:2]]
    assert np.abs(np.subtract(before, after)).max() <= 1
    keys(at_rest, "a", "f", "a", "m")
    drag(at_rest, 37, -21)
    moved = screen(at_rest)[..., 0]
    np.testing.assert_array_equal(cut(np.roll(moved, (21, -37), (0, 1))), inner(ONE.picture()))


def test_turned_film_is_the_film_turned(at_rest):
    keys(at_rest, "a", "]")
    shown = cut(screen(at_rest), HEIGHT, WIDTH)[..., 0]
    np.testing.assert_array_equal(shown, inner(np.rot90(ONE.picture(), -1)))
    keys(at_rest, "[", "[")
    np.testing.assert_array_equal(cut(screen(at_rest), HEIGHT, WIDTH)[..., 0], inner(np.rot90(ONE.picture())))


def test_heatmap_and_contour_lie_where_the_model_has_them(at_rest):
    keys(at_rest, "a")
    bare = cut(screen(at_rest))
    keys(at_rest, "h")
    for finding in ("Effusion", "Mass"):
        shown = cut(screen(at_rest))
        expected = inner(np.asarray(overlay(ONE.picture(), heat_of(finding), 0.6), int))
        assert np.abs(shown - expected).max() <= 2, finding
        keys(at_rest, ".")
    # Nothing speaks for the third: the film, and the sentence that says so.
    np.testing.assert_array_equal(cut(screen(at_rest)), bare)
    expect(at_rest.get_by_text("No region speaks for it.").first).to_be_visible()

    keys(at_rest, ".", "h", "t")
    heat = inner(heat_of("Effusion"))
    drawn = np.abs(cut(screen(at_rest)) - bare).max(axis=2) > 40
    above = heat >= 0.5
    crossing = np.zeros_like(above)
    crossing[:, 1:] |= above[:, 1:] != above[:, :-1]
    crossing[1:] |= above[1:] != above[:-1]
    near = np.zeros_like(above)
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            near |= np.roll(crossing, (dy, dx), (0, 1))
    assert drawn.sum() > 300
    assert not (drawn & ~near)[5:-5, 5:-5].any(), "the line is where the support crosses the threshold"
    assert drawn[crossing].mean() > 0.9


def test_lists_and_sliders_do_the_same_as_keys(at_rest):
    expect(at_rest.get_by_role("slider", name="Opacity")).to_have_value("0")
    at_rest.get_by_label("Heatmap of").select_option("Mass")
    at_rest.get_by_role("slider", name="Opacity").fill("40")
    expect(corner(at_rest, "mode")).to_have_text("Heatmap 40%: Mass")
    at_rest.get_by_label("Window", exact=True).select_option("4")
    expect(at_rest.locator("[data-part=live]")).to_have_text("Bright parts: bone, mediastinum")
    assert at_rest.get_by_role("button", name="Invert").get_attribute("aria-keyshortcuts") == "i"


def test_length_in_millimetres_at_the_detector_or_in_pixels_with_the_reason(viewer):
    keys(viewer, "a", "l")
    drag(viewer, 60, 80)
    said = viewer.locator("[data-part=live]")
    expect(said).to_contain_text("100 px. No lengths in mm: the file gives no pixel spacing.")
    viewer.get_by_role("button", name="Change film").click()
    expect(corner(viewer, "title")).to_have_text("Film two")
    expect(film(viewer)).to_have_attribute("aria-busy", "false")
    keys(viewer, "a")
    drag(viewer, 60, 80)
    length = np.hypot(60 * SPACING[1], 80 * SPACING[0])
    expect(said).to_contain_text(f"{length:.1f} mm at the detector")
    expect(viewer.locator("[data-part=note]")).to_contain_text("in the patient they are shorter")


def test_two_films_side_by_side_show_the_same_place_until_unlinked(at_rest):
    keys(at_rest, "p")
    expect(corner(at_rest, "title", 1)).to_have_text("Film two")
    expect(film(at_rest, 1)).to_have_attribute("aria-busy", "false")
    film(at_rest).hover(position={"x": 200, "y": 200})
    at_rest.mouse.wheel(0, -400)
    zoom = re.compile(r"\d+%")
    expect(corner(at_rest, "window")).not_to_contain_text("100%")
    at_rest.wait_for_timeout(200)
    first, second = (zoom.search(corner(at_rest, "window", n).inner_text())[0] for n in (0, 1))
    assert first == second
    keys(at_rest, "s")
    film(at_rest, 1).hover(position={"x": 200, "y": 200})
    at_rest.mouse.wheel(0, 300)
    expect(corner(at_rest, "window", 1)).not_to_contain_text(second)
    expect(corner(at_rest, "window", 0)).to_contain_text(first)
    keys(at_rest, "s")


def test_model_s_view_is_the_square_that_it_saw(at_rest):
    keys(at_rest, "q")
    expect(corner(at_rest, "mode")).to_have_text("Model's view, 100 × 100")
    expect(film(at_rest)).to_have_attribute("aria-busy", "false")
    keys(at_rest, "a")
    np.testing.assert_array_equal(cut(screen(at_rest), 100, 100)[..., 0], inner(square()))


def test_boxes_lie_where_they_are_and_can_be_put_away(at_rest):
    keys(at_rest, "a")
    bare = cut(screen(at_rest))
    keys(at_rest, "b")
    expect(film(at_rest)).to_have_attribute("aria-label", re.compile("with boxes of Effusion"))
    rows, columns = np.nonzero(np.ptp(cut(screen(at_rest)), axis=2) > 60)
    assert abs(columns.min() + 30 - 40) <= 2 and abs(columns.max() + 30 - 100) <= 2
    assert abs(rows.max() + 30 - 90) <= 2
    keys(at_rest, "b")
    np.testing.assert_array_equal(cut(screen(at_rest)), bare)


def test_magnifier_enlarges_what_is_under_the_pointer(at_rest):
    keys(at_rest, "a", "g")
    before = screen(at_rest)[..., 0]
    x, y = middle(at_rest)
    at_rest.mouse.move(x, y)
    under = screen(at_rest)[..., 0]
    row, column = round(under.shape[0] / 2), round(under.shape[1] / 2)
    for off in (-50, 50, 75):
        assert abs(int(under[row + off, column]) - int(before[row + round(off / 2.5), column])) <= 4


def test_list_of_keys_is_complete_and_tells_the_page_s_own(at_rest):
    keys(at_rest, "?")
    dialog = at_rest.get_by_role("dialog")
    expect(dialog).to_contain_text("Next film")
    caps = {cap for cap in dialog.locator("kbd").all_inner_texts() if " + " not in cap}
    listed = {
        cap.lower() if len(cap) == 1 else cap.replace("Page up", "PageUp").replace("Page down", "PageDown")
        for cap in caps
    }
    assert listed - set("n←→↑↓") == OWN_KEYS - {"Escape"}
    keys(at_rest, "Escape")
    expect(dialog).to_have_count(0)


def test_key_of_the_page_is_sent_to_the_app(viewer):
    keys(viewer, "n")
    expect(viewer.get_by_text("Sent: next film")).to_be_visible()
    expect(viewer.get_by_text("Runs: 2")).to_be_visible()


def test_writing_is_left_alone(viewer):
    viewer.get_by_label("Words").press_sequentially("high hip, 1 nail")
    expect(viewer.get_by_label("Words")).to_have_value("high hip, 1 nail")
    expect(corner(viewer, "mode")).to_have_text("")
    expect(viewer.get_by_text("Runs: 1")).to_be_visible()


def test_run_of_the_app_keeps_the_state_and_sends_no_pixels_and_films_do_not_mix(viewer):
    fetched = []
    viewer.on("request", lambda request: fetched.append(request.url) if "/media/" in request.url else None)
    keys(viewer, "h", ".", "i", "+")
    words = corner(viewer, "mode"), corner(viewer, "window")
    expect(words[0]).to_have_text("Inverted\nHeatmap 60%: Mass")
    before = [one.inner_text() for one in words]
    viewer.get_by_role("button", name="Run again").click()
    expect(viewer.get_by_text("Runs: 2")).to_be_visible()
    assert [one.inner_text() for one in words] == before and not fetched
    viewer.get_by_role("button", name="Change film").click()
    expect(corner(viewer, "title")).to_have_text("Film two")
    expect(words[0]).to_have_text("")
    viewer.get_by_role("button", name="Change film").click()
    expect(corner(viewer, "title")).to_have_text("Film one")
    assert [one.inner_text() for one in words] == before
    assert len(fetched) == 1, "only the other film's pixels came"
    viewer.reload()
    film(viewer).and_(viewer.locator("[data-painter]")).wait_for()
    keys(viewer, "a", "b")
    np.testing.assert_array_equal(cut(screen(viewer))[..., 0], inner(ONE.picture()))


def test_picture_is_the_same_by_webgl_and_on_a_plain_canvas(browser, viewer_address, at_rest):
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="dark")
    context.add_init_script(AS_WITH_A_GRAPHICS_CARD)
    webgl = opened(context, viewer_address)
    assert film(webgl).get_attribute("data-painter") == "WebGL2"
    assert film(at_rest).get_attribute("data-painter") == "2D canvas"
    keys(webgl, "b")
    film(webgl).focus()
    for pressed in (("a",), ("h", "f"), ("]", "-", "-", "3"), ("+", "+", "+", "g")):
        for page in (at_rest, webgl):
            keys(page, *pressed)
            page.mouse.move(*middle(page))
        # Of the edge of the magnifier a pixel or two may fall on the other side.
        apart = np.abs(screen(at_rest) - screen(webgl)).max(axis=2)
        assert (apart > 2).mean() < 1e-4, pressed
        if pressed == ("a",):
            np.testing.assert_array_equal(cut(screen(webgl))[..., 0], inner(ONE.picture()))
    context.close()


def test_film_that_does_not_come_is_said_and_can_be_asked_for_again(browser, viewer_address):
    context = browser.new_context()
    page = context.new_page()
    page.route("**/media/**", lambda route: route.fulfill(status=404))
    page.goto(viewer_address)
    expect(film(page).get_by_text("The film could not be fetched (404).")).to_be_visible()
    page.unroute("**/media/**")
    page.get_by_role("button", name="Try again").click()
    film(page).and_(page.locator("[data-painter]")).wait_for()
    context.close()


def test_two_fingers_zoom_and_one_does_what_the_tool_does(browser, viewer_address):
    context = browser.new_context(viewport={"width": 1024, "height": 1100}, has_touch=True)
    page = opened(context, viewer_address)
    keys(page, "a")
    touch = context.new_cdp_session(page)
    x, y = middle(page)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (x - 50, y), (x + 50, y))
    for reach in (60, 80, 100):
        fingers("touchMove", (x - reach, y), (x + reach, y))
    fingers("touchEnd")
    expect(corner(page, "window")).to_contain_text("200%")
    before = corner(page, "window").inner_text()
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 40, y))
    fingers("touchEnd")
    expect(corner(page, "window")).not_to_have_text(before)
    expect(page.get_by_text("Runs: 1")).to_be_visible()
    context.close()
