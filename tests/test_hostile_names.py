"""Names of files that mean harm, by every way that films come in and reports go out; cells that would be formulas."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reported_study import film_row, opinion_row, study_row
from synthetic import encoded, synthetic_film

from cxr.cli import main
from cxr.files import printable
from cxr.report.csv_cells import csv_text, harmless, harmless_table
from cxr.report.draft import report_text
from cxr.report.study_report import study_pdf
from cxr.samples import FOLDER
from cxr.settings import settings
from cxr.ui.words import plain
from cxr.worklist import database as databases
from cxr.worklist.film_folder import film_folder
from cxr.worklist.identity import LONGEST_NAME, clean_name
from cxr.worklist.inbox import Inbox
from cxr.worklist.intake import take_in
from cxr.worklist.opinions import View
from cxr.worklist.query import Query
from cxr.worklist.studies import list_studies

NAMES = {
    "out": "../../../etc/cron.d/film.png",
    "out, backwards": "..\\..\\film.png",
    "absolute": "/etc/passwd",
    "a folder": "..",
    "NUL": "film\0.png",
    "long": "x" * 4096 + ".png",
    "long in another script": "\u6f22" * 1365 + ".png",
    "markup": "<script>alert(1)</script>.png",
    "markdown": "[a](javascript:alert(1)) :red[x] $x$.png",
    "the other way": "film\u202egnp.exe",
    "two lines": "film.png\nfilm: refused.png",
    "a terminal's": "\x1b]0;owned\x07\x1b[2Jfilm.png",
    "half of a letter": "\udcff\udc80.png",
    "a formula": "=HYPERLINK(A1).png",
    "quotes": '"; filename="evil.html',
    "nothing": "",
}  # fmt: skip
ON_DISK = [
    kind
    for kind, name in NAMES.items()
    if name and "/" not in name and "\0" not in name and name[0] != "."
    and len(name.encode(errors="surrogateescape")) < 255
]  # fmt: skip
"""Names that a file system takes and that are not hidden."""


def film(seed: int) -> bytes:
    return encoded(synthetic_film(np.random.default_rng(seed), (20, 20)), "PNG")


@pytest.fixture
def db(changed_settings, tmp_path):
    """An empty worklist."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    settings.cache_clear()
    yield databases.database()
    databases.database().dispose()
    databases._opened.clear()


def kept(db) -> str:
    """The name of the only study."""
    ((row,), _) = list_studies(db, Query())
    return row.name


def check(name: str) -> None:
    """A name as anything may show and store it."""
    assert 0 < len(name) <= LONGEST_NAME and name.isprintable() and name.strip(". ")
    assert not set(name) & set("/\\\0\n\x1b\u202e") or "\\ud" in name
    name.encode()


@pytest.mark.parametrize("kind", NAMES)
def test_a_dropped_film_has_a_harmless_name(db, kind, tmp_path):
    take_in(db, film_folder(), NAMES[kind], film(1), who="Ada", source="drop")
    check(kept(db))
    assert {path.name for path in tmp_path.iterdir()} == {"worklist"}


@pytest.mark.parametrize("kind", [kind for kind in NAMES if NAMES[kind] and kind != "half of a letter"])
def test_so_has_one_of_an_archive_or_it_is_refused(db, kind, tmp_path, capsys):
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as file:
        # The module would cut a name at NUL and turn separators round; an attacker's program does not.
        info = zipfile.ZipInfo("film.png")
        info.filename = NAMES[kind]
        file.writestr(info, film(2))
    status = main(["ingest", "--no-score", str(archive)])
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\u202e" not in said and "\0" not in said and said.count("\n") == 2
    if status == 0:
        check(kept(db))
    else:
        assert "leads out of the archive" in said
    assert {path.name for path in tmp_path.iterdir()} == {"worklist", "films.zip"}


