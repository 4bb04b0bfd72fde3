"""The page "Dataset", run without a browser."""

import shutil

import numpy as np
import pandas as pd
import pytest
from driven import charts, opened, titles, words
from kaggle_folder import FILMS_EACH, PATIENTS, chest_film, write_folder

from cxr.dataset.shards import read_records
from cxr.dataset.table import release
from cxr.findings import CATEGORIES
from cxr.settings import settings
from cxr.ui.evaluation.boxed import with_boxes

SECTIONS = ("Labels", "Together", "Patients", "Boxes", "Before you trust a score", "Films")


@pytest.fixture
def app():
    return opened("dataset")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("kaggle") / "set", picture=chest_film())


@pytest.fixture
def own(folder, changed_settings):
    changed_settings.setenv("CXR_DATA", str(folder))
    settings.cache_clear()
    return opened("dataset")


def metric(app, label):
    return next(m.value for m in app.metric if m.label == label)


def section(app, name):
    app.session_state["section"] = name
    return app.run()


def press(app, label):
    return next(b for b in app.button if b.label == label).click().run()


def test_opens_on_nih_s_table_without_any_download(app):
    assert not app.exception
    assert app.title[0].value.replace("\\", "") == "Dataset: NIH ChestX-ray14"
    assert (metric(app, "Films"), metric(app, "Patients")) == ("112,120", "30,805")
    assert metric(app, "With any finding") == "46.2%"
    assert "Research software, not a medical device." in words(app)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_draws(app, name):
    section(app, name)
    assert not app.exception
    expected = {"Labels": 4, "Together": 2, "Patients": 6, "Boxes": 1, "Before you trust a score": 2, "Films": 0}
    assert len(titles(app)) == expected[name]
    assert all(titles(app))


def test_every_chart_has_words_for_a_screen_reader_and_axis_titles(app):
    for name in SECTIONS[:3]:
        section(app, name)
        for element, chart in zip(app.get("plotly_chart"), charts(app), strict=True):
            assert element.proto.alt, chart["layout"]["title"]["text"]
            axes = [chart["layout"][name].get("title", {}).get("text") for name in ("xaxis", "yaxis")]
            assert any(axes) or chart["data"][0]["type"] == "heatmap", chart["layout"]["title"]["text"]


def test_every_chart_gives_its_numbers(app):
    for name in SECTIONS[:5]:
        section(app, name)
        buttons = [b for b in app.get("download_button") if b.label == "CSV"]
        assert len(buttons) == len(titles(app))


def test_bars_are_the_counts_of_the_table(app):
    (counts,) = (c for c in charts(app) if c["layout"]["title"]["text"] == "Films with each category")
    shown = dict(zip(counts["data"][0]["y"], counts["data"][0]["text"], strict=True))
    assert (shown["No finding"], shown["Infiltration"], shown["Hernia"]) == ("60,361", "19,894", "227")
    assert len(shown) == len(CATEGORIES)


def test_correlations_are_printed_as_the_data_say(app):
    section(app, "Together")
    assert "Pneumothorax and emphysema 0.18" in words(app)
    assert "Edema and pneumonia 0.17, Atelectasis and effusion 0.17" in words(app)


def test_what_a_model_scores_without_looking_is_said(app):
    section(app, "Before you trust a score")
    said = words(app)
    assert "0.832" in said
    assert "0.745 over the 14 findings" in said
    assert "0.8237" in said
    assert "69.1% of the films have their patient on both sides" in said


def test_filters_apply_to_every_number(app):
    table = release()
    mass = table.labels[:, CATEGORIES.index("Mass")] == 1
    app.multiselect(key="filter-findings").set_value(["Mass"]).run()
    assert metric(app, "Films") == f"{mass.sum():,}" == "5,782"
    app.toggle(key="filter-boxes").set_value(True).run()
    expected = mass & table.has_box
    assert metric(app, "Films") == f"{expected.sum():,}"
    section(app, "Boxes")
    assert f"on {expected.sum():,} films" in words(app)
    press(app, "Reset filters")
    assert metric(app, "Films") == "112,120"


