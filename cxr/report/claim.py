"""The CLAIM checklist, answered from the card.

Items and their numbers: Mongan, Moy & Kahn 2020 (doi:10.1148/ryai.2020200029). Words: those of the update of 2024
(Tejani et al., doi:10.1148/ryai.240300), which says reference standard for ground truth, and internal and external
testing for validation.
"""

from typing import Final, Literal

from cxr.evaluation.metrics import MIN_PATIENTS, RESAMPLES
from cxr.evaluation.stored import REPORT_FILE
from cxr.model.card import Card
from cxr.report.blocks import Block, Paragraph, Table

Status = Literal["yes", "in part", "no", "does not apply"]
AUGMENTATION: Final = ("rotation", "scaling", "shift", "exposure", "noise")
RECIPE: Final = ("seed", "epochs", "batch_size", "learning_rate", "weight_decay", "dropout", *AUGMENTATION)


def claim(card: Card) -> list[Block]:
    """The checklist as a table: number, item, whether it is fulfilled, and what holds for this model."""
    items = [
        *_study(card),
        *_data(),
        *_reference(),
        *_partitions(card),
        *_model(card),
        *_testing(card),
        *_results(card),
    ]
    statuses = [status for _, _, status, _ in items]
    return [
        Paragraph(
            f"Checklist for Artificial Intelligence in Medical Imaging (Mongan, Moy and Kahn 2020; words of the update "
            f"of 2024). It was written for papers; here it says what is known of this model. Fulfilled: "
            f"{statuses.count('yes')} of {len(items)} items; in part: {statuses.count('in part')}; not: "
            f"{statuses.count('no')}; {statuses.count('does not apply')} do not apply."
        ),
        Table(
            ("Item", "What it asks", "Fulfilled", "This model"),
            tuple((str(number), asked, status, fact) for number, asked, status, fact in items),
            prose=True,
        ),
    ]


Item = tuple[int, str, Status, str]


def _study(card: Card) -> list[Item]:
    return [
        (1, "AI method named in the title", "yes", f"Deep learning: {card.backbone}."),
        (2, "Structured summary", "yes", "This card."),
        (
            3,
            "Background, intended use, clinical role",
            "in part",
            "Intended use is stated; no clinical role is meant.",
        ),
        (4, "Objectives and hypotheses", "no", "No hypothesis was written down before the measurement."),
        (5, "Prospective or retrospective", "yes", "Retrospective."),
        (6, "Goal of the study", "yes", "To make a model and to measure it; not a trial, not of non-inferiority."),
        (7, "Data sources", *_sources(card)),
        (
            8,
            "Eligibility criteria",
            "in part",
            "All films of the data folder. How its collections chose films and patients is not known.",
        ),
    ]


def _sources(card: Card) -> tuple[Status, str]:
    if card.data is None:
        return "no", f"Those of {card.initial_weights}; not recorded here."
    sources = ", ".join(card.data.sources)
    return "yes", f"Data set “{card.data.name}”: {sum(card.data.sources.values()):,} films, of sources {sources}."


def _data() -> list[Item]:
    return [
        (9, "Preprocessing", "yes", "Squared and resized in grey levels; in training as in use, to within a level."),
        (10, "Selection of subsets", "yes", "None within a film; all films of the folder."),
        (
            11,
            "Definitions of data elements",
            "in part",
            "The 15 categories of NIH ChestX-ray14, without common data elements.",
        ),
        (
            12,
            "De-identification",
            "in part",
            "That of the collections; the bundle holds none of their films and image ids.",
        ),
        (13, "Missing data", "yes", "View, sex or age that is not known is a group of its own, “unknown”."),
    ]


def _reference() -> list[Item]:
    return [
        (14, "Definition of the reference standard", "in part", "The labels of the data set; NIH's were text-mined."),
        (15, "Rationale for it", "no", "It is what there is at this size; no film was read again."),
        (
            16,
            "Source of the annotations",
            "in part",
            "NIH's: reports, read by a program (Wang et al. 2017).",
        ),
        (17, "Annotation tools", "no", "Not known."),
        (18, "Variability between and within readers", "no", "Not measured: each film has one label."),
    ]


