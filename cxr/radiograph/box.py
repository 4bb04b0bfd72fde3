"""Parts of an image."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A part of an image, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column right of it."""
        return self.left + self.width

    def times(self, scale: int) -> "Box":
        """The same part of the image enlarged."""
        return Box(scale * self.top, scale * self.left, scale * self.height, scale * self.width)


def merged(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Boxes, those that overlap as one, the uppermost first."""
    left_over = list(boxes)
    done: list[Box] = []
    while left_over:
        box = left_over.pop()
        other = next((o for o in left_over if overlap(o, box)), None)
        if other is None:
            done.append(box)
            continue
        left_over.remove(other)
        top, left = min(box.top, other.top), min(box.left, other.left)
        left_over.append(Box(top, left, max(box.bottom, other.bottom) - top, max(box.right, other.right) - left))
    return tuple(sorted(done, key=lambda box: (box.top, box.left)))


def overlap(one: Box, other: Box) -> bool:
    """Whether they have a pixel in common."""
    return one.top < other.bottom and other.top < one.bottom and one.left < other.right and other.left < one.right
