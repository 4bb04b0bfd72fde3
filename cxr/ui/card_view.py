"""The model card on its page: the blocks of `cxr.report.model_card` as Streamlit shows them."""

from typing import Final

import pandas as pd
import streamlit as st

from cxr.model.card import Card
from cxr.report.blocks import Block, Heading, Paragraph, Points, Table
from cxr.report.card_analyses import finding_thresholds
from cxr.report.csv_cells import harmless_table
from cxr.ui.figures import course_figure, course_table
from cxr.ui.words import plain, point_meaning

MISSING: Final = {"no": "red", "in part": "orange"}


def show_blocks(blocks: list[Block]) -> None:
    """Headings, text and tables of a document, in order; it has no pictures."""
    for block in blocks:
        if isinstance(block, Heading):
            st.subheader(plain(block.text), anchor=False)
        elif isinstance(block, Paragraph):
            st.markdown(plain(block.text))
        elif isinstance(block, Points):
            st.markdown("\n".join(f"- {plain(text)}" for text in block.texts))
        elif isinstance(block, Table):
            show_table(block)


def show_table(table: Table) -> None:
    """A table to sort, or one whose cells are wrapped where they are prose."""
    if table.prose:
        rows = [[_marked(cell) for cell in row] for row in table.rows]
        st.table(pd.DataFrame(rows, columns=list(table.header)), hide_index=True, border="horizontal")
    else:
        columns = zip(table.header, zip(*table.rows, strict=True), strict=True)
        shown = pd.DataFrame({name: _counted(cells) for name, cells in columns})
        st.dataframe(harmless_table(shown), hide_index=True, height="content")


def _marked(cell: str) -> str:
    """A cell as Markdown, in colour where it says that something is missing."""
    colour = MISSING.get(cell)
    return plain(cell) if colour is None else f":{colour}[{cell}]"


def _counted(cells: tuple[str, ...]) -> list[str] | list[int]:
    """Counts as numbers, so that a click on their column sorts them as such."""
    digits = [cell.replace(",", "") for cell in cells]
    return [int(cell) for cell in digits] if all(map(str.isdecimal, digits)) else list(cells)


def show_points(card: Card) -> None:
    """What each operating point did, in words."""
    if card.evaluation is not None:
        points = (f"**{point.name.capitalize()}**: {point_meaning(point, card)}" for point in card.operating_points)
        st.markdown("\n".join(f"- {text}" for text in points))


def show_finding_thresholds(card: Card) -> None:
    """What each finding's threshold did at an operating point that the reader chooses."""
    st.subheader("At an operating point", anchor=False)
    name = st.segmented_control(
        "Thresholds of", [p.name for p in card.operating_points], default="balanced", required=True, key="card-point"
    )
    show_table(finding_thresholds(card.operating_point(name)))


def show_training(card: Card) -> None:
    """The course of training, and everything that decided it."""
    if card.epochs:
        st.plotly_chart(course_figure(card), config={"displaylogo": False})
        with st.expander("The same as a table"):
            st.dataframe(course_table(card), hide_index=True, width="content")
    with st.expander("Configuration and versions"):
        st.json(card.training)
        st.json(card.versions)
