"""The section "Agreement" of the page "How good is it?", run without a browser."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from driven import charts, opened, titles, words
from filled_worklist import NOW, new_opinion, new_study, said_of
from streamlit.testing.v1 import AppTest

from cxr.evaluation.words import interval
from cxr.model.bundle import bundle_path, load_bundle
from cxr.settings import settings
from cxr.worklist import database as module
from cxr.worklist.agreement import ANY, QUESTIONS, after_verdict, readings, with_model
from cxr.worklist.database import Database
from cxr.worklist.opinions import View

EFFUSION = {"Effusion": "present"}


@pytest.fixture
def worklist(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Database]:
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    settings.cache_clear()
    found = module.database()
    yield found
    found.dispose()
    module._opened.clear()


@pytest.fixture
def read(worklist: Database) -> Database:
    """40 studies on 40 days, read blind and then informed by one who comes round to the model now and then."""
    serving = load_bundle(bundle_path("default")).sha256
    with worklist.writing() as session:
        for k in range(40):
            study = new_study(bytes([k]), patient=f"P-{k}")
            said = said_of(*(("Effusion",) if k % 2 else ()), model=serving if k < 30 else "cd" * 32)
            blind = k % 3 > 0
            informed = blind if k % 5 else bool(k % 2)
            at = NOW + timedelta(days=k)
            for stage, yes in (("blind", blind), ("informed", informed)):
                view = View(stage, abnormal="yes" if yes else "no", findings=EFFUSION if yes else {})  # type: ignore[arg-type]
                study.opinions.append(new_opinion("Ada", view, said if stage == "informed" else None, at))
            session.add(study)
    return worklist


def section() -> AppTest:
    app = opened("evaluation")
    app.session_state["how-good"] = "Agreement"
    return app.run()


def test_says_so_where_nobody_has_read_anything(worklist: Database) -> None:
    app = section()
    assert not app.exception
    assert "No reader has said anything" in words(app)
    assert titles(app) == []


def test_numbers_are_those_of_the_readings_with_their_intervals(read: Database) -> None:
    found = readings(read)
    of_model = found.where(found.model == load_bundle(bundle_path("default")).sha256)
    app = section()
    assert not app.exception
    assert next(s for s in app.selectbox if s.label == "Compared with").value == of_model.model[0]
    for stage, part in (("blind", "30 readings by 1 reader;"), ("informed", "had seen the verdict")):
        if stage == "informed":
            app.segmented_control(key="agreement-stage").set_value("informed").run()
            assert not app.exception
        rows = {row.question: row for row in with_model(of_model, stage)}  # type: ignore[arg-type]
        said = words(app)
        assert part in said
        assert interval(rows[ANY].kappa) in said
        table = next(d.value for d in app.dataframe if "Kappa" in d.value.columns).set_index("Question")
        assert next(iter(table.index)) == ANY
        assert len(table) == len(QUESTIONS)
        assert table.loc["Effusion", ["Readings", "Kappa"]].tolist() == [30, interval(rows["Effusion"].kappa)]
        assert table.loc["Hernia", ["Readings", "Kappa", "The same"]].tolist() == [
            0,
            "too few to say",
            "too few to say",
        ]
    moved = after_verdict(of_model)[0]
    assert moved.joined > 0
    assert f"{moved.joined} became the model's ({interval(moved.joined_share)})" in words(app)


def test_every_plot_has_a_title_units_numbers_of_readings_and_its_data(read: Database) -> None:
    app = section()
    assert titles(app) == [
        "Readers and model: Cohen's kappa",
        "Abnormal: readers and model over time",
        "Answers that differed from the model's, and became the model's",
    ]
    for chart in charts(app):
        assert chart["layout"]["xaxis"]["title"]["text"]
    kappa, time, change = charts(app)
    assert "Effusion (30)" in kappa["data"][0]["y"]
    assert "interval" in time["layout"]["yaxis"]["title"]["text"]
    assert time["data"][0]["text"][0] == "n = 7"
    # The last of the five weeks has two readings: it is not drawn, and not passed over.
    assert [note["text"] for note in time["layout"]["annotations"]] == ["too few to say (n = 2)"]
    assert len(time["layout"]["xaxis"]["categoryarray"]) == 5
    assert np.isfinite(change["data"][0]["x"]).all()
    buttons = {button.label: button for button in app.get("download_button")}
    assert buttons, "each plot gives its numbers"
    assert len([button for button in app.get("download_button") if button.label == "CSV"]) == 3


def test_all_models_and_another_question(read: Database) -> None:
    app = section()
    choice = next(s for s in app.selectbox if s.label == "Compared with")
    choice.set_value("all").run()
    app.selectbox(key="agreement-question").set_value("Effusion").run()
    assert not app.exception
    assert "40 readings by 1 reader;" in words(app)
    assert "Effusion: readers and model over time" in titles(app)


def test_database_out_of_reach_is_one_sentence(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "worklist").write_text("no folder")
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    settings.cache_clear()
    app = section()
    assert not app.exception
    assert "can't be used" in words(app)
