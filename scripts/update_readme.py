"""Write the numbers of README.md from where they are measured: the shipped model's card, the benchmark, the settings.

    python -m scripts.update_readme

Text between `<!-- name -->` and `<!-- /name -->` is replaced; a test holds that README.md is what this makes of it.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from cxr.findings import display_name
from cxr.model.bundle import load_bundle
from cxr.model.card import Card, GroupMetrics
from cxr.settings import ROOT, Settings
from cxr.ui.words import TOO_FEW, interval, point_meaning

README = ROOT / "README.md"
SMALL_GROUP = 20
"""Sources with fewer test films than this are left to the card."""


def model(card: Card) -> str:
    """How good the shipped model is."""
    evaluation, splits = card.evaluation, card.data.splits
    train, test, calibration = splits["train"], splits["test"], splits["calibration"]
    lines = [
        f"`models/default`: {card.backbone} at {card.input_size} px, from {card.initial_weights}, fine-tuned on {train.films:,} films "
        f"of {train.patients:,} patients. {calibration.films:,} films of {calibration.patients:,} other patients "
        f"calibrated it and set its thresholds. Everything below was measured on {test.films:,} films of "
        f"{test.patients:,} patients who had no part in either. 95% intervals by bootstrap over patients.",
        "",
        "| test films | films | patients | AUROC abnormal | by the view alone | macro-AUROC | findings in it | by the view alone |",
        "|---|---:|---:|---|---|---|---:|---|",
        group_row("all", evaluation.overall),
        *(
            group_row(f"source `{name}`", group)
            for name, group in evaluation.by_source.items()
            if group.films >= SMALL_GROUP
        ),
        "",
        "“By the view alone” is what one scores who sees only whether the film is PA or AP. Pooled over the findings the "
        f"model scores {evaluation.pooled_auroc:.3f}, and the findings' shares in the training films, without any film, "
        f"{evaluation.constant_prior_pooled_auroc:.3f}, which is why no pooled number is quoted anywhere else.",
        "",
        *(
            f"- **{point.name.capitalize()}** (chosen by {point.basis}): {point_meaning(point, card)}"
            for point in card.operating_points
        ),
        "",
        f"Expected calibration error of the abnormal probability: {evaluation.reliability.ece_before:.3f} before, "
        f"{interval(evaluation.reliability.ece_after)} after calibration. AUROC finding by finding: "
        + ", ".join(
            f"{display_name(name)} {TOO_FEW if metrics.auroc is None else f'{metrics.auroc.value:.2f}'}"
            for name, metrics in evaluation.findings.items()
        )
        + ".",
    ]
    return "\n".join(lines)


def group_row(name: str, group: GroupMetrics) -> str:
    """One row of the table."""
    return (
        f"| {name} | {group.films} | {group.patients} | {interval(group.abnormal_auroc)} | "
        f"{interval(group.view_only_abnormal_auroc)} | {interval(group.macro_auroc)} | {group.macro_findings} | "
        f"{interval(group.view_only_macro_auroc)} |"
    )


def speed() -> str:
    """What benchmarks/serving.py measured."""
    measured = json.loads((ROOT / "benchmarks" / "serving.json").read_text())
    keras_way = measured["ms"]["Keras predict + one tf-keras-vis Grad-CAM"]
    rows = [f"| {name} | {ms:.1f} | {keras_way / ms:.1f} |" for name, ms in measured["ms"].items()]
    apart = ", ".join(f"{value:.0e} under {name}" for name, value in measured["largest_difference"].items())
    return "\n".join(
        [
            "| what | median, ms | the Keras way takes … times as long |",
            "|---|---:|---:|",
            *rows,
            "",
            f"Measured on {measured['machine']['cores']} cores. Largest difference of a logit from Keras': {apart}. As it comes, OpenVINO computes in bfloat16 where the processor can.",
        ]
    )


def settings_table() -> str:
    """The settings with their variables and defaults."""
    rows = [
        f"| `CXR_{name.upper()}` | `{Path(field.default).name if isinstance(field.default, Path) else field.default}` | "
        f"{field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def updated(text: str) -> str:
    """README.md with every marked part written anew. Raises `ValueError` if a mark is missing."""
    parts: dict[str, Callable[[], str]] = {
        "model": lambda: model(load_bundle(ROOT / "models" / "default").card),
        "speed": speed,
        "settings": settings_table,
    }
    for name, write in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no part marked {name}.")
        replacement = write()
        text = pattern.sub(lambda found, new=replacement: found[1] + new + "\n" + found[2], text)
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
