"""The numbers of a model card: groups of test films, baselines, findings, thresholds, honesty of the probabilities."""

from typing import Final

from cxr.evaluation.stored import REPORT_FILE
from cxr.evaluation.words import TOO_FEW, compared, interval
from cxr.findings import display_name
from cxr.model.card import (
    BaselineComparison,
    Card,
    ComparedGroup,
    Estimate,
    Evaluation,
    GroupMetrics,
    OperatingPoint,
    Paired,
)
from cxr.report.blocks import Block, Heading, Paragraph, Points, Table

UNMEASURED: Final = "not measured"
HONEST_SOURCE: Final = "jrzech"
"""The source of NIH films with one film per patient and the same mix of views in both classes: elsewhere a model can
score by telling the projection or the collection."""
GROUP_HEADER: Final = (
    "Test films",
    "Films",
    "Patients",
    "Abnormal films",
    "AUROC abnormal",
    "Abnormal, view alone",
    "Macro-AUROC",
    "Macro, view alone",
    "Findings in the macro",
)


def analyses(card: Card) -> list[Block]:
    """Discrimination on groups, one fact at a time and two at once, and beside baselines."""
    if card.evaluation is None:
        if REPORT_FILE in card.files:
            return [
                Paragraph("What it did on films that were labelled here: page “How good is it?”. It was not made here.")
            ]
        return [
            Paragraph(
                "Nobody has measured this model here. It needs labelled films of patients that no part of it has seen: "
                "`evaluate`, with --save or --store."
            )
        ]
    return [*_unitary(card.evaluation), *_intersectional(card.evaluation), *_baselines(card.comparison)]


def _unitary(evaluation: Evaluation) -> list[Block]:
    groups = {
        "Source": evaluation.by_source,
        "View": evaluation.by_view,
        "Sex": evaluation.by_sex,
        "Age": evaluation.by_age,
    }
    rows = [_group_row("All", evaluation.overall)]
    rows += [_group_row(f"{kind} {name}", group) for kind, found in groups.items() for name, group in found.items()]
    unmeasured = [kind.lower() for kind, found in groups.items() if not found]
    return [
        Heading("One fact at a time", 3),
        Paragraph(
            "The view alone is what one scores who sees only whether the film is PA or AP. Where the model is no "
            f"better than that, it has learned nothing about the chest. Pooled over the findings the model scores "
            f"{evaluation.pooled_auroc:.3f}, and the findings' shares in the training films alone, without any film, "
            f"{evaluation.constant_prior_pooled_auroc:.3f}: do not compare pooled AUROC."
        ),
        Table(GROUP_HEADER, tuple(rows)),
        *([Paragraph(f"By {' and '.join(unmeasured)}: {UNMEASURED}.")] if unmeasured else []),
    ]


def _intersectional(evaluation: Evaluation) -> list[Block]:
    heading = Heading("Two facts at once", 3)
    if not evaluation.by_view_and_sex:
        return [heading, Paragraph(f"View and sex: {UNMEASURED}.")]
    rows = tuple(_group_row(name, group) for name, group in evaluation.by_view_and_sex.items())
    return [heading, Table(("View and sex", *GROUP_HEADER[1:]), rows)]


def _group_row(name: str, group: GroupMetrics) -> tuple[str, ...]:
    return (
        name,
        f"{group.films:,}",
        f"{group.patients:,}",
        f"{group.abnormal_films:,}",
        interval(group.abnormal_auroc),
        interval(group.view_only_abnormal_auroc),
        interval(group.macro_auroc),
        interval(group.view_only_macro_auroc),
        f"{group.macro_findings} of 14",
    )


def _baselines(comparison: tuple[BaselineComparison, ...]) -> list[Block]:
    heading = Heading("Against baselines", 3)
    if not comparison:
        return [heading, Paragraph(f"Models of other recipes on the same films: {UNMEASURED}.")]
    rows = [
        _compared_row(baseline.name, where, group)
        for baseline in comparison
        for where, group in {"all": baseline.overall, **baseline.by_source}.items()
        if where in ("all", HONEST_SOURCE) or group.abnormal_auroc is not None
    ]
    header = (
        "Baseline",
        "Test films",
        "Films",
        "AUROC abnormal",
        "Abnormal, baseline",
        "Better for abnormal?",
        "Macro-AUROC",
        "Macro, baseline",
        "Better for the macro?",
    )
    return [
        heading,
        Paragraph(
            f"{against_baselines(comparison)} Differences are paired: both models on the same films and the same "
            f"resamples of patients. Sources that are not listed have {TOO_FEW}."
        ),
        Table(header, tuple(rows)),
    ]


def _compared_row(name: str, where: str, group: ComparedGroup) -> tuple[str, ...]:
    cells: list[str] = []
    for pair in (group.abnormal_auroc, group.macro_auroc):
        cells += [TOO_FEW] * 3 if pair is None else [f"{pair.model.value:.3f}", interval(pair.baseline), compared(pair)]
    return (name, "all" if where == "all" else f"source {where}", f"{group.films:,}", *cells)


def against_baselines(comparison: tuple[BaselineComparison, ...]) -> str:
    """Whether the model beats each baseline where that is hardest: a sentence or two for each of two measures."""
    where = f"source {HONEST_SOURCE}"
    groups = {c.name: c.by_source[HONEST_SOURCE] for c in comparison if HONEST_SOURCE in c.by_source}
    if not groups:
        where, groups = "all test films", {c.name: c.overall for c in comparison}
    abnormal = _beaten(f"On {where} the model's AUROC for abnormal", {n: g.abnormal_auroc for n, g in groups.items()})
    return f"{abnormal} {_beaten('Its macro-AUROC there', {n: g.macro_auroc for n, g in groups.items()})}"


