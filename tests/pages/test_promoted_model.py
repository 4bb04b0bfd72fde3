"""A session that is open while another model is promoted."""

from pathlib import Path

import pytest
from driven import opened, words
from promoting import another_model
from streamlit.testing.v1 import AppTest

from cxr.model.bundle import Bundle, load_bundle
from cxr.promotion import promote, roll_back
from cxr.samples import SAMPLES
from cxr.settings import settings


@pytest.fixture
def models(changed_settings: pytest.MonkeyPatch, unchecked_bundle: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    another_model(unchecked_bundle, folder / "default")
    another_model(unchecked_bundle, folder / "second", 0.5)
    changed_settings.setenv("CXR_MODELS_DIR", str(folder))
    changed_settings.setenv("CXR_EVALUATIONS_DIR", str(tmp_path / "evaluations"))
    changed_settings.delenv("CXR_MODEL", raising=False)
    settings.cache_clear()
    return folder


@pytest.fixture
def app(models: Path) -> AppTest:
    return opened("read_film")


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()


def thresholds(app: AppTest) -> dict[str, float]:
    return dict(app.dataframe[0].value.set_index("Finding")["Threshold"])


def of_card(folder: Path) -> dict[str, float]:
    point = load_bundle(folder).card.operating_point("balanced")
    return {name.replace("_", " ").capitalize(): found.threshold for name, found in point.findings.items()}


def test_an_open_session_reads_with_the_promoted_model_at_the_next_rerun_and_says_so(
    app: AppTest, models: Path
) -> None:
    press(app, SAMPLES[0].label)
    assert "Read by the model default." in words(app).replace("*", "")
    assert thresholds(app) == pytest.approx(of_card(models / "default"))
    promote("second", "Ada", "it finds more")
    app.run()
    assert not app.exception
    said = words(app).replace("*", "")
    assert "Read by the model second." in said
    assert "Model second, trained on" in said
    assert "default" not in said, "nothing of the other model is left on the page"
    assert thresholds(app) == pytest.approx(of_card(models / "second"))
    assert app.session_state["read_film_readings"].model == load_bundle(models / "second").sha256
    assert [toast.value for toast in app.toast] == ["Another model serves now: second. Your films are read anew."]
    roll_back("Ada", "it missed two")
    press(app, SAMPLES[1].label)
    assert "Read by the model default." in words(app).replace("*", "")
    assert thresholds(app) == pytest.approx(of_card(models / "default"))


def test_the_other_pages_follow(app: AppTest, models: Path) -> None:
    promote("second", "Ada", "it finds more")
    app.switch_page("pages/model_card.py").run()
    assert app.title[0].value == "Model card: second"
    app.switch_page("pages/evaluation.py").run()
    assert app.selectbox(key="evaluated-model").value == "second"


def test_a_damaged_record_stops_the_pages_that_need_a_model_with_a_sentence(app: AppTest, models: Path) -> None:
    (models / "registry.json").write_text("{")
    assert not app.switch_page("pages/evaluation.py").run().exception
    for page in ("read_film", "model_card"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert "is damaged; put back a copy of it" in app.error[0].value
        assert "No film can be read until this is mended." in app.error[0].value


def test_a_model_that_was_replaced_since_its_promotion_reads_no_film(
    app: AppTest, models: Path, unchecked_bundle: Bundle
) -> None:
    import shutil

    promote("second", "Ada", "it finds more")
    shutil.rmtree(models / "second")
    another_model(unchecked_bundle, models / "second", 0.9)
    app.run()
    assert not app.exception
    assert "The model second was replaced since it was promoted" in app.error[0].value
