"""Heatmaps against boxes: cases done by hand, pixels counted one by one, and what geometry says of chance."""

from collections.abc import Sequence

import numpy as np
import pytest
from handmade_table import film_table

from cxr.evaluation.localisation import (
    IOBB,
    LEVELS,
    SIDE,
    BoxedFinding,
    KnownBoxes,
    Localisation,
    Localised,
    Marks,
    boxes_above,
    heat_of,
    known_boxes,
    localisation,
    marks,
    overlap,
    random_marks,
)
from cxr.evaluation.metrics import MIN_PATIENTS, resample_patients

CELL = 128.0
"""Pixels of the film that a cell of an 8 x 8 grid covers."""
Box = tuple[float, float, float, float]
NOWHERE = KnownBoxes(np.zeros(0, int), np.zeros(0, str), np.zeros((0, 4)))


def grid_with(*cells: tuple[int, int], shape: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Evidence that speaks for the finding in some cells (row, column) and against it elsewhere."""
    grid = np.full(shape, -1.0)
    for cell in cells:
        grid[cell] = 2
    return grid


def around(row: int, column: int, margin: float = 0.5) -> Box:
    """A box around a cell of an 8 x 8 grid and `margin` cells on each side."""
    side = (1 + 2 * margin) * CELL
    return ((column - margin) * CELL, (row - margin) * CELL, side, side)


def case(evidence: np.ndarray, *boxes: Box, patient: int = 1, finding: str = "Mass") -> BoxedFinding:
    return BoxedFinding(evidence, patient, finding, np.array(boxes, float))


def measured(cases: Sequence[BoxedFinding], known: KnownBoxes = NOWHERE, **options: object) -> Localisation:
    return localisation(cases, known, random_maps=64, **options)  # type: ignore[arg-type]


def of_one(evidence: np.ndarray, *boxes: Box, known: KnownBoxes = NOWHERE, **options: object) -> Localised:
    """The same case of as many patients as are needed to say anything."""
    return measured([case(evidence, *boxes, patient=p) for p in range(MIN_PATIENTS)], known, **options).pooled


def scores(found: Localised, whose: str = "model") -> list[float]:
    """Pointing, IoBB above each limit, and IoU, of the model or of one of the baselines."""
    assert found.pointing and found.iobb and found.iou
    values = [getattr(measure, whose) for measure in (found.pointing, *found.iobb, found.iou)]
    return [value.value for value in values] if whose == "model" else values


def pointing(found: Localised) -> float:
    return scores(found)[0]


def regions(mask: np.ndarray) -> set[tuple[float, ...]]:
    """Boxes of 4-connected regions, found by walking from pixel to pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    boxes = set()
    while left:
        waiting, region = [left.pop()], []
        while waiting:
            y, x = waiting.pop()
            region.append((y, x))
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            waiting += near
        low, high = np.min(region, axis=0), np.max(region, axis=0) + 1
        boxes.add((float(low[1]), float(low[0]), float(high[1] - low[1]), float(high[0] - low[0])))
    return boxes


@pytest.mark.parametrize("seed", range(8))
def test_boxes_lie_around_regions_that_touch_by_their_sides(seed: int) -> None:
    heat = np.random.default_rng(seed).random((23, 17))
    boxes = boxes_above(heat, 0.55)
    assert {tuple(box) for box in boxes} == regions(heat > 0.55)
    assert len(boxes) > 10


def test_a_region_is_above_the_level_and_not_on_it() -> None:
    assert boxes_above(np.array([[0.5, 0.5], [0.5, 0.6]]), 0.5).tolist() == [[1, 1, 1, 1]]
    assert boxes_above(np.full((3, 4), 0.5), 0.5).shape == (0, 4)
    # 60 and 180 of 0 to 255, as in the paper.
    steps = np.zeros((1, 511))
    steps[0, ::2] = np.arange(256) / 255
    assert [len(boxes_above(steps, level)) for level in LEVELS] == [255 - 60, 255 - 180]


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_are_those_of_counted_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, boxes = (np.c_[rng.integers(0, 12, (n, 2)), rng.integers(1, 9, (n, 2))].astype(float) for n in (7, 5))

    def painted(box: np.ndarray) -> np.ndarray:
        picture = np.zeros((24, 24), bool)
        x, y, w, h = box.astype(int)
        picture[y : y + h, x : x + w] = True
        return picture

    iobb, union = overlap(predicted, boxes)
    for i, ours in enumerate(map(painted, predicted)):
        for k, theirs in enumerate(map(painted, boxes)):
            both = (ours & theirs).sum()
            assert iobb[i, k] == pytest.approx(both / ours.sum())
            assert union[i, k] == pytest.approx(both / (ours | theirs).sum())


def test_marks_are_in_pixels_of_the_film_from_both_levels() -> None:
    heat = np.zeros((SIDE, SIDE))
    heat[10:20, 30:60] = 0.5
    heat[12:16, 40:45] = 0.9
    heat[13, 41:43] = [1, 1 - 1e-7]
    heat[13, 43] = 1 - 1e-4
    shown = marks([None, heat, np.zeros((SIDE, SIDE))])
    assert shown.count == 3
    assert (shown.peaks.tolist(), shown.peak_of.tolist()) == ([[166, 54], [170, 54]], [1, 1])
    assert sorted(shown.boxes.tolist()) == [[120, 40, 120, 40], [160, 48, 20, 16]]
    assert shown.box_of.tolist() == [1, 1]


def test_a_map_that_is_its_box_finds_it() -> None:
    evidence = grid_with((2, 5), (2, 6), (3, 5), (3, 6))
    heat = heat_of(evidence)
    assert heat is not None
    x, y, w, h = next(iter(regions(heat > LEVELS[1])))
    found = of_one(evidence, (4 * x, 4 * y, 4 * w, 4 * h))
    assert scores(found) == pytest.approx([1] * 5)


@pytest.mark.parametrize(("row", "column"), [(2, 5), (0, 0), (7, 0), (0, 7), (7, 7), (3, 7)])
def test_a_map_finds_the_box_around_its_cell_also_at_the_border(row: int, column: int) -> None:
    assert scores(of_one(grid_with((row, column)), around(row, column)))[:4] == [1, 1, 1, 1]


@pytest.mark.parametrize("box", [around(5, 2), around(2, 2), around(4, 5)])
def test_a_map_misses_a_box_elsewhere(box: Box) -> None:
    found = of_one(grid_with((2, 5)), box)
    assert scores(found)[:4] == [0, 0, 0, 0]
    assert scores(found)[4] < 0.05


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.5, 0.6])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_box_that_holds_a_share_of_the_smaller_predicted_one(share: float, axis: int) -> None:
    evidence = grid_with((3, 3))
    heat = heat_of(evidence)
    assert heat is not None
    (box,) = boxes_above(heat, LEVELS[1]) * 4
    box[axis + 2] *= share
    found = of_one(evidence, tuple(box))
    assert scores(found)[1:] == pytest.approx([*(float(share > limit) for limit in IOBB), share])


