"""A study on paper, read back from the bytes of the PDF, and what of it the reading view lets a reader have."""

import hashlib
import io
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reported_study import AT, film_row, opinion_row, study_row
from streamlit.testing.v1 import AppTest

from cxr.findings import CATEGORIES, NO_FINDING_INDEX
from cxr.model.bundle import Bundle, bundle_path, load_bundle
from cxr.model.card import Card
from cxr.model.engine import Prediction
from cxr.model.verdict import RESEARCH_NOTICE, decide
from cxr.report.draft import report_text
from cxr.report.study_report import ModelSaid, PrintedFilm, printable, study_pdf
from cxr.settings import settings
from cxr.ui.worklist import paper
from cxr.ui.worklist.said import FilmSaid, StudySaid
from cxr.worklist.database import Database, database
from cxr.worklist.film_folder import FilmFolder, film_folder
from cxr.worklist.opinions import OpinionRow, View
from cxr.worklist.status import FilmState
from cxr.worklist.studies import ResultRow

TEXT = "Blunted left angle."
SHA256 = "0123456789abcdef" * 4


def opinion(text: str = TEXT, reader: str = "Dr Ada") -> OpinionRow:
    findings = {"Effusion": "present", "Pneumothorax": "absent"}
    return opinion_row(View("informed", abnormal="yes", findings=findings, text=text), reader)  # type: ignore[arg-type]


def probabilities(no_finding: float, **others: float) -> np.ndarray:
    found = np.linspace(0.02, 0.3, 15)
    found[NO_FINDING_INDEX] = no_finding
    for name, value in others.items():
        found[CATEGORIES.index(name)] = value
    return found


def alone(model: ModelSaid) -> ModelSaid:
    return replace(model, verdicts={1: model.verdicts[1]})


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(bundle_path("default"))


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> ModelSaid:
    point = bundle.card.operating_point("balanced")
    return ModelSaid({1: decide(probabilities(0.1), point), 2: decide(probabilities(0.25), point)}, "default", SHA256)


@pytest.fixture(scope="module")
def film() -> PrintedFilm:
    grey = np.random.default_rng(0).integers(0, 256, (300, 240)).astype(np.uint8)
    return PrintedFilm(grey, {"Effusion": np.eye(4, dtype=np.float32), "Mass": np.ones((4, 4), np.float32)})


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
    pdf = study_pdf(study_row("PA"), {1: film}, "Dr Ada", opinion(), alone(model))
    first, *others = pages(pdf)
    for words in (
        "Study 12", "A-17", "2026-03-01", "Present effusion.", "Absent pneumothorax.", "Impression Effusion.", TEXT,
        "Read by Dr Ada, 2026-03-02 09:30 UTC", "after the model's verdict was shown",
        "abnormal: abnormal probability 0.900", "Operating point balanced", f"default, SHA-256 {SHA256}",
        "Hernia 0.300",
    ):  # fmt: skip
        assert words in first, words
    assert "PA view, 240 x 300 pixels" in others[0]
    assert ("Effusion" in others[1], "Mass" in others[1]) == (True, True)


def test_each_page_says_what_this_is_and_none_whose_it_is(model: ModelSaid, film: PrintedFilm) -> None:
    pdf = study_pdf(study_row("PA", "AP", accession=None), {1: film, 2: film}, "Dr Ada", opinion(), model)
    found = pages(pdf)
    assert len(found) == 5
    for number, page in enumerate(found, 1):
        assert RESEARCH_NOTICE in page
        assert f"Study 12. Page {number} of 5" in page.replace("  ", " ")
    for stream in (pdf, *unpacked(pdf)):
        assert not [word for word in (b"DOE", b"JANE", b"4711") if word in stream]


def test_film_is_printed_as_fine_as_it_is_and_overlays_over_it() -> None:
    grey = np.zeros((500, 400), np.uint8)
    grey[100:300, 100:300] = 200
    heat = np.zeros((5, 4), np.float32)
    heat[4, 0] = 1
    films = {1: PrintedFilm(grey, {"Mass": heat})}
    plain, over = pictures(study_pdf(study_row("PA"), films, "Ben", None, None))
    assert (plain.mode, plain.size) == ("L", (400, 500))
    assert np.abs(np.asarray(plain, float) - grey).mean() < 2
    red, green, blue = np.moveaxis(np.asarray(over, float), -1, 0)
    # The lower left corner is coloured, the rest is the film.
    assert red[-20:, :20].mean() > 100 > blue[-20:, :20].mean() + 50
    assert np.abs(red - green)[:300, 200:].mean() < 3


