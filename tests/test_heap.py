"""Memory that films took goes back to the system."""

import subprocess
import sys

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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone keeps it")
def test_free_memory_between_what_stays_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert before > 0.5
    assert after < 0.4


def test_it_is_not_tried_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_last", heap.time.monotonic())
    assert not heap.give_memory_back()
