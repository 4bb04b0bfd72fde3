"""Promotion and rolling back: what is refused, what is recorded, and what a killed process leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from promoting import another_model, flip_a_byte, models_folder

from cxr.model.bundle import Bundle, BundleRejected, file_sha256, load_bundle, write_card
from cxr.promotion import PromotionRefused, gate_report, going_back, promote, roll_back
from cxr.registry import (
    FIRST,
    Model,
    RegistryDamaged,
    candidates,
    chosen_bundle,
    earlier,
    history,
    serving,
    serving_bundle,
    serving_name,
)
from cxr.settings import ROOT, settings

WHO = ("Ada", "it finds more")


@pytest.fixture
def models(changed_settings: pytest.MonkeyPatch, tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A models folder with `default` and three others that are as good."""
    others = {"second": 0.999, "third": 0.998, "fourth": 0.997}
    return models_folder(changed_settings, tiny_bundle, tmp_path, {FIRST: 1.0} | others)


def without_test_films(folder: Path) -> None:
    """Take from a bundle what the gate wants."""
    card = load_bundle(folder).card
    files = {name: value for name, value in card.files.items() if name != "test.npz"}
    write_card(folder, card.model_copy(update={"files": files}))


def identity(folder: Path) -> Model:
    return Model(name=folder.name, sha256=load_bundle(folder).model_sha256)


def test_until_something_is_promoted_the_default_serves(models: Path) -> None:
    assert (serving(), history(), earlier()) == (Model(name="default"), (), ())
    assert candidates() == ["fourth", "second", "third"]
    assert serving_bundle().name == "default"
    with pytest.raises(PromotionRefused, match=r"^There is no earlier model to go back to\.$"):
        roll_back(*WHO)


def test_a_promotion_is_recorded_with_everything_and_serves(models: Path) -> None:
    entry = promote("second", " Ada ", "it finds more\n")
    assert (entry.who, entry.why, entry.action) == ("Ada", "it finds more", "promote")
    assert (entry.from_model, entry.to_model) == (identity(models / "default"), identity(models / "second"))
    assert entry.when.endswith("+00:00")
    assert entry.gate is not None
    assert entry.gate.passed
    assert history() == (entry,)
    assert serving_name() == "second"
    assert serving_bundle().name == chosen_bundle(None).name == "second"
    assert "default" in candidates()
    assert chosen_bundle("third").name == "third"


def test_the_report_lists_every_check_with_numbers(models: Path) -> None:
    report = gate_report("second")
    assert [check.name for check in report.checks[:5]] == [
        "Files and serving graph",
        "Evaluated on held-out patients",
        "Own operating points",
        "Scope check",
        "Films that neither model saw",
    ]
    assert len(report.checks) == 5 + 6
    films = load_bundle(models / "second").card.data
    assert films is not None
    assert (report.films, report.patients) == (films.splits["test"].films, films.splits["test"].patients)
    assert f"{report.films} films of {report.patients} patients" in report.checks[4].said
    assert report.passed


@pytest.mark.parametrize(("who", "why"), [("", "x"), ("x", ""), (" ", "x"), ("x", "\n")])
def test_nobody_and_no_reason_are_refused(models: Path, who: str, why: str) -> None:
    for act in (lambda: promote("second", who, why), lambda: promote("second", who, why, override=True)):
        with pytest.raises(PromotionRefused, match="Say who decides and why"):
            act()
    with pytest.raises(PromotionRefused, match="Say who decides and why"):
        roll_back(who, why)
    assert history() == ()


def test_a_failed_gate_refuses_and_an_override_is_recorded_as_one(models: Path) -> None:
    without_test_films(models / "second")
    with pytest.raises(PromotionRefused, match=r"^The model second does not pass the gate\. Eval") as refused:
        promote("second", *WHO)
    assert refused.value.report is not None
    assert not refused.value.report.passed
    assert serving_name() == "default"
    entry = promote("second", *WHO, override=True)
    assert (entry.action, serving_name()) == ("override", "second")
    assert entry.gate is not None
    assert [check.name for check in entry.gate.failed] == [
        "Evaluated on held-out patients",
        "Films that neither model saw",
    ]
    assert history()[-1] == entry