def test_large_films_are_bounded_and_keep_their_proportions() -> None:
    films = {1: PrintedFilm(np.zeros((3000, 1000), np.uint8))}
    (picture,) = pictures(study_pdf(study_row("PA"), films, "Ben", None, None))
    assert picture.size == (800, 2400)


@pytest.mark.parametrize(
    ("read_by", "said"),
    [
        (None, "Nobody has read this study yet."),
        ("Anna", "Ben has not said anything of this study; it was read by Anna on 2026-03-02 09:30 UTC."),
        ("Ben", "Ben marked this study as read on 2026-03-02 09:30 UTC, and said nothing of it."),
    ],
)
def test_who_has_read_it_where_this_reader_said_nothing(read_by: str | None, said: str) -> None:
    study = study_row("PA", read_by=read_by, read_at=None if read_by is None else AT)
    first = pages(study_pdf(study, {}, "Ben", None, None))[0]
    assert said in first
    assert "Draft, not signed" not in first
    assert ("Nobody" in first) == (read_by is None)


NO_PIXELS = {"state": FilmState.REFUSED, "reason": "It has no pixels."}
ANALYSED = "could be analysed"


@pytest.mark.parametrize(
    ("films", "said", "unsaid"),
    [
        (({"state": FilmState.QUEUED},), ("This study waits for its score.", "PA view: waits"), ANALYSED),
        ((NO_PIXELS,), (f"No film of this study {ANALYSED}.", "could not be analysed. It has no pixels."), "waits"),
        (
            (NO_PIXELS, {"state": FilmState.SCORING}),
            ("This study waits", "Film 1 of 2, PA view: could not be analysed. It has", "Film 2 of 2, PA view: waits"),
            ANALYSED,
        ),
        (({},), ("There is no verdict on this study.", "no verdict of this study's model"), ANALYSED),
    ],
)
def test_why_there_is_no_verdict_is_as_the_films_stand(
    films: tuple[dict[str, object], ...], said: tuple[str, ...], unsaid: str
) -> None:
    rows = tuple(film_row(number=number, **changed) for number, changed in enumerate(films, 1))
    study = study_row(films=rows, verdict=None, abnormal=None, model=None)
    first = pages(study_pdf(study, {}, "Ben", None, None))[0]
    assert not [words for words in said if words not in first]
    assert unsaid not in first


def test_each_film_has_its_verdict_and_table_and_the_study_the_highest(model: ModelSaid, film: PrintedFilm) -> None:
    grainy, turned = ("Grainy.",), ("Turned.", "Grainy.")
    films = (
        film_row("LATERAL", 2, warnings=grainy), film_row("PA", 1, warnings=turned),
        film_row(None, 3, state=FilmState.QUEUED),
    )  # fmt: skip
    study = study_row(films=films, critical=("Effusion",))
    text = " ".join(pages(study_pdf(study, {1: replace(film, overlays={})}, "Dr Ada", opinion(), model)))
    for words in (
        "Verdict abnormal: abnormal probability 0.900, threshold",
        "; that of film 2, the highest",
        f"Critical effusion, at the {settings().critical_point} point",
        "Warning Film 1, film 2: Grainy.",
        "Warning Film 2: Turned.",
        f"Film 1 of 3, LATERAL view: {model.words(model.verdicts[2])}",
        "Film 2 of 3, PA view: abnormal: abnormal probability 0.900",
        "Film 3 of 3, view not stated: waits for its score.",
        "Film 2 of 3: PA view, 240 x 300 pixels",
    ):
        assert words in text, words
    assert text.count("Hernia 0.300") == 2
    assert text.index("Turned.") < text.index("Film 1 of 3")


def test_imported_model_gives_scores_and_says_what_it_lacks(bundle: Bundle) -> None:
    card: Card = bundle.card
    point = card.operating_point("balanced")
    fewer = point.model_copy(update={"findings": {k: v for k, v in point.findings.items() if k != "Hernia"}})
    said = ModelSaid({1: decide(np.full(15, 0.3), fewer)}, "xrv", SHA256, calibrated=False)
    first = pages(study_pdf(study_row("PA"), {}, "Ben", None, said))[0]
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
    pdf = study_pdf(study, {}, given.reader, given, alone(model))
    assert "lacks some letters" in " ".join(pages(pdf))
    assert report_text(study, given).encode() in unpacked(pdf)


