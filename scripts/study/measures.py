"""What the scores of a recipe are worth: AUROC by fold and seed, over all films and by source."""

import numpy as np

from cxr.dataset.labelled import LabelledFilms
from cxr.evaluation.metrics import auroc, macro_auroc, telling
from cxr.findings import FINDING_INDICES, NO_FINDING_INDEX
from scripts.study.films import FOLDS, fold_of

SOURCES = ("jrzech", "talo")


def measured(films: LabelledFilms, scores: np.ndarray, seed: int) -> list[dict[str, float]]:
    """For each fold: AUROC of abnormal and macro over the findings that have enough films, all films and by source."""
    folds = fold_of(films, seed)
    patients = films.metadata["patient"].to_numpy()
    source = films.metadata["source"].to_numpy()
    rows = []
    for k in range(FOLDS):
        row: dict[str, float] = {}
        for name, mask in {"all": np.ones(len(folds), bool), **{s: source == s for s in SOURCES}}.items():
            part = mask & (folds == k)
            row[f"{name}_abnormal"] = float(auroc(films.abnormal[part], -scores[part, NO_FINDING_INDEX])[0])
            columns = telling(films.labels[part], patients[part], FINDING_INDICES)
            row[f"{name}_macro"] = float(macro_auroc(films.labels[part][:, columns], scores[part][:, columns])[0])
        rows.append(row)
    return rows
