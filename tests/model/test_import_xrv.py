"""Import of TorchXRayVision's checkpoints against TorchXRayVision itself. Skipped where its packages are missing."""

import hashlib
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from cxr.cli import main
from cxr.findings import FINDINGS, NO_FINDING_INDEX
from cxr.model.bundle import load_bundle
from cxr.model.engine import Engine
from cxr.model.xrv import INPUT_SIZE, ImportRefused, import_xrv
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import SAMPLES
from cxr.settings import ROOT, settings

EXTRA = ("Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "torchxrayvision")),
    reason="PyTorch and torchxrayvision are not installed (requirements-xrv.txt)",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A models folder of this file's own."""
    folder = tmp_path_factory.mktemp("models")
    patch = pytest.MonkeyPatch()
    patch.setenv("CXR_MODELS_DIR", str(folder))
    settings.cache_clear()
    yield folder
    patch.undo()
    settings.cache_clear()


def oracle(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, str(ROOT / "tests" / "xrv_oracle.py"), *map(str, arguments)], env=environment, check=True
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint as torchxrayvision's authors save it, with random weights."""
    file = tmp_path_factory.mktemp("checkpoint") / "densenet.pt"
    oracle("make", file)
    return file


@pytest.fixture(scope="module")
def films(request):
    """Real films: the shipped samples, and of the shared data where there are."""
    found = [read_radiograph(sample.read()) for sample in SAMPLES]
    folder = ROOT.parent / "shared" / "data" / "frontal_other" / "openist_normal"
    return found + [read_radiograph(file.read_bytes()) for file in sorted(folder.glob("*"))[:3]]


@pytest.fixture(scope="module")
def imported(models, checkpoint):
    """The bundle that the command makes of it."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    known = ["--published", "densenet121-res224-all"]
    assert main(["import-xrv", str(checkpoint), "--name", "xrv", "--sha256", digest, *known]) == 0
    return load_bundle(models / "xrv")


@pytest.fixture(scope="module")
def expected(checkpoint, films, tmp_path_factory):
    """What torchxrayvision makes of the films."""
    folder = tmp_path_factory.mktemp("oracle")
    np.save(folder / "squares.npy", np.stack([model_input(film, INPUT_SIZE) for film in films]))
    oracle("run", checkpoint, folder / "squares.npy", folder / "out.npz")
    with np.load(folder / "out.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def predicted(imported, films):
    return Engine(imported).predict(films)


def test_columns_are_ours_then_its_own(imported):
    assert imported.card.categories == (*FINDINGS, *EXTRA)
    assert (imported.card.absent, imported.card.extra) == ((), EXTRA)


def test_logits_are_those_of_torchxrayvision(predicted, expected):
    got = np.stack([prediction.logits[1:] for prediction in predicted])
    assert expected["logits"].std(axis=0).min() > 0.01, "the films must differ for the test to say anything"
    assert np.abs(got - expected["logits"]).max() < 1e-4


def test_scores_are_its_normalised_outputs(predicted, expected):
    got = np.stack([prediction.probabilities[1:] for prediction in predicted])
    assert np.abs(got - expected["scores"]).max() < 1e-4


def test_abnormal_probability_is_the_largest_score(predicted, expected):
    got = np.array([1 - prediction.probabilities[NO_FINDING_INDEX] for prediction in predicted])
    assert np.abs(got - expected["scores"].max(axis=1)).max() < 1e-4


def test_heatmaps_are_its_grad_cam(predicted, expected):
    """Grad-CAM weighs a channel by its mean gradient, which for this head is weight / cells; the maps are the sum."""
    got = np.stack([prediction.maps[..., 1:] - prediction.head_bias[1:] for prediction in predicted])
    cells = got.shape[1] * got.shape[2]
    assert np.abs(got - cells * expected["maps"]).max() < 1e-4


def test_card_says_what_it_is_and_claims_nothing(imported, checkpoint):
    card = imported.card
    assert "densenet121-res224-all" in card.initial_weights
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() in card.initial_weights
    assert (card.data, card.evaluation, card.best_epoch) == (None, None, None)
    assert [point.name for point in card.operating_points] == ["balanced"]


def test_bundle_verifies(imported, capsys):
    assert main(["verify", "--model", "xrv"]) == 0
    assert "all hashes match" in capsys.readouterr().out


def test_checkpoint_that_names_nothing_needs_to_be_named(checkpoint, tmp_path):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    with pytest.raises(ImportRefused, match=r"does not say which pathologies.*--published.*densenet121-res224-all"):
        import_xrv(checkpoint, tmp_path / "model", np.zeros((1, 224, 224), np.uint8), sha256=digest)
    assert not (tmp_path / "model").exists()


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / "notes.pt"
    file.write_text("not a pickle")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ImportRefused, match="can't be read as a DenseNet"):
        import_xrv(file, tmp_path / "model", np.zeros((1, 224, 224), np.uint8), sha256=digest)
