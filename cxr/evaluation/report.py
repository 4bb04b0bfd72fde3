"""What an evaluation found, as other programs read it: `python -m cxr evaluate --json`, and `report.json` of a bundle.

Every number that is an estimate stands with its 95% interval (bootstrap over patients); null means too few to say.
"""

from typing import Literal

from cxr.evaluation.baselines import MACRO_OF_NOTHING
from cxr.evaluation.compare import DeLong
from cxr.evaluation.localisation import Localisation
from cxr.evaluation.randomisation import Randomisation
from cxr.evaluation.rates import Rates, ReliabilityBin
from cxr.evaluation.robustness import Robustness
from cxr.evaluation.workload import Cost
from cxr.model.card import CardPart, Discrimination, Estimate, PointName


class Task(CardPart):
    """One binary question: abnormal or not, or one finding. The rates are those of the operating point "balanced"."""

    n_positive: int
    positive_patients: int
    prevalence: float
    auroc: Estimate | None
    auprc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    ppv: Estimate | None
    npv: Estimate | None
    accuracy: Estimate | None
    f1: Estimate | None


class Group(Discrimination):
    """A part of the test films. `false_no_finding`: share of its abnormal films below the balanced threshold."""

    false_no_finding: Estimate | None


class CalibrationReport(CardPart):
    """Honesty of the abnormal probability: expected calibration error (equal-mass bins) and Brier score.

    `ece_if_honest` is what the error would be on as many films if every probability were true: mean and middle 95%.
    """

    ece: Estimate | None
    ece_if_honest: Estimate
    ece_before: float
    brier: Estimate | None
    brier_before: float
    curve: tuple[ReliabilityBin, ...]


class Point(CardPart):
    """An operating point of the card on these films."""

    threshold: float
    abnormal: Rates
    findings: dict[str, Rates]


class ViewOnly(CardPart):
    """What one scores who sees only the projection: its films' own shares by view, so rather too good."""

    abnormal_auroc: Estimate | None
    macro_auroc: Estimate | None


class Baselines(CardPart):
    """What needs no model. `constant_prior_pooled_auc`: the findings' shares alone, pooled over the 14 findings."""

    view_only: ViewOnly
    constant_prior_pooled_auc: float | None
    constant_prior_macro_auroc: float = MACRO_OF_NOTHING


class Workload(CardPart):
    """What could be set aside as "no finding" at the share of abnormal films that the test films have.

    Attributes:
        set_aside: share of films that can be set aside at sensitivities 0.99, 0.98 and 0.95.
        at_70: what it costs to set aside 70% of the films.
    """

    set_aside: dict[str, Estimate | None]
    at_70: Cost | None


class Pointing(CardPart):
    """Where the maps point, and what was published: mean over 8 findings of T(IoBB), Wang et al. 2017, table 4."""

    measured: Localisation
    published_iobb: dict[str, float]


class ModelName(CardPart):
    """Which bundle was evaluated."""

    name: str
    sha256: str


class Comparison(CardPart):
    """This model less another on the same films: AUROC for abnormal, by paired bootstrap over patients and by DeLong's
    method, which takes films as independent."""

    other: ModelName
    abnormal_auroc: Estimate | None
    delong: DeLong | None


class Report(CardPart):
    """An evaluation. Parts that were not asked for, or that the films have no data for, are null.

    `absent`: those of the 14 findings that the model has not; they are in no table and in no mean.
    """

    format_version: Literal[1] = 1
    model: ModelName
    test_set: str
    held_out: bool
    films: int
    patients: int
    abnormal: Task
    macro_auroc: Estimate | None
    macro_findings: int
    pooled_auroc: float | None
    findings: dict[str, Task]
    absent: tuple[str, ...] = ()
    by_source: dict[str, Group]
    by_view: dict[str, Group]
    by_sex: dict[str, Group]
    by_age: dict[str, Group]
    calibration: CalibrationReport
    operating_points: dict[PointName, Point]
    baselines: Baselines
    workload: Workload
    localisation: Pointing | None = None
    robustness: tuple[Robustness, ...] | None = None
    randomisation: Randomisation | None = None
    comparison: Comparison | None = None
