"""Give every hostile file to the app's decoder and print what came of it: `python -m scripts.hostile_files > table.md`.

Each gets a process of its own, so that the most memory that it took can be told.
"""

import sys
import threading
import time
from pathlib import Path

from cxr.radiograph.decoding_process import Limits
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.isolated import Decoder
from cxr.settings import settings
from scripts.hostile_files.bombs import READ, Bomb, bombs

HEAD = ("input", "size", "what comes out", "ms", "peak MB")


def main() -> None:
    chosen = settings()
    limits = Limits(chosen.decode_megabytes, chosen.decode_seconds, int(chosen.max_megapixels * 1e6))
    print(f"| {' | '.join(HEAD)} |\n|---|---:|---|---:|---:|")
    wrong = 0
    for bomb in bombs():
        row, as_it_should = _tried(bomb, limits)
        print(f"| {' | '.join(row)} |", flush=True)
        wrong += not as_it_should
    sys.exit(f"{wrong} came out otherwise than they should." if wrong else 0)


def _tried(bomb: Bomb, limits: Limits) -> tuple[tuple[str, ...], bool]:
    data = bomb.make()
    decoder = Decoder(limits, 1)
    peak = _Peak(decoder.pids()[0])
    start = time.perf_counter()
    try:
        decoder.read(data)
        outcome = READ
    except UnreadableFilm as error:
        outcome = str(error)
    milliseconds = 1000 * (time.perf_counter() - start)
    # A fast machine may read what takes another one too long.
    as_it_should = bomb.outcome in outcome or (bomb.slow and outcome == READ)
    highest = peak.stop()
    decoder.close()
    return (bomb.name, _size(len(data)), outcome, f"{milliseconds:,.0f}", f"{highest:,.0f}"), as_it_should


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1e3:,.0f} KB" if count < 1_000_000 else f"{count / 1e6:,.0f} MB"


class _Peak:
    """The most memory that a process held so far, looked at until it ends."""

    def __init__(self, pid: int):
        self._status = Path(f"/proc/{pid}/status")
        self._stopped = threading.Event()
        self._highest = 0.0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """Megabytes."""
        self._stopped.set()
        self._thread.join()
        return self._highest

    def _watch(self) -> None:
        while not self._stopped.wait(0.005):
            self._look()
        self._look()

    def _look(self) -> None:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            if line.startswith("VmHWM:"):
                self._highest = max(self._highest, int(line.split()[1]) / 1024)


if __name__ == "__main__":
    main()
