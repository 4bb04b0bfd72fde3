"""A study on paper (PDF, A4): the reader's words, what the model said, the films, and overlays if asked for.

No patient's name and no file name is in it: the study is named by its number, accession number and date, and its films
by their numbers within it.
"""

import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout
from PIL import Image

from cxr.findings import display_name
from cxr.model.heatmap import overlay, shrunk, upsample
from cxr.model.verdict import RESEARCH_NOTICE, Verdict
from cxr.report.draft import facts, findings, impression, moment, report_text, signature
from cxr.report.pdf import PLAIN
from cxr.settings import settings
from cxr.worklist.opinions import OpinionRow
from cxr.worklist.status import FilmState
from cxr.worklist.studies import FilmRow, StudyRow

TITLE: Final = "Chest radiograph, draft of a report"
LONGEST_SIDE: Final = 2400
"""Pixels of a printed film: on the page's 180 mm as fine as print gets (340 dots an inch)."""
OVERLAY_SIDE: Final = 1200
OPACITY: Final = 0.6
FILM_WIDTH, FILM_HEIGHT = 180, 225
"""Most that a film takes on its page, millimetres."""
OVERLAY_WIDTH: Final = 85
"""Millimetres; two stand beside each other."""
OVERLAY_HEIGHT: Final = 105
TABLE_HEIGHT: Final = 85
"""Millimetres that a film's table takes with its heading; it stays on one page."""
LOST: Final = "[?]"
ATTACHED: Final = "report.txt"
LETTERS_LOST: Final = (
    f"This page's typeface lacks some letters of the reader's words: accents are left off, and {LOST} stands for what "
    f"can't be printed at all. The words as they were written are attached to this file as {ATTACHED}."
)


@dataclass(frozen=True)
class ModelSaid:
    """What a model said of a study's films, and which model it was.

    Attributes:
        verdicts: id of a film -> its verdict, all at one operating point; of one film at least.
        name, sha256: of the bundle.
        calibrated: False: its scores are no probabilities (an imported model).
    """

    verdicts: Mapping[int, Verdict]
    name: str
    sha256: str
    calibrated: bool = True

    @property
    def deciding(self) -> int:
        """Id of the film with the highest abnormal probability, whose verdict is the study's."""
        return max(self.verdicts, key=lambda film: self.verdicts[film].abnormal_probability)

    def words(self, verdict: Verdict) -> str:
        """As in "abnormal: abnormal probability 0.812, threshold 0.500"."""
        score = "abnormal probability" if self.calibrated else "score for abnormal (not calibrated)"
        return f"{verdict.name}: {score} {verdict.abnormal_probability:.3f}, threshold {verdict.point.threshold:.3f}"


@dataclass(frozen=True, eq=False)
class PrintedFilm:
    """A film to print.

    Attributes:
        grey: uint8 (height, width), for display.
        overlays: finding -> its supporting map, float (h, w) in 0..1 as of `supporting_map`; each is printed over the
            film, and the bare film always is.
        map_shift: of the bundle's card; see `upsample`.
    """

    grey: np.ndarray
    overlays: Mapping[str, np.ndarray] = field(default_factory=dict)
    map_shift: tuple[float, float] = (0.0, 0.0)


def study_pdf(
    study: StudyRow, films: Mapping[int, PrintedFilm], reader: str, opinion: OpinionRow | None, model: ModelSaid | None
) -> bytes:
    """A study as PDF.

    Args:
        study: as it stands in the list; where its films stand, and who has read it, is said as it is there.
        films: id of a film -> the film, of those of the study's films that are printed.
        reader: who prints it.
        opinion: of the reader; None: he said nothing yet, which is then said.
        model: what it said; None: there is no verdict on any film, and why is then said.

    Returns:
        The file. Where the reader's words have letters that its typeface lacks, it says so on the first page, and holds
        them as an attachment.
    """
    pdf = _Paper(format="A4")
    pdf.study = study.id
    pdf.set_title(TITLE)
    pdf.set_auto_page_break(True, margin=20)
    pdf.add_page()
    pdf.heading(TITLE, 16)
    pdf.rows(facts(study))
    _reader_part(pdf, study, reader, opinion)
    _model_part(pdf, study, model)
    for film in study.films:
        if film.id in films:
            _film_pages(pdf, films[film.id], _title(study, film), _view(film))
    return bytes(pdf.output())


def printable(text: str) -> str:
    """Text in the letters of Latin-1, which are those of the fonts that every reader of PDF has.

    What they lack is replaced so that it shows: typographic signs by their plain forms, letters with accents by the
    letters without, and each run of anything else by `LOST`. What prints nothing (directions, controls) goes.
    """
    return re.sub("\0+", LOST, "".join(_in_latin(letter) for letter in _prepared(text)))


