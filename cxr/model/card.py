"""`card.json`: what a bundle says of itself. What a page or the README states of a model is read from here."""

from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cxr.findings import CATEGORIES, FINDINGS

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
        uncertain_share: share of the test films in the uncertain band.
        accuracy, accuracy_outside: share of test films on the right side of the threshold: all, and outside the band.
        findings: the same for each of the 14 findings.
    """

    name: PointName
    threshold: Probability
    uncertain_low: Probability
    uncertain_high: Probability
    basis: str
    sensitivity: Estimate | None
    specificity: Estimate | None
    uncertain_share: Estimate | None
    accuracy: Estimate | None
    accuracy_outside: Estimate | None
    findings: dict[str, FindingPoint]


class FindingMetrics(CardPart):
    """A finding on the test patients: films with it, of how many patients; AUROC is None where too few to say."""

    positives: int
    positive_patients: int
    auroc: Estimate | None


class GroupMetrics(CardPart):
    """Discrimination on one group of test films.

    `macro_findings` says over how many of the 14 findings the macro-AUROC is the mean: those with enough films.
    """

    films: int
    patients: int
    abnormal_films: int
    abnormal_auroc: Estimate | None
    macro_auroc: Estimate | None
    macro_findings: int
    view_only_abnormal_auroc: Estimate | None
    view_only_macro_auroc: Estimate | None


class Reliability(CardPart):
    """How honest the abnormal probability is on the test patients, before and after calibration.

    Expected calibration error over ten bins of equal mass (Naeini et al. 2015), and Brier score.
    """

    ece_before: float
    ece_after: Estimate
    brier_before: float
    brier_after: Estimate


class Evaluation(CardPart):
    """What the model did on its test patients, next to what needs no model."""

    overall: GroupMetrics
    by_source: dict[str, GroupMetrics]
    by_view: dict[str, GroupMetrics]
    findings: dict[str, FindingMetrics]
    reliability: Reliability
    pooled_auroc: float
    constant_prior_pooled_auroc: float


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


class Card(CardPart):
    """Everything a bundle says of itself.

    Attributes:
        categories: order of the 15 outputs.
        head_bias: constant part of each map; `maps - head_bias` is what the film itself contributes.
        map_shift: (rows, columns) by which the maps lie off the film, as shares of its side (`cxr.model.geometry`).
        training: the `TrainingConfig` of the run.
        epochs, best_epoch: the course of training, and the epoch whose weights these are.
        initial_weights: where training started.
        files: SHA-256 of every other file of the bundle.
    """

    format_version: Literal[1] = 1
    name: str
    created: str
    backbone: str
    input_size: Annotated[int, Field(ge=32)]
    categories: tuple[str, ...] = CATEGORIES
    head_bias: tuple[float, ...]
    map_shift: tuple[float, float]
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...]
    data: Data
    evaluation: Evaluation
    training: dict[str, Any]
    epochs: tuple[Epoch, ...]
    best_epoch: int
    initial_weights: str
    versions: dict[str, str]
    files: dict[str, str]

    def operating_point(self, name: str) -> OperatingPoint:
        """The operating point of that name. Raises `ValueError`, naming the known ones, if there is none."""
        for point in self.operating_points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise ValueError(f"There is no operating point {name!r}; known are {known}.")

    def _thresholds_rise(self) -> bool:
        rows = [
            [point.threshold, *(point.findings[name].threshold for name in FINDINGS)] for point in self.operating_points
        ]
        return bool((np.diff(rows, axis=0) >= 0).all())

    def problems(self) -> list[str]:
        """What makes this card unusable here, one sentence each."""
        found = []
        if self.categories != CATEGORIES:
            found.append("its categories are not the 15 of this product in their order")
        lengths = {len(self.head_bias), len(self.calibration.slope), len(self.calibration.intercept)}
        if lengths != {len(CATEGORIES)}:
            found.append("its calibration does not have 15 entries")
        if [point.name for point in self.operating_points] != list(get_args(PointName)):
            found.append(f"its operating points are not {', '.join(get_args(PointName))}")
        elif any(set(point.findings) != set(FINDINGS) for point in self.operating_points):
            found.append("its operating points do not cover the 14 findings")
        elif not self._thresholds_rise():
            found.append("its thresholds fall from one operating point to the next")
        if not {"train", "test"} <= set(self.data.splits):
            found.append("it does not say how many films trained and tested it")
        return found