def test_latin_text_brings_no_attachment(model: ModelSaid) -> None:
    given = replace(opinion(), view=View("blind", abnormal="no", text="Größe “normal”\twie vorher…\r\nfertig"))
    pdf = study_pdf(study_row("PA"), {}, given.reader, given, alone(model))
    assert "lacks some letters" not in pages(pdf)[0]
    assert b"/EmbeddedFile" not in pdf
    assert "before the model's verdict was shown" in pages(pdf)[0]


@pytest.fixture
def db(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    settings.cache_clear()
    return database()


def png(level: int) -> bytes:
    file = io.BytesIO()
    grey = np.random.default_rng(level).integers(0, 256, (96, 80)).astype(np.uint8)
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def stored(bundle: Bundle, films: FilmFolder, number: int, found: np.ndarray, supported: str) -> FilmSaid:
    """A film in the folder, with a map in which something speaks for one finding only."""
    sha256 = hashlib.sha256(data := png(number)).hexdigest()
    maps = np.full((4, 4, 15), -1, np.float32)
    maps[1, 2, CATEGORIES.index(supported)] = 1
    zeros = np.zeros(15, np.float32)
    films.put(sha256, data)
    films.put_result(sha256, SHA256, Prediction(zeros, found, maps, zeros, np.zeros((8, 8), np.float32)), (0.0, 0.0))
    result = ResultRow(SHA256, "default", CATEGORIES, found.astype(np.float32), AT, 40.0)
    row = film_row(None, number, sha256=sha256)
    return FilmSaid(row, result, decide(found, bundle.card.operating_point("balanced")))


@pytest.fixture
def said(bundle: Bundle, db: Database) -> StudySaid:
    """Of two films; on the second, which is the less abnormal, a mass is flagged that the first has nothing of."""
    given = (
        stored(bundle, film_folder(), 1, probabilities(0.05, Effusion=0.9, Mass=0.0), "Effusion"),
        stored(bundle, film_folder(), 2, probabilities(0.3, Effusion=0.0, Mass=0.8), "Mass"),
    )
    return StudySaid(SHA256, "default", bundle, given)


def test_overlays_are_of_what_is_flagged_on_any_film_and_on_the_films_that_support_them(
    db: Database, said: StudySaid
) -> None:
    study = study_row(films=tuple(given.film for given in said.films))
    assert paper._flagged(said)[:2] == ["Effusion", "Mass"]
    pdf = paper._pdf(db, film_folder(), study, said, "Ben", ["Effusion", "Mass"])
    maps = [page for page in pages(pdf) if "what speaks for" in page]
    assert [("Effusion" in page, "Mass" in page) for page in maps] == [(True, False), (False, True)]
    assert len(pictures(pdf)) == 4


def test_record_names_films_by_number_and_content_never_by_file(db: Database, said: StudySaid) -> None:
    refused = film_row(number=3, state=FilmState.REFUSED, reason="It has no pixels.", sha256="3" * 64)
    waits = film_row(number=4, state=FilmState.QUEUED, sha256="4" * 64)
    study = study_row(films=(refused, *(given.film for given in said.films), waits))
    text = paper._json(db, study, said, "Ben")
    assert "DOE" not in text
    films = json.loads(text)["films"]
    assert [(film["file"], film["status"], film["sha256"]) for film in films] == [
        ("film 1", "refused", "3" * 64),
        ("film 2", "ok", said.films[0].film.sha256),
        ("film 3", "ok", said.films[1].film.sha256),
        ("film 4", "waiting", "4" * 64),
    ]
    assert films[2]["findings"]["Mass"] == {"probability": 0.8, "flagged": True}


def shown(*given: object, stage: str) -> AppTest:
    def page(show, given, stage):  # type: ignore[no-untyped-def]  # Only its source is taken, without what is imported.
        show(*given, stage=stage)

    app = AppTest.from_function(page, args=(paper.show_paper, given, stage)).run()
    assert not app.exception
    return app


@pytest.mark.parametrize("given", [None, opinion_row(View("blind", abnormal="yes"))])
def test_blind_reading_offers_the_draft_alone(db: Database, given: OpinionRow | None) -> None:
    study = study_row("PA")
    blind = shown(db, film_folder(), study, None, given, "Ben", stage="blind")
    assert blind.code[0].value == report_text(study, given).strip()
    assert not blind.get("download_button")
    assert not blind.multiselect
    informed = shown(db, film_folder(), study, None, given, "Ben", stage="informed")
    assert [button.proto.label for button in informed.get("download_button")] == ["Study (PDF)", "Result (JSON)"]
