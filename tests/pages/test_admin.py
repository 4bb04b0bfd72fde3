"""The page "Admin", run without a browser. That jobs run and models are promoted is seen in tests/browser."""

import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from driven import opened, titles
from driven import words as marked_words
from kaggle_folder import write_folder
from promoting import another_model
from streamlit.testing.v1 import AppTest

from cxr import jobs
from cxr.cli import _parser
from cxr.jobs.folder import SPEC_FILE, STATE_FILE
from cxr.jobs.spec import Event, JobSpec, State, StoredSpec, StoredState
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.names import DOWNLOADED, SHIPPED, weights_file
from cxr.promotion import promote
from cxr.registry import history, serving_name
from cxr.settings import ROOT, settings
from cxr.training.config import TrainingConfig
from cxr.training.presets import PRESETS
from cxr.training.run import METRICS_FILE
from cxr.ui.addresses import only_this_machine
from cxr.ui.admin.new_job import command
from cxr.ui.admin.option_widgets import GROUPS

METRICS = """number,loss,macro_auroc,abnormal_auroc,seconds,learning_rate,films_per_second,waiting
1,0.61,0.55,0.60,60,0.0004,11.0,0.01
2,0.52,0.62,0.70,58,0.0001,11.5,0.01
"""


@pytest.fixture
def place(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Models, jobs and data of the test's own."""
    shutil.copytree(ROOT / "models" / "default", tmp_path / "models" / "default")
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    changed_settings.setenv("CXR_RUNS_DIR", str(tmp_path / "runs"))
    changed_settings.setenv("CXR_DATA", str(write_folder(tmp_path / "set")))
    settings.cache_clear()
    yield tmp_path


def ended_job(place: Path, number: int, **config: object) -> str:
    """A job that has finished, as it lies in its folder."""
    job_id = f"{number:04d}-made"
    folder = place / "runs" / job_id
    folder.mkdir(parents=True)
    time = "2026-05-04T10:00:00Z"
    spec = JobSpec(model=f"made-{number}", data=place, config=TrainingConfig.model_validate(config), by="Ada")
    stored = StoredSpec(id=job_id, created=time, token=job_id, spec=spec)  # type: ignore[arg-type]
    events = tuple(
        Event(state=state, time=time, cause=cause, who="Ada")  # type: ignore[arg-type]
        for state, cause in ((State.QUEUED, "It was started."), (State.FINISHED, "It made a model."))
    )
    (folder / SPEC_FILE).write_text(stored.model_dump_json())
    (folder / STATE_FILE).write_text(StoredState(events=events, ticket=number).model_dump_json())
    (folder / METRICS_FILE).write_text(METRICS)
    (folder / "log.txt").write_text("epoch 1 of 2\nepoch 2 of 2\n")
    return job_id


def words(app: AppTest) -> str:
    """All running text, without what makes it bold."""
    return marked_words(app).replace("**", "")


def section(app: AppTest, name: str) -> AppTest:
    app.session_state["admin-section"] = name
    return app.run()


def shown_command(app: AppTest) -> list[str]:
    return shlex.split(app.get("code")[0].value)


@pytest.mark.parametrize(
    ("address", "only"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("localhost", True), ("", False), ("0.0.0.0", False),  # noqa: S104
     ("::", False), ("192.168.1.5", False), ("localhost.example.org", False)],
)  # fmt: skip
def test_only_the_loopback_is_this_machine_only(address: str, only: bool) -> None:
    assert only_this_machine(address) is only


def test_without_jobs_it_says_so_and_leads_to_the_form(place: Path) -> None:
    app = opened("admin")
    assert "There are no jobs yet." in words(app)
    next(button for button in app.button if button.label == "New job").click().run()
    assert not app.exception
    assert [box.label for box in app.selectbox][:2] == ["Start from", "Where"]


def test_every_option_has_a_widget_and_every_backbone_a_name() -> None:
    chosen = {name for names in GROUPS.values() for name in names} | {"backbone", "imagenet", "weights", "parent"}
    assert chosen == set(TrainingConfig.model_fields)
    from cxr.model.backbones import BACKBONES

    # Other tests, in the same process, add networks of their own.
    ours = [name for name, backbone in BACKBONES.items() if isinstance(backbone.build, partial)]
    assert [*SHIPPED, *DOWNLOADED] == ours


@pytest.mark.parametrize("preset", PRESETS, ids=[preset.name for preset in PRESETS])
def test_a_preset_is_what_the_command_says(place: Path, preset) -> None:
    app = section(opened("admin"), "New job")
    key = f"{app.session_state['new-job']}-preset"
    app.session_state[key] = preset.name
    app.run()
    assert not app.exception
    assert preset.words in words(app)
    given = shown_command(app)
    for name, value in preset.changes.items():
        assert given[given.index(f"--{name.replace('_', '-')}") + 1] == str(value)


def test_the_command_makes_the_same_job(place: Path) -> None:
    config = TrainingConfig(
        backbone="densenet121", epochs=7, official_split=True, learning_rate=1.5e-5, loss="focal", memory_gigabytes=0.5
    )
    spec = JobSpec(model="a-b.c", data=place / "my films", config=config, devices="gpu0,gpu1", by="Ada")
    args = _parser().parse_args(shlex.split(command(spec))[3:])
    given = {name: value for name, value in vars(args).items() if name in TrainingConfig.model_fields}
    assert TrainingConfig.model_validate(given) == config
    assert (args.model, Path(args.data), args.devices) == (spec.model, spec.data, spec.devices)


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("Data folder", "/no/such/folder", "There is no folder /no/such/folder."),
        ("Data folder", " ", "Name the folder of the data."),
        ("Name of the new model", "../x", "A model can't be called '../x'"),
        ("Name of the new model", "default", "There is a model or folder default"),
    ],
)
def test_what_can_not_be_is_said_as_it_is_typed(place: Path, label: str, value: str, sentence: str) -> None:
    app = section(opened("admin"), "New job")
    next(field for field in app.text_input if field.label == label).set_value(value).run()
    assert not app.exception
    assert sentence in words(app)
    assert "Check and start" not in [button.label for button in app.button]


