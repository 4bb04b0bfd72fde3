"""What the pages show of a film that the scope check refuses, asks about or corrects."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from driven import component, opened, words
from PIL import Image
from streamlit.testing.v1 import AppTest

from cxr.classify import INVERTED, INVERTED_AS_SAID, SEEMS_INVERTED
from cxr.model.engine import Engine
from cxr.radiograph import Radiograph
from cxr.radiograph.scope import Scope
from cxr.samples import SAMPLES
from cxr.settings import ROOT, settings
from cxr.ui.model import engine_of
from cxr.worklist.database import Database, database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.intake import take_in
from cxr.worklist.scoring import score_queued
from cxr.worklist.status import FilmState
from cxr.worklist.studies import study

ADULT = SAMPLES[0]
SIDEWAYS = 32
LATERAL = Scope("This looks like a lateral film.", "lateral", in_scope=0.1)


def film(turns: int = 0, inverted: bool = False) -> bytes:
    """The adult's sample as a PNG of 300 x 400 pixels, turned to the left."""
    from cxr.radiograph import read_radiograph

    grey = Image.fromarray(read_radiograph(ADULT.read()).grey).resize((300, 400))
    pixels = np.rot90(255 - np.asarray(grey) if inverted else np.asarray(grey), turns)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def lies_on_its_side(film: Radiograph) -> Scope:
    """A film that is wider than high wants a quarter turn."""
    return Scope(turn="right" if film.pixels.shape[1] > film.pixels.shape[0] else None)


def other_way_round(seen: Radiograph) -> Scope:
    """The sample's own grey scale is right."""
    right = np.asarray(Image.open(io.BytesIO(film())), np.float32) / 255
    off = np.abs(seen.pixels - right).mean() > np.abs(1 - seen.pixels - right).mean()
    return Scope(inverted=bool(off), warnings=("The contrast of the film is low.",))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Radiograph], Scope]], None]]:
    """Gives every engine a scope check that says what a function says."""

    def put(function: Callable[[Radiograph], Scope]) -> None:
        check = SimpleNamespace(check=lambda film, features, square: function(film))
        predict = Engine.predict

        def with_features(self, films):
            return [_featured(prediction) for prediction in predict(self, films)]

        monkeypatch.setattr(Engine, "scope", property(lambda self: check, lambda self, value: None), raising=False)
        monkeypatch.setattr(Engine, "predict", with_features)

    yield put
    # Engines that were made meanwhile have no check of their own.
    st.cache_resource.clear()


def _featured(prediction):
    from dataclasses import replace

    return replace(prediction, features=np.zeros(4, np.float32))


def drop(app: AppTest, name: str, data: bytes) -> None:
    app.file_uploader[0].upload(name, data, "image/png").run()
    assert not app.exception


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def shown(app: AppTest) -> tuple[int, int]:
    pixels = component(app, "film_viewer")["film"]["pixels"]
    return pixels["width"], pixels["height"]


def test_a_refused_film_is_shown_with_its_reason_and_without_a_number(says) -> None:
    says(lambda film: LATERAL)
    app = opened("read_film")
    drop(app, "side.png", film())
    said = words(app)
    assert "Not analysed" in said and LATERAL.refusal in said
    assert "trained on frontal films alone" in said
    assert app.radio[0].proto.captions[0] == "Not analysed: lateral film"
    assert shown(app) == (300, 400)
    assert component(app, "film_viewer")["film"]["findings"] == []
    assert not app.dataframe and not app.get("download_button")
    assert "probability 0" not in said


def test_a_film_on_its_side_is_read_when_it_was_turned(says) -> None:
    says(lies_on_its_side)
    app = opened("read_film")
    drop(app, "film.png", film(1))
    assert "The film seems to lie on its side." in words(app)
    assert not app.dataframe
    assert shown(app) == (400, 300)
    press(app, "Turn it upright")
    assert len(app.dataframe[0].value) == 14
    assert shown(app) == (300, 400)
    assert "turned a quarter turn to the right before it was read" in words(app)
    upright = opened("read_film")
    drop(upright, "film.png", film())
    assert (upright.dataframe[0].value == app.dataframe[0].value).all(axis=None)