def test_an_override_that_was_not_needed_is_a_promotion(models: Path) -> None:
    assert promote("second", *WHO, override=True).action == "promote"


def test_thresholds_of_the_champion_are_refused(models: Path, tiny_bundle: Bundle) -> None:
    copied = another_model(tiny_bundle, models / "copied")
    assert copied.model_sha256 != load_bundle(models / "default").model_sha256
    with pytest.raises(PromotionRefused, match="Its thresholds are those of default"):
        promote("copied", *WHO)


@pytest.mark.parametrize("file", ["model.keras", "model.onnx", "probe.npz", "test.npz"])
@pytest.mark.parametrize("override", [False, True])
def test_a_flipped_byte_is_refused_even_with_override_and_the_champion_stays(
    models: Path, file: str, override: bool
) -> None:
    flip_a_byte(models / "second" / file)
    with pytest.raises(BundleRejected):
        promote("second", *WHO, override=override)
    assert (serving_name(), history()) == ("default", ())


@pytest.mark.parametrize("override", [False, True])
def test_a_card_that_describes_other_files_is_refused_even_with_override(models: Path, override: bool) -> None:
    file = models / "second" / "card.json"
    digest = load_bundle(models / "second").card.files["model.onnx"]
    file.write_text(file.read_text().replace(digest, f"{digest[:-1]}{int(digest[-1], 16) ^ 1:x}"))
    with pytest.raises(BundleRejected, match=r"model\.onnx is not the file its card describes"):
        promote("second", *WHO, override=override)
    assert (serving_name(), history()) == ("default", ())


def test_a_graph_that_does_not_give_what_keras_gave_is_refused(models: Path) -> None:
    # Hashes are right, but the probe says that Keras gave something else.
    folder = models / "second"
    card = load_bundle(folder).card
    with np.load(folder / "probe.npz") as old:
        parts = dict(old)
    np.savez(folder / "probe.npz", **(parts | {"logits": parts["logits"] + 1}))
    write_card(folder, card.model_copy(update={"files": card.files | {"probe.npz": file_sha256(folder / "probe.npz")}}))
    with pytest.raises(BundleRejected, match="differs from its Keras model"):
        promote("second", *WHO, override=True)


def test_what_serves_or_is_not_there_can_t_be_promoted(models: Path) -> None:
    with pytest.raises(PromotionRefused, match="The model default serves already"):
        promote("default", *WHO)
    with pytest.raises(BundleRejected, match="There is no model named 'fifth'"):
        promote("fifth", *WHO)
    with pytest.raises(BundleRejected, match="There is no model named"):
        promote("../models/second", *WHO)


def test_what_the_operator_set_serves_and_nothing_can_be_decided(
    models: Path, changed_settings: pytest.MonkeyPatch
) -> None:
    promote("second", *WHO)
    changed_settings.setenv("CXR_MODEL", "third")
    settings.cache_clear()
    assert (serving_name(), serving_bundle().name) == ("third", "third")
    for act in (lambda: promote("fourth", *WHO), lambda: roll_back(*WHO)):
        with pytest.raises(PromotionRefused, match=r"^The operator has set CXR_MODEL to third.*unset it first\.$"):
            act()
    assert gate_report("fourth").champion.name == "third"
    changed_settings.delenv("CXR_MODEL")
    settings.cache_clear()
    assert (serving_name(), len(history())) == ("second", 1)


