"""Do the heatmaps point at what radiologists boxed? The pointing game and boxes, beside two ways of not looking.

A heatmap hits a large box in the usual place without having seen anything, so every rate stands next to what a random
map and a map of the usual places score on the same films. NIH has one box for each finding of a film; of several, a map
has to find one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, label

from cxr.dataset.table import FILM_SIDE, FilmTable
from cxr.evaluation.metrics import MIN_PATIENTS, Resamples, estimate, resample_patients
from cxr.findings import FINDINGS
from cxr.model.card import Estimate
from cxr.model.heatmap import supporting_map, upsample

SIDE: Final = 256
"""Heatmaps are compared at this side, for speed: a pixel is 4 x 4 pixels of the film, a cell of a map about 25 x 25."""
SCALE: Final = FILM_SIDE / SIDE
LEVELS: Final = (60 / 255, 180 / 255)
"""Predicted boxes lie around the regions above the one, and around those above the other (Wang et al. 2017, sec. 3)."""
IOBB: Final = (0.1, 0.25, 0.5)
"""T(IoBB): a finding counts as found if more than this share of a predicted box lies in the radiologist's."""
TIE: Final = 1e-6
"""Pixels this close to the maximum share it: a plateau differs by rounding only."""
RANDOM_MAPS: Final = 1000
SMOOTHNESS: Final = 1.0
"""Standard deviation of the Gaussian that random maps are smoothed with, cells."""

PUBLISHED_IOBB: Final = MappingProxyType({0.1: 0.629, 0.25: 0.486, 0.5: 0.330})
"""T(IoBB) -> accuracy, mean over the 8 findings with boxes, of Wang et al. 2017 (arXiv:1705.02315, table 4), on all 984
boxes of ChestX-ray14; here these are measured on the films at hand."""


@dataclass(frozen=True, eq=False)
class BoxedFinding:
    """A finding that radiologists boxed on a film, and what the model's map of it is.

    Attributes:
        evidence: float (h, w), of `Prediction.evidence`.
        patient: id.
        finding: one of `FINDINGS`.
        boxes: float (k, 4) with k >= 1: x, y, w, h in pixels of the film at 1024 x 1024, from its upper left corner.

    Raises:
        ValueError: the grid is empty or not finite, there is no box, or a box has no area.
    """

    evidence: np.ndarray
    patient: int
    finding: str
    boxes: np.ndarray

    def __post_init__(self) -> None:
        what = f"{self.finding} of patient {self.patient}"
        if self.finding not in FINDINGS:
            raise ValueError(f"{self.finding!r} is not one of the 14 findings.")
        if self.evidence.ndim != 2 or not self.evidence.size or not np.isfinite(self.evidence).all():
            raise ValueError(f"{what}: `evidence` must be (h, w) and finite; it is {self.evidence.shape}.")
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or not len(self.boxes):
            raise ValueError(f"{what}: `boxes` must be (k, 4) with at least one box; it is {self.boxes.shape}.")
        if not np.isfinite(self.boxes).all() or not (self.boxes[:, 2:] > 0).all():
            raise ValueError(f"{what}: every box must have an area; they are {self.boxes.tolist()}.")


@dataclass(frozen=True, eq=False)
class KnownBoxes:
    """Where findings are known to lie: `patients` (b,), `findings` (b,) of `FINDINGS`, `boxes` (b, 4) as above."""

    patients: np.ndarray
    findings: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Measure:
    """A rate, or a mean IoU, of the model's maps with its interval, and of the two baselines on the same films."""

    model: Estimate
    random_map: float
    usual_place: float


@dataclass(frozen=True)
class Localised:
    """How well maps point, over some boxed findings. Every measure is None where there are too few patients to say.

    Attributes:
        findings: over which this is; those too rare are not part of a mean over findings.
        cases, patients: pairs of film and finding, and whose they are.
        pointing: the maximum lies in a box (Zhang et al. 2018, arXiv:1608.00507, section 4.1, without tolerance).
        iobb: for each T of `IOBB`, the finding was found (Wang et al. 2017, arXiv:1705.02315, section 4.2).
        iou: intersection over union of the predicted box that has most of it.
        margin: `pointing` of the model less that of the better baseline.
    """

    findings: tuple[str, ...]
    cases: int
    patients: int
    pointing: Measure | None
    iobb: tuple[Measure, ...] | None
    iou: Measure | None
    margin: Estimate | None

    @property
    def better_than_chance(self) -> bool | None:
        """Whether the whole interval of `margin` is above 0. False is "not shown", None "too few to say"."""
        return None if self.margin is None else self.margin.low > 0


@dataclass(frozen=True)
class Localisation:
    """How well a model's maps point.

    Attributes:
        by_finding: for each finding that has boxes, in the order of `FINDINGS`.
        mean: the mean over the findings with enough patients, each counting alike, as in the literature.
        pooled: over all cases alike.
    """

    by_finding: dict[str, Localised]
    mean: Localised
    pooled: Localised