def _beaten(measure: str, pairs: dict[str, Paired | None]) -> str:
    beaten = [name for name, pair in pairs.items() if pair is not None and pair.difference.low > 0]
    others = [name for name in pairs if name not in beaten]
    if not others:
        return f"{measure} is higher than that of {_listed(beaten, 'and')}, so of each baseline."
    missed = f"{measure} is not shown to be higher than that of {_listed(others, 'or')}."
    return f"{missed} It is higher than that of {_listed(beaten, 'and')}." if beaten else missed


def _listed(names: list[str], last: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def findings(card: Card) -> list[Block]:
    """Discrimination and honesty of each finding, and its discrimination in each group."""
    evaluation = card.evaluation
    if evaluation is None:
        return [Paragraph(f"AUROC of each finding: {UNMEASURED}.")]
    header = ("Finding", "Films with it", "of patients", "AUROC", "Average precision", "ECE before", "ECE after")
    rows = []
    for name, found in evaluation.findings.items():
        measured = found.reliability or found.average_precision
        absent = TOO_FEW if found.auroc is None else UNMEASURED
        honest = found.reliability
        rows.append(
            (
                display_name(name),
                f"{found.positives:,}",
                f"{found.positive_patients:,}",
                interval(found.auroc),
                interval(found.average_precision) if measured else absent,
                f"{honest.ece_before:.3f}" if honest else absent,
                interval(honest.ece_after) if honest else absent,
            )
        )
    return [
        Paragraph(
            f"Average precision of random scores is the share of films with the finding among all "
            f"{evaluation.overall.films:,}. ECE: expected calibration error of the finding's probability, before and "
            "after calibration."
        ),
        Table(header, tuple(rows)),
        *_findings_by_group(evaluation),
    ]


def _findings_by_group(evaluation: Evaluation) -> list[Block]:
    """AUROC of each finding in each group; nothing where no group was measured finding by finding."""
    groups: dict[str, GroupMetrics] = {
        **evaluation.by_view,
        **evaluation.by_sex,
        **{f"age {name}": group for name, group in evaluation.by_age.items()},
    }
    groups = {name: group for name, group in groups.items() if group.findings}
    if not groups:
        return []
    rows = [
        (display_name(finding), *(_group_cell(group, finding) for group in groups.values()))
        for finding in evaluation.findings
    ]
    return [
        Heading("In each group", 3),
        Paragraph("AUROC, and on how many films with the finding, of how many patients, it stands."),
        Table(("Finding", *groups), tuple(rows)),
    ]


def _group_cell(group: GroupMetrics, finding: str) -> str:
    found = group.findings[finding]
    return f"{interval(found.auroc)}; {found.positives:,} of {found.positive_patients:,}"


def thresholds(card: Card) -> list[Block]:
    """The operating points and their uncertain bands: how they were chosen, what they did on the test patients."""

    def said(estimate: Estimate | None, known: bool = True) -> str:
        return interval(estimate) if card.evaluation is not None and known else UNMEASURED

    rows = [
        (
            point.name.capitalize(),
            f"{point.threshold:.3f}",
            said(point.sensitivity),
            said(point.specificity),
            f"{point.uncertain_low:.3f} to {point.uncertain_high:.3f}",
            said(point.uncertain_share),
            said(point.accuracy),
            said(point.accuracy_outside),
            said(point.accuracy_gain, known=point.uncertain_basis is not None),
        )
        for point in card.operating_points
    ]
    header = (
        "Operating point",
        "Threshold",
        "Sensitivity",
        "Specificity",
        "Uncertain between",
        "Share uncertain",
        "Right, all films",
        "Right outside the band",
        "Gain, paired",
    )
    return [Table(header, tuple(rows)), Points(tuple(map(_chosen, card.operating_points)))]


def _chosen(point: OperatingPoint) -> str:
    band = "" if point.uncertain_basis is None else f"; uncertain: {point.uncertain_basis}"
    return f"{point.name.capitalize()}: chosen by {point.basis}{band}. {_gain(point)}".strip()


def _gain(point: OperatingPoint) -> str:
    """Whether the uncertain band does on test patients what it was chosen for."""
    gain = point.accuracy_gain
    if gain is None:
        return ""
    points = f"{100 * gain.value:+.1f} ({100 * gain.low:.1f} to {100 * gain.high:.1f}) percentage points"
    if gain.low > 0:
        return f"On the test patients verdicts outside the band were right more often: {points}."
    return f"That verdicts outside the band are right more often is not shown on the test patients: {points}."


def finding_thresholds(point: OperatingPoint) -> Table:
    """What each finding's threshold at an operating point did on the test patients, and how it was chosen."""
    header = ("Finding", "Threshold", "Sensitivity", "Specificity", "Calibration films with it", "Chosen by")
    rows = tuple(
        (
            display_name(name),
            f"{found.threshold:.3f}",
            interval(found.sensitivity),
            interval(found.specificity),
            f"{found.positives:,}",
            found.basis,
        )
        for name, found in point.findings.items()
    )
    return Table(header, rows)


def honesty(card: Card) -> list[Block]:
    """Calibration of the abnormal probability, before and after."""
    if card.evaluation is None:
        return [Paragraph(f"Honesty of the scores: {UNMEASURED}. They come uncalibrated.")]
    found = card.evaluation.reliability
    rows = (
        ("Expected calibration error", f"{found.ece_before:.3f}", interval(found.ece_after)),
        ("Brier score", f"{found.brier_before:.3f}", interval(found.brier_after)),
    )
    return [
        Paragraph("Of the abnormal probability, on the test patients; 0 is perfect. Each finding's is in its table."),
        Table(("Measure", "Before calibration", "After"), rows),
    ]
