"""Bytes in, an answer out: what the pages show, what the worklist keeps and what `python -m cxr classify` prints."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final, Protocol

import numpy as np
from PIL.PngImagePlugin import PngInfo

from cxr.metrics import measured
from cxr.model.bundle import Bundle, BundleRejected
from cxr.model.card import Card
from cxr.model.engine import Engine, Prediction
from cxr.model.heatmap import supporting_map, upsample
from cxr.model.verdict import RESEARCH_NOTICE, FindingVerdict, Verdict
from cxr.radiograph import Facts, Radiograph, UnreadableFilm
from cxr.radiograph.isolated import decoder
from cxr.radiograph.placement import UNTOUCHED, Placement
from cxr.radiograph.scope import Scope, Turn

HEATMAP_OPACITY: Final = 0.6


NO_SCOPE_CHECK: Final = (
    "This model has no scope check: nothing stops a picture that is no frontal chest film from getting a verdict."
)
INVERTED: Final = "The grey scale was the wrong way round; it was corrected before the film was read."
INVERTED_AS_SAID: Final = "The grey scale was inverted before the film was read, as a reader said."
SEEMS_INVERTED: Final = (
    "The grey scale seems to be the wrong way round. It was read as a reader said; if it is, don't trust the verdict."
)
NO_GREY_SCALE: Final = "Which way round the grey scale of this picture is can't be told."
UNREADABLE: Final = "unreadable"
"""Kind of refusal of a file that can't be read as a film; the others are those of `Scope.reason`, and the next two."""
TURNED: Final = "turned"
GREY_SCALE: Final = "grey_scale"
LIES: Final[dict[Turn, str]] = {
    "left": "The film seems to lie on its side",
    "right": "The film seems to lie on its side",
    "half": "The film seems to stand on its head",
}
"""What a film looks like to which that has to be done. No verdict is given before somebody has said how it lies. That a
film is mirrored can't be told.

On the 283 test films of the first shipped model, turning them all by 90 degrees cost 0.07 of its AUROC for abnormal
(0.77 to 0.70; 95% of the paired difference: 0.03 to 0.14) and a third of its specificity (0.62 to 0.42), by 180 degrees
0.03 (-0.00 to 0.08) and 0.05 of its macro-AUROC; mirroring cost nothing (-0.02 to 0.01).
"""


@dataclass(frozen=True, eq=False)
class Reading:
    """A film that was read and classified.

    Attributes:
        name: what the file is called; never used to tell what it is.
        facts: what the file says of itself.
        warnings: sentences that the reader should see.
        grey: uint8 (height, width), the film for display, bright = dense.
        prediction: what the model says of it.
        milliseconds: from bytes to calibrated probabilities and all maps.
        scope: what the scope check says of it; None where the model has none.
        placement: what was done to the file's picture before; `grey` and `prediction` are of what came out.
    """

    name: str
    facts: Facts
    warnings: tuple[str, ...]
    grey: np.ndarray
    prediction: Prediction
    milliseconds: float
    scope: Scope | None = None
    placement: Placement = UNTOUCHED

    @property
    def corrected(self) -> tuple[str, ...]:
        """What was done to the picture, for programs: of "left", "right", "half", "mirror", "inverted"."""
        return self.placement.steps

    @property
    def turn(self) -> Turn | None:
        """What has to be done to the film to see it upright, where it seems not to be."""
        return None if self.scope is None else self.scope.turn


@dataclass(frozen=True, eq=False)
class Refusal:
    """A file that got no verdict, and no probability either: a number that means nothing is not to be seen.

    Attributes:
        name: what the file is called.
        reason: why, in one sentence.
        kind: the same for programs: "unreadable", "turned", "grey_scale", or as of `Scope.reason`.
        grey: uint8 (height, width), the film for display; None where the file could not be read.
        facts: what the file says of itself; None where it could not be read.
        placement: what was done to the file's picture.
        turn: what has to be done to it besides to see it upright, where it seems not to be.
    """

    name: str
    reason: str
    kind: str = UNREADABLE
    grey: np.ndarray | None = None
    facts: Facts | None = None
    placement: Placement = UNTOUCHED
    turn: Turn | None = None


@measured
def answer(engine: Engine, name: str, data: bytes, *, placement: Placement = UNTOUCHED) -> Reading | Refusal:
    """Read and classify one file; one that can't be read, or is no frontal chest film, gets a refusal, no exception.

    Args:
        engine: of the model.
        name: what the file is called.
        data: the whole file.
        placement: how a person says that the film has to be seen. While nobody has said how it lies, one that seems to
            lie on its side or head is refused; while nobody has said which way round its grey scale is, the scope check
            decides.
    """
    start = perf_counter()
    try:
        film = decoder().read(data)
    except UnreadableFilm as error:
        return Refusal(name, str(error), placement=placement)
    seen = placement if placement.grey_said else replace(placement, inverted=False)
    film = seen.film(film)
    prediction, scope = _asked(engine, film)
    if scope is not None and scope.inverted and not seen.grey_said:
        seen, film = replace(seen, inverted=True), Placement(inverted=True).film(film)
        prediction, scope = _asked(engine, film)
    refused = None if scope is None else _refused(scope, seen)
    if refused is not None:
        kind, sentence = refused
        return Refusal(name, sentence, kind, film.grey, film.facts, seen, None if scope is None else scope.turn)
    milliseconds = 1000 * (perf_counter() - start)
    warnings = (*_warnings(seen, scope), *film.warnings)
    return Reading(name, film.facts, warnings, film.grey, prediction, milliseconds, scope, seen)


