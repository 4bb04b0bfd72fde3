"""`docs/study.md` from `docs/study.json`: the table, the learning curve and what follows from it."""

from typing import Any

import numpy as np

Table = dict[str, dict[str, Any]]
COLUMNS = {
    "jrzech_abnormal": "`jrzech` abnormal",
    "jrzech_macro": "`jrzech` macro",
    "all_abnormal": "all abnormal",
    "all_macro": "all macro",
    "talo_abnormal": "`talo` abnormal",
}
REFERENCES = {"probe": "linear probe", "tuned": "tuned"}
"""What a recipe is compared with, by the first word of its name."""
CURVE = (150, 300, 600)
CLEARLY = 0.1
"""A difference in AUROC that is worth a sentence."""


def text(table: Table, films: int, folds: int) -> str:
    """The whole file.

    Args:
        table: of `docs/study.json`.
        films: how many there are.
        folds: of the cross-validation.
    """
    lines = [
        f"# The study: what makes a better model of {films:,} films",
        "",
        "Made by `python -m scripts.study --data DIR --other DIR` and written by it; do not edit. AUROC on films of patients "
        f"that the model never saw: mean over {folds} folds (and over the seeds; a seed draws the folds, the initialisation and "
        "the order of films anew), ± the standard deviation between folds, which is what the few films of a fold allow to "
        "be known. In brackets the mean difference from the reference of its kind in the same folds, ± its standard error. "
        "“Probe”: a linear head on the pooled features of a network with ImageNet weights; “tuned”: its upper stages are "
        "trained too, ten epochs, the lower ones frozen. The patients on whom the shipped model is tested are among these: what "
        "was chosen by this table was chosen with their help.",
        "",
        "| recipe | varied | seeds | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---:|" + "---|" * len(COLUMNS),
    ]
    for name, row in table.items():
        reference = table.get(REFERENCES.get(_kind(name), ""), row)
        cells = [_cell(row, reference, metric) for metric in COLUMNS]
        lines.append(f"| {name} | {row['factor']} | {len(row['folds'])} | " + " | ".join(cells) + " |")
    lines += untrained(table)
    for kind, reference in REFERENCES.items():
        lines += curve(table, kind, reference, films * (folds - 1) // folds)
    return "\n".join(lines) + "\n"


def untrained(table: Table) -> list[str]:
    """What a network scores that has never been trained on anything but its head, and what that says of a number."""
    if not {"random backbone", "linear probe"} <= set(table):
        return []
    by_chance, probe = (
        {m: _values(table[name], m).mean() for m in COLUMNS} for name in ("random backbone", "linear probe")
    )
    if by_chance["talo_abnormal"] - by_chance["jrzech_abnormal"] < CLEARLY:
        return []
    return [
        "",
        f"A network with random weights under a linear head scores {by_chance['talo_abnormal']:.2f} for abnormal on `talo` and "
        f"{by_chance['all_abnormal']:.2f} on all films (with ImageNet weights {probe['talo_abnormal']:.2f} and "
        f"{probe['all_abnormal']:.2f}), but {by_chance['jrzech_abnormal']:.2f} on `jrzech` (with ImageNet weights "
        f"{probe['jrzech_abnormal']:.2f}): what can be told on `talo` can be told from the grey levels and the frame of a "
        "film. A number over all films says little of what a model sees in a chest; `jrzech` does.",
    ]


def _cell(row: dict[str, Any], reference: dict[str, Any], metric: str) -> str:
    mine = _values(row, metric)
    shown = f"{mine.mean():.3f} ± {mine.std(axis=1, ddof=1).mean():.3f}"
    if row is reference or row["factor"] == "control":
        return shown
    shared = [seed for seed in row["folds"] if seed in reference["folds"]]
    difference = _values(row, metric, shared) - _values(reference, metric, shared)
    error = difference.std(ddof=1) / np.sqrt(difference.size)
    return f"{shown} ({difference.mean():+.3f} ± {error:.3f})"


def _values(row: dict[str, Any], metric: str, seeds: list[str] | None = None) -> np.ndarray:
    """float (seeds, folds)."""
    return np.array([[fold[metric] for fold in row["folds"][seed]] for seed in seeds or row["folds"]])


def curve(table: Table, kind: str, reference: str, films: int) -> list[str]:
    """The learning curve of one kind of recipe, a straight line over the logarithm of the films, and its meaning."""
    points = {n: table.get(f"{kind}, {n} films") for n in CURVE} | {films: table.get(reference)}
    known = {n: row for n, row in points.items() if row is not None}
    if len(known) < len(points):
        return []
    lines = ["", f"## Learning curve ({reference})", "", "| training films | " + " | ".join(COLUMNS.values()) + " |"]
    lines.append("|---:|" + "---|" * len(COLUMNS))
    for n, row in known.items():
        lines.append(f"| {n} | " + " | ".join(f"{_values(row, m).mean():.3f}" for m in COLUMNS) + " |")
    line = {m: np.polyfit(np.log2(list(known)), [_values(r, m).mean() for r in known.values()], 1) for m in COLUMNS}
    doubling = {m: float(line[m][0]) for m in COLUMNS}
    gains = ", ".join(f"{label} {doubling[m]:+.3f}" for m, label in COLUMNS.items())
    macro, abnormal = (float(np.polyval(line[m], np.log2(4 * films))) for m in ("jrzech_macro", "jrzech_abnormal"))
    said = (
        f"Each doubling of the films has brought: {gains}. Four times the films ({4 * films:,}) would, if the line went on, "
        f"give a macro-AUROC of {macro:.2f} and an abnormal AUROC of {abnormal:.2f} on `jrzech`; the line is drawn through "
        f"{len(known)} points and says nothing about what lies much farther out."
    )
    if all(_gain(table, name) < doubling["jrzech_macro"] for name in table if _kind(name) == kind):
        said += " No recipe of this kind has brought as much as a doubling of the films: they are what the model lacks."
    return [*lines, "", said]


def _kind(name: str) -> str:
    return name.replace(",", " ").split()[0]


def _gain(table: Table, name: str) -> float:
    """By how much a recipe's macro-AUROC on `jrzech` exceeds its reference's."""
    reference = table[REFERENCES[_kind(name)]]
    return float(_values(table[name], "jrzech_macro").mean() - _values(reference, "jrzech_macro").mean())
