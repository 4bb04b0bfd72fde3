"""The page "How good is it?", run without a browser."""

import shutil

import pytest
from driven import component, opened, titles, words

from cxr.evaluation.report import ModelName
from cxr.evaluation.stored import load_evaluation, save
from cxr.evaluation.words import interval
from cxr.model.bundle import bundle_path, load_bundle, write_card
from cxr.settings import settings

SECTIONS = (
    "Separation", "Thresholds", "Worklist", "Where it looks", "For whom it fails", "Worse films", "Mistakes", "Compare",
)  # fmt: skip


@pytest.fixture
def app():
    return opened("evaluation")


@pytest.fixture(scope="module")
def report():
    return load_evaluation(load_bundle(bundle_path("default"))).report


def section(app, name):
    app.session_state["how-good"] = name
    return app.run()


def test_opens_at_once_on_the_held_out_patients_without_any_data(app, report):
    assert not app.exception
    said = words(app)
    assert f"{report.films} films of {report.patients} patients (held-out patients)" in said
    assert interval(report.abnormal.auroc) in said
    assert interval(report.baselines.view_only.abnormal_auroc) in said
    assert "not a medical device" in said


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_draws(app, name):
    section(app, name)
    assert not app.exception


def test_table_has_an_interval_beside_every_number_or_says_too_few(app, report):
    table = app.dataframe[0].value.set_index("Question")
    assert table.loc["Abnormal", "AUROC"] == interval(report.abnormal.auroc)
    assert table.loc["Hernia", "AUROC"] == "too few to say"
    shown = table.drop(columns=["Films with it", "of patients"]).to_numpy().ravel()
    assert all(" to " in cell for cell in shown)


def test_finding_with_too_few_films_gets_no_curve(app):
    app.selectbox(key="question").set_value("Hernia").run()
    assert not app.exception
    assert "Hernia: films of 3 patients, too few to say." in words(app)
    assert titles(app) == ["AUROC finding by finding"]


def test_threshold_moves_everything(app):
    section(app, "Thresholds")
    before = words(app)
    table = app.table[0].value
    assert table.to_numpy().sum() == 283
    slider = next(s for s in app.slider if s.label == "Threshold")
    slider.set_value(0.9).run()
    assert not app.exception
    assert app.table[0].value.loc["With", "Flagged"] < table.loc["With", "Flagged"]
    assert words(app) != before
    app.slider(key="site").set_value(5).run()
    assert "At a share of 5%" in words(app)


def test_founding_question_is_answered(app, report):
    section(app, "Worklist")
    missed = report.workload.at_70.missed
    assert f"Setting aside 70% of the films would miss {missed.value:.0%}" in words(app)
    assert "Order is not outcome" in words(app)
    next(b for b in app.button if b.label.startswith("Simulate")).click().run()
    assert not app.exception
    assert "Time from arrival to report" in titles(app)
    assert "Nabulsi" in words(app)


def test_places_stand_beside_chance(app, report):
    section(app, "Where it looks")
    table = app.dataframe[0].value.set_index("Finding")
    part = report.localisation.measured.pooled
    assert table.loc["All boxes", "Pointing"] == interval(part.pointing.model)
    chance = f"{part.pointing.random_map:.2f}, {part.pointing.usual_place:.2f}"
    assert table.loc["All boxes", "Pointing: random, usual place"] == chance
    assert "0.629 at 0.1" in words(app)


def test_viewer_says_what_its_maps_did_against_boxes():
    from cxr.samples import SAMPLES

    app = opened("read_film")
    next(b for b in app.button if b.label == SAMPLES[0].label).click().run()
    notes = {finding["name"]: finding["note"] for finding in component(app, "film_viewer")["film"]["findings"]}
    assert "Not shown to be better than chance." in notes["Pneumonia"]
    assert "too few to say whether this points at the finding" in notes["Hernia"]


def test_model_without_an_evaluation_says_how_to_make_it(changed_settings, tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.path, tmp_path / "bare")
    bundle = load_bundle(tmp_path / "bare")
    files = {name: value for name, value in bundle.card.files.items() if name not in ("report.json", "test.npz")}
    write_card(bundle.path, bundle.card.model_copy(update={"files": files}))
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    changed_settings.setenv("CXR_MODEL", "bare")
    settings.cache_clear()
    app = opened("evaluation")
    assert not app.exception
    assert "carries no evaluation" in words(app)


def test_two_models_on_the_same_films_are_compared(changed_settings, tiny_bundle, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(tiny_bundle.path, tmp_path / name)
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    changed_settings.setenv("CXR_MODEL", "one")
    settings.cache_clear()
    app = section(opened("evaluation"), "Compare")
    assert not app.exception
    assert "one less two: 0.000 (0.000 to 0.000)" in words(app).replace("*", "")


def test_other_test_sets_stand_behind_the_held_out_patients(changed_settings, tmp_path):
    changed_settings.setenv("CXR_EVALUATIONS_DIR", str(tmp_path))
    settings.cache_clear()
    bundle = load_bundle(bundle_path("default"))
    stored = load_evaluation(bundle)
    own = stored.report.model_copy(
        update={"model": ModelName(name="default", sha256=bundle.model_sha256), "test_set": "Set A", "held_out": False}
    )
    save(bundle, "Set A", own, stored.films)
    app = opened("evaluation")
    assert app.selectbox(key="test-set-default").options == ["Held-out patients", "Set A"]
    app.selectbox(key="test-set-default").set_value("Set A").run()
    assert not app.exception
    assert "283 films of 185 patients (Set A)" in words(app)
    assert "it may have been trained on some of them" in words(app)
