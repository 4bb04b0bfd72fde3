"""The page "Read a film", run without a browser."""

import json
import shutil

import pytest
from driven import opened

from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.radiograph import read_radiograph
from cxr.samples import SAMPLES
from cxr.settings import settings


@pytest.fixture
def app():
    return opened("read_film")


def press(app, label):
    return next(button for button in app.button if button.label == label).click().run()


def words(app):
    kinds = ("header", "markdown", "caption", "error", "warning")
    return " ".join(element.value for kind in kinds for element in app.get(kind)).replace("\\", "")


def test_empty_page_says_what_to_do_and_what_this_is(app):
    assert not app.exception
    assert "Drop in a chest film" in words(app)
    card = load_bundle(bundle_path("default")).card
    said = words(app)
    assert "not a medical device" in said
    assert f"{card.data.splits['train'].films:,} films of {card.data.splits['train'].patients:,} patients" in said
    assert f"{card.evaluation.overall.abnormal_auroc.value:.2f} (95%: " in said


def test_sample_gets_a_verdict_with_its_meaning(app):
    press(app, SAMPLES[0].label)
    assert not app.exception
    said = words(app)
    assert any(title in said for title in ("Abnormal", "No finding", "Uncertain"))
    assert "held-out patients this threshold flagged" in said
    table = app.dataframe[0].value
    assert len(table) == 14
    assert table["Probability"].is_monotonic_decreasing
    assert set(table.columns) == {"Finding", "Probability", "Threshold", "Flag", "Catches", "Spares"}
    balanced = load_bundle(bundle_path("default")).card.operating_point("balanced")
    effusion = table.set_index("Finding").loc["Effusion"]
    assert effusion["Catches"] == f"{balanced.findings['Effusion'].sensitivity.value:.0%}"
    assert effusion["Spares"] == f"{balanced.findings['Effusion'].specificity.value:.0%}"


def test_page_says_what_the_command_line_says(app, capsys):
    from cxr.cli import main
    from cxr.samples import FOLDER

    press(app, SAMPLES[0].label)
    assert main(["classify", "--json", str(FOLDER / SAMPLES[0].file)]) == 0
    record = json.loads(capsys.readouterr().out)
    table = app.dataframe[0].value.set_index("Finding")
    for name, finding in record["findings"].items():
        row = table.loc[name.replace("_", " ").capitalize()]
        assert row["Probability"] == pytest.approx(finding["probability"], abs=1e-4)
        assert (row["Flag"] == "flagged") == finding["flagged"]
    assert f"probability {record['abnormal_probability']:.3f} is" in words(app)


def test_operating_point_changes_thresholds_not_probabilities(app):
    press(app, SAMPLES[1].label)
    before = app.dataframe[0].value.set_index("Finding")
    app.segmented_control(key="operating-point").set_value("rule-in").run()
    after = app.dataframe[0].value.set_index("Finding")
    assert (before["Probability"] == after["Probability"]).all()
    assert (before["Threshold"] != after["Threshold"]).any()


def test_all_samples_are_listed_with_the_new_one_chosen(app):
    for sample in SAMPLES:
        press(app, sample.label)
        assert not app.exception
        assert sample.file in words(app)
    assert len(app.radio[0].options) == len(SAMPLES)


def test_bad_file_shows_its_sentence_and_the_others_go_on(app):
    press(app, SAMPLES[0].label)
    app.file_uploader[0].upload("holiday.png", b"no picture at all", "image/png").run()
    assert not app.exception
    assert "This is not a PNG, JPEG or DICOM file." in words(app)
    assert "Not analysed" in words(app)
    assert len(app.radio[0].options) == 2
    press(app, "Remove this film")
    assert not app.exception
    assert len(app.radio[0].options) == 1
    assert len(app.dataframe[0].value) == 14


def test_films_and_operating_point_survive_a_visit_to_another_page(app):
    press(app, SAMPLES[0].label)
    app.file_uploader[0].upload("film.jpeg", SAMPLES[1].read(), "image/jpeg").run()
    app.segmented_control(key="operating-point").set_value("rule-in").run()
    before = words(app)
    app.switch_page("pages/model_card.py").run()
    app.switch_page("pages/read_film.py").run()
    assert not app.exception
    assert words(app) == before
    assert "film.jpeg" in before


def test_same_file_again_is_one_film_and_comes_to_the_front(app):
    app.file_uploader[0].upload("film.jpeg", SAMPLES[1].read(), "image/jpeg").run()
    press(app, SAMPLES[0].label)
    assert SAMPLES[0].file in words(app)
    app.file_uploader[0].upload("film.jpeg", SAMPLES[1].read(), "image/jpeg").run()
    assert len(app.radio[0].options) == 2
    assert "film.jpeg, 1776 x 1416 pixels" in words(app).replace("*", "")


