"""What several tests share: the real data where there is any, and a small model trained on films made on the spot."""

import gc
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from synthetic import BLOB, SIDE, encoded, synthetic_film

from cxr.findings import CATEGORIES
from cxr.model.bundle import Bundle, load_bundle
from cxr.settings import ROOT, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


SLOW = (
    "test_click_to_promotion.py",
    "test_training_job.py",
    "test_short_load.py",
    "browser",
    "training",
    "test_ray.py",
    "jobs",
    "test_promotion.py",
    "model",
    "pages",
    "worklist",
)
"""Files, and folders of files, that take long; the longest first. Ray's nodes give up after half a minute, so they are
not started beside the tests that leave them no processor."""


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist hand out the files in the order below.

    By itself it begins with the files of the most tests, so that the longest of all, which holds a single test, is
    begun when there is nothing else left to do for the other workers.
    """
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that all workers end at about the same time."""

    def place(item: pytest.Item) -> int:
        names = (item.path.name, item.path.parent.name)
        return next((number for number, name in enumerate(SLOW) if name in names), len(SLOW))

    items.sort(key=place)


@pytest.fixture(scope="module", autouse=True)
def _old_objects_left_alone() -> None:
    """Streamlit searches for garbage after each run of a page, which takes longer than the run itself where there are a
    million objects: that many do the frameworks consist of that the tests import."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _components_looked_for_once() -> Iterator[None]:
    """Each run of an `AppTest` looks through the metadata of all installed packages, which takes longer than the page:
    a server does that once, when it starts."""
    from streamlit.components.v2 import manifest_scanner

    patch = pytest.MonkeyPatch()
    patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real films and tables described in the README; set CXR_TEST_DATA to have them elsewhere."""
    folder = Path(os.environ.get("CXR_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}")
    return folder


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of the Kaggle release: 360 films of 180 patients, half of them with a "Mass"."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("synthetic")
    rng = np.random.default_rng(0)

    def example(patient: int, number: int) -> bytes:
        mass = patient % 2
        blob = tuple(rng.integers(4, SIDE - BLOB - 4, 2)) if mass else None
        labels = {"Mass": mass, "No Finding": 1 - mass}
        feature = {
            "image": tf.train.Feature(
                bytes_list=tf.train.BytesList(value=[encoded(synthetic_film(rng, blob), "JPEG")])
            ),
            "image_id": tf.train.Feature(
                bytes_list=tf.train.BytesList(value=[f"{patient:08d}_{number:03d}.png".encode()])
            ),
        }
        for name in CATEGORIES:
            feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[labels.get(name, 0)]))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    # As in the release, the films of one patient lie in different shards.
    for shard in range(2):
        with tf.io.TFRecordWriter(str(folder / f"{shard:03d}-180.tfrec")) as writer:
            for patient in range(180):
                writer.write(example(patient, shard))
    return folder


@pytest.fixture(scope="session")
def tiny_backbone() -> Iterator[str]:
    """The name of a backbone of three convolutions, 8 x 8 features on a 64-pixel film, that trains in seconds."""
    from keras import layers

    from cxr.model import backbones

    def build(x, weights):  # type: ignore[no-untyped-def]
        for filters, stride in ((16, 2), (32, 2), (32, 2)):
            x = layers.Conv2D(filters, 5, strides=stride, padding="same", activation="relu")(x)
        return x

    backbones.BACKBONES["tiny"] = backbones.Backbone(build, *backbones.LITE)
    yield "tiny"
    del backbones.BACKBONES["tiny"]


@pytest.fixture(scope="session")
def tiny_bundle(synthetic_data: Path, tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that `finetune` made from the synthetic films."""
    from cxr.training.config import TrainingConfig
    from cxr.training.finetune import finetune

    config = TrainingConfig(
        backbone=tiny_backbone, imagenet=False, input_size=SIDE, epochs=12, batch_size=16, learning_rate=3e-3, ema=0.9
    )
    run = tmp_path_factory.mktemp("runs") / "tiny"
    return finetune(synthetic_data, tmp_path_factory.mktemp("models") / "tiny", config, run)


@pytest.fixture(scope="session")
def unchecked_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same without its scope check, which knows the synthetic films alone: for tests that show it real ones."""
    from cxr.model.bundle import SCOPE_FILE, write_card

    folder = tmp_path_factory.mktemp("unchecked") / tiny_bundle.path.name
    shutil.copytree(tiny_bundle.path, folder)
    (folder / SCOPE_FILE).unlink()
    files = {name: digest for name, digest in tiny_bundle.card.files.items() if name != SCOPE_FILE}
    write_card(folder, tiny_bundle.card.model_copy(update={"scope": None, "files": files}))
    return load_bundle(folder)


@pytest.fixture(scope="session")
def imported_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle such as `import-xrv` makes, but small: an untrained head on 8 x 8 features of a 64-pixel film, three of
    the 14 findings and one other pathology."""
    import keras
    from keras import layers

    from cxr.model.bundle import LOGITS, MAPS
    from cxr.model.classifier import FEATURES
    from cxr.model.export import write_bundle
    from cxr.model.xrv import Checkpoint, imported_card, outputs_of

    keras.utils.set_random_seed(0)
    film = keras.Input((SIDE, SIDE, 1), name="film")
    # Random sums of many pixels, or no output would tell one film from another.
    x = layers.Rescaling(1 / 127.5, -1, name="normalisation")(film)
    x = layers.Conv2D(16, 5, strides=8, padding="same", activation="relu", name=FEATURES)(x)
    checkpoint = Checkpoint("test.pt", {}, ("Mass", "Fracture", "", "Effusion", "Nodule"), (0.4, 0.5, 0.1, 0.6, 0.5))
    rows = outputs_of(checkpoint)
    maps = layers.Conv2D(len(rows), 1, bias_initializer="random_normal", name=MAPS)(x)
    model = keras.Model(film, {LOGITS: layers.GlobalAveragePooling2D(name=LOGITS)(maps), MAPS: maps})
    films = np.stack([synthetic_film(np.random.default_rng(seed), (20, 20)) for seed in range(3)])
    card = imported_card("imported", model, checkpoint, rows, films)
    return write_bundle(tmp_path_factory.mktemp("models") / "imported", model, card, films)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests never read or write the developer's cache or worklist."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CXR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("CXR_WORKLIST_DIR", str(tmp_path_factory.mktemp("worklist")))
    settings.cache_clear()
    yield
    patch.undo()
    settings.cache_clear()


@pytest.fixture
def changed_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For tests that set CXR_* variables: settings are read anew at the first use, and again afterwards."""
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


@pytest.fixture
def serving_import(changed_settings: pytest.MonkeyPatch, imported_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy of the imported bundle, as the serving model."""
    folder = tmp_path / "models" / "imported"
    shutil.copytree(imported_bundle.path, folder)
    changed_settings.setenv("CXR_MODELS_DIR", str(folder.parent))
    changed_settings.setenv("CXR_MODEL", folder.name)
    settings.cache_clear()
    # A thread that an earlier test left may have been making the settings of before at that moment.
    while settings().models_dir != folder.parent:
        settings.cache_clear()
    return load_bundle(folder)
