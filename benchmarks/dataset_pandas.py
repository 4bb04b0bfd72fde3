"""The charts of the dataset page as one would first write them: plain pandas on the whole table, at every rerun.

For `benchmarks.dataset`, which draws the same charts both ways and checks that they show the same numbers.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING

COLUMNS = list(CATEGORIES)
FOUND = list(FINDINGS)


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of films with their metadata, and the boxes, from NIH's files."""
    films = pd.read_csv(folder / "preprocessed_data.csv", index_col=0)
    metadata = pd.read_csv(sorted(folder.glob("Data_Entry_2017*.csv*"))[-1], index_col="Image Index")
    boxes = pd.read_csv(folder / "BBox_List_2017.csv").replace({"Infiltrate": "Infiltration"})
    return films.join(metadata), boxes


def charts(films: pd.DataFrame, boxes: pd.DataFrame, view: str | None) -> dict[str, tuple[go.Figure, pd.DataFrame]]:
    """Every chart of the page with its numbers, of the films of one view, or of all."""
    shown = films if view is None else films[films["View Position"] == view]
    counts = shown[COLUMNS].sum().sort_values(ascending=False).rename("films").rename_axis("category").reset_index()
    any_finding = shown[FOUND].any(axis=1).value_counts().rename("films").rename_axis("any").reset_index()
    number = shown[FOUND].sum(axis=1).value_counts().sort_index().rename("films").rename_axis("findings").reset_index()
    shares = shown[FOUND].mean().rename("share").rename_axis("finding").reset_index()
    alike = shown[shown[NO_FINDING] == 0].groupby(FOUND).size().sort_values(ascending=False).head(20)
    together = pd.DataFrame(
        {
            "findings": [" + ".join(n for n, v in zip(FOUND, k, strict=True) if v) for k in alike.index],
            "films": alike.array,
        }
    )
    correlation = shown[COLUMNS].corr()
    ages = pd.cut(shown["Patient Age"], [*range(0, 100, 10), 200], right=False)
    prevalence = {
        "view": _prevalence(shown, shown["View Position"]),
        "sex": _prevalence(shown, shown["Patient Gender"]),
        "age": _prevalence(shown, ages),
    }
    by_age = ages.value_counts().sort_index().rename("films").reset_index().astype({"Patient Age": str})
    per_patient = shown.groupby("Patient ID").size()
    patients = per_patient.value_counts().sort_index().rename("patients").rename_axis("films").reset_index()
    rank = films.groupby("Patient ID")["Follow-up #"].rank(method="first").loc[shown.index]
    place = pd.cut(rank, [1, 2, 3, 4, 5, 6, 11, 21, 51, 1000], right=False)
    follow_up = shown[COLUMNS].groupby(place, observed=True).mean().reset_index().astype({"Follow-up #": str})
    k = shown["Patient ID"].map(per_patient)
    leak = pd.DataFrame(
        {"measure": ["both", "known"], "share": [(1 - 0.8**k - 0.2**k).mean(), (1 - 0.2 ** (k - 1)).mean()]}
    )
    baselines = pd.DataFrame(_baselines(shown).items(), columns=["score", "auroc"])
    inside = boxes[boxes["Image Index"].isin(shown.index)]
    covered = {name: _coverage(found) for name, found in inside.groupby("Finding Label")}
    maps = px.imshow(np.stack(list(covered.values())), facet_col=0)
    melted = prevalence["age"].astype({"group": str})
    return {
        "categories": (px.bar(counts, x="films", y="category", orientation="h", title="Films"), counts),
        "any-finding": (px.bar(any_finding, x="films", y="any", orientation="h"), any_finding),
        "findings-per-film": (px.bar(number, x="findings", y="films"), number),
        "findings": (px.bar(shares, x="share", y="finding", orientation="h"), shares),
        "combinations": (px.bar(together, x="findings", y="films"), together),
        "correlation": (px.imshow(correlation, text_auto=".2f"), correlation),
        "prevalence-by-view": (
            px.scatter(prevalence["view"], x="share", y="category", color="group"),
            prevalence["view"],
        ),
        "prevalence-by-sex": (px.scatter(prevalence["sex"], x="share", y="category", color="group"), prevalence["sex"]),
        "prevalence-by-age": (px.line(melted, x="group", y="share", color="category"), prevalence["age"]),
        "ages": (px.bar(by_age, x="Patient Age", y="films"), by_age),
        "films-per-patient": (px.bar(patients, x="films", y="patients", log_y=True), patients),
        "follow-ups": (px.line(follow_up, x="Follow-up #", y=COLUMNS), follow_up),
        "baselines": (px.bar(baselines, x="auroc", y="score", orientation="h"), baselines),
        "split-leak": (px.bar(leak, x="share", y="measure", orientation="h"), leak),
        "boxes": (maps, inside),
    }


def _prevalence(films: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    rows = []
    for name, found in films.groupby(group, observed=True):
        for category in COLUMNS:
            test = binomtest(int(found[category].sum()), len(found))
            low, high = test.proportion_ci(method="wilson")
            rows.append((category, name, len(found), test.k, test.statistic, low, high))
    return pd.DataFrame(rows, columns=["category", "group", "films", "positives", "share", "low", "high"])


def _baselines(films: pd.DataFrame) -> dict[str, float]:
    by_view = films.groupby("View Position")[COLUMNS].transform("mean")
    prior = pd.DataFrame(films[COLUMNS].mean().to_numpy()[None].repeat(len(films), 0), columns=COLUMNS)
    each = [roc_auc_score(films[name], by_view[name]) for name in FOUND]
    return {
        "pooled_15": roc_auc_score(films[COLUMNS].to_numpy().ravel(), prior.to_numpy().ravel()),
        "pooled_14": roc_auc_score(films[FOUND].to_numpy().ravel(), prior[FOUND].to_numpy().ravel()),
        "macro": 0.5,
        "view_pooled_14": roc_auc_score(films[FOUND].to_numpy().ravel(), by_view[FOUND].to_numpy().ravel()),
        "view_macro": float(np.mean(each)),
        "view_abnormal": roc_auc_score(1 - films[NO_FINDING], 1 - by_view[NO_FINDING]),
    }


def _coverage(boxes: pd.DataFrame) -> np.ndarray:
    covered = np.zeros((1024, 1024))
    for box in boxes.itertuples():
        covered[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] += 1
    return covered[::32, ::32] / len(boxes)