def test_view_sex_age_patient_and_first_film(app):
    films = release().films
    app.pills(key="filter-view").set_value(["AP"]).run()
    assert metric(app, "Films") == f"{(films['view'] == 'AP').sum():,}"
    assert metric(app, "PA films") == "0.0%"
    app.pills(key="filter-sex").set_value(["F"]).run()
    both = (films["view"] == "AP") & (films["sex"] == "F")
    assert metric(app, "Films") == f"{both.sum():,}"
    app.slider[0].set_value((30, 40)).run()
    both &= films["age"].between(30, 40)
    assert metric(app, "Films") == f"{both.sum():,}"
    press(app, "Reset filters")
    app.number_input(key="filter-patient").set_value(13118).run()
    assert (metric(app, "Films"), metric(app, "Patients")) == ("9", "1")
    press(app, "Reset filters")
    app.toggle(key="filter-first").set_value(True).run()
    assert metric(app, "Films") == metric(app, "Patients") == "30,805"


def test_all_and_none_of_several_findings(app):
    labels = release().labels
    two = [CATEGORIES.index("Edema"), CATEGORIES.index("Mass")]
    app.multiselect(key="filter-findings").set_value(["Edema", "Mass"]).run()
    assert metric(app, "Films") == f"{labels[:, two].any(axis=1).sum():,}"
    app.segmented_control(key="filter-mode").set_value("all").run()
    assert metric(app, "Films") == f"{labels[:, two].all(axis=1).sum():,}"
    app.segmented_control(key="filter-mode").set_value("none").run()
    assert metric(app, "Films") == f"{(~labels[:, two].any(axis=1)).sum():,}"


def test_no_film_left_is_said_in_every_section(app):
    app.number_input(key="filter-patient").set_value(99_999_999).run()
    for name in SECTIONS:
        section(app, name)
        assert not app.exception
        assert "No film satisfies these filters." in words(app)


def test_filters_and_section_are_still_there_after_another_page(app):
    app.toggle(key="filter-boxes").set_value(True).run()
    section(app, "Boxes")
    app.switch_page("pages/model_card.py").run()
    app.switch_page("pages/dataset.py").run()
    assert metric(app, "Films") == "880"
    assert titles(app)[0].startswith("Where boxes lie")


def upload(app, data, name="mine.csv"):
    return app.file_uploader[0].upload(name, data, "text/csv").run()


def csv_of(*rows):
    return "\n".join([",".join(("", *CATEGORIES)), *rows]).encode()


ROW = ",1" + ",0" * 14


def test_bad_table_lists_all_problems_and_leaves_the_table(app):
    upload(app, csv_of("00000001_000.png" + ROW, "00000001_000.png" + ROW, "x" + ",2" + ",0" * 14))
    assert not app.exception
    said = words(app)
    assert "mine.csv can't be used. Still shown: NIH ChestX-ray14." in said.replace("*", "")
    assert "“00000001_000.png” occurs more than once (rows 2, 3)" in said
    assert "“x” is not an image id (row 4)" in said
    assert "“No Finding” holds “2”, neither 0 nor 1 (row 4)" in said
    assert metric(app, "Films") == "112,120"
    press(app, "Dismiss")
    assert "can't be used" not in words(app)


def test_good_table_is_shown_after_a_bad_one_and_can_be_taken_back(app):
    upload(app, b"")
    assert "It is empty." in words(app)
    upload(app, csv_of("00000001_000.png" + ROW, "00000001_001.png" + ROW))
    assert not app.exception
    assert "can't be used" not in words(app)
    assert metric(app, "Films") == "2"
    assert "those that NIH gives for the same image ids (2 of 2)" in words(app)
    press(app, "Back to the table before")
    assert metric(app, "Films") == "112,120"


def test_name_of_an_uploaded_table_is_shown_as_it_is(app):
    upload(app, csv_of("00000001_000.png" + ROW), "**[x](http://evil)**.csv")
    assert r"\*\*\[x\]\(http\://evil\)" in app.title[0].value


@pytest.mark.parametrize("name", SECTIONS)
def test_table_of_one_film_of_unknown_patient_draws(app, name):
    upload(app, csv_of("99999999_000.png" + ROW))
    section(app, name)
    assert not app.exception


