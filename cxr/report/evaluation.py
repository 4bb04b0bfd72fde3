"""An evaluation on paper: what a sceptical reader asks, in the order in which it is asked."""

import numpy as np

from cxr.evaluation.localisation import IOBB
from cxr.evaluation.metrics import resample_patients
from cxr.evaluation.precision import pr_points, roc_points
from cxr.evaluation.report import Group, Report, Task
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.words import NOT_IN_MODEL, TOO_FEW
from cxr.evaluation.workload import workload_curve
from cxr.findings import display_name
from cxr.model.card import Estimate
from cxr.model.verdict import RESEARCH_NOTICE
from cxr.report.blocks import Block, Heading, Paragraph, Picture, Table
from cxr.report.svg import unit_square

NOT_HELD_OUT = (
    "These films are not the model's held-out patients: it may have been trained on some of them, and then all of this "
    "looks better than it is."
)


def document(report: Report, films: ScoredFilms) -> list[Block]:
    """The blocks of a report.

    Args:
        report: of an evaluation.
        films: that it was made from.
    """
    return [
        Heading(f"How good is the model {report.model.name}?", 1),
        Paragraph(
            f"{RESEARCH_NOTICE} {report.films:,} films of {report.patients:,} patients ({report.test_set}), "
            f"{report.abnormal.prevalence:.0%} of the films abnormal. Intervals: 95%, bootstrap over patients. "
            f"Model {report.model.sha256[:16]}."
        ),
        *([] if report.held_out else [Paragraph(NOT_HELD_OUT)]),
        *_separation(report, films),
        *_honesty(report),
        *_work(report, films),
        *_groups(report),
        *_places(report),
        *_worse(report),
        *_weights(report),
        *_other(report),
    ]


def _separation(report: Report, films: ScoredFilms) -> list[Block]:
    view = report.baselines.view_only
    tasks = {"Abnormal": report.abnormal} | {display_name(name): task for name, task in report.findings.items()}
    blocks: list[Block] = [
        Heading("How well it separates"),
        Paragraph(
            f"AUROC for abnormal {_words(report.abnormal.auroc)}; one who sees only the projection scores "
            f"{_words(view.abnormal_auroc)}. Macro over {report.macro_findings} of 14 findings "
            f"{_words(report.macro_auroc)}, by the projection alone {_words(view.macro_auroc)}. Pooled over the "
            f"findings {_plain(report.pooled_auroc)}; their shares alone, without a film, "
            f"{_plain(report.baselines.constant_prior_pooled_auc)}."
        ),
    ]
    if report.abnormal.auroc is not None:
        scores, abnormal = films.abnormal_probability, films.abnormal
        roc, pr = roc_points(abnormal, scores), pr_points(abnormal, scores)
        points: dict[str, tuple[float, float]] = {
            name: _rates_at(abnormal, scores, point.threshold) for name, point in report.operating_points.items()
        }
        drawn = unit_square(
            "ROC, abnormal", "False alarms", "Sensitivity", [list(zip(roc.x, roc.y, strict=True))], points
        )
        blocks.append(Picture(drawn, "ROC curve for abnormal with the operating points"))
        drawn = unit_square(
            "Precision and recall",
            "Sensitivity",
            "Right when flagged",
            [list(zip(pr.x, pr.y, strict=True))],
            diagonal=False,
        )
        blocks.append(Picture(drawn, "Precision-recall curve for abnormal"))
    header = ("Question", "Films", "Patients", "AUROC", "AUPRC", "Sensitivity", "Specificity", "PPV", "NPV")
    absent = tuple((display_name(name), NOT_IN_MODEL, *[""] * (len(header) - 2)) for name in report.absent)
    blocks.append(Table(header, (*(_task_row(name, task) for name, task in tasks.items()), *absent)))
    blocks.append(Paragraph("Sensitivity, specificity, PPV and NPV: at the operating point “balanced”."))
    return blocks