def test_rolling_back_twice_goes_back_two_promotions_and_a_new_promotion_starts_from_there(models: Path) -> None:
    for name in ("second", "third"):
        promote(name, *WHO)
    assert [model.name for model in earlier()] == ["second", "default"]
    back = roll_back("Bob", "it missed two")
    assert (back.action, back.who, back.gate) == ("roll back", "Bob", None)
    assert (back.from_model.name, back.to_model.name, serving_name()) == ("third", "second", "second")
    assert roll_back(*WHO).to_model.name == "default"
    with pytest.raises(PromotionRefused, match="no earlier model"):
        roll_back(*WHO)
    promote("fourth", *WHO)
    assert roll_back(*WHO).to_model.name == "default"
    assert [entry.to_model.name for entry in history()] == ["second", "third", "second", "default", "fourth", "default"]


def test_who_meant_to_go_back_to_another_model_goes_nowhere(models: Path) -> None:
    """A second click, and a second administrator who saw the same."""
    for name in ("second", "third"):
        promote(name, *WHO)
    meant = going_back()
    assert roll_back(*WHO, to=meant).to_model == meant
    with pytest.raises(PromotionRefused, match="not go back to second but to default"):
        roll_back(*WHO, to=meant)
    assert serving_name() == "second"


def test_a_decision_holds_for_what_was_seen_only(models: Path) -> None:
    seen = gate_report("third")
    promote("second", *WHO)
    with pytest.raises(PromotionRefused, match="look again"):
        promote("third", *WHO, seen=seen)
    with pytest.raises(PromotionRefused, match="look again"):
        promote("third", *WHO, override=True, seen=seen)
    assert serving_name() == "second"
    assert promote("third", *WHO, seen=gate_report("third")).to_model.name == "third"


def test_an_override_covers_only_the_failures_that_were_seen(models: Path) -> None:
    seen = gate_report("second")
    without_test_films(models / "second")
    with pytest.raises(PromotionRefused, match="look again"):
        promote("second", *WHO, override=True, seen=seen)
    assert serving_name() == "default"


def test_a_model_that_was_promoted_more_than_once_is_gone_back_to_step_by_step(models: Path) -> None:
    for name in ("second", "default", "second", "third", "second"):
        promote(name, *WHO)
    went = [roll_back(*WHO).to_model.name for _ in range(5)]
    assert went == ["third", "second", "default", "second", "default"]
    with pytest.raises(PromotionRefused, match="no earlier model"):
        roll_back(*WHO)


def test_rolling_back_to_what_does_not_verify_is_refused_and_to_what_is_gone_passed_over(
    models: Path, tiny_bundle: Bundle
) -> None:
    for name in ("second", "third", "fourth"):
        promote(name, *WHO)
    good = (models / "third" / "model.onnx").read_bytes()
    flip_a_byte(models / "third" / "model.onnx")
    with pytest.raises(BundleRejected, match=r"third was changed: model\.onnx"):
        roll_back(*WHO)
    assert serving_name() == "fourth"
    (models / "third" / "model.onnx").write_bytes(good)
    assert going_back().name == "third"
    # Another model in its folder is not the one that served.
    shutil.rmtree(models / "third")
    another_model(tiny_bundle, models / "third", 0.9)
    assert going_back().name == "second"
    shutil.rmtree(models / "second")
    assert roll_back(*WHO).to_model.name == "default"
    assert earlier() == ()


def test_a_model_that_was_replaced_since_its_promotion_does_not_serve(models: Path, tiny_bundle: Bundle) -> None:
    promote("second", *WHO)
    shutil.rmtree(models / "second")
    another_model(tiny_bundle, models / "second", 0.9)
    with pytest.raises(BundleRejected, match=r"^The model second was replaced since it was promoted.*or roll back\.$"):
        serving_bundle()
    with pytest.raises(PromotionRefused, match="A champion to compare with: The model second was replaced"):
        promote("second", *WHO)
    assert promote("second", *WHO, override=True).action == "override"
    assert serving_bundle().name == "second"


def test_a_champion_that_is_damaged_can_be_rolled_back_from_or_overridden(models: Path) -> None:
    promote("second", *WHO)
    flip_a_byte(models / "second" / "model.onnx")
    with pytest.raises(PromotionRefused, match="A champion to compare with"):
        promote("third", *WHO)
    assert roll_back(*WHO).to_model.name == "default"
    flip_a_byte(models / "default" / "model.onnx")
    assert promote("third", *WHO, override=True).from_model.name == "default"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format_version": 1, "history": []}', b'{"format_version'])