def test_films_of_the_same_name_are_told_apart(app):
    for sample in SAMPLES[1:]:
        app.file_uploader[0].upload("IM-0001.jpeg", sample.read(), "image/jpeg").run()
    assert sorted(label.replace("\\", "") for label in app.radio[0].options) == ["IM-0001.jpeg (1)", "IM-0001.jpeg (2)"]
    sizes = {1: "1776 x 1416", 2: "968 x 592"}
    keys = list(app.session_state["read_film_readings"].films)
    for number, size in sizes.items():
        app.radio[0].set_value(keys[number - 1]).run()
        assert f"IM-0001.jpeg ({number}), {size} pixels" in words(app).replace("*", "")


def test_child_sample_says_that_the_model_is_for_adults(app):
    press(app, SAMPLES[1].label)
    assert "A film of a child" in words(app)


def test_session_that_is_full_takes_no_more_and_says_so(app, changed_settings):
    changed_settings.setenv("CXR_SESSION_MEGABYTES", "1")
    settings.cache_clear()
    press(app, SAMPLES[0].label)
    app.file_uploader[0].upload("big.jpeg", bytes(900_000), "image/jpeg").run()
    assert not app.exception
    assert len(app.radio[0].options) == 1
    assert "big.jpeg was not taken in" in app.toast[0].value.replace("\\", "")


def test_removed_film_leaves_nothing_in_the_session(app):
    press(app, SAMPLES[0].label)
    press(app, "Remove this film")
    session = app.session_state["read_film_readings"]
    assert (session.films, session.answers, session.second_opinions, session.depths) == ({}, {}, {}, {})


def test_another_serving_model_reads_all_films_anew(app, changed_settings, unchecked_bundle):
    press(app, SAMPLES[0].label)
    changed_settings.setenv("CXR_MODELS_DIR", str(unchecked_bundle.path.parent))
    changed_settings.setenv("CXR_MODEL", "tiny")
    settings.cache_clear()
    app.run()
    assert not app.exception
    tiny = Engine(unchecked_bundle).predict([read_radiograph(SAMPLES[0].read())])[0]
    assert app.dataframe[0].value["Probability"].max() == pytest.approx(tiny.probabilities[1:].max())
    app.switch_page("pages/model_card.py").run()
    assert app.title[0].value == "Model card: tiny"


def test_bundle_replaced_under_its_name_is_loaded_anew(app, changed_settings, unchecked_bundle, tmp_path):
    shutil.copytree(unchecked_bundle.path, tmp_path / "default")
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    press(app, SAMPLES[0].label)
    before = app.session_state["read_film_readings"].model
    card = tmp_path / "default" / "card.json"
    card.write_text(card.read_text().replace('"created": "', '"created": "later than '))
    app.run()
    assert not app.exception
    after = app.session_state["read_film_readings"].model
    assert (before, after) == (unchecked_bundle.sha256, load_bundle(tmp_path / "default").sha256)
    assert before != after


def test_sample_that_a_full_session_has_no_room_for_is_refused_in_words(app, changed_settings):
    changed_settings.setenv("CXR_SESSION_MEGABYTES", "1")
    settings.cache_clear()
    app.file_uploader[0].upload("big.jpeg", bytes(900_000), "image/jpeg").run()
    press(app, SAMPLES[0].label)
    assert not app.exception
    assert f"{SAMPLES[0].file} was not taken in" in app.toast[0].value.replace("\\", "")


def test_name_of_a_file_is_shown_as_it_is(app):
    app.file_uploader[0].upload("**[x](http://evil)** <script>.png", b"no", "image/png").run()
    assert not app.exception
    assert r"\*\*\[x\]\(http\://evil\)" in app.markdown[-1].value


def test_remove_all_films(app):
    press(app, SAMPLES[0].label)
    press(app, "Remove all")
    assert not app.exception
    assert "Drop in a chest film" in words(app)


def test_missing_model_is_a_sentence_not_a_guess(changed_settings, tmp_path):
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    app = opened("read_film")
    assert not app.exception
    assert "There is no model named 'default'" in words(app)
    assert not app.file_uploader


def test_second_opinion_shows_three_maps(app):
    press(app, SAMPLES[0].label)
    button = next(b for b in app.button if b.label.startswith("Compute for"))
    button.click().run(timeout=180)
    assert not app.exception
    assert not any(b.label.startswith("Compute for") for b in app.button)
