"""What a film says of its patient is in no log, audit line, count or word on health, whatever becomes of it."""

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pydicom import dcmread
from served import free_port, running_app

from cxr.samples import FOLDER
from cxr.settings import ROOT

pytestmark = pytest.mark.browser

MARKS = {
    "PatientName": "Zzmarkedname^Jane",
    "PatientID": "ZZID4711",
    "AccessionNumber": "ZZACC42",
    "StudyInstanceUID": "1.2.826.0.1.999.424242",
    "PatientBirthDate": "19010203",
    "StudyDescription": "Zzdescription",
    "ReferringPhysicianName": "Zzreferrer",
}
FILE = "zzfile"
WORDS = [word for value in MARKS.values() for word in value.split("^") if word != "Jane"] + [FILE]


def marked(seed: int, **changes: object) -> bytes:
    """The shipped DICOM film, of somebody whose every word can be found again."""
    film = dcmread(FOLDER / "adult_pa.dcm")
    for keyword, value in (MARKS | changes).items():
        setattr(film, keyword, value)
    film.StudyInstanceUID = film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = (
        f"{MARKS['StudyInstanceUID']}.{seed}"
    )
    file = io.BytesIO()
    film.save_as(file)
    return file.getvalue()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Address and settings of an app that watches an inbox, counts, and logs all it can."""
    (tmp_path / "inbox").mkdir()
    settings = {
        "CXR_WORKLIST_DIR": str(tmp_path / "worklist"),
        "CXR_INBOX": str(tmp_path / "inbox"),
        "CXR_METRICS": "1",
        "CXR_LOG_FORMAT": "json",
        "CXR_LOG_LEVEL": "debug",
    }
    port = free_port()
    with running_app(tmp_path, port, **settings):
        yield f"http://127.0.0.1:{port}", settings


def cxr(settings: dict[str, str], *arguments: str) -> list[dict]:
    """Lines of JSON that a command prints."""
    command = [sys.executable, "-m", "cxr", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_a_film_says_of_its_patient_stays_in_the_film(browser: Browser, app, tmp_path: Path) -> None:
    address, settings = app
    files = {
        f"{FILE}-good.dcm": marked(1),
        f"{FILE}-cut.dcm": marked(2)[:30_000],
        # Values that pydicom warns of, and quotes.
        f"{FILE}-odd.dcm": marked(3, PatientBirthDate="zzid4711-no-date", WindowWidth="0"),
        f"{FILE}.png": b"\x89PNG\r\n\x1a\n" + b"ZZID4711" * 20,
        f"{FILE}.txt": b"ZZID4711",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    page = browser.new_context().new_page()
    page.set_default_timeout(60_000)
    for place, end in (("read_film", "5 films|4 not analysed|not analysed"), ("worklist", "Not taken in")):
        page.goto(f"{address}/{place}?study={FILE}")
        page.locator("input[type=file]").first.set_input_files([str(tmp_path / name) for name in files])
        expect(page.get_by_text(re.compile(end, re.IGNORECASE)).first).to_be_visible()
    (tmp_path / "inbox" / f"{FILE}-inbox.dcm").write_bytes(marked(4))
    deadline = time.monotonic() + 90
    while True:
        studies = cxr(settings, "worklist", "--all")
        if len(studies) >= 5 and all(one["verdict"] or one["not_analysed"] for one in studies):
            break
        assert time.monotonic() < deadline, studies
        time.sleep(1)
    page.context.close()
    seen = {"log": (tmp_path / "log.txt").read_text()}
    for path in ("healthz", "metrics"):
        seen[path] = urllib.request.urlopen(f"{address}/{path}", timeout=20).read().decode()  # noqa: S310 - our own
    audit = cxr(settings, "audit", "show", "--last", "500")
    seen["audit"] = json.dumps(audit)
    assert {"Data import", "Film scored", "Film not analysed"} <= {line["event"] for line in audit}
    assert "cxr_films_read_total" in seen["metrics"] and '"disk":true' in seen["healthz"]
    assert '"event": "Application startup complete."' in seen["log"]
    found = [(where, word) for where, text in seen.items() for word in WORDS if word.lower() in text.lower()]
    assert found == []