def _asked(engine: Engine, film: Radiograph) -> tuple[Prediction, Scope | None]:
    prediction = engine.predict([film])[0]
    if engine.scope is None:
        return prediction, None
    if prediction.features is None:
        raise BundleRejected(f"The model {engine.bundle.name} has a scope check, but its graph gives no features.")
    return prediction, engine.scope.check(film, prediction.features, prediction.square)


def _refused(scope: Scope, seen: Placement) -> tuple[str, str] | None:
    """Kind and sentence of a refusal of a film that was seen so; None: it gets a verdict."""
    if scope.refusal is not None:
        return scope.reason or "unknown", scope.refusal
    if scope.inverted and not seen.grey_said:
        return GREY_SCALE, NO_GREY_SCALE
    if scope.turn in LIES and not seen.lies_said:
        return TURNED, f"{LIES[scope.turn]}. The model knows upright films only, so it gives no verdict on this one."
    return None


def _warnings(seen: Placement, scope: Scope | None) -> Iterator[str]:
    """What the reader should know of how a film was seen, and of what the scope check says besides."""
    if scope is None:
        yield NO_SCOPE_CHECK
    if seen.inverted:
        yield INVERTED_AS_SAID if seen.grey_said else INVERTED
    if done := seen.sentence:
        yield done
    if scope is not None:
        if scope.inverted:
            yield SEEMS_INVERTED
        if scope.turn in LIES:
            yield f"{LIES[scope.turn]}. It was read as it lies; if it does, don't trust the verdict."
        yield from scope.warnings


class Answered(Protocol):
    """What of a film that was read goes into its record; see `Reading`."""

    @property
    def name(self) -> str: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def milliseconds(self) -> float: ...
    @property
    def corrected(self) -> tuple[str, ...]: ...


def as_json(reading: Answered, verdict: Verdict, bundle: Bundle, scope: Scope | None = None) -> dict[str, Any]:
    """A verdict in the form that other programs rely on; with what the scope check said, where that is at hand."""
    return {
        "file": reading.name,
        "status": "ok",
        "verdict": verdict.name,
        "abnormal_probability": round(verdict.abnormal_probability, 4),
        "operating_point": verdict.point.name,
        "findings": {f.name: _numbers(f) for f in verdict.findings} | dict.fromkeys(verdict.absent),
        **(_of_imported(verdict, bundle.card) if bundle.card.data is None else {}),
        "warnings": list(reading.warnings),
        "corrected": list(reading.corrected),
        **({} if scope is None else {"scope": _of_scope(scope)}),
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "milliseconds": round(reading.milliseconds, 1),
    }


def as_refused_json(refusal: Refusal) -> dict[str, Any]:
    """A refusal in the form that other programs rely on; it holds no probability."""
    record = {"file": refusal.name, "status": "refused", "reason": refusal.reason, "kind": refusal.kind}
    return record if refusal.turn is None else record | {"turn": refusal.turn}


def _of_scope(scope: Scope) -> dict[str, Any]:
    numbers = {"in_scope": round(scope.in_scope, 4), "distance": round(scope.distance, 4)}
    return numbers if scope.turn is None else numbers | {"turn": scope.turn}


def _numbers(finding: FindingVerdict) -> dict[str, Any]:
    return {"probability": round(finding.probability, 4), "flagged": finding.flagged}


def _of_imported(verdict: Verdict, card: Card) -> dict[str, Any]:
    """What has to be said of an imported model's answer besides."""
    return {
        "absent": list(verdict.absent),
        "extra_findings": {f.name: _numbers(f) for f in verdict.extra},
        "abnormal_from": card.abnormal_from,
        "calibrated": False,
    }


def heatmap(reading: Reading, finding: str, card: Card) -> np.ndarray | None:
    """The heatmap of a finding over its film, float32 (height, width) in 0..1; None where nothing speaks for it."""
    grid = supporting_map(reading.prediction.evidence(finding))
    height, width = reading.grey.shape
    return None if grid is None else upsample(grid, height, width, card.map_shift)


def png_note() -> PngInfo:
    """What every picture that leaves the product says of itself."""
    note = PngInfo()
    note.add_text("Comment", RESEARCH_NOTICE)
    return note
