"""The page "Model card", run without a browser."""

import shutil

import pytest
from driven import opened, titles, words
from streamlit.testing.v1 import AppTest

from cxr.evaluation.words import interval
from cxr.model.bundle import bundle_path, load_bundle, write_card
from cxr.report.model_card import sections
from cxr.settings import settings

TABS = (
    "Model and use",
    "How well it works",
    "Finding by finding",
    "Thresholds and probabilities",
    "Data and training",
    "CLAIM checklist",
)


@pytest.fixture
def app() -> AppTest:
    return opened("model_card")


def turn_to(app: AppTest, tab: str) -> AppTest:
    """Another tab; AppTest has no click for one."""
    app.session_state["card-section"] = tab
    app.run()
    assert not app.exception
    return app


def test_it_opens_with_what_the_model_is_and_is_not_for(app: AppTest) -> None:
    assert not app.exception
    assert app.title[0].value == "Model card: default"
    said = words(app)
    assert "Intended use" in said
    assert "Out of scope" in said
    assert "Quantitative analyses" not in said


def test_every_section_of_the_card_is_on_one_tab(app: AppTest) -> None:
    shown: list[str] = []
    for tab in TABS:
        turn_to(app, tab)
        shown += [header.value for header in app.header] or [tab]
    assert sorted(shown) == sorted(sections(load_bundle(bundle_path("default")).card))


def test_numbers_are_those_of_the_card(app: AppTest) -> None:
    turn_to(app, "How well it works")
    overall = load_bundle(bundle_path("default")).card.evaluation.overall
    groups = app.dataframe[0].value.set_index("Test films")
    assert groups.loc["All", "Films"] == overall.films
    assert groups.loc["All", "AUROC abnormal"] == interval(overall.abnormal_auroc)
    assert groups.loc["All", "Abnormal, view alone"] == interval(overall.view_only_abnormal_auroc)


def test_thresholds_of_the_findings_are_those_of_the_chosen_point(app: AppTest) -> None:
    turn_to(app, "Finding by finding")
    app.segmented_control(key="card-point").set_value("rule-in").run()
    assert not app.exception
    mass = load_bundle(bundle_path("default")).card.operating_point("rule-in").findings["Mass"]
    thresholds = app.dataframe[-1].value.set_index("Finding")
    assert thresholds.loc["Mass", "Threshold"] == f"{mass.threshold:.3f}"


def test_the_course_of_training_is_drawn(app: AppTest) -> None:
    turn_to(app, "Data and training")
    assert titles(app) == ["Course of training, on the validation patients"]


def test_an_unfulfilled_item_of_the_checklist_stands_out(app: AppTest) -> None:
    turn_to(app, "CLAIM checklist")
    rows = app.table[0].value.set_index("Item")
    assert len(rows) == 42
    assert rows.loc["32", "Fulfilled"] == ":red[no]"


def test_the_tab_is_kept_over_a_visit_to_another_page(app: AppTest) -> None:
    turn_to(app, "CLAIM checklist")
    app.switch_page("pages/dataset.py").run()
    app.switch_page("pages/model_card.py").run()
    assert not app.exception
    assert len(app.table) == 1


def test_a_model_that_nobody_measured_has_a_card(changed_settings, tmp_path) -> None:
    folder = tmp_path / "default"
    shutil.copytree(bundle_path("default"), folder)
    card = load_bundle(folder).card
    rates = ("sensitivity", "specificity", "uncertain_share", "accuracy", "accuracy_outside", "accuracy_gain")
    point = card.operating_point("balanced").model_copy(update=dict.fromkeys(rates))
    nothing = {"data": None, "evaluation": None, "best_epoch": None, "epochs": (), "comparison": ()}
    own = {name: card.files[name] for name in ("model.keras", "model.onnx", "probe.npz")}
    write_card(folder, card.model_copy(update=nothing | {"operating_points": (point,), "files": own}))
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    app = opened("model_card")
    for tab in TABS:
        turn_to(app, tab)
    turn_to(app, "How well it works")
    assert "Nobody has measured this model here" in words(app)
