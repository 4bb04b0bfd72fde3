"""`python -m cxr dataset`."""

import json

import pytest
from kaggle_folder import FILMS_EACH, PATIENTS, SHARDS, write_folder

from cxr.cli import main
from cxr.findings import CATEGORIES
from cxr.settings import settings


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "set")


def test_counts_nih_s_table_when_no_folder_is_given(capsys):
    assert main(["dataset"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("NIH ChestX-ray14: 112,120 films of 30,805 patients, 46.2% with any finding\n")
    assert "  19,894  Infiltration\n" in said


def test_json_has_everything(folder, capsys):
    assert main(["dataset", "--data", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    films = PATIENTS * FILMS_EACH
    assert (found["films"], found["patients"], found["shards"]) == (films, PATIENTS, SHARDS)
    assert (found["films_in_shards"], found["any_finding"]) == (films, 0.5)
    assert list(found["categories"]) == list(CATEGORIES)
    assert (found["categories"]["Mass"], found["faults"]) == (60, [])
    assert found["test_films_known"] == pytest.approx(1 - 0.2**2)


def test_folder_of_the_settings_is_taken(folder, changed_settings, capsys):
    changed_settings.setenv("CXR_DATA", str(folder))
    settings.cache_clear()
    assert main(["dataset"]) == 0
    assert f"{folder.name}: 120 films" in capsys.readouterr().out


def test_damaged_shard_is_told_and_fails_the_check(folder, capsys):
    shard = sorted(folder.rglob("*.tfrec"))[0]
    shard.write_bytes(shard.read_bytes()[:-5])
    assert main(["dataset", "--data", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "119 of the films lie in 4 shards" in said
    assert f"{shard.name}, offset" in said


def test_bad_table_is_told_with_all_its_problems(folder, capsys):
    table = folder / "preprocessed_data.csv"
    table.write_text(table.read_text().replace("00000001_000.png,0", "one,7"))
    assert main(["dataset", "--data", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "“one” is not an image id (row 2)" in said
    assert "“No Finding” holds “7”, neither 0 nor 1 (row 2)" in said


def test_folder_that_is_not_there_is_told(tmp_path, capsys):
    assert main(["dataset", "--data", str(tmp_path / "none")]) == 1
    assert "There is no preprocessed_data.csv in it" in capsys.readouterr().err