def test_a_map_without_support_misses_and_a_constant_one_hits_by_the_share_of_the_film() -> None:
    for value in (0.0, -2.0):
        assert scores(of_one(np.full((8, 8), value), (0, 0, 1024, 1024))) == [0] * 5
    found = of_one(np.full((8, 8), 3.0), (256, 512, 512, 128))
    assert scores(found) == pytest.approx([1 / 16, 0, 0, 0, 1 / 16])


def test_of_several_boxes_one_is_enough() -> None:
    for boxes in ((around(2, 5), around(6, 1)), (around(6, 1), around(2, 5))):
        assert scores(of_one(grid_with((2, 5)), *boxes))[:4] == [1, 1, 1, 1]


def test_of_several_predicted_boxes_the_best_counts_but_only_one_is_the_maximum() -> None:
    evidence = grid_with((2, 5), (6, 1)).astype(float)
    evidence[6, 1] = 1.9
    found = of_one(evidence, around(6, 1))
    assert scores(found)[:4] == [0, 1, 1, 1]


@pytest.mark.parametrize("shape", [(4, 8), (8, 4), (5, 3)])
def test_grids_need_not_be_square(shape: tuple[int, int]) -> None:
    rows, columns = shape
    for row, column in ((1, 2), (3, 0)):
        box = (column * 1024 / columns, row * 1024 / rows, 1024 / columns, 1024 / rows)
        other = (1024 - box[0] - box[2], 1024 - box[1] - box[3], box[2], box[3])
        assert pointing(of_one(grid_with((row, column), shape=shape), box)) == 1
        assert pointing(of_one(grid_with((row, column), shape=shape), other)) == 0


