"""How smooth the film viewer is on a large film, how many bytes a film costs, and how soon it is seen.

    python -m benchmarks.viewer [--side 3000] [--seconds 4] [--json benchmarks/viewer.json]

- Frames a second in headless Chromium while window, place and zoom are dragged, with the heatmap off and on: time
  between `requestAnimationFrame` calls, one movement of the pointer each; the median, and what 95 of 100 frames reach.
  There is no graphics card here, so the viewer draws on a plain canvas; for comparison WebGL2 drawn by the processor.
  Run it on an idle machine: `load_before` says whether it was.
- Bytes that travel per film, against raw 16-bit pixels and a 16-bit PNG; and how long packing and a PNG take.
- From the click that calls the viewer to the first picture, packing included, and again with what the browser has kept.
"""

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.viewer_film import SAMPLE, large_film
from cxr.radiograph import full_depth
from cxr.ui.viewer.packing import pack

PORT = 8791
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
AS_WITH_A_GRAPHICS_CARD = """
const all = WebGL2RenderingContext.prototype.getExtension
WebGL2RenderingContext.prototype.getExtension = function (name) {
  return name === "WEBGL_debug_renderer_info" ? null : all.call(this, name)
}
"""
DRAG = """
async ([button, seconds]) => {
  const host = [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")][0]
  const pane = host.shadowRoot.querySelector(".pane")
  pane.setPointerCapture = () => {}
  const box = pane.getBoundingClientRect()
  const at = (kind, n) => pane.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button, bubbles: true, composed: true, pointerType: "mouse",
    clientX: box.x + box.width / 2 + 120 * Math.sin(n / 20), clientY: box.y + box.height / 2 + 90 * Math.sin(n / 31),
  }))
  const times = []
  at("pointerdown", 0)
  const start = performance.now()
  for (let n = 0; performance.now() - start < 1000 * seconds; n++) {
    at("pointermove", n)
    times.push(await new Promise(requestAnimationFrame))
  }
  at("pointerup", 0)
  return times.slice(1).map((time, n) => time - times[n])
}
"""


def frames(page: Page, button: int, seconds: float) -> dict[str, float]:
    """Frames a second while a button is held and the pointer moves."""
    page.evaluate(DRAG, [button, seconds / 4])  # textures are made and code is compiled at the first frames
    apart = sorted(page.evaluate(DRAG, [button, seconds]))
    slow = apart[int(0.95 * (len(apart) - 1))]
    return {
        "frames": len(apart),
        "median_fps": round(1000 / statistics.median(apart), 1),
        "slow_fps": round(1000 / slow, 1),
    }


def smoothness(page: Page, seconds: float) -> dict[str, Any]:
    pane = page.locator(".pane").first
    found: dict[str, Any] = {"painter": pane.get_attribute("data-painter")}
    size = pane.bounding_box()
    found["canvas"] = [round(size["width"]), round(size["height"])]
    for heat in ("heatmap off", "heatmap on"):
        for name, button in (("window", 0), ("move", 1), ("zoom", 2)):
            found[f"{name}, {heat}"] = frames(page, button, seconds)
            page.keyboard.press("f")
        page.keyboard.press("h")
    return found


def first_picture(page: Page) -> float:
    """Seconds from the click to the film."""
    page.goto(f"http://127.0.0.1:{PORT}")
    button = page.get_by_role("button", name="Show")
    button.wait_for(timeout=120_000)
    sleep(1)
    start = perf_counter()
    button.click()
    page.locator(".pane[data-painter]").first.wait_for(timeout=120_000)
    return round(perf_counter() - start, 2)


def bytes_of(data: bytes) -> dict[str, Any]:
    """What a film weighs on its way, and what the ways cost."""
    depth = full_depth(data)
    start = perf_counter()
    packed = pack(depth.levels, depth.curve)
    packing = perf_counter() - start
    file = io.BytesIO()
    start = perf_counter()
    Image.fromarray(depth.levels).save(file, "PNG")
    png = perf_counter() - start
    raw = depth.levels.nbytes
    return {
        "size": list(depth.levels.shape),
        "raw_bytes": raw,
        "png_bytes": file.tell(),
        "sent_bytes": len(packed.data),
        "sent_of_raw": round(len(packed.data) / raw, 3),
        "sent_of_png": round(len(packed.data) / file.tell(), 3),
        "pack_seconds": round(packing, 2),
        "png_seconds": round(png, 2),
    }


def in_browser(data: bytes, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        film = Path(scratch) / "film.dcm"
        film.write_bytes(data)
        app = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "streamlit", "run", "benchmarks/viewer_page.py", "--server.port", str(PORT)],
            env=os.environ | {"VIEWER_FILM": str(film), "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health", timeout=1).read()
                    break
                except OSError:
                    sleep(0.3)
            found: dict[str, Any] = {}
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                for way, script in (("2D canvas", ""), ("WebGL2 without a graphics card", AS_WITH_A_GRAPHICS_CARD)):
                    context = browser.new_context(viewport={"width": 1440, "height": 1000})
                    context.add_init_script(script or "undefined")
                    page = context.new_page()
                    seen = {"first_picture_seconds": first_picture(page), "again_seconds": first_picture(page)}
                    found[way] = seen | smoothness(page, seconds)
                    context.close()
                browser.close()
            return found
        finally:
            app.terminate()
            app.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    data = large_film(args.side)
    load = os.getloadavg()[0]
    record = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load_before": round(load, 1),
        },
        "bytes": {
            f"sample enlarged to {args.side} x {args.side}": bytes_of(data),
            SAMPLE.name: bytes_of(SAMPLE.read_bytes()),
        },
        "browser": in_browser(data, args.seconds),
    }
    text = json.dumps(record, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
