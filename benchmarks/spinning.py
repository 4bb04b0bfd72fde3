"""How long ONNX Runtime's threads should stay awake when they have nothing to do, on an idle machine and on a busy one.

    python -m benchmarks.spinning [--turns 8] [--json benchmarks/spinning.json]

A process for each setting runs the serving graph, a film at a time with a pause between, in turns: with nothing beside
it, and with as many processes that only count as there are cores. Medians of the time of a film and of the processor
time that it takes of all cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any, Final

import numpy as np
import onnxruntime

from benchmarks.machine import machine
from cxr.model.bundle import GRAPH_FILE, LOGITS, MAPS, bundle_path, load_probe

KEY: Final = "session.intra_op.spin_duration_us"
SETTINGS: Final = ("as it comes", "0", "20", "50", "200", "1000")
"""Microseconds."""
FILMS: Final = 12
PAUSE: Final = 0.02


def times(setting: str) -> dict[str, list[float]]:
    """Milliseconds on the clock and of processor time of some films, in this process."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if setting != "as it comes":
        options.add_session_config_entry(KEY, setting)
    folder = bundle_path("default")
    session = onnxruntime.InferenceSession(folder / GRAPH_FILE, options, providers=["CPUExecutionProvider"])
    film = {session.get_inputs()[0].name: load_probe(folder).films[:1].astype(np.float32)[..., None]}
    found: dict[str, list[float]] = {"clock": [], "processor": []}
    for number in range(FILMS + 2):
        sleep(PAUSE)
        clock, processor = perf_counter(), process_time()
        session.run([LOGITS, MAPS], film)
        clock = perf_counter() - clock
        # What the threads do afterwards counts too.
        sleep(PAUSE)
        if number >= 2:
            found["clock"].append(1000 * clock)
            found["processor"].append(1000 * (process_time() - processor))
    return found


@contextmanager
def company(count: int) -> Iterator[None]:
    """So many processes that only count, meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(times(arguments.one)))
        return
    record: dict[str, Any] = {"machine": machine()}
    for label, beside in (("idle", 0), ("busy", os.cpu_count() or 1)):
        kept: dict[str, dict[str, list[float]]] = {name: {"clock": [], "processor": []} for name in SETTINGS}
        with company(beside):
            for _ in range(arguments.turns):
                for name in SETTINGS:
                    done = subprocess.run(  # noqa: S603 (our own interpreter and module)
                        [sys.executable, "-m", "benchmarks.spinning", "--one", name],
                        capture_output=True,
                        text=True,
                        check=True,
                    )
                    for kind, values in json.loads(done.stdout).items():
                        kept[name][kind] += values
        record[label] = {
            name: {kind: round(statistics.median(values), 1) for kind, values in both.items()}
            for name, both in kept.items()
        }
        print(label, json.dumps(record[label]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
