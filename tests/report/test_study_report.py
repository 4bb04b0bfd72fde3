"""A study on paper, read back from the bytes of the PDF."""

import io
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reported_study import AT, study_row

from cxr.findings import NO_FINDING_INDEX
from cxr.model.bundle import Bundle, bundle_path, load_bundle
from cxr.model.card import Card
from cxr.model.verdict import RESEARCH_NOTICE, decide
from cxr.report.draft import report_text
from cxr.report.study_report import ModelSaid, PrintedFilm, printable, study_pdf
from cxr.worklist.opinions import OpinionRow, View

TEXT = "Blunted left angle."
SHA256 = "0123456789abcdef" * 4


def opinion(text: str = TEXT, reader: str = "Dr Ada") -> OpinionRow:
    findings = {"Effusion": "present", "Pneumothorax": "absent"}
    return OpinionRow(7, 12, reader, AT, View("informed", abnormal="yes", findings=findings, text=text), None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(bundle_path("default"))


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> ModelSaid:
    probabilities = np.linspace(0.02, 0.3, 15)
    probabilities[NO_FINDING_INDEX] = 0.1
    return ModelSaid(decide(probabilities, bundle.card.operating_point("balanced")), "default", SHA256)


@pytest.fixture(scope="module")
def film() -> PrintedFilm:
    grey = np.random.default_rng(0).integers(0, 256, (300, 240)).astype(np.uint8)
    return PrintedFilm(grey, "PA", {"Effusion": np.eye(4, dtype=np.float32), "Mass": np.ones((4, 4), np.float32)})


def streams(pdf: bytes) -> list[bytes]:
    return [part.removesuffix(b"\n") for part in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)]


def unpacked(pdf: bytes) -> list[bytes]:
    found = []
    for stream in streams(pdf):
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            found.append(stream)
    return found


def pages(pdf: bytes) -> list[str]:
    """The text of each page, line by line."""
    texts = [re.findall(rb"\(((?:[^()\\]|\\.)*)\) Tj", stream) for stream in unpacked(pdf)]
    return [re.sub(r"\\(.)", r"\1", b" ".join(text).decode("latin-1")) for text in texts if text]


def pictures(pdf: bytes) -> list[Image.Image]:
    return [Image.open(io.BytesIO(stream)) for stream in streams(pdf) if stream.startswith(b"\xff\xd8\xff")]


def test_everything_that_belongs_on_paper_is_there(model: ModelSaid, film: PrintedFilm) -> None:
    pdf = study_pdf(study_row("PA"), [film], opinion(), model)
    first, *others = pages(pdf)
    for words in (
        "A-17", "2026-03-01", "Present effusion.", "Absent pneumothorax.", "Impression Effusion.", TEXT,
        "Read by Dr Ada, 2026-03-02 09:30 UTC", "after the model's verdict was shown",
        "abnormal: abnormal probability 0.900", "Operating point balanced", f"default, SHA-256 {SHA256}",
        "Hernia 0.300",
    ):  # fmt: skip
        assert words in first, words
    assert "PA view, 240 x 300 pixels" in others[0]
    assert ("Effusion" in others[1], "Mass" in others[1]) == (True, True)


def test_each_page_says_what_this_is_and_none_whose_it_is(model: ModelSaid, film: PrintedFilm) -> None:
    pdf = study_pdf(study_row("PA", "AP"), [film, film], opinion(), model)
    found = pages(pdf)
    assert len(found) == 5
    for number, page in enumerate(found, 1):
        assert RESEARCH_NOTICE in page
        assert f"Page {number} of 5" in page.replace("  ", " ")
    for stream in (pdf, *unpacked(pdf)):
        assert not [word for word in (b"DOE", b"JANE", b"4711") if word in stream]


def test_film_is_printed_as_fine_as_it_is_and_overlays_over_it() -> None:
    grey = np.zeros((500, 400), np.uint8)
    grey[100:300, 100:300] = 200
    heat = np.zeros((5, 4), np.float32)
    heat[4, 0] = 1
    plain, over = pictures(study_pdf(study_row("PA"), [PrintedFilm(grey, "PA", {"Mass": heat})], None, None))
    assert (plain.mode, plain.size) == ("L", (400, 500))
    assert np.abs(np.asarray(plain, float) - grey).mean() < 2
    red, green, blue = np.moveaxis(np.asarray(over, float), -1, 0)
    # The lower left corner is coloured, the rest is the film.
    assert red[-20:, :20].mean() > 100 > blue[-20:, :20].mean() + 50
    assert np.abs(red - green)[:300, 200:].mean() < 3


def test_large_films_are_bounded_and_keep_their_proportions() -> None:
    (picture,) = pictures(study_pdf(study_row("PA"), [PrintedFilm(np.zeros((3000, 1000), np.uint8))], None, None))
    assert picture.size == (800, 2400)


def test_what_there_is_not_is_said(film: PrintedFilm) -> None:
    first = pages(study_pdf(study_row(), [], None, None))[0]
    assert "Nobody has read this study yet." in first
    assert "No film of this study could be analysed." in first


def test_imported_model_gives_scores_and_says_what_it_lacks(bundle: Bundle) -> None:
    card: Card = bundle.card
    point = card.operating_point("balanced")
    fewer = point.model_copy(update={"findings": {k: v for k, v in point.findings.items() if k != "Hernia"}})
    said = ModelSaid(decide(np.full(15, 0.3), fewer), "xrv", SHA256, calibrated=False)
    first = pages(study_pdf(study_row("PA"), [], None, said))[0]
    assert "score for abnormal" in first
    assert "Hernia not in this model" in first
    assert "robability" not in first


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Größe 5 µm, “left” – ok…", 'Größe 5 µm, "left" - ok...'),
        ("Łukasz Čapek, ﬁne, ½", "[?]ukasz Capek, fine, ½"),
        ("心影增大 and πνεύμων", "[?] and [?]"),
        ("a\u200bb\u202ec\x07d\te", "abcd    e"),
        ("e\u0301", "é"),
        ("ok 🫁🫁 ok", "ok [?] ok"),
        ("one\r\ntwo", "one\ntwo"),
    ],
)
def test_printable(text: str, printed: str) -> None:
    assert printable(text) == printed


@pytest.mark.parametrize(
    "text", ["心影增大", "Łukasz 🫁 \ud7ff\ufffd", "\u0645\u0631\u062d\u0628\u0627" * 300, "x" * 20_000]
)
def test_any_text_is_printed_and_none_is_lost(text: str, model: ModelSaid) -> None:
    study, given = study_row("PA"), opinion(text, "Dr Ądamska")
    pdf = study_pdf(study, [], given, model)
    assert "lacks some letters" in " ".join(pages(pdf))
    assert report_text(study, given.view, given.reader, given.written).encode() in unpacked(pdf)


def test_latin_text_brings_no_attachment(model: ModelSaid) -> None:
    given = replace(opinion(), view=View("blind", abnormal="no", text="Größe “normal”\twie vorher…\r\nfertig"))
    pdf = study_pdf(study_row("PA"), [], given, model)
    assert "lacks some letters" not in pages(pdf)[0]
    assert b"/EmbeddedFile" not in pdf
    assert "before the model's verdict was shown" in pages(pdf)[0]
