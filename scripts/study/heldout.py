"""The shipped model against simpler recipes on the very films that it was tested on.

    python -m scripts.study.heldout --data DIR --reference FOLDER [--model NAME]

Each recipe learns from the films that trained the model or chose its epoch, none other. What it scores goes into the
model's card (`comparison`). `--reference` is a bundle that `finetune --config scripts/study/reference.toml` made of the
same films with the same split.
"""

import argparse
from pathlib import Path

import numpy as np

from cxr.dataset.labelled import LabelledFilms
from cxr.evaluation.against import attach_comparison, compare_with_baselines
from cxr.evaluation.evaluate import view_only
from cxr.evaluation.run import score_films
from cxr.evaluation.stored import HELD_OUT
from cxr.model.bundle import Bundle, BundleRejected, bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.fit import class_weights
from cxr.training.parts import held_out, split_films
from scripts.study import notebook
from scripts.study.films import load
from scripts.study.frozen import Trunk, feature_maps
from scripts.study.heads import fit_head, standardise
from scripts.study.recipes import CONFIG, DECAY
from scripts.study.upper import predict

LEARNS = ("train", "validation")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.study.heldout", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of NIH's shards, those the model was made from"
    )
    parser.add_argument("--reference", type=Path, required=True, help="bundle of the reference recipe")
    parser.add_argument("--model", default="default", help="name of the model that is compared")
    arguments = parser.parse_args()
    cache = settings().cache_dir / "study"
    cache.mkdir(parents=True, exist_ok=True)
    bundle, reference = load_bundle(bundle_path(arguments.model)), load_bundle(arguments.reference)
    if bundle.card.data is None or reference.card.data is None or bundle.card.data.hash != reference.card.data.hash:
        raise BundleRejected(f"{reference.name} and {bundle.name} were not made with the same patients in each split.")
    films = load(arguments.data, Trunk().size, settings().cache_dir)
    tests = held_out(films, bundle.card, arguments.data)
    split = split_films(films, TrainingConfig.model_validate(bundle.card.training)).to_numpy()
    learns, tested = np.flatnonzero(np.isin(split, LEARNS)), np.flatnonzero(split == "test")
    scores = {
        "Reference recipe": served(reference, arguments.data),
        "Notebook's recipe": by_notebook(films, learns, tested, cache),
        "Linear probe on ImageNet features": by_probe(films, learns, tested, cache),
        "View alone": by_view(films, learns, tested),
    }
    comparison = compare_with_baselines(tests.labels, served(bundle, arguments.data), tests.metadata, scores)
    attach_comparison(bundle, comparison)
    for baseline in comparison:
        for name, group in {"all": baseline.overall, **baseline.by_source}.items():
            print(baseline.name, name, group.abnormal_auroc, group.macro_auroc)


def served(bundle: Bundle, data: Path) -> np.ndarray:
    """Calibrated probabilities (n, 15) of a bundle on its test films."""
    films = held_out(load(data, bundle.card.input_size, settings().cache_dir), bundle.card, data)
    scored, _ = score_films(Engine(bundle), films, HELD_OUT)
    return scored.probabilities


def by_notebook(films: LabelledFilms, learns: np.ndarray, tested: np.ndarray, cache: Path) -> np.ndarray:
    """Logits of the notebook's recipe on a backbone whose ImageNet weights ship."""
    trunk = Trunk(cut=notebook.CUT)
    maps = feature_maps(trunk, films.pixels, 1, CONFIG, cache)[0]
    return predict(notebook.fit(trunk, maps[learns], films.labels[learns], CONFIG.seed), maps[tested])


def by_probe(films: LabelledFilms, learns: np.ndarray, tested: np.ndarray, cache: Path) -> np.ndarray:
    """Logits of a linear head on the mean of the last feature map, with ImageNet weights."""
    features = feature_maps(Trunk(), films.pixels, 1, CONFIG, cache)[0].astype(np.float32)
    features = features[:, : features.shape[1] // 2]
    train, shown = standardise(features[learns], features[tested])
    kernel, constant = fit_head(train, films.labels[learns], class_weights(films.labels[learns], CONFIG), DECAY)
    return shown @ kernel + constant


def by_view(films: LabelledFilms, learns: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Each category's share among the films of the same projection."""
    views = films.metadata["view"]
    return view_only(films.labels[learns], views.iloc[learns], views.iloc[tested])


if __name__ == "__main__":
    main()
