"""How a film is seen, against how its file holds it: turned, mirrored, with the grey scale the other way round."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self, get_args

import numpy as np

from cxr.radiograph.film import Facts, Radiograph
from cxr.radiograph.full_depth import FullDepth

Step = Literal["left", "right", "half", "mirror", "invert"]
"""What a reader can do to a film: a quarter turn to the left or right, half a turn, mirroring, white for black."""
AS_IT_IS: Final = "as it is"
INVERTED: Final = "inverted"
QUARTERS: Final[dict[str, int]] = {"left": 1, "half": 2, "right": 3}
WORDS: Final = tuple(
    " ".join(filter(None, (turn, mirror))) or AS_IT_IS for turn in ("", *QUARTERS) for mirror in ("", "mirror")
)
"""The eight ways in which a film can lie, as they are stored."""


@dataclass(frozen=True)
class Placement:
    """What is done to a film, in this order, before anybody sees it. Who said so is no part of what makes two equal.

    Attributes:
        quarters: quarter turns to the left (anticlockwise), 0..3.
        mirrored: left and right change places.
        inverted: dense becomes thin: black becomes white.
        lies_said: a person has said that the film is to be turned and mirrored so; else nobody has.
        grey_said: a person has said which way round the grey scale is; else it is left to the scope check.
    """

    quarters: int = 0
    mirrored: bool = False
    inverted: bool = False
    lies_said: bool = field(default=False, compare=False)
    grey_said: bool = field(default=False, compare=False)

    def then(self, step: Step) -> Self:
        """The same, and then the film as it is seen turned, mirrored or inverted once more, as a person says."""
        if step == "invert":
            return replace(self, inverted=not self.inverted, grey_said=True)
        if step == "mirror":
            return replace(self, mirrored=not self.mirrored, lies_said=True)
        # A turn of the mirrored film is the opposite turn before it is mirrored.
        quarters = -QUARTERS[step] if self.mirrored else QUARTERS[step]
        return replace(self, quarters=(self.quarters + quarters) % 4, lies_said=True)

    @property
    def words(self) -> str:
        """How the film lies, one of `WORDS`; the grey scale has no part in it."""
        turn = next((name for name, quarters in QUARTERS.items() if quarters == self.quarters), "")
        return " ".join(filter(None, (turn, "mirror" if self.mirrored else ""))) or AS_IT_IS

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done, for programs: of "left", "right", "half", "mirror" and "inverted"; empty: nothing."""
        lies = () if self.words == AS_IT_IS else tuple(self.words.split())
        return (*lies, *((INVERTED,) if self.inverted else ()))

    @property
    def sentence(self) -> str | None:
        """What was done to the film for the reader, the grey scale apart; None: nothing."""
        turned = (
            "",
            "turned a quarter turn to the left",
            "turned by half a turn",
            "turned a quarter turn to the right",
        )
        done = [*filter(None, (turned[self.quarters], "mirrored" if self.mirrored else ""))]
        return f"The film was {' and '.join(done)} before it was read." if done else None

    def film(self, film: Radiograph) -> Radiograph:
        """The film as it is to be seen; its facts are those of the picture that comes out."""
        pixels = self._laid(film.pixels)
        if self.inverted:
            pixels = 1 - pixels
        return replace(film, pixels=np.ascontiguousarray(pixels), facts=self._facts(film.facts))

    def depth(self, depth: FullDepth) -> FullDepth:
        """The same at full depth: its `picture` is the film of `film`, but that padding stays black."""
        if not self.steps:
            return depth
        placed = replace(depth, levels=np.ascontiguousarray(self._laid(depth.levels)), facts=self._facts(depth.facts))
        return _inverted(placed) if self.inverted else placed

    def _laid(self, pixels: np.ndarray) -> np.ndarray:
        turned = np.rot90(pixels, self.quarters)
        return turned[:, ::-1] if self.mirrored else turned

    def _facts(self, facts: Facts) -> Facts:
        if self.quarters % 2 == 0:
            return facts
        spacing = None if facts.pixel_spacing is None else (facts.pixel_spacing[1], facts.pixel_spacing[0])
        return replace(facts, width=facts.height, height=facts.width, pixel_spacing=spacing)


UNTOUCHED: Final = Placement()
"""The film as its file has it; nobody has said anything."""
AS_FILED: Final = Placement(lies_said=True, grey_said=True)
"""The same, because a person says that the file is right."""


def placement_of(words: str | None) -> Placement:
    """How a film lies, of stored `words`; None: nobody has said, so it is as its file has it.

    Raises:
        ValueError: the words are none of `WORDS`.
    """
    if words is None:
        return UNTOUCHED
    if words not in WORDS:
        raise ValueError(f"A film lies in one of these ways: {', '.join(WORDS)}; not {words!r}.")
    found = Placement(lies_said=True)
    for step in get_args(Step):
        if step in words.split():
            found = found.then(step)
    return found


def _inverted(depth: FullDepth) -> FullDepth:
    """White for black: levels run the other way between the same ends; padding stays at level 0."""
    seen = depth.levels[depth.levels > 0] if depth.padded else depth.levels
    ends = int(seen.min()) + int(seen.max())
    levels = (ends - depth.levels.astype(np.int32)).astype(np.uint16)
    if depth.padded:
        levels[depth.levels == 0] = 0
    first, last = depth.reach
    return replace(
        depth,
        levels=levels,
        low=ends - depth.high,
        high=ends - depth.low,
        curve=None if depth.curve is None else np.ascontiguousarray(1 - depth.curve[::-1]),
        reach=(1 - last, 1 - first),
        zero=depth.zero + depth.step * ends,
        step=-depth.step,
    )
