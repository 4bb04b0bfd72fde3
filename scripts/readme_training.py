"""The parts of README.md on training: the shipped model against simpler recipes, and the speed."""

import json

from cxr.evaluation.words import TOO_FEW
from cxr.model.card import Card, ComparedGroup, Paired
from cxr.report.card_analyses import HONEST_SOURCE
from cxr.settings import ROOT


def against(card: Card) -> str:
    """The shipped model against simpler recipes on its test films."""
    if not card.comparison:
        return "Not measured yet."
    lines = [
        f"Learnt from the same films and measured on the same {card.comparison[0].overall.films} films as the model; the difference is the model's less the recipe's, paired.",
        "",
        "| recipe | AUROC abnormal, all | difference | on `jrzech` | difference | macro, all | difference | on `jrzech` | difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups = [(row.name, row.overall, row.by_source.get(HONEST_SOURCE)) for row in card.comparison]
    lines += [f"| {name} | {' | '.join(_cells(overall, honest))} |" for name, overall, honest in groups]
    beaten = [
        name for name, _, honest in groups if honest and _better(honest.abnormal_auroc) and _better(honest.macro_auroc)
    ]
    unbeaten = [name for name, *_ in groups if name not in beaten]
    if unbeaten:
        lines += ["", f"On `jrzech` it is not shown to be better, in both, than: {', '.join(unbeaten).lower()}."]
    return "\n".join(lines)


def _cells(*groups: ComparedGroup | None) -> list[str]:
    measures = [
        [getattr(group, measure) if group else None for group in groups]
        for measure in ("abnormal_auroc", "macro_auroc")
    ]
    return [text for measure in measures for pair in measure for text in _pair(pair)]


def _pair(pair: Paired | None) -> tuple[str, str]:
    if pair is None:
        return TOO_FEW, TOO_FEW
    gain = pair.difference
    return f"{pair.baseline.value:.3f}", f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"


def _better(pair: Paired | None) -> bool:
    return pair is not None and pair.difference.low > 0


def training_speed() -> str:
    """What benchmarks/training.py measured."""
    measured = json.loads((ROOT / "benchmarks" / "training.json").read_text())
    rows = [
        f"| {name} | {ways['films_per_second']:,.0f} | {ways['times_the_notebook']:.1f} |"
        for name, ways in measured["input"].items()
    ]
    training = "; ".join(
        f"{name} {row['films_per_second']:.1f} films a second ({row['share_waiting']:.1%} of the time spent waiting for films)"
        for name, row in measured["training"].items()
    )
    return "\n".join(
        [
            "| films read for training, 256 px | films a second | times the notebook |",
            "|---|---:|---:|",
            *rows,
            "",
            f"Training at the default backbone and size on {measured['machine']['cores']} cores: {training}.",
        ]
    )


def gate_sentence() -> str:
    """What benchmarks/gate.py measured."""
    measured = json.loads((ROOT / "benchmarks" / "gate.json").read_text())
    said = {worse: ", ".join(_refused(row) for row in measured if row["worse_by"] == worse) for worse in (0.0, 0.05)}
    return (
        f"In simulated pairs of models the gate refuses, of candidates as good as the champion, {said[0.0]}; of candidates "
        f"worse by 0.05 in AUROC, {said[0.05]} (`python -m benchmarks.gate`)."
    )


def _refused(row: dict[str, float]) -> str:
    return f"{row['refused']:.0%} on {row['films']:,} films"