def _prepared(text: str) -> str:
    """Text without what prints nothing, and without typography."""
    whole = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\t", "    ")).translate(PLAIN)
    return "".join(letter for letter in whole if letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cf"))


def _in_latin(letter: str) -> str:
    """A letter, or several, of Latin-1 in its place; a zero where there is none."""
    if ord(letter) < 256:
        return letter
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return plain if plain and all(ord(part) < 256 for part in plain) else "\0"


class _Paper(FPDF):
    """A4 with the notice, and which study it is, at the foot of each page."""

    study = 0

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", "B", 8)
        self.cell(0, 4, RESEARCH_NOTICE, align="C", new_x="LMARGIN", new_y="NEXT")
        self.set_font("Helvetica", "", 8)
        self.cell(0, 4, f"{TITLE}. Study {self.study}. Page {self.page_no()} of {{nb}}", align="C")

    def heading(self, text: str, size: int = 12) -> None:
        self.set_font("Helvetica", "B", size)
        self.ln(2)
        self.multi_cell(0, 7, printable(text), align="L", new_x="LMARGIN", new_y="NEXT")

    def paragraph(self, text: str, style: str = "") -> None:
        self.set_font("Helvetica", style, 10)
        self.multi_cell(0, 5, printable(text), align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1)

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        for name, value in rows:
            self.set_font("Helvetica", "B", 10)
            self.cell(38, 5, printable(name))
            self.set_font("Helvetica", "", 10)
            self.multi_cell(0, 5, printable(value), align="L", new_x="LMARGIN", new_y="NEXT")


def _title(study: StudyRow, film: FilmRow) -> str:
    """A film by its number within the study."""
    if len(study.films) == 1:
        return "The film"
    return f"Film {study.films.index(film) + 1} of {len(study.films)}"


def _view(film: FilmRow) -> str:
    return f"{film.view} view" if film.view else "view not stated"


def _unsaid(study: StudyRow, reader: str) -> str:
    """What there is to say of a reading where this reader said nothing."""
    if study.read_by is None:
        return "Nobody has read this study yet."
    on = f" on {moment(study.read_at)}" if study.read_at is not None else ""
    if study.read_by == reader:
        return f"{reader} marked this study as read{on}, and said nothing of it."
    return f"{reader} has not said anything of this study; it was read by {study.read_by}{on}."


def _reader_part(pdf: _Paper, study: StudyRow, reader: str, opinion: OpinionRow | None) -> None:
    pdf.heading("What the reader says")
    if opinion is None:
        pdf.paragraph(_unsaid(study, reader))
        return
    view = opinion.view
    pdf.rows([*findings(view), ("Impression", impression(view))])
    if view.text.strip():
        pdf.ln(1)
        pdf.paragraph(view.text.strip())
    stage = "before" if view.stage == "blind" else "after"
    pdf.paragraph(
        f"{signature(opinion.reader, opinion.written)} Written {stage} the model's verdict was shown.", style="I"
    )
    text = report_text(study, opinion)
    if printable(text) != _prepared(text):
        pdf.paragraph(LETTERS_LOST, style="B")
        pdf.embed_file(bytes=text.encode(), basename=ATTACHED, desc="The reader's words as they were written")


def _model_part(pdf: _Paper, study: StudyRow, model: ModelSaid | None) -> None:
    """The study as a whole, then film by film."""
    pdf.heading("What the model says")
    if model is None:
        pdf.paragraph(_no_verdict(study))
    pdf.rows([*(_of_study(study, model) if model is not None else ()), *_warnings(study)])
    pdf.ln(1)
    for film in study.films:
        verdict = None if model is None else model.verdicts.get(film.id)
        if model is None or verdict is None:
            pdf.paragraph(f"{_title(study, film)}, {_view(film)}: {_standing(film)}")
            continue
        if pdf.will_page_break(TABLE_HEIGHT):
            pdf.add_page()
        if len(study.films) > 1:
            pdf.paragraph(f"{_title(study, film)}, {_view(film)}: {model.words(verdict)}", style="B")
        _findings_table(pdf, verdict, model.calibrated)


def _no_verdict(study: StudyRow) -> str:
    states = {film.state for film in study.films}
    if states == {FilmState.REFUSED}:
        return "No film of this study could be analysed."
    if states & {FilmState.QUEUED, FilmState.SCORING}:
        return "This study waits for its score."
    return "There is no verdict on this study."


def _standing(film: FilmRow) -> str:
    """Of a film without a verdict."""
    if film.state == FilmState.REFUSED:
        return f"could not be analysed. {film.reason or ''}".rstrip()
    if film.state == FilmState.SCORED:
        return "there is no verdict of this study's model on it."
    return "waits for its score."


def _of_study(study: StudyRow, model: ModelSaid) -> list[tuple[str, str]]:
    """The study's verdict, critical findings, and which model says so, as names and values."""
    verdict = model.verdicts[model.deciding]
    words = model.words(verdict)
    if len(study.films) > 1:
        number = next(number for number, film in enumerate(study.films, 1) if film.id == model.deciding)
        words += f"; that of film {number}, the highest"
    rows = [("Verdict", words)]
    if study.critical:
        names = ", ".join(display_name(name).lower() for name in study.critical)
        rows.append(("Critical", f"{names}, at the {settings().critical_point} point"))
    return [*rows, ("Operating point", verdict.point.name), ("Model", f"{model.name}, SHA-256 {model.sha256}")]


def _warnings(study: StudyRow) -> list[tuple[str, str]]:
    """Of all films, each sentence once, with the numbers of its films where there are several."""
    numbers: dict[str, list[str]] = {}
    for number, film in enumerate(study.films, 1):
        for warning in dict.fromkeys(film.warnings):
            numbers.setdefault(warning, []).append(f"film {number}")
    several = len(study.films) > 1
    return [
        ("Warning", f"{', '.join(which).capitalize()}: {warning}" if several else warning)
        for warning, which in numbers.items()
    ]


def _findings_table(pdf: _Paper, verdict: Verdict, calibrated: bool) -> None:
    header = ("Finding", "Probability" if calibrated else "Score", "Threshold", "Flag")
    rows = [
        (display_name(f.name), f"{f.probability:.3f}", f"{f.threshold:.3f}", "flagged" if f.flagged else "")
        for f in (*verdict.findings, *verdict.extra)
    ]
    rows += [(display_name(name), "not in this model", "", "") for name in verdict.absent]
    pdf.set_font("Helvetica", "", 8)
    with pdf.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD"),
        text_align=("LEFT", "RIGHT", "RIGHT", "LEFT"),
        col_widths=(3, 2, 2, 2),
        line_height=4.5,
    ) as table:
        for cells in (header, *rows):
            row = table.row()
            for cell in cells:
                row.cell(printable(cell))
    pdf.ln(2)


