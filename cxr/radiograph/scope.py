"""The scope check: is this one frontal chest film of usable quality? Asked before a verdict is given."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self, cast, get_args

import numpy as np

from cxr.radiograph.burned_text import burned_text
from cxr.radiograph.film import CHEST, FRONTAL_VIEWS, Facts, Radiograph
from cxr.radiograph.scope_vector import BRIGHT, CLIP, DARK, distance, picture, prepared, spread

Turn = Literal["left", "right", "half"]
"""What has to be done to a film to see it upright: a quarter turn to the left or right, or half a turn."""
TURNS: Final[frozenset[str]] = frozenset(get_args(Turn))
INVERTED: Final = "inverted"
FRONTAL: Final = "frontal"
IN_SCOPE: Final = (FRONTAL, INVERTED, *sorted(TURNS))
"""Kinds of the classifier that are a frontal chest film, however it lies. All others are reasons of a refusal."""

LIMIT: Final = 0.5
"""A picture with a lower score for being a frontal chest film is refused."""
CLEARLY: Final = 0.95
"""What the score must be where the file's header says that it is something else."""
LIES_SO: Final = 0.5
"""Share of the score from which on a film counts as turned, or as inverted."""
LONGEST: Final = 2.5
"""Proportions beyond which a picture is a strip of a film, or several films in one."""
BLANK: Final = 8.0
"""Grey levels between the 1st and the 99th percentile, below which a picture shows nothing."""
LOW_CONTRAST: Final = 70.0
"""The same between the 5th and the 95th, below which the reader is warned."""
WHITE, BLACK = 0.5, 0.75
"""Shares of white and of black pixels from which on a picture is saturated."""
FAR: Final = 1.15
"""Distance from which on the reader is warned: clearly farther than 99 of 100 films of the model's own hospitals."""

LYING_VIEWS: Final = frozenset({"LLD", "RLD"})
"""Decubitus: the patient lies on the side, but is seen from the front (PS3.3 C.8.11.5)."""

TEXT: Final = "There is text in the picture; it may name the patient."
SENTENCES: Final = {
    "lateral": "This looks like a lateral film; only frontal chest films (PA, AP) get a verdict.",
    "other_body_part": "This looks like a film of another part of the body, not like a chest film.",
    "slice": "This looks like a CT, MR or ultrasound image, not like a chest film.",
    "not_a_film": "This looks like a photograph, a document or a screenshot, not like a chest film.",
    "cropped": "This looks like a small part of a film; a verdict needs the whole chest.",
    "unknown": "This does not look like a frontal chest film.",
    "blank": "The picture is blank: almost all of it has one grey level.",
    "saturated": "The picture is saturated: so much of it is plain white or black that little can be seen.",
}


@dataclass(frozen=True)
class Scope:
    """What the scope check says of a film.

    Attributes:
        refusal: one sentence for the reader; None: a frontal chest film of usable quality.
        reason: the kind of refusal, for programs: "lateral", "other_body_part", "slice", "not_a_film", "blank",
            "saturated", "tiny", "cropped" or "unknown"; None without one.
        warnings: sentences for the reader.
        turn: what has to be done to see it upright, where it seems to be turned; the reader is offered it corrected.
        inverted: the grey scale is the wrong way round; the caller corrects it, says so, and asks again.
        in_scope: 0..1, how much it looks like a frontal chest film.
        distance: from the films that the model was trained on; 1 is as far as 99 of 100 of other such films lie.
    """

    refusal: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    turn: Turn | None = None
    inverted: bool = False
    in_scope: float = 1.0
    distance: float = 0.0


