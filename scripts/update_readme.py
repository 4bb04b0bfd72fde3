"""Write the numbers of README.md from where they are measured: the shipped model's card, the benchmark, the settings.

    python -m scripts.update_readme

Text between `<!-- name -->` and `<!-- /name -->` is replaced; a test holds that README.md is what this makes of it.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed_table import speed_table
from cxr.dataset import statistics
from cxr.dataset.filters import Filters, select
from cxr.dataset.summary import summarise
from cxr.dataset.table import release
from cxr.evaluation.baselines import MACRO_OF_NOTHING, baselines
from cxr.evaluation.stored import load_evaluation
from cxr.evaluation.words import TOO_FEW, interval
from cxr.findings import display_name
from cxr.model.bundle import load_bundle
from cxr.model.card import Card, Estimate, GroupMetrics
from cxr.settings import ROOT, Settings
from cxr.ui.dataset.trap_charts import NOTEBOOK
from cxr.ui.words import point_meaning
from scripts import readme_reading_room, readme_scope, readme_training, readme_under_load

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
    """What benchmarks/speed.py measured."""
    return speed_table(json.loads((ROOT / "benchmarks" / "speed.json").read_text()))


def dataset_speed() -> str:
    """What benchmarks/dataset.py measured."""
    measured = json.loads((ROOT / "benchmarks" / "dataset.json").read_text())
    browser, shards = measured["browser"], measured["shards"]
    rows = [
        f"| {name} | {times['ms']:.0f} | {times['pandas_ms']:,.0f} | {times['ratio']:.0f} |"
        for name, times in measured["server"].items()
    ]
    redraws = ", ".join(f"{section} {ms:.0f}" for section, ms in browser["redraw_ms"].items())
    return "\n".join(
        [
            "| all 15 charts of the page Dataset, from the click to the last byte, on 112,120 films | ms on the server | ms with plain pandas | times |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            f"From a click on a filter to the end of the redraw in a browser on the same {measured['machine']['cores']} cores, ms by section: {redraws}. "
            f"An open session more costs the server {browser['mb_per_session']:.1f} MB. "
            f"Indexing shards takes {shards['index_seconds_per_gb']:.1f} s per GB (in memory), and {shards['films_read_per_second']:,.0f} films a second are read at random, "
            f"{shards['thumbnails_per_second']:,.0f} as thumbnails (of {shards['films']:,} films, {shards['gb'] * 1000:.0f} MB).",
        ]
    )


def notebook() -> str:
    """What the notebook showed of the data set, next to what the page Dataset shows, from the table that ships."""
    table = release()
    summary = summarise(table, select(table, Filters()))
    counts, any_finding = statistics.category_counts(summary), statistics.any_finding(summary)
    related, scores, leak = statistics.correlation(summary), baselines(summary), statistics.split_leak(summary)
    pairs = (("Emphysema", "Pneumothorax"), ("Effusion", "Atelectasis"), ("Pneumonia", "Edema"))
    said = ", ".join(f"{display_name(a)} and {display_name(b).lower()} {related.loc[a, b]:.2f}" for a, b in pairs)
    several = statistics.findings_per_film(summary).iloc[2:].sum() / summary.films
    by_view = statistics.prevalence(summary, "view").set_index(["category", "group"])["share"]
    rows = [
        (
            "Films per category, no finding against any, correlations",
            f"The same: No finding {counts['No Finding']:,}, Infiltration {counts['Infiltration']:,}, …, Hernia {counts['Hernia']:,}; {any_finding['No finding']:,} against {any_finding['Any finding']:,}; {said}",
        ),
        (
            "Nothing on several findings of a film",
            f"{several:.1%} of films have more than one; UpSet plot, conditional probability and lift next to correlation",
        ),
        (
            "Nothing on whose the films are",
            f"Prevalence by view, sex and age with intervals: Edema on {by_view['Edema', 'AP']:.1%} of AP films and {by_view['Edema', 'PA']:.1%} of PA films",
        ),
        (
            f"A pooled AUC of {NOTEBOOK}, called accuracy",
            f"The labels' shares alone, without a film, score {scores.pooled_14:.3f} pooled over the 14 findings and {scores.pooled_15:.3f} over the 15 columns; their macro-AUROC is {MACRO_OF_NOTHING}. The view alone scores {scores.view_macro:.3f} macro",
        ),
        (
            "A split by file",
            f"Split by film, {leak.test_films_known:.1%} of the test films show a patient of the training films ({len(table.patient[0]):,} patients have {len(table):,} films); by patient, none",
        ),
        (
            "A few random films",
            "Every film of the shards, filtered, in an order that a seed repeats, with boxes and the patient's other films",
        ),
    ]
    return "\n".join(
        ["| the notebook | these pages |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows)]
    )


def five_lines() -> str:
    """What a clinician should know of the shipped model, from the evaluation that it carries."""
    stored = load_evaluation(load_bundle(ROOT / "models" / "default"))
    if stored is None:
        raise ValueError("models/default carries no evaluation.")
    report = stored.report
    task, point, work = report.abnormal, report.operating_points["balanced"].abnormal, report.workload
    places = report.localisation.measured.pooled if report.localisation else None
    at_98 = work.set_aside["0.98"]
    sources = ", ".join(
        f"`{name}` {percent(group.abnormal_auroc)}"
        for name, group in report.by_source.items()
        if group.films >= SMALL_GROUP
    )
    lines = [
        f"On {report.films:,} films of {report.patients:,} patients it had never seen, it put a film with a finding above one without in {percent(task.auroc)} of pairs; "
        f"who sees only the projection does so in {percent(report.baselines.view_only.abnormal_auroc)}. By source: {sources}.",
        f"At its balanced threshold it flags {percent(point.sensitivity)} of the abnormal films and leaves {percent(point.specificity)} of the others unflagged.",
        f"Setting aside the 70% of films with the lowest scores would miss {percent(work.at_70.missed) if work.at_70 else TOO_FEW} of the abnormal ones. "
        f"At a sensitivity of 98% {percent(at_98)} could be set aside.",
        f"Its abnormal probability is off by {percent(report.calibration.ece)} on average, at the share of abnormal films of this collection ({task.prevalence:.0%}); "
        f"on so few films it would be {percent(report.calibration.ece_if_honest)} if every probability were true.",
        "Its heatmaps: too few boxed films to say."
        if places is None or places.pointing is None
        else f"Its heatmaps' hottest points lie in the radiologist's box in {percent(places.pointing.model)} of {places.cases} boxed films; a map of the usual place scores {places.pointing.usual_place:.0%}.{'' if places.better_than_chance else ' That they are better than chance is not shown.'}",
    ]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def percent(estimate: Estimate | None) -> str:
    """As in "84% (76 to 89)"."""
    return (
        TOO_FEW if estimate is None else f"{estimate.value:.0%} ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"
    )


def bootstrap() -> str:
    """What benchmarks/evaluation.py measured."""
    measured = json.loads((ROOT / "benchmarks" / "evaluation.json").read_text())
    rows = [
        f"| {name} | {value['seconds']:.2f} | {value['one_by_one']:.1f} | {value['ratio']:.0f} |"
        if "ratio" in value
        else f"| {name} | {value['seconds']:.2f} | | |"
        for name, value in measured.items()
        if isinstance(value, dict) and "seconds" in value
    ]
    head = f"| {measured['resamples']:,} resamples over patients of {measured['films']:,} films | s | one by one with scikit-learn, s | times |"
    return "\n".join([head, "|---|---:|---:|---:|", *rows])


def int8() -> str:
    """What benchmarks/int8.py measured."""
    measured = json.loads((ROOT / "benchmarks" / "int8.json").read_text())
    rows = [
        f"| {name} | {tried['auroc_difference']['abnormal']:+.3f} | {tried['auroc_difference']['macro']:+.3f} | {tried['maps']['lowest_of_findings']:.3f} "
        f"| {'yes' if tried['may_serve'] else 'no'} | {tried['times_as_fast']:.2f} | {tried['times_as_fast_under_openvino']:.2f} |"
        for name, tried in measured.items()
        if isinstance(tried, dict) and "may_serve" in tried
    ]
    head = f"| in INT8, on {measured['float32']['films']} held-out films | abnormal AUROC | macro AUROC | least correlation of a finding's maps | both kept | times as fast | … under OpenVINO |"
    return "\n".join([head, "|---|---:|---:|---:|---|---:|---:|", *rows])


def settings_table() -> str:
    """The settings with their variables and defaults."""
    rows = [
        f"| `CXR_{name.upper()}` | {default_words(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def default_words(default: object) -> str:
    """A setting's default as the table shows it."""
    if default is None:
        return "none"
    return f"`{default.name if isinstance(default, Path) else default}`"


def updated(text: str) -> str:
    """README.md with every marked part written anew. Raises `ValueError` if a mark is missing."""
    parts: dict[str, Callable[[], str]] = {
        "model": lambda: model(load_bundle(ROOT / "models" / "default").card),
        "speed": speed,
        "settings": settings_table,
        "dataset": dataset_speed,
        "notebook": notebook,
        "five": five_lines,
        "bootstrap": bootstrap,
        "int8": int8,
        "against": lambda: readme_training.against(load_bundle(ROOT / "models" / "default").card),
        "training": readme_training.training_speed,
        "gate": readme_training.gate_sentence,
        "reading_room": readme_reading_room.reading_room_speed,
        "scope": lambda: readme_scope.rates(load_bundle(ROOT / "models" / "default").card),
        "burned_text": readme_scope.burned_text,
        "turned": readme_under_load.turned_films,
        "load": readme_under_load.under_load,
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