def _film_pages(pdf: _Paper, film: PrintedFilm, title: str, view: str) -> None:
    """The bare film on a page of its own, then its overlays, each beside no other claim than which finding it is of."""
    height, width = film.grey.shape
    pdf.add_page()
    pdf.heading(f"{title}: {view}, {width} x {height} pixels")
    scale = min(FILM_WIDTH / width, FILM_HEIGHT / height)
    small = Image.fromarray(shrunk(film.grey, LONGEST_SIDE))
    place = (pdf.w - width * scale) / 2
    _picture(pdf, small, place, pdf.get_y() + 1, width * scale, f"{title}, as it is displayed")
    if not film.overlays:
        return
    pdf.add_page()
    pdf.heading(f"{title}: what speaks for a finding, by the model")
    pdf.paragraph("Amber to red, the redder the more. An overlay shows what moved the score, not that it is right.")
    grey = shrunk(film.grey, OVERLAY_SIDE)
    scale = min(OVERLAY_WIDTH / width, OVERLAY_HEIGHT / height)
    for place, (finding, grid) in enumerate(film.overlays.items()):
        column = place % 2
        if not column and pdf.will_page_break(height * scale + 8):
            pdf.add_page()
        top = pdf.get_y()
        heat = upsample(grid, grey.shape[0], grey.shape[1], film.map_shift)
        left = pdf.l_margin + column * (OVERLAY_WIDTH + 10)
        pdf.set_xy(left, top)
        pdf.set_font("Helvetica", "B", 9)
        pdf.cell(OVERLAY_WIDTH, 5, printable(display_name(finding)))
        _picture(pdf, overlay(grey, heat, OPACITY), left, top + 6, width * scale, f"Overlay of {display_name(finding)}")
        last = place == len(film.overlays) - 1
        pdf.set_xy(pdf.l_margin, top + height * scale + 10 if column or last else top)


def _picture(pdf: _Paper, image: Image.Image, x: float, y: float, width: float, alt: str) -> None:
    # fpdf2 keeps a JPEG as it is; the lossless form would be ten times as large.
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    pdf.image(file, x=x, y=y, w=width, alt_text=printable(alt))