def test_without_shards_it_says_how_to_get_films_and_lists_them(app):
    section(app, "Films")
    assert "download “NIH Chest X-rays TFRecords” from Kaggle" in words(app)
    assert len(app.dataframe[0].value) == 100
    app.session_state["dataset-film"] = "00013118_008.png"
    app.run()
    assert app.header[0].value.replace("\\", "") == "00013118_008.png"
    assert "All 9 films of patient 13118, in order" in words(app)


def test_own_folder_is_shown_with_its_films(own):
    assert metric(own, "Films") == str(PATIENTS * FILMS_EACH)
    section(own, "Films")
    assert not own.exception
    assert "120 of the 120 selected films are in the shards." in words(own)


def test_order_is_the_same_for_the_same_seed(own):
    section(own, "Films")
    own.segmented_control(key="films-as").set_value("Table").run()
    first = own.dataframe[0].value["Film"].tolist()
    own.number_input(key="seed").set_value(7).run()
    other = own.dataframe[0].value["Film"].tolist()
    own.number_input(key="seed").set_value(0).run()
    assert own.dataframe[0].value["Film"].tolist() == first != other
    own.selectbox(key="order").set_value("By patient").run()
    ids = own.dataframe[0].value["Film"].tolist()
    assert ids == sorted(ids)
    own.selectbox(key="order").set_value("Most findings first").run()
    assert own.dataframe[0].value["Labels"].tolist()[:20] == ["Effusion, Mass"] * 20


def test_films_of_the_detail_view_go_to_the_reading_page_with_labels_hidden(own):
    section(own, "Films")
    own.session_state["dataset-film"] = "00000003_000.png"
    own.run()
    assert not own.exception
    assert own.header[0].value.replace("\\", "") == "00000003_000.png"
    assert own.dataframe[0].value["Box"].tolist() == ["Mass"]
    own.run()
    next(b for b in own.button if b.label == "Read this film").click().run()
    # The click ends in another page; AppTest stays, so the page is asked for.
    own.switch_page("pages/read_film.py").run()
    assert not own.exception
    assert "00000003_000.png" in words(own)
    assert "if the model was trained on this patient" in words(own)
    assert "Text-mined from the report" not in words(own)
    next(t for t in own.toggle if t.label == "Show the labels of the data set").set_value(True).run()
    assert "Mass" in words(own)
    assert "Text-mined from the report" in words(own)


def test_damaged_shards_are_named_and_the_others_stay_usable(folder, changed_settings, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    shards = sorted((damaged / "data").glob("*.tfrec"))
    whole = shards[0].read_bytes()
    shards[0].write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(shards[1].read_bytes())
    flipped[600] ^= 1
    shards[1].write_bytes(flipped)
    changed_settings.setenv("CXR_DATA", str(damaged))
    settings.cache_clear()
    app = section(opened("dataset"), "Films")
    assert not app.exception
    assert "000-030.tfrec, offset" in words(app)
    assert "of the 120 selected films are in the shards." in words(app)
    first = next(read_records(folder / "data" / "001-030.tfrec")).image_id
    app.session_state["dataset-film"] = first
    app.run()
    assert not app.exception
    assert "001-030.tfrec, offset 0: its checksum is wrong" in words(app)


def test_folder_that_cant_be_used_is_said_above_nih_s_table(changed_settings, tmp_path):
    changed_settings.setenv("CXR_DATA", str(tmp_path))
    settings.cache_clear()
    app = opened("dataset")
    assert not app.exception
    assert "There is no preprocessed_data.csv in it" in words(app)
    assert metric(app, "Films") == "112,120"


def test_boxes_are_drawn_where_they_are():
    box = pd.DataFrame([{"finding": "Mass", "x": 256.0, "y": 512.0, "w": 128.0, "h": 256.0}])
    drawn = np.asarray(with_boxes(np.zeros((600, 600), np.uint8), box))
    assert drawn.shape == (1200, 1200, 3)
    rows, columns = np.nonzero(drawn.max(axis=2) > 100)
    below_text = rows > 560
    assert abs(rows.max() - 900) <= 4
    assert abs(columns[below_text].min() - 300) <= 4
    assert abs(columns[below_text].max() - 450) <= 4
    assert (np.abs(rows[columns > 440] - 600) <= 4).any()
