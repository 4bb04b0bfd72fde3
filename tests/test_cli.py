"""`python -m cxr`: the contract that other programs rely on."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.cli import main
from cxr.findings import FINDINGS
from cxr.model.bundle import bundle_path, load_bundle
from cxr.samples import FOLDER
from cxr.settings import ROOT, settings

ADULT = FOLDER / "adult_pa.dcm"
CHILD = FOLDER / "child_normal.jpeg"


@pytest.fixture
def serving(changed_settings, unchecked_bundle):
    """The command line with the tiny bundle as the serving model."""
    changed_settings.setenv("CXR_MODELS_DIR", str(unchecked_bundle.path.parent))
    changed_settings.setenv("CXR_MODEL", "tiny")
    settings.cache_clear()
    return unchecked_bundle


def test_json_contract(serving, capsys, tmp_path):
    text = tmp_path / "b.png"
    text.write_text("not a film")
    assert main(["classify", "--json", str(ADULT), str(text), str(tmp_path / "missing"), str(CHILD)]) == 0
    printed = capsys.readouterr()
    records = [json.loads(line) for line in printed.out.splitlines()]
    assert printed.err == ""
    assert [record["status"] for record in records] == ["ok", "refused", "refused", "ok"]
    film = records[0]
    # What the scope check said is there where the model has one.
    assert set(film) - {"scope"} == {
        "file", "status", "verdict", "abnormal_probability", "operating_point", "findings", "warnings", "model",
        "milliseconds", "corrected",
    }  # fmt: skip
    assert film["file"] == str(ADULT)
    assert film["verdict"] in ("abnormal", "no finding", "uncertain")
    assert 0 <= film["abnormal_probability"] <= 1
    assert film["operating_point"] == "balanced"
    assert set(film["findings"]) == set(FINDINGS)
    assert all(set(f) == {"probability", "flagged"} for f in film["findings"].values())
    assert film["model"] == {"name": "tiny", "sha256": serving.sha256}
    assert film["milliseconds"] > 0
    assert film["corrected"] == []
    assert set(records[1]) == {"file", "status", "reason", "kind"}
    assert [record["kind"] for record in records[1:3]] == ["unreadable", "unreadable"]
    assert records[1]["reason"] == "This is not a PNG, JPEG or DICOM file."


def test_operating_point_changes_the_flags_not_the_probabilities(serving, capsys):
    records = {}
    for point in ("rule-out", "rule-in"):
        assert main(["classify", "--json", "--point", point, str(CHILD)]) == 0
        records[point] = json.loads(capsys.readouterr().out)
    sensitive, specific = (records[point]["findings"] for point in ("rule-out", "rule-in"))
    assert [f["probability"] for f in sensitive.values()] == [f["probability"] for f in specific.values()]
    for point, record in records.items():
        thresholds = serving.card.operating_point(point).findings
        for name, finding in record["findings"].items():
            if abs(finding["probability"] - thresholds[name].threshold) > 1e-3:  # printed with four digits
                assert finding["flagged"] == (finding["probability"] > thresholds[name].threshold)


def test_heatmaps_one_png_for_each_flagged_finding_with_support(serving, capsys, tmp_path):
    copies = [tmp_path / folder / "film.jpeg" for folder in ("a", "b")]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(CHILD.read_bytes())
    main(["classify", "--json", "--point", "rule-out", "--heatmaps", str(tmp_path / "maps"), *map(str, copies)])
    flagged = [f for f, v in json.loads(capsys.readouterr().out.splitlines()[0])["findings"].items() if v["flagged"]]
    names = {path.name for path in (tmp_path / "maps").iterdir()}
    assert names
    assert names <= {f"film.jpeg{number}-{f}.png" for f in flagged for number in ("", "-2")}
    assert sum("jpeg-2-" in name for name in names) == len(names) / 2
    picture = Image.open(tmp_path / "maps" / sorted(names)[0])
    assert picture.size == Image.open(CHILD).size
    assert "not a medical device" in picture.text["Comment"]


def test_heatmaps_that_cannot_be_written_do_not_stop_the_rest(serving, capsys, tmp_path):
    (tmp_path / "maps").write_text("a file where a folder should be")
    arguments = ["classify", "--json", "--point", "rule-out", "--heatmaps", str(tmp_path / "maps")]
    assert main([*arguments, str(CHILD), str(ADULT)]) == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["status"] for line in printed.out.splitlines()] == ["ok", "ok"]
    assert "the heatmaps could not be written" in printed.err


def test_long_and_colliding_names_get_heatmaps_of_their_own(tmp_path):
    from cxr.cli_classify import _unique_names

    files = [Path("a/x.jpeg"), Path("b/x.jpeg"), Path("c/x.jpeg-2"), Path("d") / ("y" * 250)]
    names = list(_unique_names(files))
    assert len(set(names)) == 4
    assert max(map(len, names)) <= 64


def test_text_names_the_notice_and_the_verdict(serving, capsys):
    assert main(["classify", str(ADULT)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "not a medical device" in lines[0]
    assert "operating point balanced" in lines[1]


def test_unknown_model_is_one_sentence_and_status_1(capsys):
    assert main(["classify", "--model", "nobody", str(ADULT)]) == 1
    assert "There is no model named 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["classify"], ["classify", "--nonsense", "x"], ["finetune", "--data", "x"], ["nonsense"]],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "0"], "epochs"),
        (["--rotation", "45"], "rotation"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--test-fraction", "0.5"], "sum to 1"),
    ],
)
def test_wrong_training_option_is_status_2_and_named(arguments, said, capsys, tmp_path):
    assert main(["finetune", "--data", str(tmp_path), "--out", str(tmp_path / "m"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_finetune_without_shards_is_one_sentence(capsys, tmp_path):
    assert main(["finetune", "--data", str(tmp_path), "--out", str(tmp_path / "m")]) == 1
    assert "There are no .tfrec files" in capsys.readouterr().err


def test_bad_setting_is_status_2(changed_settings, capsys):
    changed_settings.setenv("CXR_THREADS", "many")
    settings.cache_clear()
    assert main(["classify", str(ADULT)]) == 2
    assert "threads" in capsys.readouterr().err.lower()


def test_verify_says_how_near_graph_and_keras_are(serving, capsys):
    assert main(["verify"]) == 0
    assert "tiny: all hashes match" in capsys.readouterr().out


def test_module_runs_with_the_shipped_model():
    run = subprocess.run(
        [sys.executable, "-m", "cxr", "classify", "--json", str(ADULT)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    record = json.loads(run.stdout)
    assert record["model"] == {"name": "default", "sha256": load_bundle(bundle_path("default")).sha256}
    assert run.stderr == ""


def test_16_bit_png_and_its_8_bit_twin_get_the_same_verdict(serving, capsys, tmp_path):
    deep = np.asarray(Image.open(CHILD).convert("L"), np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.open(CHILD).convert("L").save(tmp_path / "flat.png")
    main(["classify", "--json", str(tmp_path / "deep.png"), str(tmp_path / "flat.png")])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["abnormal_probability"] == pytest.approx(second["abnormal_probability"], abs=1e-3)


def test_stdout_stays_json_when_standard_output_is_not_utf8(serving, monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    main(["classify", "--json", "bücher.png"])
    narrow.flush()
    record = json.loads(narrow.buffer.getvalue())
    assert record["file"] == "bücher.png"
