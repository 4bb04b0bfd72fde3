"""`card.json`: what a bundle says of itself. What a page or the README states of a model is read from here."""

from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING, NO_FINDING_INDEX

Probability = Annotated[float, Field(ge=0, le=1)]
PointName = Literal["rule-out", "balanced", "rule-in"]


class CardPart(BaseModel):
    """Base of every part of a card: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(CardPart):
    """A number with the 95% interval of a bootstrap over patients."""

    value: float
    low: float
    high: float


class Calibration(CardPart):
    """Platt scaling per category: `p = sigmoid(slope * logit + intercept)` (Platt 1999), both of length 15."""

    slope: tuple[float, ...]
    intercept: tuple[float, ...]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (…, 15), of logits (…, 15)."""
        scaled = np.asarray(logits, np.float64) * self.slope + self.intercept
        return 0.5 * (1 + np.tanh(scaled / 2))


class OperatingNorm(CardPart):
    """TorchXRayVision's normalised scores, which are no probabilities: its `op_norm` (torchxrayvision/models.py).

    The sigmoid of the logit, stretched on either side of the checkpoint's own operating threshold so that it becomes
    0.5. `thresholds`: one for each output, above 0 and below 1.
    """

    thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Normalised scores, float64 (…, k) in 0..1, of logits (…, k)."""
        p = 0.5 * (1 + np.tanh(np.asarray(logits, np.float64) / 2))
        at = np.array(self.thresholds)
        return np.where(p < at, p / (2 * at), 1 - (1 - p) / (2 * (1 - at)))


class FindingPoint(CardPart):
    """One finding at one operating point.

    Attributes:
        threshold: the finding is flagged at this calibrated probability and above.
        basis: how it was chosen on the calibration patients, in words.
        positives: calibration films with the finding.
        sensitivity, specificity: on the test patients; None where there are too few films to say.
    """

    threshold: Probability
    basis: str
    positives: int
    sensitivity: Estimate | None
    specificity: Estimate | None


class OperatingPoint(CardPart):
    """A named threshold on the abnormal probability, and what it did on patients it was not chosen on.

    Attributes:
        threshold: abnormal probability at and above which a film counts as abnormal.
        uncertain_low, uncertain_high: between these the verdict is "uncertain"; they enclose the threshold.
        basis: how the threshold was chosen on the calibration patients, in words.
        sensitivity, specificity: of the threshold on the test patients.
        uncertain_basis: how the band was chosen on the calibration patients, in words; None where nobody wrote it down.
        uncertain_share: share of the test films in the uncertain band.
        accuracy, accuracy_outside: share of test films on the right side of the threshold: all, and outside the band.
        accuracy_gain: how much more often outside the band than over all, paired; None where not measured.
        findings: the same for each of the 14 findings that the model has, and after these for its other pathologies.
    """

    name: PointName
    threshold: Probability
    uncertain_low: Probability
    uncertain_high: Probability
    basis: str
    uncertain_basis: str | None = None
    sensitivity: Estimate | None
    specificity: Estimate | None
    uncertain_share: Estimate | None
    accuracy: Estimate | None
    accuracy_outside: Estimate | None
    accuracy_gain: Estimate | None = None
    findings: dict[str, FindingPoint]


class Reliability(CardPart):
    """How honest a probability is on the test patients, before and after calibration.

    Expected calibration error over ten bins of equal mass (Naeini et al. 2015), and Brier score.
    """

    ece_before: float
    ece_after: Estimate
    brier_before: float
    brier_after: Estimate


class GroupFinding(CardPart):
    """A finding on some test films: films with it, of how many patients; AUROC is None where too few to say."""

    positives: int
    positive_patients: int
    auroc: Estimate | None


class FindingMetrics(GroupFinding):
    """A finding on all test films, with average precision and the honesty of its probability.

    Both are None where there are too few films to say, and in cards from before they were measured.
    """

    average_precision: Estimate | None = None
    reliability: Reliability | None = None


class Discrimination(CardPart):
    """Discrimination on some test films.

    `macro_findings` says over how many of the 14 findings the macro-AUROC is the mean: those with enough films.
    """

    films: int
    patients: int
    abnormal_films: int
    abnormal_auroc: Estimate | None
    macro_auroc: Estimate | None
    macro_findings: int
    view_only_abnormal_auroc: Estimate | None


class GroupMetrics(Discrimination):
    """One group of test films in a card. `findings` is empty in cards from before it was measured."""

    view_only_macro_auroc: Estimate | None
    findings: dict[str, GroupFinding] = {}


class Evaluation(CardPart):
    """What the model did on its test patients, next to what needs no model.

    `by_sex`, `by_age` and `by_view_and_sex` are empty in cards from before they were measured.
    """

    overall: GroupMetrics
    by_source: dict[str, GroupMetrics]
    by_view: dict[str, GroupMetrics]
    by_sex: dict[str, GroupMetrics] = {}
    by_age: dict[str, GroupMetrics] = {}
    by_view_and_sex: dict[str, GroupMetrics] = {}
    findings: dict[str, FindingMetrics]
    reliability: Reliability
    pooled_auroc: float
    constant_prior_pooled_auroc: float


class Paired(CardPart):
    """One statistic of the model and of a baseline on the same films, and the model's less the baseline's, paired."""

    model: Estimate
    baseline: Estimate
    difference: Estimate


class ComparedGroup(CardPart):
    """The model and a baseline on one group of test films; None where too few to say.

    `macro_findings` says over how many of the 14 findings both macro-AUROCs are the mean.
    """

    films: int
    patients: int
    abnormal_auroc: Paired | None
    macro_auroc: Paired | None
    macro_findings: int


class BaselineComparison(CardPart):
    """The model against a baseline on its test films. `name`: of the baseline, in words."""

    name: str
    overall: ComparedGroup
    by_source: dict[str, ComparedGroup]


class SplitCount(CardPart):
    """Films and patients of one split."""

    films: int
    patients: int
    abnormal_films: int


class Data(CardPart):
    """The films a model was made from. `hash` identifies which patient is in which split."""

    name: str
    splits: dict[str, SplitCount]
    sources: dict[str, int]
    views: dict[str, int]
    hash: str


class Epoch(CardPart):
    """What one epoch of training showed: training loss, macro-AUROC over the findings and AUROC of abnormal on the
    validation patients (None where there are too few films to say), and seconds."""

    number: int
    loss: float
    macro_auroc: float | None
    abnormal_auroc: float | None
    seconds: float


class Parent(CardPart):
    """The model whose weights training started from: its name then, and its `Bundle.model_sha256`."""

    name: str
    model_sha256: str


class ScopeRate(CardPart):
    """How often the scope check did what was expected of it, on pictures of one kind that fitted nothing.

    Attributes:
        pictures: what they are, in words.
        expected: what was expected.
        fitted_without: what had no part in the check that was measured, in words.
        count, groups: pictures, and patients or original pictures that they are of.
        share: of the pictures on which it did so, with Wilson's interval for as many pictures as there are groups.
    """

    pictures: str
    expected: Literal["accepted", "refused", "seen to be turned", "seen to be inverted", "not taken for turned"]
    fitted_without: str
    count: int
    groups: int
    share: Estimate


class ScopeFacts(CardPart):
    """What a bundle's scope check was fitted on, in pictures of each source, and what it was measured to do."""

    created: str
    frontal: dict[str, int]
    out_of_scope: dict[str, int]
    rates: tuple[ScopeRate, ...]


