"""The model card in words: the sections of Mitchell et al. 2019 (arXiv:1810.03993), and the CLAIM checklist.

Every number is the card's. What is written here is what the card can't know: what the model is meant for, what its
labels and groups are worth, and what nobody recorded.
"""

from typing import Final

from cxr.evaluation.metrics import MIN_PATIENTS, RESAMPLES
from cxr.evaluation.words import TOO_FEW
from cxr.findings import display_name
from cxr.model.card import Card, Evaluation, GroupMetrics, SplitCount
from cxr.model.verdict import RESEARCH_NOTICE
from cxr.report.blocks import Block, Heading, Paragraph, Points, Table
from cxr.report.card_analyses import (
    HONEST_SOURCE,
    against_baselines,
    analyses,
    finding_thresholds,
    findings,
    honesty,
    thresholds,
)
from cxr.report.card_refusals import refusals
from cxr.report.claim import claim

SMALL_GROUP: Final = 20
"""Groups of fewer test films are not named among those that are too small to say."""
INTENDED: Final = (
    "For research on the triage of frontal chest films of adults: which films of a list to read first, what a "
    "threshold costs, where a model fails; for teaching; and as a baseline for other models.",
    "For people who can read a chest film, or who study such models. A reader looks at every film, whatever the model "
    "says of it.",
)
OUT_OF_SCOPE: Final = (
    "Diagnosis, treatment, and taking a film off a list unread. A verdict “no finding” does not mean that the patient "
    "is healthy.",
    "Children, lateral films, other parts of the body, CT, photographs of films.",
    "Films of a hospital on which nobody has measured it.",
)
UNRECORDED: Final = "Maker of the device, dose, position of the patient beyond PA and AP, ethnicity and hospital ward"
ETHICS: Final = (
    "The films show patients. Those of NIH ChestX-ray14 were made public without names; nobody asked the patients "
    "about this model. The bundle holds none of their films; of the test films it holds labels, age, sex, view and "
    "scores.",
    "Where a list is sorted by it, what it misses delays the reading of ill patients, and what it flags without need "
    "delays that of the others. How often either happens stands at each operating point, where it was measured.",
    "It can be wrong for one group more often than for another. Groups with too few films are named as such: nobody "
    "knows how good it is for them.",
    "Readers trust what a machine marks. So words and numbers stand before heatmaps, and a heatmap says how often it "
    "pointed at what radiologists had boxed.",
)


def sections(card: Card) -> dict[str, list[Block]]:
    """The parts of a model card by name, in order; headings inside are of level 3.

    What each finding's thresholds did is not among them: `finding_thresholds` says it of one operating point.
    """
    return {
        "Model details": _details(card),
        "Intended use": _use(),
        "What it refuses": refusals(card),
        "Factors": _factors(card),
        "Metrics": _metrics(),
        "Evaluation data": _evaluation_data(card),
        "Training data": _training_data(card),
        "Quantitative analyses": analyses(card),
        "Finding by finding": findings(card),
        "Operating points": thresholds(card),
        "Honesty of the probabilities": honesty(card),
        "Ethical considerations": [Points(ETHICS)],
        "Caveats and recommendations": [Points(tuple(_caveats(card)))],
        "CLAIM checklist": claim(card),
    }


def document(card: Card, sha256: str) -> list[Block]:
    """The whole card. `sha256`: of the bundle."""
    blocks: list[Block] = [
        Heading(f"Model card: {card.name}", 1),
        Paragraph(f"{RESEARCH_NOTICE} SHA-256 {sha256}."),
    ]
    for name, part in sections(card).items():
        blocks += [Heading(name), *part]
        if name == "Operating points":
            for point in card.operating_points:
                blocks += [Heading(f"Findings at {point.name}", 3), finding_thresholds(point)]
    return blocks


def _details(card: Card) -> list[Block]:
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    facts = [
        f"{card.name}, made {card.created}; {versions}.",
        f"A convolutional network for images: {card.backbone} on a square film of {card.input_size} pixels in grey "
        f"levels 0 to 255, then a 1x1 convolution to one map for each of {len(card.categories)} categories, whose mean "
        "is the category's logit. So each heatmap is what the logit was computed from.",
        f"Starts from: {card.initial_weights}.",
    ]
    if card.best_epoch is not None:
        why = "as the last" if card.training.get("keep") == "last" else "for its macro-AUROC on the validation patients"
        facts.append(
            f"Trained for {len(card.epochs)} epochs, of which number {card.best_epoch} was kept {why}; calibrated by "
            "Platt scaling of each category."
        )
    if card.abnormal_from == "any finding":
        facts.append(
            "It has no output for “No Finding”: its abnormal probability is its largest score of any pathology, and "
            "its scores are no probabilities."
        )
    if card.absent:
        facts.append(f"Findings that it does not have: {_names(card.absent)}.")
    return [Points(tuple(facts))]


def _use() -> list[Block]:
    return [Points(INTENDED), Heading("Out of scope", 3), Points(OUT_OF_SCOPE)]


