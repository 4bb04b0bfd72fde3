"""A printable document as a list of blocks, which `html` and `pdf` set in type each in its own way."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list with a dot before each text."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text below a header; the first column is set to the left, the others too where they are `prose`."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    prose: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing as SVG with the words for those who do not see it."""

    svg: str
    alt: str


Block = Heading | Paragraph | Points | Table | Picture
Document = Sequence[Block]


def title_of(document: Document) -> str:
    """The text of the document's heading of level 1. Raises `StopIteration` if it has none."""
    return next(block.text for block in document if isinstance(block, Heading) and block.level == 1)
