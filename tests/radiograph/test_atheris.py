"""A minute of what `make fuzz` does for longer: files that Atheris makes come out as a film or a refusal."""

import json
import os
import subprocess
import sys

import pytest

from cxr.settings import ROOT

SECONDS = 45
pytest.importorskip("atheris")


def test_a_minute_of_fuzzing_finds_nothing_that_is_no_refusal(tmp_path):
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "scripts.fuzz_read_radiograph", "--seconds", str(SECONDS), "--json", str(record)]
    environment = os.environ | {"CXR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    found = json.loads(record.read_text())
    assert done.returncode == 0, found["found"]
    assert found["files"] > 100