def test_a_damaged_record_is_an_error_and_never_the_default(models: Path, content: bytes) -> None:
    promote("second", *WHO)
    (models / "registry.json").write_bytes(content)
    for act in (serving, serving_bundle, candidates, history, earlier, lambda: promote("third", *WHO, override=True)):
        with pytest.raises(RegistryDamaged, match=r"^The record of the serving model, .*registry\.json, is damaged; "):
            act()  # type: ignore[operator]
    with pytest.raises(RegistryDamaged):
        roll_back(*WHO)
    assert (models / "registry.json").read_bytes() == content


def test_a_record_that_can_t_be_written_leaves_the_champion(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promote("second", *WHO)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cxr.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        promote("third", *WHO)
    assert (serving_name(), len(history())) == ("second", 1)


KILLED = """
import os, signal, sys
from pathlib import Path
import cxr.files
from cxr import promotion

def killed(*args):
    os.kill(os.getpid(), signal.SIGKILL)

moment, record = sys.argv[1], promotion.record

def and_die(entry):
    # Not before: the audit trail writes its files in the same way.
    if moment == "written":
        cxr.files.os.fsync = killed
    elif moment == "synced":
        Path.replace = killed
    elif moment == "replaced":
        replace = Path.replace
        Path.replace = lambda self, target: (replace(self, target), killed())
    record(entry)

promotion.record = and_die
promotion.promote("third", "Ada", "it finds more")
"""


@pytest.mark.parametrize(("moment", "serves"), [("written", "second"), ("synced", "second"), ("replaced", "third")])
def test_a_process_that_is_killed_while_it_promotes_leaves_the_old_or_the_new(
    models: Path, moment: str, serves: str
) -> None:
    promote("second", *WHO)
    done = subprocess.run([sys.executable, "-c", KILLED, moment], cwd=ROOT, env=_environment(models), check=False)
    assert done.returncode == -signal.SIGKILL
    assert serving_name() == serves
    # Its lock went with it, and its draft goes with the next change.
    assert promote("fourth", *WHO).from_model.name == serves
    assert sorted(path.name for path in models.iterdir() if path.is_file()) == [".registry.lock", "registry.json"]


PROMOTE = """
import sys
from cxr.promotion import promote
print("ready", flush=True)
sys.stdin.readline()
for name in sys.argv[1:]:
    promote(name, f"who promotes {name}", "at once")
assert not {"keras", "tensorflow"} & set(sys.modules)
"""


def test_two_processes_that_promote_at_once_come_one_after_the_other(models: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTE, *names], cwd=ROOT, env=_environment(models), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for names in (("second", "fourth"), ("third", "default"))
    ]  # fmt: skip
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = []
    for process in both:
        assert process.stdin is not None
        process.stdin.write("now\n")
        process.stdin.flush()
    for process in both:
        said.append(process.communicate(timeout=120)[1])
    assert [process.returncode for process in both] == [0, 0], said
    entries = history()
    assert sorted(entry.to_model.name for entry in entries) == ["default", "fourth", "second", "third"]
    for before, after in pairwise(entries):
        assert after.from_model == before.to_model
        assert after.gate is not None
        assert after.gate.champion == before.to_model, "each was judged against the one that served then"


def _environment(models: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "CXR_MODEL"}
    return kept | {"CXR_MODELS_DIR": str(models), "CXR_EVALUATIONS_DIR": str(models.parent / "evaluations")}


def test_the_file_is_for_reading(models: Path) -> None:
    promote("second", *WHO)
    kept = json.loads((models / "registry.json").read_text())
    assert kept["history"][0]["to_model"]["name"] == "second"
    assert kept["history"][0]["gate"]["checks"][0]["name"] == "Files and serving graph"
