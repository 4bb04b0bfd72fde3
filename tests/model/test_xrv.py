"""What an import refuses and how it names things; needs neither PyTorch nor torchxrayvision."""

import hashlib
import importlib.util
import io
import math
import pickle
import urllib.error
import urllib.request

import numpy as np
import pytest

from cxr.cli import main
from cxr.findings import FINDINGS
from cxr.model import xrv
from cxr.model.densenet import build_densenet, load_torch_weights
from cxr.model.xrv import (
    KNOWN_SHA256,
    Checkpoint,
    ImportRefused,
    check_sha256,
    download,
    import_xrv,
    our_name,
    outputs_of,
)
from cxr.settings import settings

FILMS = np.zeros((1, 224, 224), np.uint8)
ALL = (*FINDINGS, "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
TABLE = {
    "densenet121-res224-all": {
        "url": "https://example.org/all.pt", "pathologies": ALL, "thresholds": [0.1] * 18, "description": "On much.",
    },
    "densenet121-res224-rsna": {
        "url": "https://example.org/rsna.pt",
        "pathologies": [n if n in ("Pneumonia", "Lung Opacity") else "" for n in ALL],
        "thresholds": [0.2 if n in ("Pneumonia", "Lung Opacity") else None for n in ALL],
        "description": "",
    },
}  # fmt: skip


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


@pytest.fixture
def malicious(tmp_path):
    """A pickle that would make a file, and the file."""
    made = tmp_path / "made"
    file = tmp_path / "weights.pt"
    file.write_bytes(pickle.dumps(Malicious(made)))
    return file, made


def test_the_malicious_pickle_is_one(malicious):
    file, made = malicious
    pickle.loads(file.read_bytes())  # noqa: S301
    assert made.exists()


@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_wrong_hash_is_refused_before_anything_is_unpickled(malicious, tmp_path, monkeypatch, sha256):
    file, made = malicious
    monkeypatch.setattr(xrv.subprocess, "run", lambda *a, **k: pytest.fail("a process was started"))
    with pytest.raises(ImportRefused, match=r"weights.pt is (none of|not the file)"):
        import_xrv(file, tmp_path / "model", FILMS, sha256=sha256)
    assert not made.exists()
    assert not (tmp_path / "model").exists()


def test_hash_in_either_case_is_the_same(tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()
    assert check_sha256("a.pt", b"weights", digest.upper()) == digest
    with pytest.raises(ImportRefused, match="64 hexadecimal digits; 'abc'"):
        check_sha256("a.pt", b"weights", "abc")


def test_known_hashes_are_hashes():
    assert all(len(bytes.fromhex(known)) == 32 for known in KNOWN_SHA256.values())


@pytest.mark.skipif(importlib.util.find_spec("torchxrayvision") is not None, reason="torchxrayvision is installed")
def test_missing_extra_is_one_sentence(malicious, capsys, changed_settings, tmp_path):
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    file, made = malicious
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert main(["import-xrv", str(file), "--name", "new", "--sha256", digest]) == 1
    said = capsys.readouterr().err
    assert "`pip install -r requirements-xrv.txt`" in said
    assert said.count("\n") == 1
    assert not made.exists()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Pleural_Thickening", "Pleural_Thickening"),
        ("Pleural thickening", "Pleural_Thickening"),
        ("effusion", "Effusion"),
        ("Lung Opacity", "Lung Opacity"),
        ("Fracture", "Fracture"),
    ],
)
def test_names(theirs, ours):
    assert our_name(theirs) == ours


def test_outputs_are_categories_in_our_order_then_the_others():
    names = ("Fracture", "Hernia", "", "Atelectasis", "Lung Lesion")
    checkpoint = Checkpoint("a.pt", {}, names, (0.1, 0.2, math.nan, 0.3, 0.4))
    assert list(outputs_of(checkpoint).items()) == [
        ("Atelectasis", 3),
        ("Hernia", 1),
        ("Fracture", 0),
        ("Lung Lesion", 4),
    ]