@dataclass(frozen=True, eq=False)
class Marks:
    """What m maps show: the pixels of their maxima, and the boxes around their regions.

    Attributes:
        count: m.
        peaks: float (p, 2), x and y of the centres of the pixels that share a map's maximum, pixels of the film.
        peak_of: intp (p,), whose they are, 0 to m - 1. A map without support has none.
        boxes: float (b, 4), x, y, w, h, pixels of the film.
        box_of: intp (b,), whose they are.
    """

    count: int
    peaks: np.ndarray
    peak_of: np.ndarray
    boxes: np.ndarray
    box_of: np.ndarray


def known_boxes(table: FilmTable) -> KnownBoxes:
    """The boxes of a table, such as of `release()`: NIH's 984."""
    patients = table.films["patient"].to_numpy()[table.box_row]
    return KnownBoxes(patients, table.boxes["finding"].to_numpy(str), table.boxes[["x", "y", "w", "h"]].to_numpy(float))


def localisation(
    cases: Sequence[BoxedFinding],
    known: KnownBoxes,
    map_shift: tuple[float, float] = (0.0, 0.0),
    *,
    random_maps: int = RANDOM_MAPS,
    seed: int = 0,
) -> Localisation:
    """Compare heatmaps, as the product draws them, with radiologists' boxes.

    Predicted boxes are those around the 4-connected regions of a heatmap above either of two levels. Of a map's boxes
    the best counts, for IoBB and IoU each on its own: many small boxes help, and those of the baselines as well. A
    maximum that several pixels share is in the box by the share of them that are, so that a constant map scores the
    share of the film that is boxed. Intervals are of a bootstrap over patients; those of the margin take the better
    baseline anew in each resample.

    Args:
        cases: one for each film and boxed finding.
        known: where the baseline "usual place" knows from where findings lie. It draws how many of the boxes of the
            finding, of other patients, cover a pixel (of all findings, where there are fewer than `MIN_PATIENTS` other
            patients). It is a harder baseline than a blob at the centre of the film: hearts are always in one place.
        map_shift: `Card.map_shift`.
        random_maps: how many at least; they are smooth noise, and their maxima visit every cell equally often.
        seed: of random maps and resamples.

    Raises:
        ValueError: there are no cases.
    """
    if not cases:
        raise ValueError("There are no boxed findings to compare heatmaps with.")
    shapes = {case.evidence.shape: None for case in cases}
    random = {shape: random_marks(shape, random_maps, seed) for shape in shapes}
    usual = _UsualPlaces(known)
    scores = np.array(
        [
            [
                _scores(marks([heat_of(case.evidence, map_shift)]), case.boxes),
                _scores(random[case.evidence.shape], case.boxes),
                _scores(marks([usual.heat(case.finding, case.patient)]), case.boxes),
            ]
            for case in cases
        ]
    )
    names = np.array([case.finding for case in cases])
    resamples = resample_patients(np.array([case.patient for case in cases]), seed=seed)
    each = {name: names == name for name in FINDINGS if (names == name).any()}
    enough = {name: mask for name, mask in each.items() if len(np.unique(resamples.patients[mask])) >= MIN_PATIENTS}
    return Localisation(
        by_finding={name: _localised((name,), [mask], scores, resamples) for name, mask in each.items()},
        mean=_localised(tuple(enough), list(enough.values()), scores, resamples),
        pooled=_localised(tuple(each), [np.ones(len(cases), bool)], scores, resamples),
    )


