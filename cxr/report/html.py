"""A document as one HTML file that needs nothing else and prints well."""

from html import escape
from typing import Final

from cxr.report.blocks import Block, Document, Heading, Paragraph, Picture, Points, title_of

STYLE: Final = """
body { font: 14px/1.45 Helvetica, Arial, sans-serif; color: #1c2530 }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 1.8rem }
table { border-collapse: collapse; font-size: 12px; width: 100% }
th, td { border-bottom: 1px solid #d4dbe3; padding: 3px 6px; text-align: right }
th:first-child, td:first-child, .prose th, .prose td { text-align: left; vertical-align: top }
figure { display: inline-block; margin: 0 1rem 1rem 0 }
@media print { body { margin: 0; max-width: none } table, figure { break-inside: avoid } }
"""


def to_html(document: Document) -> str:
    """The document as HTML."""
    body = "\n".join(_block(block) for block in document)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title_of(document))}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in block.texts) + "</ul>"
    if isinstance(block, Picture):
        return f'<figure role="img" aria-label="{escape(block.alt)}">{block.svg}</figure>'
    head = "".join(f"<th>{escape(cell)}</th>" for cell in block.header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
    kind = ' class="prose"' if block.prose else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