def _factors(card: Card) -> list[Block]:
    evaluation = card.evaluation
    if evaluation is None:
        return [Paragraph("No group of patients or films has been measured.")]
    parts = {
        "Source": evaluation.by_source,
        "View": evaluation.by_view,
        "Sex": evaluation.by_sex,
        "Age in years": evaluation.by_age,
    }
    known = [f"{kind}: {_sizes(groups)}." for kind, groups in parts.items() if groups]
    return [
        Paragraph("Groups of test films that are measured apart, with the number of films:"),
        Points((*known, f"Not recorded, and so not measured: {UNRECORDED[0].lower()}{UNRECORDED[1:]}.")),
    ]


def _metrics() -> list[Block]:
    return [
        Points(
            (
                "AUROC: of pairs of a film with and one without, the share that the model puts in the right order; "
                "0.5 is chance. Macro-AUROC: its mean over the findings. Average precision: the precision, averaged "
                "over the recall.",
                "At an operating point: sensitivity, the share of abnormal films flagged; specificity, the share of "
                "the others left unflagged. Thresholds are chosen on the calibration patients and measured on the test "
                "patients.",
                "Expected calibration error: mean distance of probability and frequency over ten bins of equal mass "
                "(Naeini et al. 2015). Brier score: mean squared error of the probability.",
                f"Intervals: 95%, bootstrap over patients, {RESAMPLES:,} resamples. A rate or an AUROC on films of "
                f"fewer than {MIN_PATIENTS} patients of a class it is about is “{TOO_FEW}”.",
            )
        )
    ]


def _evaluation_data(card: Card) -> list[Block]:
    if card.data is None or card.evaluation is None:
        return [Paragraph("None.")]
    test = card.data.splits["test"]
    return [
        Paragraph(
            f"{_split_words(test)} of the data set “{card.data.name}”, drawn by patient before training. No patient of "
            "them trained, chose an epoch, calibrated or set a threshold. They come from the same collections as the "
            "training films: how the model does elsewhere is not known."
        ),
        Paragraph(_labels()),
    ]


def _training_data(card: Card) -> list[Block]:
    if card.data is None:
        return [Paragraph(f"Not from here: {card.initial_weights}.")]
    rows = tuple(
        (
            name,
            f"{count.films:,}",
            f"{count.patients:,}",
            f"{count.abnormal_films:,} ({count.abnormal_films / count.films:.0%})",
        )
        for name, count in card.data.splits.items()
    )
    return [
        Table(("Split", "Films", "Patients", "Abnormal films"), rows),
        Paragraph(
            f"Data set “{card.data.name}”. No patient has films in two splits (split {card.data.hash[:12]}). Sources: "
            f"{_counts(card.data.sources)}. Views: {_counts(card.data.views)}. Each film is squared and resized in "
            "grey levels, in training as in use."
        ),
    ]


def _labels() -> str:
    return (
        "Labels are the data set's. Those of NIH ChestX-ray14 were text-mined from radiologists' reports (Wang et al. "
        "2017, arXiv:1705.02315): “No Finding” is not “healthy”, and how often a label is right differs by finding."
    )


def _caveats(card: Card) -> list[str]:
    if card.data is None or card.evaluation is None:
        return ["Measure it on films of your own before you believe any of its scores."]
    evaluation, splits = card.evaluation, card.data.splits
    calibrated = splits.get("calibration", splits["test"])
    return [
        f"Probabilities hold for films of which about {calibrated.abnormal_films / calibrated.films:.0%} are abnormal, "
        "as of those that calibrated it; where fewer are, they are too high.",
        "A score over all films can come from telling the collections or the projection apart rather than from the "
        f"chest. Look at the rows by source, first at {HONEST_SOURCE} where there is one, and at the view alone.",
        *_not_better_than_the_view(evaluation),
        *([against_baselines(card.comparison)] if card.comparison else []),
        *_too_few(evaluation),
        "Before use on films of another hospital: evaluate it there, by group, and calibrate it anew.",
    ]


def _not_better_than_the_view(evaluation: Evaluation) -> list[str]:
    """The groups in which the interval of the model's AUROC reaches down to what the view alone scores."""
    groups = {"all test films": evaluation.overall}
    groups |= {f"source {name}": group for name, group in evaluation.by_source.items()}
    names = [
        name
        for name, group in groups.items()
        if group.abnormal_auroc is not None
        and group.view_only_abnormal_auroc is not None
        and group.abnormal_auroc.low <= group.view_only_abnormal_auroc.value
    ]
    return [f"Not shown to be better than the view alone on {', '.join(names)}."] if names else []


def _too_few(evaluation: Evaluation) -> list[str]:
    findings = [name for name, found in evaluation.findings.items() if found.auroc is None]
    groups = {**evaluation.by_source, **evaluation.by_view, **evaluation.by_sex, **evaluation.by_age}
    small = [name for name, group in groups.items() if group.abnormal_auroc is None and group.films >= SMALL_GROUP]
    said = []
    if findings:
        said.append(f"Too few test films to say how well it tells {_names(tuple(findings))}.")
    if small:
        said.append(f"Too few patients to say how well it separates abnormal films in {', '.join(small)}.")
    return said


def _split_words(count: SplitCount) -> str:
    return f"{count.films:,} films of {count.patients:,} patients, {count.abnormal_films:,} of them abnormal,"


def _sizes(groups: dict[str, GroupMetrics]) -> str:
    return ", ".join(f"{name} ({group.films:,})" for name, group in groups.items())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _names(findings: tuple[str, ...]) -> str:
    return ", ".join(display_name(name) for name in findings)