class ScopeModel:
    """The scope check of a bundle: its `scope.npz`.

    Args:
        arrays: of `cxr.training.scope_fit.fit_scope`, and `smallest_side`: int (), pixels that a film must have.

    Attributes:
        kinds: of pictures, in the order of `scores`.
        smallest_side: as given.
        farthest: distance beyond which an upright picture is refused, whatever it looks like.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = dict(arrays)
        self.kinds: tuple[str, ...] = tuple(map(str, self._arrays["kinds"]))
        self.smallest_side = int(self._arrays["smallest_side"])
        self.farthest = float(self._arrays["farthest"])
        self._inside = np.array([kind in IN_SCOPE for kind in self.kinds])
        sizes = {name: self._arrays[name].shape for name in ("mean", "scale", "weights", "bias")}
        width, count = sizes["mean"][0], len(self.kinds)
        if sizes != {"mean": (width,), "scale": (width,), "weights": (width, count), "bias": (count,)}:
            raise ValueError(f"The arrays of the scope check do not go together: {sizes}.")
        if unknown := set(self.kinds) - {*IN_SCOPE, *SENTENCES}:
            raise ValueError(f"The scope check tells kinds of pictures that nobody knows: {sorted(unknown)}.")
        if FRONTAL not in self.kinds or self._inside.all():
            raise ValueError("The scope check does not tell frontal films from anything else.")
        if not all(np.isfinite(array).all() for array in self._arrays.values() if array.dtype.kind == "f"):
            raise ValueError("The scope check holds numbers that are not finite.")

    @classmethod
    def load(cls, file: Path, features: int) -> Self:
        """Read a `scope.npz` for a serving graph that gives so many features.

        Raises:
            OSError, KeyError, ValueError: it can't be read, or goes with another graph.
        """
        with np.load(file, allow_pickle=False) as stored:
            model = cls({name: stored[name] for name in stored.files})
        if features != 2 * model._arrays["channels"].sum():
            raise ValueError(f"The scope check is not made for {features} features.")
        return model

    def scores(self, features: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        """float64 (n, kinds), rows that sum to 1: how much pictures look like each kind, of `self.kinds`.

        Args:
            features: float32 (n, d).
            pictures: float32 (n, 264), each of `cxr.radiograph.scope_vector.picture`.
        """
        own = self._arrays
        vectors = (prepared(features, pictures, own["channels"]) - own["mean"]) / own["scale"]
        logits = (np.clip(vectors, -CLIP, CLIP) @ own["weights"] + own["bias"]).astype(np.float64)
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """float64 (n,), as `Scope.distance`."""
        return distance(spread(features, self._arrays["channels"]), self._arrays) / float(self._arrays["near_unit"])

    def check(self, film: Radiograph, features: np.ndarray, square: np.ndarray) -> Scope:
        """Look at one film.

        Args:
            film: as it was read.
            features: float32 (d,), of the serving graph (`Prediction.features`).
            square: float32 (size, size) in 0..255, what the model saw.
        """
        scores = self.scores(features[None], picture(square)[None])[0]
        far = float(self.distances(features[None])[0])
        scope = self.judge(film.facts, sample(square), scores, far)
        if scope.refusal is None and burned_text(film.grey):
            return replace(scope, warnings=(*scope.warnings, TEXT))
        return scope

    def judge(self, facts: Facts, grey: np.ndarray, scores: np.ndarray, far: float) -> Scope:
        """The same without looking for text.

        Args:
            facts: of the film.
            grey: of `sample`.
            scores: (kinds,), a row of `scores`.
            far: of `distances`.
        """
        inside = float(scores[self._inside].sum())
        reason, sentence = self._refusal(facts, grey, scores, inside)
        if reason is not None:
            return Scope(sentence, reason, in_scope=inside, distance=far)
        lies = self._lies(scores / inside)
        if lies == FRONTAL and far > self.farthest:
            return Scope(SENTENCES["unknown"], "unknown", in_scope=inside, distance=far)
        turn = cast(Turn, lies) if lies in TURNS else None
        return Scope(None, None, _warnings(grey, far), turn, lies == INVERTED, inside, far)

    def _refusal(
        self, facts: Facts, grey: np.ndarray, scores: np.ndarray, inside: float
    ) -> tuple[str | None, str | None]:
        """Kind and sentence of the refusal, or None twice."""
        height, width = facts.height, facts.width
        if min(height, width) < self.smallest_side:
            return "tiny", (
                f"The picture has {width} x {height} pixels; a film needs at least {self.smallest_side} on each side."
            )
        low, high = np.percentile(grey, (1, 99))
        if high - low < BLANK:
            return "blank", SENTENCES["blank"]
        if max(height, width) > LONGEST * min(height, width):
            return "cropped", f"The picture is a strip of {width} x {height} pixels, not a whole chest film."
        saturated = (grey >= BRIGHT).mean() > WHITE or (grey <= DARK).mean() > BLACK
        if inside < LIMIT:
            outside = np.where(self._inside, 0, scores)
            kind = self.kinds[int(outside.argmax())]
            if saturated and outside.max() < LIMIT:
                kind = "saturated"
            return kind, SENTENCES.get(kind, SENTENCES["unknown"])
        if saturated:
            return "saturated", SENTENCES["saturated"]
        return _contradicted(facts, inside)

    def _lies(self, scores: np.ndarray) -> str:
        """The kind of frontal film that it is, of scores (kinds,) that sum to 1 over these."""
        among = np.where(self._inside, scores, 0)
        best = int(among.argmax())
        return self.kinds[best] if among[best] >= LIES_SO else FRONTAL


def _contradicted(facts: Facts, inside: float) -> tuple[str | None, str | None]:
    """What the header says counts where the picture does not clearly say otherwise; a warning it is in any case."""
    if inside >= CLEARLY:
        return None, None
    # Headers hold more than the standard's words: "AP SUPINE", "PORTABLE CHEST".
    view, part = (set(re.findall("[A-Z]+", (text or "").upper())) for text in (facts.view, facts.body_part))
    if facts.body_part and not part & CHEST:
        return "other_body_part", f"The file says that it shows another part of the body: {facts.body_part.lower()}."
    if facts.view and not view & (FRONTAL_VIEWS | LYING_VIEWS):
        return (
            "lateral",
            f"The file says that its view is {facts.view.upper()}; only frontal films (PA, AP) get a verdict.",
        )
    return None, None


def sample(square: np.ndarray) -> np.ndarray:
    """Every third row and column: enough to know how the grey levels of a film are spread."""
    return square[::3, ::3]


def _warnings(grey: np.ndarray, far: float) -> tuple[str, ...]:
    found = []
    low, high = np.percentile(grey, (5, 95))
    if high - low < LOW_CONTRAST:
        found.append("The film has little contrast.")
    if far > FAR:
        found.append("The film is unlike those that the model was trained on; its verdict may be wrong more often.")
    return tuple(found)
