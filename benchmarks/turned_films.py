"""What a verdict is worth on a film that lies turned, mirrored or inverted: why the app asks before it gives one.

    python -m benchmarks.turned_films --data DIR [--json benchmarks/turned_films.json]

The shipped model's held-out films of a folder in the layout of the Kaggle release, each way in turn, all through the
bare graph. Differences are paired with the upright films, with 95% intervals by bootstrap over patients.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from cxr.dataset.labelled import LabelledFilms, load_shards
from cxr.dataset.shards import find_shards
from cxr.evaluation.compare import paired_difference
from cxr.evaluation.metrics import auroc, macro_auroc, resample_patients, telling
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.engine import BATCH, Engine
from cxr.settings import settings
from cxr.training.parts import held_out

UPRIGHT: Final = "upright"
WAYS: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    UPRIGHT: lambda squares: squares,
    "turned to the left": lambda squares: np.rot90(squares, 1, (1, 2)),
    "turned to the right": lambda squares: np.rot90(squares, -1, (1, 2)),
    "half a turn": lambda squares: np.rot90(squares, 2, (1, 2)),
    "mirrored": lambda squares: squares[:, :, ::-1],
    "inverted": lambda squares: 255 - squares,
}
"""What is done to float32 films (n, size, size) in 0..255."""


def measured(engine: Engine, films: LabelledFilms) -> dict[str, Any]:
    """AUROCs, and what the balanced threshold does, for each way."""
    card = engine.bundle.card
    abnormal = 1 - films.labels[:, NO_FINDING_INDEX]
    patients = np.unique(films.metadata["patient"].to_numpy().astype(str), return_inverse=True)[1]
    columns = telling(films.labels, patients, FINDING_INDICES)
    threshold = card.operating_point("balanced").threshold
    resamples = resample_patients(patients)
    found: dict[str, Any] = {}
    upright: np.ndarray | None = None
    for name, turn in WAYS.items():
        probabilities = np.concatenate(
            [
                card.probabilities(engine.run(np.ascontiguousarray(turn(squares)))[0])
                for start in range(0, len(abnormal), BATCH)
                for squares in [np.asarray(films.pixels[start : start + BATCH], np.float32)]
            ]
        )
        score = 1 - probabilities[:, NO_FINDING_INDEX]
        upright = score if upright is None else upright
        change = paired_difference(partial(auroc, abnormal, score), partial(auroc, abnormal, upright), resamples)
        found[name] = {
            "abnormal_auroc": float(auroc(abnormal, score)[0]),
            "change": None if change is None else change.model_dump(),
            "macro_auroc": float(macro_auroc(films.labels[:, columns], probabilities[:, columns])[0]),
            "sensitivity": float((score >= threshold)[abnormal == 1].mean()),
            "specificity": float((score < threshold)[abnormal == 0].mean()),
        }
    return {"films": len(abnormal), "patients": len(np.unique(patients)), "ways": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    engine = Engine(load_bundle(bundle_path("default")))
    card = engine.bundle.card
    shards = find_shards(given.data)
    films = load_shards(shards, card.input_size, settings().cache_dir, given.data / "images_index.csv")
    record = measured(engine, held_out(films, card, str(given.data / "**" / "*.tfrec")))
    print(json.dumps(record, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
