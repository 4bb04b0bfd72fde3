"""The serving engine."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from synthetic import encoded, synthetic_film

from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.engine import BATCH, Engine
from cxr.model.export import load_keras, predict
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import SAMPLES
from cxr.settings import ROOT


@pytest.fixture(scope="module")
def engine(tiny_bundle):
    return Engine(tiny_bundle)


@pytest.fixture(scope="module")
def films():
    rng = np.random.default_rng(1)
    places = [None, (10, 10), (30, 40), (40, 8)] * 5
    return [read_radiograph(encoded(synthetic_film(rng, place))) for place in places]


def test_predictions_are_those_of_keras(engine, films, tiny_bundle):
    squares = np.stack([model_input(film, 64) for film in films])
    logits, maps = predict(load_keras(tiny_bundle), squares)
    for prediction, logit, grid in zip(engine.predict(films), logits, maps, strict=True):
        np.testing.assert_allclose(prediction.logits, logit, atol=1e-3)
        np.testing.assert_allclose(prediction.maps, grid, atol=1e-3)


def test_probabilities_are_the_calibrated_logits(engine, films, tiny_bundle):
    calibration = tiny_bundle.card.calibration
    for prediction in engine.predict(films[:3]):
        scaled = np.array(calibration.slope) * prediction.logits + calibration.intercept
        np.testing.assert_allclose(prediction.probabilities, 1 / (1 + np.exp(-scaled)), rtol=1e-6)


def test_order_and_batching_do_not_matter(engine, films):
    assert len(films) > 2 * BATCH
    together = engine.predict(films)
    for film, prediction in zip(films, together, strict=True):
        np.testing.assert_allclose(engine.predict([film])[0].logits, prediction.logits, atol=1e-4)


def test_no_films_no_predictions(engine):
    assert engine.predict([]) == []


def test_threads_share_an_engine(engine, films):
    expected = [prediction.logits for prediction in engine.predict(films)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda film: engine.predict([film])[0].logits, films * 5))
    np.testing.assert_allclose(got, expected * 5, atol=1e-4)


def test_serving_imports_neither_tensorflow_nor_keras():
    """A clean interpreter classifies a film with the shipped model and says what it has imported."""
    code = (
        "import sys\n"
        "from cxr.classify import answer\n"
        "from cxr.model.bundle import bundle_path, load_bundle\n"
        "from cxr.model.engine import Engine\n"
        "from cxr.samples import SAMPLES\n"
        "reading = answer(Engine(load_bundle(bundle_path('default'))), 'film', SAMPLES[0].read())\n"
        "assert reading.prediction.probabilities.shape == (15,)\n"
        "print([name for name in ('tensorflow', 'keras', 'torch', 'jax', 'streamlit') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "[]", run.stderr


def test_shipped_model_sees_the_masses_of_the_adult_sample():
    """The film shows many large round masses: the shipped model must not call it free of findings."""
    bundle = load_bundle(bundle_path("default"))
    prediction = Engine(bundle).predict([read_radiograph(SAMPLES[0].read())])[0]
    assert 1 - prediction.probabilities[0] > bundle.card.operating_point("rule-out").threshold
