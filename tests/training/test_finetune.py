"""From films to a bundle, on films made on the spot."""

import json

import numpy as np
import pytest
from synthetic import BLOB, SIDE, encoded, synthetic_film

from cxr.dataset.labelled import UnusableDataset, load_labelled_films
from cxr.findings import CATEGORIES
from cxr.model.bundle import load_bundle
from cxr.model.engine import Engine
from cxr.model.heatmap import supporting_map, upsample
from cxr.radiograph import read_radiograph
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.finetune import finetune
from cxr.training.parts import split_films
from cxr.training.run import RunRefused


def test_learns_what_the_films_show(tiny_bundle):
    overall = tiny_bundle.card.evaluation.overall
    assert overall.abnormal_auroc.value > 0.95
    assert tiny_bundle.card.evaluation.findings["Mass"].auroc.low > 0.8


def test_findings_without_positives_get_no_number(tiny_bundle):
    hernia = tiny_bundle.card.evaluation.findings["Hernia"]
    assert (hernia.positives, hernia.auroc) == (0, None)
    assert tiny_bundle.card.evaluation.overall.macro_findings == 1


def test_best_epoch_is_the_one_with_the_highest_validation_score(tiny_bundle):
    card = tiny_bundle.card
    scores = [epoch.macro_auroc for epoch in card.epochs]
    assert card.best_epoch == int(np.argmax(scores)) + 1


def test_splits_of_the_card_are_disjoint_and_complete(tiny_bundle, synthetic_data):
    config = TrainingConfig.model_validate(tiny_bundle.card.training)
    films = load_labelled_films(synthetic_data, SIDE, settings().cache_dir)
    split = split_films(films, config)
    assert sum(count.films for count in tiny_bundle.card.data.splits.values()) == len(films.labels)
    assert sum(count.patients for count in tiny_bundle.card.data.splits.values()) == films.metadata.patient.nunique()
    assert split.groupby(films.metadata.patient).nunique().max() == 1


@pytest.mark.parametrize("place", [(10, 12), (12, 38), (38, 10), (36, 40)])
def test_planted_patch_moves_the_heatmap_there(tiny_bundle, place):
    film = read_radiograph(encoded(synthetic_film(np.random.default_rng(7), place)))
    prediction = Engine(tiny_bundle).predict([film])[0]
    grid = supporting_map(prediction.evidence("Mass"))
    heat = upsample(grid, SIDE, SIDE, tiny_bundle.card.map_shift)
    rows, columns = np.nonzero(heat > 0.5)
    # The middle of the hot region lies in the patch, well within a cell (8 pixels) of its middle.
    assert np.hypot(rows.mean() - place[0] - BLOB / 2, columns.mean() - place[1] - BLOB / 2) < 6


def test_a_constant_is_no_evidence(tiny_bundle):
    """What the head adds everywhere, whatever the film shows, must not appear in a heatmap."""
    film = read_radiograph(encoded(synthetic_film(np.random.default_rng(3), None)))
    prediction = Engine(tiny_bundle).predict([film])[0]
    for k, name in enumerate(CATEGORIES):
        assert prediction.evidence(name).mean() == pytest.approx(
            prediction.logits[k] - tiny_bundle.card.head_bias[k], abs=1e-4
        )


def test_same_seed_gives_the_same_model(synthetic_data, tiny_backbone, tmp_path):
    config = TrainingConfig(backbone=tiny_backbone, imagenet=False, input_size=SIDE, epochs=1, batch_size=16)
    bundles = [finetune(synthetic_data, tmp_path / name, config, tmp_path / f"run-{name}") for name in ("a", "b")]
    assert bundles[0].card.epochs[0].loss == pytest.approx(bundles[1].card.epochs[0].loss, rel=1e-4)
    assert bundles[0].card.head_bias == pytest.approx(bundles[1].card.head_bias, abs=1e-4)


def test_the_run_directory_tells_what_was_done_and_spares_a_second_training(synthetic_data, tiny_backbone, tmp_path):
    config = TrainingConfig(backbone=tiny_backbone, imagenet=False, input_size=SIDE, epochs=1, batch_size=16)
    lines: list[str] = []
    for _ in range(2):
        finetune(synthetic_data, tmp_path / "model", config, tmp_path / "run", lines.append)
    assert sum(line.startswith("epoch 1") for line in lines) == 1
    assert TrainingConfig.model_validate_json((tmp_path / "run" / "config.json").read_text()) == config
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2
    other = config.model_copy(update={"split_seed": 1})
    with pytest.raises(RunRefused, match="split_seed"):
        finetune(synthetic_data, tmp_path / "model", other, tmp_path / "run")
    finetune(synthetic_data, tmp_path / "model", config, tmp_path / "run", lines.append, restart=True)
    assert sum(line.startswith("epoch 1") for line in lines) == 2


def test_replaces_a_bundle_but_nothing_else(synthetic_data, tiny_backbone, tmp_path):
    config = TrainingConfig(backbone=tiny_backbone, imagenet=False, input_size=SIDE, epochs=1, batch_size=16)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a model"):
        finetune(synthetic_data, tmp_path / "notes", config, tmp_path / "run")
    assert (tmp_path / "notes" / "todo.txt").read_text() == "mine"


def test_too_few_patients_are_refused(synthetic_data, tiny_backbone, tmp_path):
    config = TrainingConfig(
        backbone=tiny_backbone, imagenet=False, input_size=SIDE,
        train_fraction=0.96, validation_fraction=0.02, calibration_fraction=0.01, test_fraction=0.01,
    )  # fmt: skip
    with pytest.raises(UnusableDataset, match="at least 5 patients"):
        finetune(synthetic_data, tmp_path / "model", config, tmp_path / "run")
    assert not (tmp_path / "model").exists()


def test_card_on_disk_is_valid_json_without_nan(tiny_bundle):
    text = (tiny_bundle.path / "card.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the card"))
    assert load_bundle(tiny_bundle.path).card == tiny_bundle.card


def test_the_card_says_what_trained_it(tiny_bundle):
    card = tiny_bundle.card
    assert set(card.versions) == {"cxr", "keras", "tensorflow", "onnxruntime", "numpy"}
    assert card.parent is None
    assert len(card.data.hash) == 64