def test_an_option_out_of_range_is_said_and_mended(place: Path) -> None:
    app = section(opened("admin"), "New job")
    field = next(field for field in app.number_input if field.label == "Test fraction")
    field.set_value(0.5).run()
    assert "must sum to 1" in words(app)
    next(field for field in app.number_input if field.label == "Train fraction").set_value(0.3).run()
    assert not app.error
    assert "--test-fraction" in shown_command(app)


def test_a_model_as_the_start_brings_its_backbone(place: Path) -> None:
    app = section(opened("admin"), "New job")
    next(box for box in app.selectbox if box.label == "Start from").set_value("Model: default").run()
    given = shown_command(app)
    assert given[given.index("--parent") + 1] == "default"


def test_jobs_stand_in_a_table_the_newest_first(place: Path) -> None:
    ended_job(place, 1)
    ended_job(place, 2)
    table = opened("admin").dataframe[0].value
    assert list(table["Job"]) == ["0002-made", "0001-made"]
    assert set(table["State"]) == {"finished"}
    assert set(table["Done"]) == {100}


def test_a_job_shows_its_curves_log_configuration_and_history(place: Path) -> None:
    job_id = ended_job(place, 1, epochs=2, learning_rate=1e-3)
    app = opened("admin")
    app.session_state["admin-job"] = job_id
    app.run()
    assert not app.exception
    assert titles(app) == ["Training loss", "AUROC on the validation patients", "Learning rate of the head", "Speed"]
    for view, expected in (("Log", "epoch 2 of 2"), ("Configuration", "Differs from the defaults in:")):
        app.session_state["job-view"] = view
        app.run()
        said = words(app) + " ".join(block.value for block in app.get("code"))
        assert expected in said, view
    assert set(app.dataframe[-1].value["Option"]) == {"epochs", "learning_rate"}
    app.session_state["job-view"] = "History"
    app.run()
    assert list(app.dataframe[-1].value["State"]) == ["queued", "finished"]