@pytest.mark.parametrize("kind", ON_DISK)
def test_so_has_one_of_the_inbox_and_of_the_command_line(db, kind, tmp_path, capsys):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / NAMES[kind]).write_bytes(film(3))
    assert main(["ingest", "--no-score", str(inbox)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\u202e" not in said and said.count("\n") == 2
    (inbox / f"no film {NAMES[kind]}").write_bytes(b"text")
    watch = Inbox(inbox, db, film_folder(), patience_seconds=0)
    for _ in range(4):
        watch.poll()
    check(kept(db))
    (problem,) = watch.problems
    assert problem.file.isprintable() and problem.sentence.isprintable()
    (note,) = (inbox / "refused").glob("*.why.txt")
    assert note.read_text().count("\n") == 1


def test_classify_writes_where_it_was_told_and_says_one_line_a_film(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    files = [tmp_path / "in" / NAMES[kind] for kind in ON_DISK]
    for file in files:
        file.write_bytes(b"no film")
    (tmp_path / "in" / NAMES["a formula"]).write_bytes((FOLDER / "adult_pa.dcm").read_bytes())
    assert main(["classify", *map(str, files), "--heatmaps", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\u202e" not in said
    assert said.count(": not analysed.") == len(files) - 1
    assert all(line.startswith(("/", "  ", "Research")) for line in said.splitlines())
    assert main(["classify", *map(str, files), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in answers] == [str(file) for file in files]
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out"}


@pytest.mark.parametrize("kind", NAMES)
def test_pages_show_a_name_as_it_is_and_in_one_direction(kind):
    shown = plain(NAMES[kind])
    assert "\u202e" not in shown and "\x1b" not in shown and "\0" not in shown
    assert "<script" not in shown.replace("\\<", "") and "](" not in shown
    shown.encode()


@pytest.mark.parametrize("kind", NAMES)
def test_reports_hold_no_name_of_a_file_and_are_whole(kind):
    name = NAMES[kind]
    study = replace(study_row("PA", name=name), films=(film_row("PA", 1, name=name),))
    text = report_text(study, opinion_row(View("informed", abnormal="no")))
    document = bytes(study_pdf(study, {}, "Dr Ada", None, None))
    assert document.startswith(b"%PDF") and document.rstrip().endswith(b"%%EOF")
    for word in ("script", "HYPERLINK", "cron", "evil"):
        assert word not in text


def test_what_can_be_printed_stays():
    for name in ("R\u00f6ntgen 1.png", "\u6f22\u5b57.dcm", "a b (2).png"):
        assert printable(name) == clean_name(name) == name


FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1+1",
    "=",
    "-",
    "+1-1",
]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_cell_that_would_be_a_formula_is_text(cell):
    table = pd.DataFrame({cell: [cell], "n": [-1.5]})
    back = pd.read_csv(io.StringIO(csv_text(table)), dtype=str, keep_default_na=False)
    assert harmless(cell) == "'" + cell.replace("\r", "\n")
    assert back.columns[0].startswith("'") and back.iloc[0, 0].startswith("'")
    assert back.iloc[0, 1] == "-1.5"
    shown = harmless_table(table.set_index(pd.Index([cell])))
    assert shown.index[0] == harmless(cell) and shown["n"].dtype == float


def test_no_cell_begins_a_row_of_its_own():
    table = pd.DataFrame({"name": ["a\r=1", "b\r\n@1", "c\n+1"]})
    back = pd.read_csv(io.StringIO(csv_text(table), newline=""))
    assert back["name"].tolist() == ["a\n=1", "b\n@1", "c\n+1"]


def test_numbers_and_words_stay_what_they_are():
    table = pd.DataFrame(
        {
            "name": ["00000001_000.png", "a-b", "a=b", "", None],
            "number": [-1.5, 0, 2e-7, np.nan, np.inf],
            "count": [-3, 0, 1, 2, 3],
            "said": ["-0.25", "+3", "-1e-5", "1,234", "-5%"],
            "kind": pd.Categorical(["PA", "AP", "PA", "AP", "PA"]),
            "when": pd.to_datetime(["2026-01-01"] * 5),
            "yes": [True, False, True, False, True],
        }
    )
    assert csv_text(table) == table.to_csv(index=False)
    pd.testing.assert_frame_equal(harmless_table(table), table)


def test_every_table_that_is_saved_goes_through_it():
    """No page or widget writes CSV by itself."""
    root = settings().models_dir.parent
    writing = [
        file.relative_to(root).as_posix()
        for folder in ("pages", "cxr/ui", "cxr/report")
        for file in (root / folder).rglob("*.py")
        if ".to_csv(" in file.read_text()
    ]
    assert writing == ["cxr/report/csv_cells.py"]
