"""Documents as Markdown, read back."""

from cxr.report.blocks import Heading, Paragraph, Picture, Points, Table
from cxr.report.html import to_html
from cxr.report.markdown import to_markdown
from cxr.report.pdf import to_pdf

DOCUMENT = [
    Heading("Title", 1),
    Paragraph("A source called `a|b` and [one](more)."),
    Points(("first", "second *star*")),
    Table(("Group", "Films"), (("x|y", "3"), ("z", "12"))),
    Table(("Item", "Words"), (("1", "text"),), prose=True),
    Picture("<svg/>", "a curve"),
]


def test_each_block_has_its_markdown() -> None:
    assert to_markdown(DOCUMENT) == (
        "# Title\n\n"
        "A source called \\`a\\|b\\` and \\[one\\](more).\n\n"
        "- first\n- second \\*star\\*\n\n"
        "| Group | Films |\n| --- | ---: |\n| x\\|y | 3 |\n| z | 12 |\n\n"
        "| Item | Words |\n| --- | --- |\n| 1 | text |\n\n"
        "(a curve.)\n"
    )


def test_points_and_prose_are_set_in_html_and_pdf_too() -> None:
    html = to_html(DOCUMENT)
    assert "<ul><li>first</li><li>second *star*</li></ul>" in html
    assert '<table class="prose"><thead><tr><th>Item</th>' in html
    assert to_pdf(DOCUMENT[:-1]).startswith(b"%PDF")
