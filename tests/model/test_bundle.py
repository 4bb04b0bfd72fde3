"""A bundle that is not what its card says must not serve."""

import json
import shutil

import keras
import numpy as np
import onnxruntime
import pytest

from cxr.findings import CATEGORIES
from cxr.model.bundle import BundleRejected, bundle_names, bundle_path, check_agreement, load_bundle, load_probe
from cxr.model.engine import Engine
from cxr.model.export import export_onnx, load_keras, predict, verify, write_bundle
from cxr.radiograph import model_input, read_radiograph
from cxr.settings import settings


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    """The folder of a bundle that a test may damage."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "copy")


def edit_card(folder, change):
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def test_files_are_the_models_outputs_and_nothing_else(tiny_bundle):
    assert {file.name for file in tiny_bundle.path.iterdir()} == {
        "card.json", "model.keras", "model.onnx", "patients.npz", "probe.npz", "report.json", "scope.npz", "test.npz",
    }  # fmt: skip
    logits, maps = predict(load_keras(tiny_bundle), load_probe(tiny_bundle.path).films)
    np.testing.assert_allclose(load_probe(tiny_bundle.path).logits, logits, atol=1e-4)
    np.testing.assert_allclose(load_probe(tiny_bundle.path).maps, maps, atol=1e-3)


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "probe.npz", "report.json", "test.npz"])
def test_changed_file_is_rejected_by_name(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleRejected, match=f"was changed: {name}"):
        load_bundle(copy)


def test_missing_file_is_rejected(copy):
    (copy / "model.onnx").unlink()
    with pytest.raises(BundleRejected, match=r"model\.onnx is missing"):
        load_bundle(copy)


def test_file_outside_the_bundle_is_rejected(copy):
    edit_card(copy, lambda card: card["files"].update({"../copy/model.keras": card["files"]["model.keras"]}))
    with pytest.raises(BundleRejected, match="is missing"):
        load_bundle(copy)


def test_other_order_of_categories_is_rejected(copy):
    edit_card(copy, lambda card: card.update(categories=[*CATEGORIES[1:], CATEGORIES[0]]))
    with pytest.raises(BundleRejected, match="categories"):
        load_bundle(copy)


def test_card_without_an_operating_point_is_rejected(copy):
    edit_card(copy, lambda card: card["operating_points"].pop())
    with pytest.raises(BundleRejected, match="operating points are not"):
        load_bundle(copy)


def test_thresholds_that_fall_are_rejected(copy):
    edit_card(copy, lambda card: card["operating_points"][2]["findings"]["Mass"].update(threshold=0.0))
    with pytest.raises(BundleRejected, match="thresholds fall"):
        load_bundle(copy)


def test_nan_in_the_maps_alone_is_a_disagreement(tiny_bundle):
    probe = load_probe(tiny_bundle.path)
    with pytest.raises(BundleRejected, match="differs"):
        check_agreement("tiny", probe, probe.logits, np.full_like(probe.maps, np.nan), probe.features)


@pytest.mark.parametrize("damage", ["", "{", '{"format_version": 1}', "[]"])
def test_damaged_card_is_rejected(copy, damage):
    (copy / "card.json").write_text(damage)
    with pytest.raises(BundleRejected, match="card"):
        load_bundle(copy)


def test_unknown_version_of_the_format_is_rejected(copy):
    edit_card(copy, lambda card: card.update(format_version=2))
    with pytest.raises(BundleRejected, match="format_version"):
        load_bundle(copy)


def test_graph_that_disagrees_with_its_probe_does_not_serve(copy, tiny_bundle):
    from cxr.model.bundle import file_sha256

    model = load_keras(tiny_bundle)
    kernel, bias = model.get_layer("maps").get_weights()
    model.get_layer("maps").set_weights([kernel * 1.01, bias])
    export_onnx(model, copy / "model.onnx")
    edit_card(copy, lambda card: card["files"].update({"model.onnx": file_sha256(copy / "model.onnx")}))
    with pytest.raises(BundleRejected, match="differs from its Keras model"):
        Engine(load_bundle(copy))


def test_rejected_export_leaves_the_old_bundle(copy, tiny_bundle, monkeypatch):
    model = load_keras(tiny_bundle)

    def wrong(_model, path):
        kernel, bias = model.get_layer("maps").get_weights()
        model.get_layer("maps").set_weights([kernel, bias + 1])
        export_onnx(model, path)
        model.get_layer("maps").set_weights([kernel, bias])

    monkeypatch.setattr("cxr.model.export.export_onnx", wrong)
    before = load_bundle(copy).sha256
    with pytest.raises(BundleRejected):
        write_bundle(copy, model, tiny_bundle.card, load_probe(tiny_bundle.path).films)
    assert load_bundle(copy).sha256 == before
    assert [entry.name for entry in copy.parent.iterdir()] == ["copy"]


def test_serving_graph_equals_keras_on_real_films(shared_data):
    bundle = load_bundle(bundle_path("default"))
    films = [
        model_input(read_radiograph(path.read_bytes()), bundle.card.input_size)
        for folder in ("frontal_other/openist_normal", "frontal_other/hannover_covid", "kermany224/pneumonia")
        for path in sorted((shared_data / folder).iterdir())[:4]
    ]
    assert verify(bundle, np.rint(np.stack(films)).astype(np.uint8)) < 1e-3


def test_unsafe_code_in_a_keras_file_is_not_run(copy):
    from cxr.model.bundle import file_sha256

    film = keras.Input((64, 64, 1))
    keras.Model(film, keras.layers.Lambda(lambda x: x)(film)).save(copy / "model.keras")
    edit_card(copy, lambda card: card["files"].update({"model.keras": file_sha256(copy / "model.keras")}))
    with pytest.raises(BundleRejected, match="'Lambda'"):
        load_keras(load_bundle(copy))


def test_damaged_graph_with_a_right_hash_does_not_serve(copy):
    from cxr.model.bundle import file_sha256

    (copy / "model.onnx").write_bytes(b"not a graph")
    edit_card(copy, lambda card: card["files"].update({"model.onnx": file_sha256(copy / "model.onnx")}))
    with pytest.raises(BundleRejected, match="is no ONNX graph"):
        Engine(load_bundle(copy))


def test_unknown_name_lists_the_known(changed_settings, tiny_bundle):
    changed_settings.setenv("CXR_MODELS_DIR", str(tiny_bundle.path.parent))
    settings.cache_clear()
    assert "tiny" in bundle_names()
    with pytest.raises(BundleRejected, match=r"there are: .*tiny"):
        bundle_path("other")
    with pytest.raises(BundleRejected):
        bundle_path("../models/tiny")


def test_graph_is_plain_onnx_with_a_free_batch_size(tiny_bundle):
    session = onnxruntime.InferenceSession(tiny_bundle.path / "model.onnx")
    assert [node.name for node in session.get_outputs()] == ["logits", "maps", "features"]
    assert session.get_inputs()[0].shape[1:] == [64, 64, 1]
    assert not isinstance(session.get_inputs()[0].shape[0], int)
