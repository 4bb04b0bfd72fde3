"""The command line with an imported model: not all findings, other pathologies, no measurement."""

import json

import pytest

from cxr.cli import main
from cxr.evaluation.stored import load_evaluation
from cxr.findings import FINDINGS
from cxr.model.bundle import load_bundle
from cxr.samples import FOLDER

HAS = {"Effusion", "Nodule", "Mass"}
FILM = FOLDER / "child_normal.jpeg"


def test_json_says_what_is_absent_what_is_besides_and_by_which_rule(serving_import, capsys):
    assert main(["classify", "--json", str(FILM)]) == 0
    record = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert set(record["findings"]) == set(FINDINGS)
    assert {name for name, found in record["findings"].items() if found is not None} == HAS
    assert set(record["absent"]) == set(FINDINGS) - HAS
    assert set(record["extra_findings"]) == {"Fracture"}
    assert (record["abnormal_from"], record["calibrated"]) == ("any finding", False)
    known = [
        found["probability"] for found in (*record["findings"].values(), *record["extra_findings"].values()) if found
    ]
    assert record["abnormal_probability"] == max(known)


def test_text_names_the_absent_findings_and_heatmaps_come_for_the_others(serving_import, capsys, tmp_path):
    assert main(["classify", "--heatmaps", str(tmp_path / "maps"), str(FILM)]) == 0
    said = capsys.readouterr().out
    assert "not in this model: Atelectasis, Consolidation" in said
    flagged = {word.split(" ")[0] for word in said.split("flagged: ")[1].splitlines()[0].split(", ")}
    made = {file.stem.removeprefix(f"{FILM.name}-") for file in (tmp_path / "maps").glob("*")}
    assert made <= flagged & {*HAS, "Fracture"}


def test_operating_point_that_it_has_not_is_one_sentence(serving_import, capsys):
    assert main(["classify", "--point", "rule-in", str(FILM)]) == 1
    assert capsys.readouterr().err == "There is no operating point 'rule-in'; known are balanced.\n"


def test_verify(serving_import, capsys):
    assert main(["verify"]) == 0
    assert "all hashes match" in capsys.readouterr().out


def test_evaluation_leaves_absent_findings_out(serving_import, synthetic_data, tmp_path, capsys):
    out = {kind: tmp_path / f"r.{kind}" for kind in ("json", "html")}
    films = ["--tfrecords", f"{synthetic_data}/*.tfrec", "--randomisation", "--store"]
    assert main(["evaluate", *films, "--json", str(out["json"]), "--html", str(out["html"])]) == 0
    assert "not in this model: Atelectasis" in capsys.readouterr().out
    found = json.loads(out["json"].read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the report"))
    assert set(found["findings"]) == set(found["operating_points"]["balanced"]["findings"]) == HAS
    assert set(found["absent"]) == set(FINDINGS) - HAS
    assert list(found["operating_points"]) == ["balanced"]
    assert found["macro_findings"] == 1, "only Mass has films"
    assert found["macro_auroc"]["value"] == found["findings"]["Mass"]["auroc"]["value"]
    assert "not in this model" in out["html"].read_text()
    # Nobody knows whom it was trained on: stored, but never as held out.
    assert found["held_out"] is False
    stored = load_evaluation(load_bundle(serving_import.path))
    assert (stored.report.held_out, stored.report.test_set) == (False, synthetic_data.name)


def test_held_out_patients_of_an_imported_model_are_not_known(serving_import, synthetic_data, capsys):
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--held-out"]) == 1
    assert "was imported, and which patients it was trained on is not known" in capsys.readouterr().err
