"""A document as Markdown (CommonMark with tables), without its pictures."""

import re

from cxr.report.blocks import Block, Document, Heading, Paragraph, Picture, Points, Table


def to_markdown(document: Document) -> str:
    """The document as Markdown; its words for a picture stand in place of the picture."""
    return "\n\n".join(_block(block) for block in document) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {_plain(block.text)}"
    if isinstance(block, Paragraph):
        return _plain(block.text)
    if isinstance(block, Points):
        return "\n".join(f"- {_plain(text)}" for text in block.texts)
    if isinstance(block, Picture):
        return f"({_plain(block.alt)}.)"
    return _table(block)


def _table(table: Table) -> str:
    aligned = "---" if table.prose else "---:"
    rows = [table.header, ("---", *[aligned] * (len(table.header) - 1)), *table.rows]
    return "\n".join("| " + " | ".join(cell if row is rows[1] else _plain(cell) for cell in row) + " |" for row in rows)


def _plain(text: str) -> str:
    """Text as it is inside Markdown: a source may be called `a|b`, and `by_view` is no emphasis."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)