def test_a_map_that_lies_off_its_film_is_moved_back_before_it_is_compared() -> None:
    evidence, shift = grid_with((4, 4)), (0.25, -0.125)
    true, apparent = around(2, 5), around(4, 4)
    assert scores(of_one(evidence, true, map_shift=shift))[:4] == [1, 1, 1, 1]
    assert pointing(of_one(evidence, apparent, map_shift=shift)) == 0
    assert pointing(of_one(evidence, true)) == 0
    # Support that is moved out of the film is none.
    assert scores(of_one(grid_with((0, 0)), (0, 0, 1024, 1024), map_shift=(0.75, 0.0)))[:4] == [0, 0, 0, 0]


def pixels_inside(shown: Marks, box: Box) -> float:
    """The share of each map's maxima that are in a box, averaged over the maps."""
    x, y, w, h = box
    px, py = shown.peaks.T
    inside = (x <= px) & (px < x + w) & (y <= py) & (py < y + h)
    return float(np.mean([inside[shown.peak_of == number].mean() for number in range(shown.count)]))


@pytest.mark.parametrize("shape", [(8, 8), (4, 8), (10, 6)])
def test_random_maps_point_into_a_box_by_its_share_of_the_film(shape: tuple[int, int]) -> None:
    shown = random_marks(shape, 100)
    assert shown.count == -(-100 // np.prod(shape)) * np.prod(shape)
    height, width = 1024 / np.array(shape)
    # Whole cells: exactly, wherever they are. Maxima stay in their cells up to half a pixel.
    for row, column in ((0, 0), (1, 2), (shape[0] - 2, shape[1] - 3)):
        box = (column * width, row * height, 3 * width, 2 * height)
        assert pixels_inside(shown, box) == pytest.approx(6 / np.prod(shape), abs=0.02)
    # Others: within the error of the draws.
    for box in ((100.0, 300.0, 320.0, 450.0), (620.0, 40.0, 200.0, 700.0)):
        share = box[2] * box[3] / 1024**2
        error = 3.5 * np.sqrt(share * (1 - share) / shown.count)
        assert pixels_inside(shown, box) == pytest.approx(share, abs=error + 0.01)


def test_the_random_baseline_is_the_mean_over_random_maps_with_the_grid_of_the_case() -> None:
    box = (100.0, 200.0, 400.0, 300.0)
    cases = [case(np.ones(shape), box, patient=p) for p in range(MIN_PATIENTS) for shape in ((8, 8), (2, 3))]
    expected = []
    for shape, count in (((8, 8), 64), ((2, 3), 66)):
        shown = random_marks(shape, 64, 3)
        assert shown.count == count
        iobb, union = (values[:, 0] for values in overlap(shown.boxes, np.array([box])))
        best = np.array([[v[shown.box_of == m].max() for m in range(count)] for v in (iobb, union)])
        expected.append([pixels_inside(shown, box), *((best[0] > limit).mean() for limit in IOBB), best[1].mean()])
    found = measured(cases, seed=3).pooled
    assert scores(found, "random_map") == pytest.approx(np.mean(expected, axis=0).tolist())


HERE, THERE = (100.0, 200.0, 80.0, 80.0), (700.0, 700.0, 80.0, 80.0)
OTHERS = range(100, 100 + MIN_PATIENTS)


def known(*boxes: tuple[int, str, Box]) -> KnownBoxes:
    patients, findings, places = zip(*boxes, strict=True)
    return KnownBoxes(np.array(patients), np.array(findings), np.array(places, float))


def test_the_usual_place_is_where_boxes_of_other_patients_with_the_finding_lie() -> None:
    elsewhere = [(p, "Nodule", THERE) for p in range(200, 240)]
    masses = known(*((p, "Mass", HERE) for p in OTHERS), *elsewhere)
    found = of_one(grid_with((1, 1)), HERE, known=masses)
    assert scores(found, "usual_place") == pytest.approx([1] * 5)
    assert scores(of_one(grid_with((1, 1)), THERE, known=masses), "usual_place")[0] == 0
    # Patient 0 has too few others with the finding: the boxes of all findings are used. Without any, no place is usual.
    few = known(*((p, "Mass", HERE) for p in (0, *OTHERS[1:], *OTHERS[1:])), *elsewhere)
    assert scores(of_one(grid_with((1, 1)), THERE, known=few), "usual_place")[0] == pytest.approx(0.2)
    assert scores(of_one(grid_with((1, 1)), (0, 0, 1024, 1024)), "usual_place") == [0] * 5


@pytest.mark.parametrize("finding", ["Mass", "Nodule"])
def test_the_usual_place_never_knows_the_patient_s_own_boxes(finding: str) -> None:
    boxes = known(*[(0, finding, HERE)] * 50, *((p, "Mass", THERE) for p in OTHERS[: 5 if finding == "Mass" else 4]))
    found = measured([case(grid_with((1, 1)), HERE, patient=p) for p in range(MIN_PATIENTS)], boxes)
    # Patient 0 does not know the 50 boxes, the four others do.
    assert scores(found.pooled, "usual_place")[0] == pytest.approx(0.8)


def test_the_usual_place_covers_the_pixels_whose_centres_are_boxed() -> None:
    box = (9.9, 22.1, 40.2, 8.0)
    boxes = known(*((100 + p, "Mass", box) for p in range(MIN_PATIENTS)))
    found = of_one(grid_with((1, 1)), box, known=boxes)
    # Columns whose centres 4 c + 2 are in 9.9 to 50.1: 2 to 12. Rows in 22.1 to 30.1: 6 and 7 (centres 26 and 30).
    both = (48.0 + 4 - 9.9 - 1.9) * (30.1 - 24)
    assert scores(found, "usual_place")[4] == pytest.approx(both / (40.2 * 8 + 44 * 8 - both))


def test_boxes_of_a_table_are_known_with_their_patients() -> None:
    table = film_table(
        [["Mass"], ["Nodule"], []], patient=[7, 9, 9], boxes=[(1, "Nodule", 1, 2, 3, 4), (0, "Mass", 5, 6, 7, 8)]
    )
    found = known_boxes(table)
    assert found.patients.tolist() == [9, 7]
    assert found.findings.tolist() == ["Nodule", "Mass"]
    assert found.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_findings_count_alike_in_the_mean_and_cases_alike_in_the_pool() -> None:
    hit, miss = grid_with((2, 5)), grid_with((6, 1))
    cases = [case(hit, around(2, 5), patient=p, finding="Mass") for p in range(6)]
    cases += [case(miss, around(2, 5), patient=p, finding="Effusion") for p in range(18)]
    cases += [case(hit, around(2, 5), patient=p, finding="Nodule") for p in range(4)]
    found = measured(cases)
    assert list(found.by_finding) == ["Effusion", "Nodule", "Mass"]
    assert [(one.cases, one.patients) for one in found.by_finding.values()] == [(18, 18), (4, 4), (6, 6)]
    assert pointing(found.by_finding["Mass"]) == 1
    assert pointing(found.by_finding["Effusion"]) == 0
    assert found.mean.findings == ("Effusion", "Mass")
    assert (found.mean.cases, found.mean.patients) == (24, 18)
    assert pointing(found.mean) == 0.5
    assert found.pooled.findings == ("Effusion", "Nodule", "Mass")
    assert (found.pooled.cases, found.pooled.patients) == (28, 18)
    assert pointing(found.pooled) == pytest.approx(10 / 28)


def test_too_few_is_counted_in_patients() -> None:
    few = [case(grid_with((2, 5)), around(2, 5), patient=p % 4) for p in range(40)]
    found = measured(few)
    for part in (found.by_finding["Mass"], found.mean, found.pooled):
        assert (part.pointing, part.iobb, part.iou, part.margin, part.better_than_chance) == (None,) * 5
    assert (found.pooled.cases, found.pooled.patients) == (40, 4)
    assert (found.mean.findings, found.mean.cases) == ((), 0)
    assert measured([*few, case(grid_with((2, 5)), around(2, 5), patient=4)]).pooled.pointing is not None


def test_the_interval_of_the_mean_is_that_of_resampled_patients() -> None:
    rng = np.random.default_rng(0)
    patients, hits = rng.integers(0, 12, 60), rng.random(60) < 0.6
    names = np.where(rng.random(60) < 0.3, "Mass", "Edema")
    cases = [
        case(grid_with((2, 5) if hit else (6, 1)), around(2, 5), patient=int(p), finding=str(name))
        for p, hit, name in zip(patients, hits, names, strict=True)
    ]
    weights = resample_patients(patients, seed=3).weights.astype(float)
    rates = []
    for row in weights:
        parts = [
            np.average(hits[names == name], weights=row[names == name])
            for name in ("Edema", "Mass")
            if row[names == name].any()
        ]
        rates.append(np.mean(parts))
    found = measured(cases, seed=3).mean.pointing
    assert found
    assert (found.model.low, found.model.high) == pytest.approx(tuple(np.percentile(rates, [2.5, 97.5])))


def mixed(hits: int, of: int) -> list[BoxedFinding]:
    """As many patients; the maps of the first `hits` point into the box, those of the others elsewhere."""
    return [case(grid_with((2, 5) if p < hits else (6, 1)), around(2, 5), patient=p) for p in range(of)]


@pytest.mark.parametrize(("hits", "better"), [(20, True), (12, True), (3, False), (0, False)])
def test_better_than_chance_needs_the_whole_interval(hits: int, better: bool) -> None:
    found = measured(mixed(hits, 20)).pooled
    assert found.better_than_chance is better
    assert found.pointing and found.margin
    assert found.margin.value == pytest.approx(hits / 20 - found.pointing.random_map)


def test_the_better_baseline_is_the_one_to_beat() -> None:
    usual_place = known(*((100 + p, "Mass", around(2, 5)) for p in range(9)))
    found = measured(mixed(20, 20), usual_place).pooled
    assert found.margin is not None
    assert (found.margin.value, found.margin.low, found.margin.high) == (0, 0, 0)
    assert found.better_than_chance is False
    worse = measured(mixed(10, 20), usual_place).pooled
    assert worse.margin is not None
    assert worse.margin.value == pytest.approx(-0.5)
    assert worse.margin.high < 0


def test_the_margin_is_paired() -> None:
    # Map and usual place hit the same patients: the difference does not vary, though both rates do.
    usual_place = known(*((100 + p, "Mass", around(2, 5)) for p in range(9)))
    cases = [case(grid_with((2, 5)), around(*((2, 5) if p % 2 else (6, 1))), patient=p) for p in range(20)]
    found = measured(cases, usual_place).pooled
    assert found.margin and found.pointing
    assert found.pointing.model.high - found.pointing.model.low > 0.3
    assert (found.margin.low, found.margin.high) == (0, 0)


def test_the_seed_decides_the_result() -> None:
    cases = mixed(5, 12)
    assert measured(cases) == measured(cases)
    assert measured(cases) != measured(cases, seed=1)


def test_a_case_says_what_is_wrong_with_it() -> None:
    evidence, box = grid_with((1, 1)), (0.0, 0.0, 10.0, 10.0)
    with pytest.raises(ValueError, match="'Lump' is not one of the 14 findings"):
        case(evidence, box, finding="Lump")
    for bad in (evidence[0], np.full((2, 2), np.nan), np.full((2, 2), np.inf), np.zeros((0, 3))):
        with pytest.raises(ValueError, match=r"Mass of patient 1: `evidence` must be \(h, w\) and finite"):
            case(bad, box)
    with pytest.raises(ValueError, match=r"with at least one box; it is \(0,\)"):
        case(evidence)
    for flat in ((0.0, 0.0, 0.0, 5.0), (0.0, 0.0, 5.0, -1.0), (0.0, np.nan, 5.0, 5.0)):
        with pytest.raises(ValueError, match="every box must have an area"):
            case(evidence, box, flat)
    with pytest.raises(ValueError, match="There are no boxed findings"):
        localisation([], NOWHERE)
