"""How long from the bytes of a film to its verdict, against two ways without a serving graph, and against the floor.

    make bench      or: python -m benchmarks.speed [--turns 6] [--json benchmarks/speed.json]

Everything in one run on one machine, in turns, so that a busy moment hits all alike; each contestant in a process of
its own (`benchmarks.contestants`) that waits while another runs. Medians over all runs.

(a) Keras `predict` and one Grad-CAM of tf-keras-vis, with the same bundle.
(b) TorchXRayVision's DenseNet-121 and one Grad-CAM of pytorch-grad-cam, against a bundle of that architecture; both
    with random weights, which take as long as others.
(c) The bare serving graph.
(d) The graph's multiplications and additions at the speed of this machine's own float32 matrix product.

(a) and (b) start from the square that the model sees and draw one finding's map; the product draws all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.arithmetic import multiply_adds
from benchmarks.contestants import BATCH_FILMS, DENSENET, FILMS, MATRIX
from benchmarks.machine import machine
from benchmarks.speed_table import speed_table
from cxr.model.bundle import GRAPH_FILE, bundle_path
from cxr.samples import FOLDER
from cxr.settings import ROOT

TURNS: Final = 6
STARTS: Final = 5
RUNS: Final = {
    "product": {**dict.fromkeys(FILMS, 8), **{f"{kind} decoding": 8 for kind in FILMS}, "graph": 12, "batch": 1},
    # Apart, because the runtime keeps the memory that many films at once take.
    "batches": {"batch graph": 2},
    "one core": {"batch": 1, "batch graph": 2, "graph": 6},
    "keras": {"predict": 2, "both": 3},
    DENSENET: {"jpeg": 8, "graph": 12},
    "torch": {"forward": 4, "both": 4},
    "openvino": {"as it comes": 12, "float32": 12},
    "openvino densenet": {"as it comes": 8, "float32": 8},
    "machine": {"product": 4},
}
"""How often each task of each contestant runs in a turn."""
PACKAGES: Final = (
    *("onnxruntime", "openvino", "keras", "tensorflow", "tf-keras-vis", "torch", "torchxrayvision", "grad-cam"),
    *("numpy", "pillow", "pydicom", "pylibjpeg-openjpeg"),
)


class Contestant:
    """A process that runs tasks when it is asked to.

    Args:
        name: of `benchmarks.contestants`.
        folder: its bundle.

    Raises:
        RuntimeError: it ended; what it wrote to standard error says why.
    """

    def __init__(self, name: str, folder: Path):
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "benchmarks.contestants", name, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def time(self, task: str, runs: int) -> list[float]:
        """Seconds of each run of a task."""
        return self._ask({"do": task, "runs": runs})

    def value(self, task: str) -> Any:
        """What a task gives."""
        return self._ask({"value": task})

    def _ask(self, message: dict[str, Any]) -> Any:
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise RuntimeError(f"The contestant {self.name!r} ended ({status}). `make bench` installs what it needs.")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def contestants(default: Path, densenet: Path) -> Iterator[dict[str, Contestant]]:
    """All of them, ready."""
    with ExitStack() as stack:
        started = {}
        for name in RUNS:
            started[name] = Contestant(name, densenet if DENSENET in name else default)
            stack.callback(started[name].close)
        yield started


def starts(count: int) -> dict[str, Any]:
    """Seconds from the start of `python -m cxr classify` to its end with a verdict, and the most memory it held."""
    seconds, peaks = [], []
    for _ in range(count):
        begin = perf_counter()
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "cxr", "classify", str(FOLDER / "child_normal.jpeg")],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError("`python -m cxr classify` gave no verdict.")
        seconds.append(perf_counter() - begin)
        peaks.append(usage.ru_maxrss / 1024)
    return {"seconds": statistics.median(seconds), "peak_mb": round(statistics.median(peaks))}


def measured(turns: int) -> dict[str, Any]:
    """Everything, as it is kept in `speed.json`."""
    seconds: dict[str, list[float]] = defaultdict(list)
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        default, densenet = bundle_path("default"), Path(scratch) / DENSENET
        Contestant("make", densenet).close()
        multiplied = {"default": multiply_adds(default / GRAPH_FILE), DENSENET: multiply_adds(densenet / GRAPH_FILE)}
        start = starts(STARTS)
        with contestants(default, densenet) as started:
            rest = started["product"].value("memory")
            for turn in range(turns):
                for name, tasks in RUNS.items():
                    for task, runs in tasks.items():
                        seconds[f"{name}: {task}"] += started[name].time(task, runs)
                print(f"turn {turn + 1} of {turns}", file=sys.stderr, flush=True)
            differences = {
                "ONNX Runtime": started["product"].value("difference"),
                "OpenVINO as it comes": started["openvino"].value("as it comes, difference"),
                "OpenVINO in float32": started["openvino"].value("float32, difference"),
            }
            after = started["product"].value("memory")
    return {
        "machine": before,
        "versions": {package: version(package) for package in PACKAGES},
        "turns": turns,
        "ms": {task: round(1000 * statistics.median(times), 2) for task, times in seconds.items()},
        "quartiles_ms": {
            task: [round(1000 * q, 2) for q in statistics.quantiles(times, n=4)[::2]] for task, times in seconds.items()
        },
        "batch_films": BATCH_FILMS,
        "start": start,
        "memory_mb": {
            "at rest": round(rest["held"] / 2**20),
            "after the films": round(after["held"] / 2**20),
            "peak": round(after["peak"] / 2**20),
        },
        "largest_difference": differences,
        "multiply_adds": multiplied,
        # The fastest run: a peak is what the machine can do, not what it mostly did.
        "gflops": round(2 * MATRIX**3 / min(seconds["machine: product"]) / 1e9, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    record = measured(arguments.turns)
    print(speed_table(record))
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
