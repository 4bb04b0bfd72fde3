"""Memory that films took goes back to the system; what the program consists of is not searched for garbage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr import heap
from cxr.settings import ROOT

PROGRAM = """
import time
from pathlib import Path
from cxr import heap

def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

# Small blocks, of which every hundredth stays: glibc can take back none of the rest by itself.
start = pages()
blocks = [bytes(4000) for _ in range(20_000)]
kept = blocks[::100]
most = pages() - start
del blocks
left = pages() - start
assert heap.give_memory_back()
print(left / most, (pages() - start) / most)
"""

SERVED = """
import asyncio, gc, sys
import app
from cxr.ui import server

async def served():
    async with server.lifespan(None):
        objects = gc.get_objects()
        print(gc.get_freeze_count(), len(objects), "cxr.ui.worklist.desk" in sys.modules, "tensorflow" in sys.modules)

asyncio.run(served())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone keeps it")
def test_free_memory_between_what_stays_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert before > 0.5
    assert after < 0.4


def test_it_is_not_tried_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_last", heap.time.monotonic())
    assert not heap.give_memory_back()


def test_a_server_spares_what_its_pages_consist_of(tmp_path: Path) -> None:
    places = {"CXR_WORKLIST_DIR": str(tmp_path), "CXR_RUNS_DIR": str(tmp_path / "runs")}
    command = [sys.executable, "-c", SERVED]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | places, capture_output=True, text=True, check=True)
    spared, left, pages, tensorflow = done.stdout.splitlines()[-1].split()
    assert int(spared) > 200_000
    assert int(left) < 20_000
    assert (pages, tensorflow) == ("True", "False")