@pytest.mark.parametrize(
    ("names", "thresholds", "reason"),
    [
        (("Mass", "mass"), (0.1, 0.2), "has Mass twice"),
        (("Fracture",), (0.1,), "none of the 14 findings; it has Fracture"),
        (("", ""), (0.1, 0.1), "it has no named output"),
        (("Mass", ""), (math.nan, 0.1), "threshold of Mass is nan"),
        (("Mass",), (1.0,), "threshold of Mass is 1.0"),
        (("Mass", "Nodule"), (0.1,), "2 names and 1 thresholds"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(names, thresholds, reason):
    with pytest.raises(ImportRefused, match=reason):
        outputs_of(Checkpoint("a.pt", {}, names, thresholds))


def known(name, published=None, own=None, thresholds=None):
    facts = {"published": TABLE, "pathologies": own, "thresholds": thresholds}
    return xrv._checkpoint(name, "f" * 64, {}, facts, published)


def test_published_checkpoint_is_known_by_its_file_name_and_untrained_outputs_are_left_out():
    found = known("rsna.pt", own=list(ALL))
    assert list(outputs_of(found)) == ["Pneumonia", "Lung Opacity"]
    assert "densenet121-res224-rsna" in found.source


def test_checkpoint_of_somebody_else_names_its_own_outputs():
    found = known("mine.pt", own=["Mass", "Fracture"], thresholds=[0.3, 0.4])
    assert list(outputs_of(found)) == ["Mass", "Fracture"]
    assert found.thresholds == (0.3, 0.4)


def test_checkpoint_that_contradicts_its_name_is_refused():
    with pytest.raises(ImportRefused, match="names its outputs otherwise"):
        known("mine.pt", "densenet121-res224-all", own=["Mass", *ALL[1:]])


def test_unknown_checkpoint_names_the_known_ones():
    with pytest.raises(ImportRefused, match="no 'densenet'; it has densenet121-res224-all, densenet121-res224-rsna"):
        known("mine.pt", "densenet")


def answering(monkeypatch, content):
    """The internet, as far as this file goes."""
    monkeypatch.setattr(xrv, "_in_child", lambda data: ({"published": TABLE}, {}))

    def urlopen(url, timeout):
        if content is None:
            raise urllib.error.URLError("no route")
        assert url == "https://example.org/all.pt"
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_download_takes_the_address_from_torchxrayvision_and_checks_the_hash(monkeypatch, tmp_path):
    answering(monkeypatch, b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert download("densenet121-res224-all", digest, tmp_path).read_bytes() == b"weights"
    with pytest.raises(ImportRefused, match=r"all.pt is not the file with the SHA-256"):
        download("densenet121-res224-all", None, tmp_path)


def test_download_without_internet_is_one_sentence(monkeypatch, tmp_path):
    answering(monkeypatch, None)
    with pytest.raises(ImportRefused, match=r"could not be downloaded from https://example\.org/all\.pt; fetch it"):
        download("densenet121-res224-all", None, tmp_path)


def test_download_without_a_hash_is_not_begun(monkeypatch, tmp_path):
    monkeypatch.setattr(xrv, "_in_child", lambda data: pytest.fail("it was begun"))
    with pytest.raises(ImportRefused, match="SHA-256 of densenet121-res224-rsna is not known here"):
        download("densenet121-res224-rsna", None, tmp_path)


def test_a_model_that_stands_there_is_not_replaced(tmp_path):
    (tmp_path / "default").mkdir()
    with pytest.raises(FileExistsError, match="choose another name"):
        import_xrv(tmp_path / "a.pt", tmp_path / "default", FILMS)


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b"])
def test_name_must_be_that_of_a_folder(name, capsys, changed_settings, tmp_path):
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path))
    settings.cache_clear()
    assert main(["import-xrv", "a.pt", "--name", name]) == 2
    assert "can't be called" in capsys.readouterr().err


@pytest.fixture(scope="module")
def densenet():
    return build_densenet(32, 2, 1.0, 0.0)


@pytest.fixture
def arrays(densenet):
    """The state that PyTorch's DenseNet-121 would have, of zeros."""
    found = {"classifier.weight": np.zeros((3, 1024), np.float32), "classifier.bias": np.zeros(3, np.float32)}
    for layer in densenet.layers:
        path = layer.name.replace("_", ".")
        if layer.name in ("normalisation", "maps") or not layer.weights:
            continue
        if len(layer.weights) == 1:
            found[f"{path}.weight"] = np.zeros(np.array(layer.kernel.shape)[[3, 2, 0, 1]], np.float32)
        else:
            kinds = ("weight", "bias", "running_mean", "running_var")
            found |= {f"{path}.{kind}": np.ones(layer.gamma.shape, np.float32) for kind in kinds}
            found[f"{path}.num_batches_tracked"] = np.array(7)
    return found


def test_every_array_finds_its_place(densenet, arrays):
    arrays["classifier.bias"][:] = 1, 2, 3
    arrays["features.denseblock1.denselayer1.conv2.weight"][5, 7] = np.arange(9).reshape(3, 3)
    load_torch_weights(densenet, arrays, [2, 0])
    assert densenet.get_layer("maps").get_weights()[1].tolist() == [3, 1]
    kernel = densenet.get_layer("features_denseblock1_denselayer1_conv2").get_weights()[0]
    assert kernel[:, :, 7, 5].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("features.norm5.bias"), "there is no features.norm5.bias"),
        (lambda a: a.update({"features.conv9.weight": np.zeros(1)}), "such as features.conv9.weight"),
        (lambda a: a.update({"features.conv0.weight": np.zeros((64, 3, 7, 7))}), "features.conv0 have the shapes"),
        (lambda a: a["features.norm5.bias"].fill(np.nan), "features.norm5.bias holds numbers that are not finite"),
        (lambda a: a.update({"classifier.bias": np.zeros(1)}), "the classifier has"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(densenet, arrays, change, reason):
    change(arrays)
    with pytest.raises(ValueError, match=reason):
        load_torch_weights(densenet, arrays, [2, 0])
