"""Evaluate a bundle on labelled films: score them once, then answer every question of `Report`."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

from cxr.dataset.labelled import LabelledFilms
from cxr.dataset.table import VIEWS, release
from cxr.evaluation.evaluate import brier_score, calibration_error, pooled_auroc, view_only
from cxr.evaluation.localisation import PUBLISHED_IOBB, BoxedFinding, known_boxes, localisation
from cxr.evaluation.metrics import Resamples, auroc_estimate, enough, estimate, macro_auroc_estimate, resample_patients
from cxr.evaluation.precision import average_precision_estimate
from cxr.evaluation.rates import Rates, false_no_finding, rates, reliability_curve
from cxr.evaluation.report import (
    Baselines,
    CalibrationReport,
    Group,
    ModelName,
    Point,
    Pointing,
    Report,
    Task,
    ViewOnly,
    Workload,
)
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.workload import cost_of, set_aside_at
from cxr.findings import CATEGORIES, NO_FINDING_INDEX
from cxr.model.card import Card, Estimate
from cxr.model.engine import BATCH, Engine
from cxr.training.calibration import uncalibrated

SENSITIVITIES: Final = (0.99, 0.98, 0.95)
CHOSEN_POINT: Final = "balanced"
HONEST_DRAWS: Final = 1000


def score_films(
    engine: Engine,
    films: LabelledFilms,
    name: str,
    boxes: pd.DataFrame | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[ScoredFilms, list[BoxedFinding]]:
    """Run the serving graph over films.

    Args:
        engine: of the bundle.
        films: at the bundle's input size.
        name: of the test set.
        boxes: radiologists' boxes as in `FilmTable.boxes`; those on other films are passed over.
        progress: called with the number of films that are done, and of all.

    Returns:
        The films with their scores, and the evidence for each finding that has boxes.
    """
    card = engine.bundle.card
    wanted = _boxes_by_film(boxes, films.metadata.index)
    logits, cases = [], []
    bias = np.array(card.head_bias, np.float32)
    place_of = {name: k for k, name in enumerate(card.categories)}
    patients = films.metadata["patient"].to_numpy()
    for start in range(0, len(films.labels), BATCH):
        squares = np.asarray(films.pixels[start : start + BATCH], np.float32)
        found, maps = engine.run(squares)
        logits.append(found)
        for place, grid in enumerate(maps):
            for finding, drawn in wanted.get(start + place, {}).items():
                k = place_of.get(finding)
                if k is None:
                    continue
                cases.append(BoxedFinding(grid[..., k] - bias[k], int(patients[start + place]), finding, drawn))
        progress(start + len(squares), len(films.labels))
    given = np.concatenate(logits)
    # A pathology beyond the 14 has no labels here.
    probabilities, raw = (
        scores[:, : len(CATEGORIES)] for scores in (card.probabilities(given), card.completed(uncalibrated(given)))
    )
    return ScoredFilms(name, films.labels, probabilities, raw, films.metadata), cases


def _boxes_by_film(boxes: pd.DataFrame | None, image_ids: pd.Index) -> dict[int, dict[str, np.ndarray]]:
    """Row of the film -> finding -> boxes (k, 4)."""
    found: dict[int, dict[str, np.ndarray]] = {}
    if boxes is None:
        return found
    at = image_ids.get_indexer(boxes["image_id"])
    for (row, finding), drawn in boxes.assign(row=at)[at >= 0].groupby(["row", "finding"]):
        found.setdefault(int(row), {})[str(finding)] = drawn[["x", "y", "w", "h"]].to_numpy(float)
    return found


def report_of(engine: Engine, films: ScoredFilms, cases: list[BoxedFinding], held_out: bool) -> Report:
    """Everything that scores and boxes say.

    Args:
        engine: of the bundle that scored the films.
        films, cases: of `score_films`.
        held_out: whether no film of these patients had a part in making the bundle.
    """
    card = engine.bundle.card
    resamples = resample_patients(films.patients)
    by_view = view_only(films.labels, films.metadata["view"], films.metadata["view"])
    prior = np.broadcast_to(films.labels.mean(0), films.labels.shape)
    known = [CATEGORIES.index(name) for name in card.findings]
    macro, macro_findings = macro_auroc_estimate(films.labels[:, known], films.probabilities[:, known], resamples)
    view_macro, _ = macro_auroc_estimate(films.labels[:, known], by_view[:, known], resamples)
    views_known = set(films.metadata["view"]) == set(VIEWS)
    points = {point.name: _point(films, card, point.name, resamples) for point in card.operating_points}
    chosen = points[CHOSEN_POINT]
    return Report(
        model=ModelName(name=engine.bundle.name, sha256=engine.bundle.model_sha256),
        test_set=films.name,
        held_out=held_out,
        films=len(films.labels),
        patients=len(np.unique(films.patients)),
        abnormal=_task(films.abnormal, films.abnormal_probability, chosen.abnormal, resamples),
        macro_auroc=macro,
        macro_findings=macro_findings,
        pooled_auroc=_known(pooled_auroc(films.labels, films.probabilities, known)),
        findings={
            name: _task(films.labels[:, k], films.probabilities[:, k], chosen.findings[name], resamples)
            for name, k in zip(card.findings, known, strict=True)
        },
        absent=card.absent,
        by_source=_groups(films, films.metadata["source"], by_view, card, resamples),
        by_view=_groups(films, films.metadata["view"], by_view, card, resamples),
        by_sex=_groups(films, films.metadata["sex"], by_view, card, resamples),
        by_age=_groups(films, films.age_group, by_view, card, resamples),
        calibration=_calibration(films, resamples),
        operating_points=points,
        baselines=Baselines(
            view_only=ViewOnly(
                abnormal_auroc=auroc_estimate(films.abnormal, 1 - by_view[:, NO_FINDING_INDEX], resamples)
                if views_known
                else None,
                macro_auroc=view_macro if views_known else None,
            ),
            constant_prior_pooled_auc=_known(pooled_auroc(films.labels, prior, known)),
        ),
        workload=Workload(
            set_aside={
                f"{s:.2f}": set_aside_at(films.abnormal, films.abnormal_probability, resamples, s)
                for s in SENSITIVITIES
            },
            at_70=cost_of(films.abnormal, films.abnormal_probability, resamples, 0.7),
        ),
        localisation=_pointing(cases, card),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _task(labels: np.ndarray, scores: np.ndarray, at_point: Rates, resamples: Resamples) -> Task:
    return Task(
        n_positive=int(labels.sum()),
        positive_patients=len(np.unique(resamples.patients[labels == 1])),
        prevalence=float(labels.mean()),
        auroc=auroc_estimate(labels, scores, resamples),
        auprc=average_precision_estimate(labels, scores, resamples),
        sensitivity=at_point.sensitivity,
        specificity=at_point.specificity,
        ppv=at_point.ppv,
        npv=at_point.npv,
        accuracy=at_point.accuracy,
        f1=at_point.f1,
    )


def _point(films: ScoredFilms, card: Card, name: str, resamples: Resamples) -> Point:
    point = card.operating_point(name)
    return Point(
        threshold=point.threshold,
        abnormal=rates(films.abnormal, films.abnormal_probability >= point.threshold, resamples),
        findings={
            finding: rates(
                films.labels[:, k], films.probabilities[:, k] >= point.findings[finding].threshold, resamples
            )
            for finding in card.findings
            for k in [CATEGORIES.index(finding)]
        },
    )


def _groups(
    films: ScoredFilms, groups: pd.Series, by_view: np.ndarray, card: Card, resamples: Resamples
) -> dict[str, Group]:
    known = [CATEGORIES.index(name) for name in card.findings]
    below = films.abnormal_probability < card.operating_point(CHOSEN_POINT).threshold
    missed = false_no_finding(films.abnormal, below, groups, resamples)
    found = {}
    for name in missed:
        mask = (groups.astype(str) == name).to_numpy()
        part = resamples.subset(mask)
        macro, count = macro_auroc_estimate(films.labels[mask][:, known], films.probabilities[mask][:, known], part)
        found[name] = Group(
            films=int(mask.sum()),
            patients=len(np.unique(part.patients)),
            abnormal_films=int(films.abnormal[mask].sum()),
            abnormal_auroc=auroc_estimate(films.abnormal[mask], films.abnormal_probability[mask], part),
            macro_auroc=macro,
            macro_findings=count,
            view_only_abnormal_auroc=auroc_estimate(films.abnormal[mask], 1 - by_view[mask][:, NO_FINDING_INDEX], part),
            false_no_finding=missed[name].share,
        )
    return found


def _calibration(films: ScoredFilms, resamples: Resamples) -> CalibrationReport:
    abnormal, probability = films.abnormal, films.abnormal_probability
    before = 1 - films.uncalibrated[:, NO_FINDING_INDEX]

    def known(statistic: Callable[..., np.ndarray]) -> Estimate | None:
        if not enough(abnormal, resamples.patients):
            return None
        return estimate(lambda w: statistic(abnormal, probability, w), resamples)

    return CalibrationReport(
        ece=known(calibration_error),
        ece_before=float(calibration_error(abnormal, before)[0]),
        ece_if_honest=_honest(probability),
        brier=known(brier_score),
        brier_before=float(brier_score(abnormal, before)[0]),
        curve=reliability_curve(abnormal, probability, resamples),
    )


def _honest(probability: np.ndarray) -> Estimate:
    """What the calibration error would be if every probability were true: films so few show some all the same."""
    rng = np.random.default_rng(0)
    errors = [
        calibration_error((rng.random(len(probability)) < probability).astype(np.uint8), probability)[0]
        for _ in range(HONEST_DRAWS)
    ]
    low, high = np.percentile(errors, [2.5, 97.5])
    return Estimate(value=float(np.mean(errors)), low=float(low), high=float(high))


def _pointing(cases: list[BoxedFinding], card: Card) -> Pointing | None:
    if not cases:
        return None
    measured = localisation(cases, known_boxes(release()), card.map_shift)
    return Pointing(measured=measured, published_iobb={f"{t:g}": v for t, v in PUBLISHED_IOBB.items()})
