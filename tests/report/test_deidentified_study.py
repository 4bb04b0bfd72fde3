"""Studies of de-identified films: what leaves, what is held back, and what the trail has of it."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from filled_worklist import add_study
from marked_films import KEY, LEAK, UID, film, leaks, pixels, written
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
)
from streamlit.testing.v1 import AppTest

from cxr.cli import main
from cxr.report import deidentify
from cxr.report.deidentify import copies_of, copy_of, new_key, zipped
from cxr.settings import settings
from cxr.turns import reading_line
from cxr.worklist.audit import last_lines
from cxr.worklist.database import database
from cxr.worklist.film_folder import film_folder
from cxr.worklist.studies import study


def stamped(made: Dataset | None = None) -> tuple[Dataset, tuple[slice, slice]]:
    """A film with a name in its pixels, and where."""
    made = film() if made is None else made
    grey = Image.linear_gradient("L").resize((500, 400)).point(lambda level: 40 + level // 2)
    ImageDraw.Draw(grey).text((20, 30), "SMITH^JOHN 1956", fill=255, font=ImageFont.load_default(24))
    made.Rows, made.Columns = 400, 500
    made.PixelData = (np.asarray(grey, np.uint16) * 16).tobytes()
    return made, (slice(30, 54), slice(20, 220))


def test_text_in_the_pixels_holds_a_film_back():
    made, where = stamped()
    data = written(made)
    copy = copy_of(data, "film-1", KEY)
    assert copy.data is None
    assert copy.blocked is not None
    assert "Text is seen" in copy.blocked
    black = copy_of(data, "film-1", KEY, black_out=True)
    assert black.data is not None
    assert black.name == "film-1.dcm"
    read = dcmread(io.BytesIO(black.data))
    assert read.BurnedInAnnotation == "NO"
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert [item.CodeValue for item in read.DeidentificationMethodCodeSequence] == ["113100", "113101"]
    assert read.ImageType[0] == "DERIVED"
    values = read.pixel_array
    assert len(np.unique(values[where])) == 1
    assert (read.SmallestImagePixelValue, read.LargestImagePixelValue) == (values.min(), values.max())
    outside = np.ones(values.shape, bool)
    for box in black.blanked:
        outside[box.top : box.bottom, box.left : box.right] = False
    assert outside.mean() > 0.9
    assert np.array_equal(values[outside], made.pixel_array[outside])


@pytest.mark.parametrize(("said", "word"), [("YES", "says that text"), ("LEAK", "says that text")])
def test_a_file_that_says_there_is_text_holds_a_film_back(said: str, word: str):
    made = film()
    made.BurnedInAnnotation = said
    for black_out in (False, True):
        copy = copy_of(written(made), "film-1", KEY, black_out)
        assert copy.data is None
        assert word in str(copy.blocked)


def test_a_file_that_does_not_say_is_not_taken_for_no():
    made = film()
    del made.BurnedInAnnotation
    copy = copy_of(written(made), "film-1", KEY)
    assert copy.data is not None
    assert "does not say" in str(copy.note)
    assert "BurnedInAnnotation" not in dcmread(io.BytesIO(copy.data))
    made.RecognizableVisualFeatures = "YES"
    assert copy_of(written(made), "film-1", KEY).data is None


def test_text_in_a_picture_is_made_black_too():
    grey = Image.linear_gradient("L").resize((500, 400)).point(lambda level: 40 + level // 2)
    ImageDraw.Draw(grey).text((20, 30), "SMITH^JOHN 1956", fill=255, font=ImageFont.load_default(24))
    stream = io.BytesIO()
    grey.save(stream, "JPEG", quality=95)
    assert copy_of(stream.getvalue(), "film-1", KEY).data is None
    copy = copy_of(stream.getvalue(), "film-1", KEY, black_out=True)
    assert copy.data is not None
    assert copy.name == "film-1.png"
    assert np.asarray(Image.open(io.BytesIO(copy.data)))[30:54, 20:220].max() == 0


def test_what_can_not_be_read_does_not_leave():
    for data in (b"", b"MZ", written(film())[:-500], b"\x89PNG\r\n\x1a\n" + b"x" * 99):
        copy = copy_of(data, "film-1", KEY)
        assert copy.data is None
        assert copy.blocked is not None


@pytest.fixture
def number(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """A study of three films: two may leave, one has a name in its pixels."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path))
    other = film(f"{UID}.4")
    other.PixelData = pixels()[::-1].tobytes()
    files = [written(film()), written(stamped(film(f"{UID}.5"))[0]), written(other)]
    return add_study(database(), film_folder(), *files, patient=LEAK, name=f"{LEAK}.dcm", accession=LEAK)