def heat_of(evidence: np.ndarray, map_shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray | None:
    """The heatmap that the product draws of evidence (h, w), float32 (SIDE, SIDE); None if nothing speaks for it."""
    grid = supporting_map(evidence)
    return None if grid is None else upsample(grid, SIDE, SIDE, map_shift)


def marks(heats: Iterable[np.ndarray | None]) -> Marks:
    """The maxima of heatmaps float (SIDE, SIDE) in 0..1, and the boxes around their regions above `LEVELS`."""
    peaks: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    for heat in heats:
        if heat is None or heat.max() <= 0:
            peaks.append(np.empty((0, 2)))
            boxes.append(np.empty((0, 4)))
            continue
        peaks.append(np.argwhere(heat >= heat.max() - TIE)[:, ::-1] + 0.5)
        boxes.append(np.concatenate([boxes_above(heat, level) for level in LEVELS]))
    numbers = np.arange(len(peaks))
    return Marks(
        len(peaks),
        SCALE * np.concatenate(peaks),
        np.repeat(numbers, [len(p) for p in peaks]),
        SCALE * np.concatenate(boxes),
        np.repeat(numbers, [len(b) for b in boxes]),
    )


def boxes_above(heat: np.ndarray, level: float) -> np.ndarray:
    """Boxes float (b, 4): x, y, w, h in pixels of `heat` (h, w), around its 4-connected regions above a level."""
    found = [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in find_objects(label(heat > level)[0])]
    return np.array(found, float).reshape(-1, 4)


@lru_cache(maxsize=8)
def random_marks(shape: tuple[int, ...], count: int, seed: int = 0) -> Marks:
    """Marks of random maps with a grid of (h, w) cells: at least `count`, a multiple of the cells.

    White noise on a torus, smoothed, and turned on it so that the maxima visit all cells in turn: at the border of a
    plain smooth field maxima are more frequent. About half of a map is positive, and it is aligned with the film.
    """
    rng = np.random.default_rng(seed)
    cells = int(np.prod(shape))

    def heat(number: int) -> np.ndarray | None:
        field = gaussian_filter(rng.normal(size=shape), SMOOTHNESS, mode="wrap")
        top, wanted = (np.unravel_index(k, shape) for k in (field.argmax(), number % cells))
        return heat_of(np.roll(field - field.mean(), np.subtract(wanted, top), axis=(0, 1)))

    return marks(heat(number) for number in range(-(-count // cells) * cells))


def overlap(predicted: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoBB (intersection over predicted box) and IoU, float (p, k) each, of boxes (p, 4) and (k, 4): x, y, w, h."""
    ours, theirs = predicted[:, None], boxes[None]
    low = np.maximum(ours[..., :2], theirs[..., :2])
    high = np.minimum(ours[..., :2] + ours[..., 2:], theirs[..., :2] + theirs[..., 2:])
    both = np.maximum(high - low, 0).prod(axis=-1)
    area, other = ours[..., 2:].prod(axis=-1), theirs[..., 2:].prod(axis=-1)
    return both / area, both / (area + other - both)


def _scores(shown: Marks, boxes: np.ndarray) -> np.ndarray:
    """Mean over maps, float (5,): maximum in a box, best IoBB above each T of `IOBB`, best IoU."""
    off = shown.peaks[:, None] - boxes[None, :, :2]
    inside = ((off >= 0) & (off < boxes[None, :, 2:])).all(axis=2).any(axis=1)
    pixels = np.bincount(shown.peak_of, minlength=shown.count)
    pointing = np.bincount(shown.peak_of, inside, shown.count) / np.maximum(pixels, 1)
    best = np.zeros((2, shown.count))
    for row, values in zip(best, overlap(shown.boxes, boxes), strict=True):
        np.maximum.at(row, shown.box_of, values.max(axis=1))
    return np.array([pointing.mean(), *((best[0] > limit).mean() for limit in IOBB), best[1].mean()])


class _UsualPlaces:
    """Heatmaps of where the boxes of other patients lie."""

    def __init__(self, known: KnownBoxes):
        self._known = known
        self._covered = {name: self._cover(known.findings == name) for name in np.unique(known.findings)}

    def _cover(self, mask: np.ndarray) -> np.ndarray:
        """How many of some boxes cover the centre of each pixel, int (SIDE, SIDE)."""
        covered = np.zeros((SIDE, SIDE), int)
        corners = np.stack([self._known.boxes[mask, :2], self._known.boxes[mask, :2] + self._known.boxes[mask, 2:]], 1)
        # The centre of pixel c is at c + 1/2.
        for (left, top), (right, bottom) in np.ceil(corners / SCALE - 0.5).clip(0, SIDE).astype(int):
            covered[top:bottom, left:right] += 1
        return covered

    def heat(self, finding: str, patient: int) -> np.ndarray | None:
        """Float (SIDE, SIDE) with maximum 1, or None where no other patient has a box."""
        own, same = self._known.patients == patient, self._known.findings == finding
        if len(np.unique(self._known.patients[same & ~own])) >= MIN_PATIENTS:
            covered = self._covered[finding] - self._cover(same & own)
        else:
            covered = sum(self._covered.values(), np.zeros((SIDE, SIDE), int)) - self._cover(own)
        return covered / covered.max() if covered.max() > 0 else None


def _localised(names: tuple[str, ...], masks: list[np.ndarray], scores: np.ndarray, resamples: Resamples) -> Localised:
    """The mean over masks (n,) of the means of scores (n, 3, 5) where they are true."""
    among = np.any(masks, axis=0) if masks else np.zeros(len(scores), bool)
    cases, patients = int(among.sum()), len(np.unique(resamples.patients[among]))
    if patients < MIN_PATIENTS:
        return Localised(names, cases, patients, None, None, None, None)

    def means(w: np.ndarray | None) -> np.ndarray:
        rows = np.ones((1, len(scores))) if w is None else w.astype(float)
        with np.errstate(invalid="ignore"):
            each = [
                np.tensordot(rows[:, mask], scores[mask], 1) / rows[:, mask].sum(axis=1)[:, None, None]
                for mask in masks
            ]
        # A resample without a finding is a mean over the others.
        return np.ma.masked_invalid(each).mean(axis=0).filled(np.nan)

    plain, kept = means(None), means(resamples.weights)

    def measure(column: int) -> Measure:
        model = estimate(lambda w: (plain if w is None else kept)[:, 0, column], resamples)
        return Measure(model, *(float(value) for value in plain[0, 1:, column]))

    def margin(w: np.ndarray | None) -> np.ndarray:
        pointing = (plain if w is None else kept)[:, :, 0]
        return pointing[:, 0] - pointing[:, 1:].max(axis=1)

    return Localised(
        findings=names,
        cases=cases,
        patients=patients,
        pointing=measure(0),
        iobb=tuple(measure(1 + k) for k in range(len(IOBB))),
        iou=measure(1 + len(IOBB)),
        margin=estimate(margin, resamples),
    )
