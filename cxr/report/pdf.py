"""A document as PDF (A4), set by fpdf2 with the fonts that every reader of PDF has."""

import io
from typing import Final

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

from cxr.report.blocks import Document, Heading, Paragraph, Points, Table, title_of

SIZES: Final = {1: 18, 2: 13, 3: 11}
PICTURE_WIDTH: Final = 85
"""Millimetres; two stand beside each other."""
PLAIN: Final = str.maketrans({"“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "’": "'", "≥": ">="})


def to_pdf(document: Document) -> bytes:
    """The document as PDF."""
    pdf = FPDF(format="A4")
    pdf.set_title(title_of(document))
    pdf.set_auto_page_break(True, margin=15)
    pdf.add_page()
    column = 0
    for block in document:
        if isinstance(block, Heading | Paragraph | Points | Table):
            if column:
                pdf.ln(PICTURE_WIDTH)
            column = 0
        if isinstance(block, Heading):
            pdf.set_font("Helvetica", "B", SIZES[block.level])
            pdf.ln(2)
            pdf.multi_cell(0, 8, _plain(block.text), new_x="LMARGIN", new_y="NEXT")
        elif isinstance(block, Paragraph):
            pdf.set_font("Helvetica", "", 9)
            pdf.multi_cell(0, 4.6, _plain(block.text), new_x="LMARGIN", new_y="NEXT")
            pdf.ln(1)
        elif isinstance(block, Points):
            pdf.set_font("Helvetica", "", 9)
            for text in block.texts:
                pdf.multi_cell(0, 4.6, f"- {_plain(text)}", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(1)
        elif isinstance(block, Table):
            _table(pdf, block)
        else:
            if not column and pdf.will_page_break(PICTURE_WIDTH):
                pdf.add_page()
            pdf.image(
                io.BytesIO(block.svg.encode()), x=pdf.l_margin + column * (PICTURE_WIDTH + 5), y=pdf.get_y(),
                w=PICTURE_WIDTH, alt_text=_plain(block.alt),
            )  # fmt: skip
            column += 1
            if column == 2:
                pdf.ln(PICTURE_WIDTH)
                column = 0
    return bytes(pdf.output())


def _table(pdf: FPDF, block: Table) -> None:
    pdf.set_font("Helvetica", "", 7)
    widths = (2.2, *([1.6] * (len(block.header) - 1)))
    with pdf.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD"),
        text_align=("LEFT", *(["LEFT" if block.prose else "RIGHT"] * (len(block.header) - 1))),
        col_widths=widths,
        line_height=4,
    ) as table:
        for cells in (block.header, *block.rows):
            row = table.row()
            for cell in cells:
                row.cell(_plain(cell))
    pdf.ln(2)


def _plain(text: str) -> str:
    """Text in the letters that these fonts have."""
    return text.translate(PLAIN).encode("latin-1", "replace").decode("latin-1")