def test_other_weights_as_the_start_bring_their_backbone(place: Path) -> None:
    file = weights_file("efficientnet_lite2", "chest")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    app = section(opened("admin"), "New job")
    next(box for box in app.selectbox if box.label == "Start from").set_value("Weights: efficientnet_lite2.chest").run()
    given = shown_command(app)
    assert given[given.index("--backbone") + 1] == "efficientnet_lite2"
    assert given[given.index("--weights") + 1] == "chest"


def test_start_again_with_changes_fills_the_form(place: Path) -> None:
    job_id = ended_job(place, 1, epochs=2, learning_rate=1e-3)
    app = opened("admin")
    app.session_state["admin-job"] = job_id
    app.run()
    app.button(key="job-clone").click().run()
    assert not app.exception
    given = shown_command(app)
    assert given[given.index("--epochs") + 1] == "2"
    assert given[given.index("--learning-rate") + 1] == "0.001"
    assert "made-1-2" in given, "the name of the job itself is taken"


def test_jobs_are_compared_by_curves_and_by_what_was_chosen_otherwise(place: Path) -> None:
    ended_job(place, 1, epochs=2)
    ended_job(place, 2, epochs=2, dropout=0.5)
    app = section(opened("admin"), "Compare")
    assert not app.exception
    assert "Validation macro-AUROC" in titles(app)
    different = app.dataframe[-1].value.set_index("Option")
    assert list(different.index) == ["dropout"]
    assert not app.warning


def test_jobs_of_other_patients_are_not_to_be_compared(place: Path) -> None:
    ended_job(place, 1)
    ended_job(place, 2, split_seed=3)
    assert "can't be compared" in words(section(opened("admin"), "Compare"))


def test_the_gate_is_shown_with_every_check(place: Path) -> None:
    another_model(load_bundle(bundle_path("default")), place / "models" / "other", 0.99)
    app = section(opened("admin"), "Models")
    assert not app.exception
    said = words(app)
    assert "other passes the gate against default" in said
    for name in ("Files and serving graph", "AUROC for abnormal", "Calibration error"):
        assert name in said
    assert "Nothing was promoted yet." in said


def test_what_was_promoted_serves_and_is_on_record(place: Path) -> None:
    another_model(load_bundle(bundle_path("default")), place / "models" / "other", 0.99)
    app = section(opened("admin"), "Models")
    promote("other", "Ada", "as good, and newer")
    app.run()
    assert "other serves." in words(app)
    record = app.dataframe[-1].value
    assert list(record["Why"]) == ["as good, and newer"]
    assert serving_name() == "other"
    assert len(history()) == 1


def test_a_serving_model_that_can_not_be_used_leaves_the_page_to_roll_back(place: Path) -> None:
    other = another_model(load_bundle(bundle_path("default")), place / "models" / "other", 0.99)
    promote("other", "Ada", "as good, and newer")
    (other.path / "model.onnx").write_bytes(b"damaged")
    app = section(opened("admin"), "Models")
    assert not app.exception
    assert "model.onnx is not the file its card describes" in words(app)
    assert not app.button(key="roll-back").disabled


def test_a_damaged_record_is_said(place: Path) -> None:
    (place / "models" / "registry.json").write_text("{")
    app = section(opened("admin"), "Models")
    assert not app.exception
    assert "is damaged" in words(app)


def test_the_machine_is_shown(place: Path) -> None:
    app = section(opened("admin"), "Machine")
    assert not app.exception
    assert [metric.label for metric in app.metric] == ["CPU load", "CPU cores", "Free memory", "GPUs"]
    assert str(place / "runs") in list(app.dataframe[-1].value["Folder"])


def test_a_job_that_was_deleted_elsewhere_is_forgotten(place: Path) -> None:
    job_id = ended_job(place, 1)
    app = opened("admin")
    app.session_state["admin-job"] = job_id
    app.run()
    jobs.delete(job_id, "Bob")
    app.run()
    assert not app.exception
    assert "There are no jobs yet." in words(app)