def test_study_as_a_zip_tells_nothing(number: int):
    copies = copies_of(film_folder(), study(database(), number), new_key())
    whole = zipped(copies)
    assert leaks(whole) == []
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.namelist() == ["film-1.dcm", "film-3.dcm", "about.txt"]
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        read = [dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()[:2]]
        about = archive.read("about.txt").decode()
    assert read[0].StudyInstanceUID == read[1].StudyInstanceUID
    assert "film-2: held back. Text is seen" in about


def test_command_writes_a_study_and_says_so_in_the_trail(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert main(["export", str(number), "--out", str(out), "--by", "Dr Ada"]) == 1
    said = capsys.readouterr().out
    assert "study-1/film-2: held back." in said
    assert LEAK not in said
    assert sorted(file.name for file in (out / "study-1").iterdir()) == ["about.txt", "film-1.dcm", "film-3.dcm"]
    with database().reading() as session:
        line = last_lines(session, 1)[0]
        detail = dict(line.detail)
    assert (line.event, line.who, line.what) == ("Data export", "Dr Ada", f"study {number}")
    assert detail == {"kind": "de-identified films", "films": 2, "left_out": 1}
    # Nothing is written over.
    assert main(["export", str(number), "--out", str(out)]) == 1
    black = tmp_path / "black"
    assert main(["export", str(number), "--out", str(black), "--black-out"]) == 0
    assert len(list((black / "study-1").glob("*.dcm"))) == 3
    assert main(["export", "999", "--out", str(tmp_path / "none")]) == 1


def page() -> None:
    from cxr.ui.worklist.copy_view import show_copy
    from cxr.worklist.database import database
    from cxr.worklist.film_folder import film_folder
    from cxr.worklist.studies import study

    show_copy(film_folder(), study(database(), 1), "Dr Ada")


def test_dialog_shows_what_leaves_and_what_does_not(number: int):
    assert number == 1
    app = AppTest.from_function(page, default_timeout=60).run()
    app.button[0].click().run()
    assert not app.exception
    assert [error.value.replace("\\", "") for error in app.error] == [
        "Held back. Text is seen in its pixels, at one place."
    ]
    assert [one.value.replace("\\", "") for one in app.success] == ["No text was seen."] * 2
    assert app.get("download_button")[0].proto.label == "Download 2 of 3 films (zip)"


def test_films_are_looked_through_in_the_line_of_those_that_are_read(number: int, changed_settings: pytest.MonkeyPatch):
    changed_settings.setenv("CXR_READING_PLACES", "1")
    settings.cache_clear()
    real, in_line = deidentify.copy_of, []

    def watched(*args: object) -> deidentify.FilmCopy:
        in_line.append(reading_line().length)
        return real(*args)

    changed_settings.setattr(deidentify, "copy_of", watched)
    app = AppTest.from_function(page, default_timeout=60).run()
    with reading_line().joined():
        app.button[0].click().run()
        assert not app.exception
        assert "no more can wait" in app.warning[0].value
        assert in_line == [] and not app.get("download_button")
        assert app.button(key=f"worklist-copy-again-{number}").label == "Try again"
    app.button[0].click().run()
    assert not app.exception
    assert in_line == [1, 1, 1] and reading_line().length == 0
    assert app.get("download_button")[0].proto.label == "Download 2 of 3 films (zip)"
