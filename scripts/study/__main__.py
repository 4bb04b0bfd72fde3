"""The command of the study; see the package."""

import argparse
import json
from pathlib import Path
from time import monotonic

import numpy as np

from cxr.settings import ROOT, settings
from scripts.study.films import FOLDS, SEEDS
from scripts.study.measures import measured
from scripts.study.recipes import Recipe, Study, all_recipes
from scripts.study.report import COLUMNS, text

RESULTS = ROOT / "docs" / "study.json"
REPORT = ROOT / "docs" / "study.md"
FILM_SIZE = 224
"""Any: labels and patients are the same at every size."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.study", description="Compare recipes by cross-validation.")
    parser.add_argument("--data", type=Path, required=True, help="folder of NIH's shards")
    parser.add_argument("--other", type=Path, default=None, help="folder of frontal films of other hospitals")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many seeds")
    parser.add_argument("names", nargs="*", help="recipes; all if none is named")
    arguments = parser.parse_args()
    cache = settings().cache_dir / "study"
    cache.mkdir(parents=True, exist_ok=True)
    study = Study(arguments.data, arguments.other, cache)
    recipes = all_recipes()
    for name in arguments.names or recipes:
        run(study, name, *recipes[name], SEEDS[: arguments.seeds])


def run(study: Study, name: str, factor: str, recipe: Recipe, seeds: tuple[int, ...]) -> None:
    """Compute and measure what the table has not of a recipe, and write it anew; a changed recipe begins again."""
    table = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    known = table.get(name, {})
    if known.get("recipe") != repr(recipe):
        known = {"folds": {}, "seconds": 0}
    films = study.films(FILM_SIZE)
    folds, seconds = dict(known["folds"]), known["seconds"]
    for seed in seeds:
        if str(seed) in folds:
            continue
        started = monotonic()
        scores = recipe(study, seed)
        folds[str(seed)] = measured(films, scores, seed)
        seconds += monotonic() - started
        np.savez(study.cache / f"{name.replace(' ', '-').replace(',', '')}-{seed}.npz", scores=scores)
    table[name] = {"factor": factor, "recipe": repr(recipe), "seconds": round(seconds), "folds": folds}
    order = [known for known in all_recipes() if known in table]
    RESULTS.write_text(json.dumps({known: table[known] for known in order}, indent=1) + "\n")
    REPORT.write_text(text(json.loads(RESULTS.read_text()), len(films.labels), FOLDS))
    means = {metric: np.mean([[fold[metric] for fold in rows] for rows in folds.values()]) for metric in COLUMNS}
    print(name, {metric: f"{value:.3f}" for metric, value in means.items()}, f"{seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
