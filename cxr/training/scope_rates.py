"""What a scope check does with pictures that fitted nothing: each source in turn is left out and judged by the rest."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from cxr.dataset.statistics import wilson
from cxr.model.card import Estimate, ScopeRate
from cxr.radiograph import Facts
from cxr.radiograph.scope import Scope, ScopeModel
from cxr.training.scope_data import ScopeData
from cxr.training.scope_fit import fit_scope
from cxr.training.scope_pictures import FRONTAL, TURNED

FOLDS: Final = 6
"""Lateral films are left out in so many parts."""
SMALL: Final = 10
"""Pictures of a family below which it is left out together with others."""


LATERAL: Final = "lateral, each in turn"
HOSPITAL: Final = "this hospital"
VARIED, PART = ", varied", ", a small part"


@dataclass(frozen=True, eq=False)
class Fold:
    """Some pictures, and what they are judged without.

    Attributes:
        rows: bool (n,), the pictures that are judged.
        left_out: bool (n,), the pictures that have no part in the fit.
        named: what the pictures are, in words.
        without: what was left out, in words.
    """

    rows: np.ndarray
    left_out: np.ndarray
    named: str
    without: str


def family(source: str) -> str:
    """What a source shows, without where it is from: sources of one family are left out together."""
    words = re.split(r"[^a-z]+", source.lower())
    for name in ("ct", "mri", "mr", "ultrasound"):
        if any(word.endswith(name) for word in words):
            return {"mr": "mri"}.get(name, name)
    return words[0]


def folds(data: ScopeData, tested: str | None) -> Iterator[Fold]:
    """How the pictures are judged: each hospital, each family of out-of-scope pictures, and a rare kind one by one.

    Args:
        data: all pictures.
        tested: the source of the films that no fit ever has, so that they are judged once by all the rest.
    """
    frontal = np.isin(data.kinds, (FRONTAL, *TURNED, "mirror", "inverted", "cropped"))
    hold = data.sources == tested if tested is not None else np.zeros(len(data), bool)
    if hold.any():
        yield Fold(hold, hold, str(tested), "these patients")
    hospitals = np.unique(data.sources[frontal & ~hold])
    for hospital in hospitals if len(hospitals) > 1 else ():
        of_hospital = data.sources == hospital
        yield Fold(of_hospital, of_hospital | hold, str(hospital), HOSPITAL)
    families = np.array([family(source) for source in data.sources])
    for some in _together(families, data, ~frontal & data.originals):
        of_families = np.isin(families, some) & ~frontal
        yield Fold(
            of_families, of_families | hold, ", ".join(some), "any of the kind" if len(some) == 1 else "any of these"
        )
    lateral = np.unique(data.groups[data.kinds == "lateral"])
    for part in np.array_split(lateral, min(len(lateral), FOLDS)) if len(lateral) > 2 else ():
        rows = np.isin(data.groups, part) & (data.kinds == "lateral")
        yield Fold(rows, rows | hold, LATERAL, "these pictures")


def _together(families: np.ndarray, data: ScopeData, chosen: np.ndarray) -> list[list[str]]:
    """Families that are left out at once: each by itself, but the small ones of a kind together."""
    found: list[list[str]] = []
    for kind in np.unique(data.kinds[chosen]):
        names, counts = np.unique(families[chosen & (data.kinds == kind)], return_counts=True)
        known = {name for some in found for name in some}
        left = [(str(name), int(count)) for name, count in zip(names, counts, strict=True) if str(name) not in known]
        found += [[name] for name, count in left if count >= SMALL]
        if small := [name for name, count in left if count < SMALL]:
            found.append(small)
    return found


def measure(
    data: ScopeData, trained: np.ndarray, channels: np.ndarray, tested: str | None, report: Callable[[str], None]
) -> tuple[ScopeRate, ...]:
    """Judge every picture by a check that it, and what is like it, had no part in.

    Args:
        data: all pictures, those that no fit has among them.
        trained: bool (n,), as of `fit_scope`.
        channels: int (stages,), of the features.
        tested: source of the films that no fit ever has; None where there are none.
        report: gets a line for each fit.
    """
    found: dict[tuple[str, str], list[tuple[np.ndarray, list[Scope]]]] = {}
    models: dict[bytes, ScopeModel] = {}
    for fold in folds(data, tested):
        rest, key = ~fold.left_out, fold.left_out.tobytes()
        if FRONTAL not in data.kinds[rest] or not trained[rest].any():
            continue
        if key not in models:
            models[key] = ScopeModel(fit_scope(data.of(rest), trained[rest], channels) | {"smallest_side": np.array(1)})
        report(f"judged {fold.named} without {fold.without}")
        rows = np.flatnonzero(fold.rows)
        found.setdefault((fold.named, fold.without), []).append((rows, judged(models[key], data.of(rows))))
    rates: list[ScopeRate] = []
    for (named, without), parts in found.items():
        rows = np.concatenate([part[0] for part in parts])
        rates += _rates(data.of(rows), [scope for part in parts for scope in part[1]], named, without)
    return (*_pooled(rates), *rates)


def _pooled(rates: list[ScopeRate]) -> Iterator[ScopeRate]:
    """The rates of all other hospitals together, and of all real pictures that are none of a chest from the front."""
    # Laterals stand by themselves: whether they are refused depends on whether the check knew any.
    left_out = {"lateral", LATERAL, "drawn"}
    for named, expected, chosen in (
        ("all other hospitals", "accepted", lambda rate: rate.fitted_without == HOSPITAL and "," not in rate.pictures),
        (
            "all pictures out of scope but laterals and drawn ones",
            "refused",
            lambda rate: rate.pictures not in left_out and not rate.pictures.endswith((VARIED, PART)),
        ),
    ):
        some = [rate for rate in rates if rate.expected == expected and chosen(rate)]
        count, groups = sum(rate.count for rate in some), sum(rate.groups for rate in some)
        if len(some) > 1:
            share = sum(rate.share.value * rate.count for rate in some) / count
            yield _rate(named, expected, "these, as below", count, groups, share)


def judged(model: ScopeModel, data: ScopeData) -> list[Scope]:
    """What a check says of pictures whose files say nothing."""
    scores, far = model.scores(data.features, data.pictures), model.distances(data.features)
    facts = Facts("PNG", model.smallest_side, model.smallest_side, 8, "L")
    rows = zip(data.grey, scores, far, strict=True)
    return [model.judge(facts, grey, row, float(distance)) for grey, row, distance in rows]


def _rates(data: ScopeData, scopes: list[Scope], named: str, without: str) -> Iterator[ScopeRate]:
    accepted = np.array([scope.refusal is None for scope in scopes])
    turn = np.array([scope.turn or "" for scope in scopes])
    inverted = np.array([scope.inverted for scope in scopes])
    upright = np.isin(data.kinds, (FRONTAL, "mirror"))
    aside = np.isin(data.kinds, TURNED)
    outside = ~upright & ~aside & ~np.isin(data.kinds, ("inverted", "cropped"))
    rows = (
        ("", upright & data.originals, accepted, "accepted"),
        ("", upright & data.originals, accepted & (turn == "") & ~inverted, "not taken for turned"),
        (", other grey levels, borders, sharpness", upright & ~data.originals, accepted, "accepted"),
        (", turned", aside, accepted & (turn == data.kinds), "seen to be turned"),
        (", inverted", data.kinds == "inverted", accepted & inverted, "seen to be inverted"),
        (PART, data.kinds == "cropped", ~accepted, "refused"),
        ("", outside & data.originals, ~accepted, "refused"),
        (VARIED, outside & ~data.originals, ~accepted, "refused"),
    )
    for words, chosen, right, expected in rows:
        if chosen.any():
            count, groups = int(chosen.sum()), len(np.unique(data.groups[chosen]))
            yield _rate(named + words, expected, without, count, groups, float(right[chosen].mean()))


def _rate(named: str, expected: str, without: str, count: int, groups: int, share: float) -> ScopeRate:
    low, high = wilson(np.array(share * groups), np.array(groups))
    estimate = Estimate(value=share, low=float(low), high=float(high))
    return ScopeRate(
        pictures=named,
        expected=cast(Any, expected),
        fitted_without=without,
        count=count,
        groups=groups,
        share=estimate,
    )
