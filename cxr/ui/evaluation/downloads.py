"""The evaluation to take along: for programs, for reading, for printing."""

from collections.abc import Callable

import streamlit as st

from cxr.evaluation.report import Report
from cxr.evaluation.scored import ScoredFilms
from cxr.report.evaluation import document
from cxr.report.html import to_html
from cxr.report.pdf import to_pdf
from cxr.ui.downloads import lasting


def show_downloads(name: str, report: Report, films: ScoredFilms) -> None:
    """Three buttons; each file is made when it is asked for."""
    kinds: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        "json": ("application/json", lambda: report.model_dump_json(indent=1)),
        "html": ("text/html", lambda: to_html(document(report, films))),
        "pdf": ("application/pdf", lambda: to_pdf(document(report, films))),
    }
    with st.container(horizontal=True):
        for kind, (mime, make) in kinds.items():
            st.download_button(
                f"Report ({kind.upper()})",
                lasting(make, f"{name}-report.{kind}", mime),
                f"{name}-report.{kind}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"report-{kind}",
            )