class Card(CardPart):
    """Everything a bundle says of itself.

    Attributes:
        categories: order of the outputs: `CATEGORIES`; of an imported model those that it has, then pathologies of its
            own.
        abnormal_from: what the abnormal probability is: 1 - p(No Finding), or, for an imported model without that
            output, the largest score of any pathology.
        head_bias: constant part of each map; `maps - head_bias` is what the film itself contributes.
        map_shift: (rows, columns) by which the maps lie off the film, as shares of its side (`cxr.model.geometry`).
        comparison: the model against baselines; empty where none was measured.
        scope: of the scope check; None where the bundle carries none.
        training: the `TrainingConfig` of the run.
        epochs, best_epoch: the course of training, and the epoch whose weights these are.
        initial_weights: where training started, or where an imported model comes from.
        parent: the model that training started from; None where it was none.
        data, evaluation, best_epoch: None for an imported model, which was neither trained nor measured here.
        files: SHA-256 of every other file of the bundle.
    """

    format_version: Literal[1] = 1
    name: str
    created: str
    backbone: str
    input_size: Annotated[int, Field(ge=32)]
    categories: tuple[str, ...] = CATEGORIES
    abnormal_from: Literal["no finding", "any finding"] = "no finding"
    head_bias: tuple[float, ...]
    map_shift: tuple[float, float]
    calibration: Calibration | OperatingNorm
    operating_points: tuple[OperatingPoint, ...]
    data: Data | None
    evaluation: Evaluation | None
    comparison: tuple[BaselineComparison, ...] = ()
    scope: ScopeFacts | None = None
    training: dict[str, Any]
    epochs: tuple[Epoch, ...]
    best_epoch: int | None
    initial_weights: str
    parent: Parent | None = None
    versions: dict[str, str]
    files: dict[str, str]

    @property
    def findings(self) -> tuple[str, ...]:
        """Those of the 14 findings that the model has."""
        return tuple(name for name in FINDINGS if name in self.categories)

    @property
    def absent(self) -> tuple[str, ...]:
        """Those of the 14 findings that the model has not."""
        return tuple(name for name in FINDINGS if name not in self.categories)

    @property
    def extra(self) -> tuple[str, ...]:
        """Pathologies of an imported model that are none of the 14 findings."""
        return tuple(name for name in self.categories if name not in CATEGORIES)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of `aligned` are: the 15 `CATEGORIES`, then `extra`."""
        return (*CATEGORIES, *self.extra)

    def aligned(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of the model (…, k) as (…, 15 + extra) in the order of `columns`; NaN where the model has none."""
        if self.categories == CATEGORIES:
            return outputs
        found = np.full((*outputs.shape[:-1], len(self.columns)), np.nan, outputs.dtype)
        found[..., [self.columns.index(name) for name in self.categories]] = outputs
        return found

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (…, 15 + extra), of logits (…, k); see `completed`."""
        return self.completed(self.calibration.probabilities(logits))

    def completed(self, scores: np.ndarray) -> np.ndarray:
        """Scores (…, k) in 0..1 as of `aligned`, with "No Finding" by `abnormal_from` where the model has it not.

        So 1 - p(No Finding) is the abnormal probability of every model.
        """
        found = self.aligned(scores)
        if self.abnormal_from == "any finding":
            found[..., NO_FINDING_INDEX] = 1 - scores.max(-1)
        return found

    def operating_point(self, name: str) -> OperatingPoint:
        """The operating point of that name. Raises `ValueError`, naming the known ones, if there is none."""
        for point in self.operating_points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise ValueError(f"There is no operating point {name!r}; known are {known}.")

    def _thresholds_rise(self) -> bool:
        rows = [[point.threshold, *(f.threshold for f in point.findings.values())] for point in self.operating_points]
        return bool((np.diff(rows, axis=0) >= 0).all())

    def problems(self) -> list[str]:
        """What makes this card unusable here, one sentence each."""
        imported = self.data is None
        found = []
        if imported and (not self.findings or len(set(self.categories)) < len(self.categories)):
            found.append("its categories repeat each other or hold none of the 14 findings")
        elif imported and self.categories != (*(n for n in CATEGORIES if n in self.categories), *self.extra):
            found.append("its categories are not in the order of this product")
        elif not imported and self.categories != CATEGORIES:
            found.append("its categories are not the 15 of this product in their order")
        if (self.abnormal_from == "no finding") != (NO_FINDING in self.categories):
            found.append("its abnormal probability does not go with its categories")
        norm = self.calibration
        lengths = {len(norm.thresholds)} if isinstance(norm, OperatingNorm) else {len(norm.slope), len(norm.intercept)}
        if {len(self.head_bias)} | lengths != {len(self.categories)}:
            found.append(f"its calibration does not have {len(self.categories)} entries")
        points, flagged = [point.name for point in self.operating_points], (*self.findings, *self.extra)
        if points != list(get_args(PointName)) and not (imported and points == ["balanced"]):
            found.append(f"its operating points are not {', '.join(get_args(PointName))}")
        elif any(tuple(point.findings) != flagged for point in self.operating_points):
            found.append(f"its operating points do not cover the {len(flagged)} findings")
        elif not self._thresholds_rise():
            found.append("its thresholds fall from one operating point to the next")
        if self.data is not None and not {"train", "test"} <= set(self.data.splits):
            found.append("it does not say how many films trained and tested it")
        if imported != (self.evaluation is None) or imported != (self.best_epoch is None):
            found.append("it says either how it was trained or how it was measured, but not both")
        return found
