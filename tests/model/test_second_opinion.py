"""The bundle's own heatmaps against tf-keras-vis."""

import numpy as np
import pytest
from synthetic import encoded, synthetic_film

from cxr.findings import FINDINGS
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.model.export import load_keras
from cxr.model.heatmap import supporting_map
from cxr.model.second_opinion import METHODS, second_opinion
from cxr.radiograph import read_radiograph
from cxr.samples import SAMPLES


@pytest.fixture(scope="module")
def shipped():
    bundle = load_bundle(bundle_path("default"))
    return Engine(bundle), load_keras(bundle)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
@pytest.mark.parametrize("finding", FINDINGS[::4])
def test_own_heatmap_is_grad_cam(shipped, sample, finding):
    engine, model = shipped
    prediction = engine.predict([read_radiograph(sample.read())])[0]
    own = supporting_map(prediction.evidence(finding))
    [(_, grad_cam)] = second_opinion(model, prediction.square, finding, ("Grad-CAM",))
    if own is None or grad_cam is None:
        assert own is None and grad_cam is None
        return
    assert np.corrcoef(own.ravel(), grad_cam.ravel())[0, 1] > 0.999
    assert np.abs(own - grad_cam).max() < 1e-2


def test_every_method_finds_the_planted_patch(tiny_bundle):
    film = read_radiograph(encoded(synthetic_film(np.random.default_rng(5), (34, 12))))
    square = Engine(tiny_bundle).predict([film])[0].square
    maps = dict(second_opinion(load_keras(tiny_bundle), square, "Mass"))
    assert tuple(maps) == METHODS
    for method, grid in maps.items():
        assert grid.shape == (8, 8)
        quarters = grid.reshape(2, 4, 2, 4).sum((1, 3))
        assert quarters.argmax() == 2, f"{method}: {quarters}"


def test_unknown_finding_is_an_error(shipped):
    with pytest.raises(ValueError):
        next(second_opinion(shipped[1], np.zeros((320, 320), np.float32), "Fracture"))
