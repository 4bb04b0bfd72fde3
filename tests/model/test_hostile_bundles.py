"""Bundles that mean harm, also those whose card has the right hashes: refused in one sentence, and the champion stays.

Each way is tried in every place that loads models.
"""

import json
import re
import shutil

import numpy as np
import pytest
from hostile_bundles import HOSTILE, card, flipped, pipe
from promoting import models_folder

from cxr.cli import main
from cxr.model import graph_check, untrusted
from cxr.model.bundle import BundleRejected, bundle_path, file_sha256, load_bundle
from cxr.model.engine import Engine
from cxr.model.graph_check import OPERATORS, check_graph
from cxr.model.keras_check import LAYERS, check_keras
from cxr.registry import history, serving_bundle


@pytest.fixture
def models(changed_settings, tiny_bundle, tmp_path, monkeypatch):
    """A champion, and a candidate as good, which a test may damage."""
    monkeypatch.setattr(untrusted, "UNPACKED", 3_000_000)
    monkeypatch.delenv("CXR_MODEL", raising=False)
    return models_folder(changed_settings, tiny_bundle, tmp_path, {"default": 1.0, "second": 0.999})


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_one_sentence_and_the_champion_stays(models, name, capsys):
    champion = Engine(serving_bundle())
    film = np.zeros((1, 64, 64), np.float32)
    before = champion.run(film)[0]
    damage, expected = HOSTILE[name]
    damage(models / "second")
    capsys.readouterr()
    for command in (["gate", "second"], ["promote", "second", "--who", "Eve", "--why", "x", "--override"]):
        assert main(command) == 1, command
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and said.err.endswith(".\n"), said
        assert re.search(expected, said.err), said.err
    assert history() == () and serving_bundle().name == "default"
    np.testing.assert_array_equal(champion.run(film)[0], before)


@pytest.mark.parametrize("name", [name for name in HOSTILE if "Keras" in name or "layer" in name or "weights" in name])
def test_verify_and_training_from_it_refuse_it_too(models, name, capsys, tiny_backbone):
    from cxr.training.config import TrainingConfig
    from cxr.training.parent import load_parent, start_from

    HOSTILE[name][0](models / "second")
    capsys.readouterr()
    assert main(["verify", "--model", "second"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith(".\n")
    try:
        parent = load_parent(TrainingConfig(backbone=tiny_backbone, parent="second", input_size=64))
        start_from(None, parent)
    except BundleRejected as error:
        assert str(error) == said.strip()
    except AttributeError:
        # What is wrong with it is of the graph alone, which training does not load.
        assert "model.onnx" in said or "serving graph" in said


def test_what_is_no_file_is_not_waited_for(models):
    pipe(models / "second")
    with pytest.raises(BundleRejected, match=r"card\.json is no file"):
        load_bundle(models / "second")


def test_a_champion_that_is_damaged_while_it_serves_goes_on(models):
    from cxr.worklist.scoring import ServingEngine

    serving = ServingEngine()
    engine = serving()
    for file in ("model.onnx", "model.keras", "probe.npz"):
        flipped(file)(models / "default")
    assert serving() is engine
    with pytest.raises(BundleRejected, match="was changed"):
        load_bundle(models / "default")


def test_the_admin_page_says_what_can_not_be_used(models):
    from driven import opened, words

    HOSTILE["a link in place of model.onnx"][0](models / "second")
    app = opened("admin")
    app.segmented_control[0].set_value("Models").run() if app.segmented_control else None
    tables = " ".join(str(table.value.to_dict()) for table in app.dataframe)
    assert not app.exception
    assert "is a link" in words(app) + tables


def test_every_layer_that_can_be_written_may_be_loaded():
    from cxr.model.onnx_graph import _WRITERS

    assert {kind.__name__ for kind in _WRITERS} | {"InputLayer"} == LAYERS


@pytest.mark.parametrize("backbone", ["densenet121", "efficientnet_v2b0"])
def test_models_of_this_product_pass(backbone, tmp_path):
    """The two with the most kinds of layers and of initial weights between them; making all seven takes long."""
    from cxr.model.classifier import build_classifier
    from cxr.model.onnx_graph import onnx_graph

    model = build_classifier(backbone, 64, weights=None)
    model.save(tmp_path / "model.keras")
    check_keras(tmp_path / "model.keras")
    written = onnx_graph(model)
    check_graph(written.SerializeToString())
    assert {node.op_type for node in written.graph.node} <= OPERATORS


def test_what_ships_passes(monkeypatch):
    bundle = load_bundle(bundle_path("default"))
    check_keras(bundle.path / "model.keras")
    monkeypatch.setattr(graph_check, "LARGEST_VALUE", 10**5)
    with pytest.raises(BundleRejected, match="makes a tensor"):
        Engine(bundle)


def test_every_file_of_what_ships_is_looked_at(tmp_path):
    """Whatever files a bundle has: a flipped bit in any is told by name, and no `.npz` may hold Python objects."""
    folder = shutil.copytree(bundle_path("default"), tmp_path / "copy")
    listed = json.loads((folder / "card.json").read_text())["files"]
    assert set(listed) == {file.name for file in folder.iterdir()} - {"card.json"}
    for name in listed:
        whole = (folder / name).read_bytes()
        flipped(name)(folder)
        with pytest.raises(BundleRejected, match=f"was changed: {re.escape(name)}"):
            load_bundle(folder)
        (folder / name).write_bytes(whole)
    for name in (name for name in listed if name.endswith(".npz")):
        whole = (folder / name).read_bytes()
        np.savez(folder / name, x=np.array([{}], dtype=object))
        card(folder, files=listed | {name: file_sha256(folder / name)})
        with pytest.raises(BundleRejected, match=f"{re.escape(name)} holds Python objects"):
            load_bundle(folder)
        (folder / name).write_bytes(whole)
