"""Fuzz the readers with Atheris: `python -m scripts.fuzz_read_radiograph --seconds 3600`, or `make fuzz SECONDS=3600`.

Only `UnreadableFilm` may come out of `read_radiograph` and `full_depth`, in 5 seconds and 512 MB. The corpus, and the
files that broke something, are kept in the cache folder under `fuzz`. Codecs are native code: what crashes in one ends
the fuzzing process, and is written down and begun again. In the app such a file is a refusal; each is given to the app's
own decoder to see that.

The exit status is 1 where something else came out, or a crash was no refusal. With `--json` what was tried and found is
kept, as `benchmarks/fuzz.json` is.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.isolated import decoder
from cxr.settings import settings

MOST_FAILURES: Final = 5
COUNTED: Final = re.compile(r"^#(\d+)\t|^stat::number_of_executed_units: (\d+)")
"""How many files the fuzzer has tried, in its own words."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    record = _supervise(settings().cache_dir / "fuzz", args.seconds)
    print(json.dumps(record, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(int(any(not finding["refused"] for finding in record["found"])))


def _supervise(folder: Path, seconds: int) -> dict[str, Any]:
    """Run the fuzzer until the time is over, again after each crash; returns what was tried and what was found."""
    from scripts.hostile_files.seeds import seeds

    corpus, crashes = folder / "corpus", folder / "crashes"
    for made in (corpus, crashes):
        made.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (corpus / name).write_bytes(data)
    start, found, tried, runs, failures = time.monotonic(), list[dict[str, object]](), 0, 0, 0
    until = start + seconds
    known = {file.name for file in crashes.iterdir() if file.suffix != ".json"}
    while (left := int(until - time.monotonic())) > 2:
        runs += 1
        command = [sys.executable, "-m", "scripts.hostile_files.fuzz_target", str(folder), str(left)]
        code, count = _run(command)
        tried += count
        for file in sorted(crashes.iterdir()):
            if file.name in known or file.suffix == ".json":
                continue
            known.add(file.name)
            finding = _judge(file)
            file.with_name(f"{file.name}.json").write_text(json.dumps(finding) + "\n")
            found.append(finding)
            print("FOUND", json.dumps(finding), flush=True)
            failures = -1
        if code == 0:
            break
        failures += 1
        if failures == MOST_FAILURES:
            sys.exit("The fuzzer ends again and again without having found anything.")
        time.sleep(1)
    return {"seconds": round(time.monotonic() - start), "runs": runs, "files": tried, "found": found}


def _run(command: list[str]) -> tuple[int, int]:
    """Run the fuzzer, its words shown; returns its exit status and how many files it tried."""
    tried = 0
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:  # noqa: S603
        for line in process.stderr or ():
            sys.stderr.write(line)
            if counted := COUNTED.match(line):
                tried = max(tried, int(counted[1] or counted[2]))
    return process.returncode, tried


def _judge(file: Path) -> dict[str, object]:
    """What the app's own decoder makes of a file that broke the fuzzer."""
    data = file.read_bytes()
    start = time.monotonic()
    finding: dict[str, object] = {"file": file.name, "bytes": len(data), "sha256": sha256(data).hexdigest()}
    alone = [
        sys.executable,
        "-c",
        "import sys; from cxr.radiograph import read_radiograph as r; r(sys.stdin.buffer.read())",
    ]
    done = subprocess.run(alone, input=data, capture_output=True, check=False, timeout=300)  # noqa: S603
    finding["in_process"] = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or done.returncode
    try:
        decoder().read(data)
        finding |= {"refused": file.name.startswith("slow-unit"), "sentence": "It is read."}
    except UnreadableFilm as error:
        # That the decoder failed with an exception of its own is a bug in the readers, if a harmless one.
        finding |= {"refused": done.returncode < 0 or b"UnreadableFilm" in done.stderr, "sentence": str(error)}
    return finding | {"seconds": round(time.monotonic() - start, 2)}


if __name__ == "__main__":
    main()