def test_a_film_that_lies_as_it_should_is_read_with_a_warning(says) -> None:
    says(lies_on_its_side)
    app = opened("read_film")
    drop(app, "film.png", film(1))
    press(app, "It lies as it should")
    assert len(app.dataframe[0].value) == 14
    assert "It was read as it lies" in words(app)
    assert shown(app) == (400, 300)
    assert _button(app, "As the file has it").disabled
    press(app, "A quarter turn right")
    assert shown(app) == (300, 400)


def _button(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


def test_an_inverted_film_is_shown_and_read_corrected(says) -> None:
    says(other_way_round)
    app = opened("read_film")
    drop(app, "film.png", film(inverted=True))
    said = words(app)
    assert INVERTED in said and "The contrast of the film is low." in said
    session = app.session_state["read_film_readings"]
    key = next(iter(session.films))
    np.testing.assert_array_equal(session.answers[key].grey, session.depth(key).picture())
    upright = opened("read_film")
    drop(upright, "film.png", film())
    found, right = (one.dataframe[0].value.set_index("Finding")["Probability"] for one in (app, upright))
    np.testing.assert_allclose(found, right[found.index], atol=1e-4)
    # Whoever sees that the check was mistaken, says so.
    corrected = session.answers[key].grey
    press(app, "Invert the grey scale")
    assert SEEMS_INVERTED in words(app) and INVERTED not in words(app)
    np.testing.assert_array_equal(session.answers[key].grey, 255 - corrected)
    press(app, "Invert the grey scale")
    assert INVERTED_AS_SAID in words(app)
    press(app, "As the file has it")
    assert SEEMS_INVERTED in words(app)


@pytest.fixture
def db(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    settings.cache_clear()
    return database()


def desk(number: int, **address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.query_params["study"] = str(number)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def score(db: Database, data: bytes) -> int:
    number = take_in(db, film_folder(), "film.png", data, who="test", source="drop").study
    score_queued(db, film_folder(), engine_of("default"))
    return number


def test_worklist_shows_what_was_refused_and_why(db: Database, says) -> None:
    says(lambda film: LATERAL)
    app = desk(score(db, film()))
    said = words(app)
    assert LATERAL.refusal in said and "trained on frontal films alone" in said
    assert shown(app) == (300, 400)
    assert "abnormal probability" not in said


@pytest.mark.parametrize("blind", ["0", "1"])
def test_worklist_turns_a_film_for_everybody(db: Database, says, blind: str) -> None:
    says(lies_on_its_side)
    number = score(db, film(1))
    app = desk(number, blind=blind)
    assert "The film seems to lie on its side." in words(app)
    press(app, "Turn it upright")
    assert shown(app) == (300, 400)
    score_queued(db, film_folder(), engine_of("default"))
    assert study(db, number).films[0].state == FilmState.SCORED
    app = desk(number, reader="Bob")
    assert shown(app) == (300, 400)
    assert "seems to lie" not in words(app)
    assert "before it was read" in words(app)


def test_who_does_not_hold_the_study_turns_nothing(db: Database, says) -> None:
    says(lies_on_its_side)
    number = score(db, film(1))
    desk(number, reader="Ada")
    app = desk(number, reader="Bob")
    assert _button(app, "Turn it upright").disabled


def test_a_lateral_film_beside_a_frontal_one_is_said_to_have_no_part(db: Database, says) -> None:
    from cxr.worklist.tables import Film

    says(lambda film: LATERAL if film.pixels.shape[0] == SIDEWAYS * 10 else Scope())
    number = score(db, film())
    other = score(db, _other())
    with db.writing() as session:
        moved = session.get_one(Film, study(db, other).films[0].id)
        moved.study_id = number
    said = words(desk(number))
    assert f"Film 2 has no part in this: {LATERAL.refusal}" in said
    assert "held-out patients this threshold flagged" in said


def test_what_was_said_of_a_film_before_it_was_refused_is_not_shown(db: Database) -> None:
    from cxr.worklist.tables import Film

    number = score(db, film())
    with db.writing() as session:
        refused = session.get_one(Film, study(db, number).films[0].id)
        refused.state, refused.reason, refused.refused_as = FilmState.REFUSED, LATERAL.refusal, "lateral"
    app = desk(number)
    assert component(app, "film_viewer")["film"]["findings"] == []
    assert "abnormal probability" not in words(app)


def _other() -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(film())).resize((300, SIDEWAYS * 10)).save(file, "PNG")
    return file.getvalue()
