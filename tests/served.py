"""The app, served for a test in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cxr.settings import ROOT

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
"""Of Chromium."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_app(
    place: Path, port: int, script: str = "app.py", options: Sequence[str] = (), **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The app on a port, in a process of its own, with some settings; its log must hold no traceback.

    Args:
        place: folder for its log.
        port: a free one.
        script: what is run, from the project's root.
        options: of Streamlit's command, such as "--secrets.files" and a path.
        settings: `CXR_*` variables; the worklist is in `place` unless they say otherwise.
    """
    log = place / "log.txt"
    # Never the developer's own, nor that of the tests in this process.
    settings.setdefault("CXR_WORKLIST_DIR", str(place / "worklist"))
    with log.open("a") as output:
        app = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), *options],
            cwd=ROOT, env=os.environ | settings, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
                break
            except OSError:
                assert app.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.3)
        yield app
        said = log.read_text()
        assert not any(word in said for word in ("Traceback", " ERROR ", '"level": "error"')), said
    finally:
        app.terminate()
        try:
            app.wait(timeout=20)
        except subprocess.TimeoutExpired:
            # It waits for open pages to let go of it.
            app.kill()
            app.wait(timeout=20)