def _rates_at(abnormal: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[float, float]:
    flagged = scores >= threshold
    return float(flagged[abnormal == 0].mean()), float(flagged[abnormal == 1].mean())


def _task_row(name: str, task: Task) -> tuple[str, ...]:
    numbers = (task.auroc, task.auprc, task.sensitivity, task.specificity, task.ppv, task.npv)
    return (name, str(task.n_positive), str(task.positive_patients), *map(_words, numbers))


def _honesty(report: Report) -> list[Block]:
    calibration = report.calibration
    bars = [
        (bin_.mean_probability, bin_.observed.value, bin_.observed.low, bin_.observed.high)
        for bin_ in calibration.curve
        if bin_.observed is not None
    ]
    rows = [
        (name, f"{point.threshold:.3f}", *map(_words, (p.sensitivity, p.specificity, p.ppv, p.npv, p.flagged)))
        for name, point in report.operating_points.items()
        for p in (point.abnormal,)
    ]
    return [
        Heading("How honest its probabilities are, and what its thresholds do"),
        Paragraph(
            f"Expected calibration error {calibration.ece_before:.3f} before, {_words(calibration.ece)} after "
            f"calibration ({_words(calibration.ece_if_honest)} if every probability were true); Brier score "
            f"{calibration.brier_before:.3f} before, {_words(calibration.brier)} after."
        ),
        Table(("Operating point", "Threshold", "Sensitivity", "Specificity", "PPV", "NPV", "Flagged"), tuple(rows)),
        Picture(unit_square("Reliability", "Predicted", "Observed", [], bars=bars), "Reliability with 95% intervals"),
    ]


def _work(report: Report, films: ScoredFilms) -> list[Block]:
    work = report.workload
    said = "; ".join(f"at sensitivity {level}: {_words(share)}" for level, share in work.set_aside.items())
    blocks: list[Block] = []
    curve = workload_curve(films.abnormal, films.abnormal_probability, resample_patients(films.patients))
    if curve is not None:
        lines = [list(zip(curve.share, curve.missed, strict=True))]
        drawn = unit_square("Films set aside", "Share set aside", "Abnormal films missed", lines)
        blocks.append(Picture(drawn, "Abnormal films missed against films set aside"))
    cost = (
        "" if work.at_70 is None else f"Setting aside 70% would miss {_words(work.at_70.missed)} of the abnormal films."
    )
    return [
        Heading("What it could take off the worklist"),
        Paragraph(f"Share of films that could be set aside {said}. {cost}"),
        *blocks,
    ]


def _groups(report: Report) -> list[Block]:
    parts = {"Source": report.by_source, "View": report.by_view, "Sex": report.by_sex, "Age": report.by_age}
    rows = [_group_row(f"{kind} {name}", group) for kind, groups in parts.items() for name, group in groups.items()]
    header = ("Group", "Films", "Patients", "Abnormal", "AUROC", "View alone", "Abnormal films missed")
    return [Heading("For whom it fails"), Table(header, tuple(rows))]


def _group_row(name: str, group: Group) -> tuple[str, ...]:
    counts = (str(group.films), str(group.patients), str(group.abnormal_films))
    return (name, *counts, *map(_words, (group.abnormal_auroc, group.view_only_abnormal_auroc, group.false_no_finding)))


def _places(report: Report) -> list[Block]:
    if report.localisation is None:
        return []
    found = report.localisation
    parts = {"All boxes": found.measured.pooled, "Mean over findings": found.measured.mean} | {
        display_name(name): part for name, part in found.measured.by_finding.items()
    }
    rows = []
    for name, part in parts.items():
        measures = (part.pointing, *(part.iobb or [None] * len(IOBB)))
        cells = [
            TOO_FEW if m is None else f"{_words(m.model)}; {m.random_map:.2f}, {m.usual_place:.2f}" for m in measures
        ]
        rows.append((name, str(part.cases), str(part.patients), *cells))
    header = ("Finding", "Films", "Patients", "Pointing; random, usual place", *(f"IoBB > {t}" for t in IOBB))
    published = ", ".join(f"{value:.3f} at {t}" for t, value in found.published_iobb.items())
    return [
        Heading("Where it looks"),
        Table(header, tuple(rows)),
        Paragraph(f"Published T(IoBB), mean over eight findings: {published} (Wang et al. 2017, table 4)."),
    ]


def _worse(report: Report) -> list[Block]:
    if report.robustness is None:
        return []
    rows = [
        (
            row.corruption,
            str(row.severity),
            _words(row.abnormal_auroc),
            _words(row.auroc_change),
            _words(row.calibration_error),
        )
        for row in report.robustness
    ]
    header = ("Corruption", "Severity", "AUROC abnormal", "Change", "Calibration error")
    return [Heading("Films made worse"), Table(header, tuple(rows))]


def _weights(report: Report) -> list[Block]:
    if report.randomisation is None:
        return []
    rows = [(stage.name, _words(stage.absolute), _words(stage.correlation)) for stage in report.randomisation.stages]
    return [
        Heading("Do the heatmaps depend on the weights?"),
        Table(("Weights made new", "Size of the correlation with the model's own maps", "Correlation"), tuple(rows)),
    ]


def _other(report: Report) -> list[Block]:
    if report.comparison is None:
        return []
    other = report.comparison
    test = "" if other.delong is None else f" DeLong's test: p = {other.delong.p:.3f}."
    return [
        Heading(f"Beside the model {other.other.name}"),
        Paragraph(f"AUROC for abnormal, this model less that: {_words(other.abnormal_auroc)} (paired).{test}"),
    ]


def _plain(value: float | None) -> str:
    return TOO_FEW if value is None else f"{value:.3f}"


def _words(estimate: Estimate | None) -> str:
    return TOO_FEW if estimate is None else f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"
