"""`python -m cxr models`, `gate`, `promote` and `roll-back`."""

import json
from pathlib import Path

import numpy as np
import pytest
from promoting import another_model, flip_a_byte, models_folder
from synthetic import encoded, synthetic_film

from cxr.cli import main
from cxr.model.bundle import Bundle, load_bundle
from cxr.registry import history, serving_name

DECIDED = ["--who", "Ada", "--why", "it finds more"]


@pytest.fixture
def models(changed_settings: pytest.MonkeyPatch, tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return models_folder(changed_settings, tiny_bundle, tmp_path, {"default": 1.0, "second": 0.999})


def test_from_the_gate_to_the_promotion_and_back(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "second"]) == 0
    assert capsys.readouterr().out.startswith("second against default: passes\n  yes Files and serving graph: ")
    assert serving_name() == "default", "to ask is not to promote"
    assert main(["promote", "second", *DECIDED]) == 0
    assert "Ada: promote, from default (" in capsys.readouterr().out
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("serves: second\ncandidates: default\n")
    assert "it finds more" in out
    assert main(["roll-back", "--who", "Bob", "--why", "it missed two"]) == 0
    assert "Bob: roll back, from second (" in capsys.readouterr().out
    assert main(["roll-back", *DECIDED]) == 1
    assert capsys.readouterr().err == "There is no earlier model to go back to.\n"


def test_every_command_takes_the_model_that_was_promoted(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The scope check of this small model knows films like this one alone.
    (tmp_path / "film.png").write_bytes(encoded(synthetic_film(np.random.default_rng(5), None)))
    assert main(["promote", "second", *DECIDED]) == 0
    capsys.readouterr()
    assert main(["classify", "--json", str(tmp_path / "film.png")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["model"] == {"name": "second", "sha256": load_bundle(models / "second").sha256}
    assert main(["card"]) == 0
    assert "second" in capsys.readouterr().out.splitlines()[0]


def test_json_for_programs(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "second", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert report["candidate"]["name"] == "second"
    assert all({"name", "passed", "said"} <= set(check) for check in report["checks"])
    assert main(["promote", "second", *DECIDED]) == 0
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["serving"]["name"], found["candidates"], found["set_by_operator"]) == ("second", ["default"], False)
    assert found["history"][0]["why"] == "it finds more"


def test_films_that_neither_saw_are_scored_kept_and_used(
    models: Path, synthetic_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", "second", "--data", str(synthetic_data)]) == 0
    assert "test films of second whose patients had no part in making default" in capsys.readouterr().out
    assert main(["promote", "second", *DECIDED]) == 0
    gate = history()[0].gate
    assert gate is not None
    assert gate.basis.startswith("test films of second")


def test_what_fails_has_status_1_and_a_sentence(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "default"]) == 1
    assert capsys.readouterr().err == "The model default serves already.\n"
    assert main(["gate", "third"]) == 1
    assert "There is no model named 'third'" in capsys.readouterr().err
    assert main(["promote", "second", "--who", " ", "--why", "x"]) == 1
    assert "Say who decides and why" in capsys.readouterr().err
    assert main(["gate", "second", "--data", str(models / "none")]) == 1
    assert "There are no .tfrec files" in capsys.readouterr().err
    flip_a_byte(models / "second" / "model.onnx")
    for command in (["gate", "second"], ["promote", "second", *DECIDED, "--override"]):
        assert main(command) == 1
        assert "was changed: model.onnx" in capsys.readouterr().err
    (models / "registry.json").write_text("{")
    for command in (["models"], ["card"], ["verify"], ["roll-back", *DECIDED]):
        assert main(command) == 1
        assert "is damaged" in capsys.readouterr().err


def test_a_gate_that_is_not_passed_says_which_check_and_override_goes_through(
    models: Path, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    another_model(tiny_bundle, models / "copied")
    assert main(["gate", "copied"]) == 1
    assert "  NO  Own operating points: Its thresholds are those of default" in capsys.readouterr().out
    assert main(["promote", "copied", *DECIDED]) == 1
    assert "The model copied does not pass the gate. Own operating points:" in capsys.readouterr().err
    assert main(["promote", "copied", *DECIDED, "--override"]) == 0
    assert "Ada: override, from default" in capsys.readouterr().out


def test_who_and_why_have_to_be_given(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["promote", "second", "--who", "Ada"], ["roll-back", "--why", "x"]):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