def _partitions(card: Card) -> list[Item]:
    if card.data is None:
        unknown = "Not recorded for an imported model."
        return [
            (19, "Intended sample size", "no", unknown),
            (20, "Assignment to partitions", "no", unknown),
            (21, "Level at which partitions are disjoint", "no", unknown),
        ]
    shares = ", ".join(f"{name} {count.films:,} films" for name, count in card.data.splits.items())
    seed = card.training.get("split_seed", card.training.get("seed"))
    return [
        (
            19,
            "Intended sample size",
            "no",
            f"All films there were. A number on films of fewer than {MIN_PATIENTS} patients of a class is withheld.",
        ),
        (
            20,
            "Assignment to partitions",
            "yes",
            f"{shares}; patients drawn by chance (seed {seed}, split {card.data.hash[:12]}), balanced for source and "
            "abnormality unless NIH's own lists decide.",
        ),
        (21, "Level at which partitions are disjoint", "yes", "Patient."),
    ]


def _model(card: Card) -> list[Item]:
    recipe = ", ".join(f"{name.replace('_', ' ')} {card.training[name]}" for name in RECIPE if name in card.training)
    trained = card.best_epoch is not None
    return [
        (
            22,
            "Description of the model",
            "yes",
            f"{card.backbone} on {card.input_size} x {card.input_size} pixels; 1x1 convolution to "
            f"{len(card.categories)} maps, whose means are the logits.",
        ),
        (23, "Software", "yes", ", ".join(f"{name} {version}" for name, version in card.versions.items()) + "."),
        (24, "Initial parameters", "yes", f"{card.initial_weights}."),
        (25, "Training approach", "yes" if trained else "no", f"{recipe}." if recipe else "Not recorded."),
        (
            26,
            "Selection of the final model",
            "yes" if trained else "no",
            f"Epoch {card.best_epoch} of {len(card.epochs)}, by macro-AUROC on the validation patients."
            if trained
            else "Not recorded.",
        ),
        (27, "Ensembling", "does not apply", "One model."),
    ]


def _testing(card: Card) -> list[Item]:
    stored = REPORT_FILE in card.files
    beside = "where measured, on the page “How good is it?”" if stored else "not measured"
    measured = card.evaluation is not None
    against = ", ".join(comparison.name for comparison in card.comparison)
    return [
        (
            28,
            "Metrics",
            "yes" if measured else "no",
            "AUROC, average precision, sensitivity, specificity, calibration error, Brier score.",
        ),
        (
            29,
            "Significance and uncertainty",
            "yes" if measured else "no",
            f"95% intervals by bootstrap over patients, {RESAMPLES:,} resamples; differences are paired. Not corrected "
            "for the number of comparisons.",
        ),
        (
            30,
            "Robustness or sensitivity analysis",
            "in part" if measured else "no",
            f"By {', '.join(_groups(card))}{f'; against {against}' if against else ''}. Worse films: {beside}.",
        ),
        (
            31,
            "Explainability, and how it was tested",
            "in part" if stored else "no",
            f"Heatmaps are the model's own class maps. Against boxes of radiologists: {beside}.",
        ),
        (32, "External testing", "no", "No films of another hospital: test patients are of the same collections."),
    ]


def _groups(card: Card) -> list[str]:
    evaluation = card.evaluation
    if evaluation is None:
        return ["nothing"]
    parts = {"source": evaluation.by_source, "view": evaluation.by_view, "sex": evaluation.by_sex}
    return [name for name, groups in {**parts, "age": evaluation.by_age}.items() if groups]


def _results(card: Card) -> list[Item]:
    evaluation = card.evaluation
    by = evaluation is not None and evaluation.by_sex and evaluation.by_age
    return [
        (33, "Flow of participants", "in part" if card.data else "no", "Films and patients of each split; no diagram."),
        (
            34,
            "Demographic and clinical characteristics of each partition",
            "in part" if by else "no",
            "Sex, age and view of the test films; of the other splits not in the card." if by else "Not in the card.",
        ),
        (
            35,
            "Performance on all partitions",
            "in part" if evaluation else "no",
            "Test patients in full; validation patients by epoch." if evaluation else "Not measured.",
        ),
        (
            36,
            "Diagnostic accuracy and its precision",
            "yes" if evaluation else "no",
            "At three operating points, with intervals." if evaluation else "Not measured.",
        ),
        (
            37,
            "Failure analysis",
            "in part" if REPORT_FILE in card.files else "no",
            "The most confident mistakes are on the page “How good is it?”; no radiologist went through them."
            if REPORT_FILE in card.files
            else "None.",
        ),
        (38, "Limitations", "yes", "Caveats and recommendations of this card."),
        (39, "Implications for practice", "yes", "None: research software, not for diagnosis."),
        (40, "Registration", "does not apply", "Not a trial."),
        (41, "Study protocol", "in part", "No protocol; the code and the commands that make every number are open."),
        (42, "Funding", "no", "Not stated."),
    ]
