"""A bundle's own scope check: what `finetune` fits, and how older bundles are given one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import synthetic_film

from cxr.cli import main
from cxr.model.bundle import SCOPE_FILE, Bundle, BundleRejected, load_bundle, load_probe
from cxr.model.engine import Engine
from cxr.radiograph import Facts, Radiograph
from cxr.radiograph.scope import Scope
from cxr.training.scope_pictures import drawn, kind_of, turned


def said(engine: Engine, pixels: np.ndarray) -> Scope:
    height, width = pixels.shape
    film = Radiograph(pixels.astype(np.float32), Facts("PNG", width, height, 8, "L"))
    prediction = engine.predict([film])[0]
    assert engine.scope is not None
    assert prediction.features is not None
    return engine.scope.check(film, prediction.features, prediction.square)


def test_finetune_makes_a_check_that_accepts_its_own_films_and_refuses_others(tiny_bundle: Bundle) -> None:
    engine = Engine(tiny_bundle)
    rng = np.random.default_rng(5)
    films = [synthetic_film(rng, (20, 20) if number % 2 else None) / 255 for number in range(20)]
    assert sum(said(engine, film).refusal is None for film in films) == 20
    pictures = [picture for _ in range(5) for picture in drawn(rng)]
    assert np.mean([said(engine, picture.pixels).refusal is not None for picture in pictures]) > 0.9
    assert np.mean([said(engine, 1 - film).inverted for film in films]) > 0.5


def test_the_card_says_what_it_was_fitted_on_and_what_it_does(tiny_bundle: Bundle) -> None:
    facts = tiny_bundle.card.scope
    assert facts is not None
    assert facts.frontal
    assert facts.out_of_scope["drawn page"] > 0
    accepted = next(rate for rate in facts.rates if rate.pictures == "test films" and rate.expected == "accepted")
    assert accepted.share.value >= 0.95
    assert accepted.share.low <= accepted.share.value <= accepted.share.high
    assert any(rate.expected == "refused" and rate.pictures == "drawn" for rate in facts.rates)


def test_a_check_of_another_graph_does_not_serve(tiny_bundle: Bundle, tmp_path: Path) -> None:
    from cxr.model.attach import attach

    copy = Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))
    with np.load(copy / SCOPE_FILE) as stored:
        kept = dict(stored)

    def write(folder: Path) -> None:
        np.savez(folder / SCOPE_FILE, **(kept | {"channels": kept["channels"][:1]}))

    other = attach(load_bundle(copy), (SCOPE_FILE,), write)
    with pytest.raises(BundleRejected, match="scope check"):
        Engine(other)
    assert other.model_sha256 == tiny_bundle.model_sha256


def test_an_older_bundle_serves_without_and_can_be_given_one(tiny_bundle: Bundle, tmp_path: Path) -> None:
    from cxr.evaluation.stored import load_evaluation
    from cxr.model.attach import attach
    from cxr.model.bundle import GRAPH_FILE, PROBE_FILE
    from cxr.model.export import load_keras, predict, verify
    from cxr.model.onnx_graph import onnx_graph
    from cxr.training.scope_attach import give_features

    model, films = load_keras(tiny_bundle), load_probe(tiny_bundle.path).films
    copy = Path(shutil.copytree(tiny_bundle.path, tmp_path / "older"))
    (copy / SCOPE_FILE).unlink()
    card = tiny_bundle.card
    files = {name: sha256 for name, sha256 in card.files.items() if name != SCOPE_FILE}
    from cxr.model.bundle import write_card

    write_card(copy, card.model_copy(update={"files": files, "scope": None}))

    def write(folder: Path) -> None:
        (folder / GRAPH_FILE).write_bytes(onnx_graph(model).SerializeToString())
        logits, maps = predict(model, films)
        np.savez(folder / PROBE_FILE, films=films, logits=logits, maps=maps)

    older = attach(load_bundle(copy), (GRAPH_FILE, PROBE_FILE), write)
    engine = Engine(older)
    film = Radiograph(films[0].astype(np.float32) / 255, Facts("PNG", 64, 64, 8, "L"))
    assert engine.scope is None
    assert engine.predict([film])[0].features is None
    assert verify(older, films) < 1e-4

    given = give_features(older)
    renewed = Engine(given)
    assert renewed.predict([film])[0].features is not None
    np.testing.assert_allclose(
        renewed.run(films.astype(np.float32))[0], engine.run(films.astype(np.float32))[0], atol=1e-6
    )
    assert give_features(given).sha256 == given.sha256
    stored = load_evaluation(given)
    assert stored is not None
    assert stored.report.model.sha256 == given.model_sha256 != older.model_sha256
    before = load_evaluation(older)
    assert before is not None
    assert list(stored.films.metadata.index) == list(before.films.metadata.index)


def test_the_command_fits_a_check_anew(
    tiny_bundle: Bundle,
    synthetic_data: Path,
    tmp_path: Path,
    changed_settings: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(tiny_bundle.path, tmp_path / "models" / "tiny")
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    pictures = tmp_path / "pictures" / "lateral"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(2):
        stripes = np.tile(rng.integers(0, 256, (256, 1), np.uint8), (1, 256))
        Image.fromarray(stripes).save(pictures / f"{number}.png")
    command = ["scope", "--model", "tiny", "--data", str(synthetic_data), "--quick"]
    assert main([*command, "--out-of-scope", str(pictures)]) == 0
    assert "\nlateral: " in capsys.readouterr().out
    fitted = load_bundle(tmp_path / "models" / "tiny")
    assert fitted.model_sha256 == tiny_bundle.model_sha256
    assert fitted.card.scope is not None
    assert fitted.card.scope.out_of_scope["lateral"] == 2
    assert fitted.sha256 != tiny_bundle.sha256
    assert main([*command, "--out-of-scope", str(tmp_path / "nowhere")]) == 2


def test_a_graph_that_gives_other_features_than_keras_is_refused(tiny_bundle: Bundle) -> None:
    from cxr.model.bundle import check_agreement

    probe = load_probe(tiny_bundle.path)
    assert probe.features is not None
    check_agreement("x", probe, probe.logits, probe.maps, probe.features)
    for features in (probe.features + 0.1, probe.features[:, :3], None):
        with pytest.raises(BundleRejected):
            check_agreement("x", probe, probe.logits, probe.maps, features)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lateral", "lateral"),
        ("ct_slice", "slice"),
        ("headct_64px", "slice"),
        ("breastmri_64px", "slice"),
        ("photo of cats", "not_a_film"),
        ("hand_full", "other_body_part"),
        ("bus", "other_body_part"),
    ],
)
def test_folders_say_what_they_show(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(("remedy", "quarters"), [("left", 1), ("right", 3), ("half", 2)])
def test_the_remedy_puts_a_turned_film_upright(remedy: str, quarters: int) -> None:
    film = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(np.rot90(turned(film, remedy), quarters), film)
