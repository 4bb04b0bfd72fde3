"""Several readers: each sees his own films, nobody waits unseen, and nothing is kept for longer than needed."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from driven import opened, words
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from benchmarks.altered_films import altered_film
from cxr.classify import Refusal, answer
from cxr.radiograph.isolated import DecoderUnavailable
from cxr.samples import SAMPLES
from cxr.settings import settings
from cxr.turns import reading_line
from cxr.ui import downloads, uploads
from cxr.ui.readings import KEY
from cxr.ui.viewer import component
from cxr.ui.viewer.packing import Packed


@pytest.fixture
def one_place(changed_settings: pytest.MonkeyPatch) -> None:
    """One film is read at a time, and one session may be in the line."""
    changed_settings.setenv("CXR_READING_WORKERS", "1")
    changed_settings.setenv("CXR_READING_PLACES", "1")
    settings.cache_clear()


@contextmanager
def line_taken() -> Iterator[None]:
    """Another session's film is being read."""
    with reading_line().joined() as place, place.turn():
        yield


def drop(app, name: str, data: bytes):
    return app.file_uploader[0].upload(name, data, "image/png").run()


def said(app) -> str:
    """All words of a page but how long it took."""
    return re.sub(r"\d+ ms", "", words(app))


def test_two_readers_in_turn_see_their_own_films() -> None:
    # `AppTest` runs one page at a time; `test_short_load` has several at once.
    films = {name: altered_film(number) for number, name in enumerate(["one.png", "two.png"])}
    alone = {}
    for name, data in films.items():
        alone[name] = said(drop(opened("read_film"), name, data))
    apps = {name: opened("read_film") for name in films}
    for name, data in films.items():
        drop(apps[name], name, data)
    for name, other in (("one.png", "two.png"), ("two.png", "one.png")):
        app = apps[name].run()
        assert not app.exception
        assert said(app) == alone[name]
        assert name in said(app) and other not in said(app)
        assert [label.replace("\\", "") for label in app.radio[0].options] == [name]
        assert len(app.session_state[KEY].films) == 1
    assert alone["one.png"].replace("one.png", "two.png") != alone["two.png"]


def test_full_line_is_said_keeps_the_film_and_can_be_tried_again(one_place: None) -> None:
    app = opened("read_film")
    with line_taken():
        drop(app, "mine.png", altered_film(1))
        assert not app.exception
        assert "1 other is having films read" in words(app)
        assert "Your film is kept here." in words(app)
        assert not app.radio
        again = next(button for button in app.button if button.label == "Try again")
        again.click().run()
        assert "Your film is kept here." in words(app)
    next(button for button in app.button if button.label == "Try again").click().run()
    assert not app.exception
    assert [label.replace("\\", "") for label in app.radio[0].options] == ["mine.png"]
    assert "having films read" not in words(app)


def test_who_waits_is_shown_his_place_and_gets_his_verdict(changed_settings: pytest.MonkeyPatch) -> None:
    changed_settings.setenv("CXR_READING_WORKERS", "1")
    settings.cache_clear()
    app, told = opened("read_film"), []
    taken, go = threading.Event(), threading.Event()

    def other() -> None:
        with line_taken():
            taken.set()
            go.wait(60)

    def noted(before: int) -> str:
        told.append(before)
        go.set()
        return "noted"

    changed_settings.setattr("cxr.ui.waiting._ahead", noted)
    thread = threading.Thread(target=other)
    thread.start()
    assert taken.wait(20)
    drop(app, "mine.png", altered_film(1))
    thread.join()
    assert not app.exception
    assert told[0] == 1
    assert len(app.radio[0].options) == 1


def test_place_in_the_line_is_said_in_words() -> None:
    from cxr.ui.waiting import _ahead

    assert _ahead(0) == "it is next"
    assert _ahead(1) == "1 film of others is before it"
    assert _ahead(3) == "3 films of others are before it"


def test_film_that_the_program_fails_on_is_refused_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(engine, name, data, **more):
        if name == "bad.png":
            raise RuntimeError("PATIENT^NAME")
        return answer(engine, name, data, **more)

    monkeypatch.setattr("cxr.ui.readings.answer", fails)
    app = drop(opened("read_film"), "bad.png", altered_film(1))
    assert not app.exception
    assert "Reading it failed (RuntimeError)." in words(app)
    assert "PATIENT" not in words(app)
    drop(app, "good.png", altered_film(2))
    assert "abnormal probability" in words(app)
    assert reading_line().length == 0


def test_films_are_kept_where_none_can_be_read_at_present(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(engine, name, data, **more):
        raise DecoderUnavailable("no memory")

    monkeypatch.setattr("cxr.ui.readings.answer", fails)
    app = drop(opened("read_film"), "mine.png", altered_film(1))
    assert not app.exception
    assert "Films can't be read at present" in words(app) and "Your film is kept here." in words(app)
    monkeypatch.undo()
    next(button for button in app.button if button.label == "Try again").click().run()
    assert "abnormal probability" in words(app)


def test_small_files_of_large_pictures_fill_a_session_too(changed_settings: pytest.MonkeyPatch) -> None:
    changed_settings.setenv("CXR_SESSION_MEGABYTES", "1")
    settings.cache_clear()
    app = opened("read_film")
    for number in range(3):
        app.file_uploader[0].upload(f"{number}.jpeg", altered_film(number, "jpeg", (800, 900)), "image/jpeg")
    app.run()
    assert not app.exception
    held = app.session_state[KEY]
    assert 1 < held.megabytes < 2
    refused = [given for given in held.answers.values() if isinstance(given, Refusal)]
    assert len(refused) == 1 and "a session may hold 1 MB" in refused[0].reason


def test_films_alike_at_both_ends_and_in_the_middle_have_addresses_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media = MediaFileManager(MemoryMediaFileStorage("/media"))
    monkeypatch.setattr(component, "get_instance", lambda: SimpleNamespace(media_file_mgr=media))
    mine, other = bytearray(3_000_000), bytearray(3_000_000)
    other[500_000:600_000] = b"\x01" * 100_000
    links = [component._linked(Packed(1500, 1000, 2, 0, bytes(data)), "film")["url"] for data in (mine, other)]
    assert links[0] != links[1]
    assert media.read_file(links[1].removeprefix("/media/")).content == other
    # The same film has the same address, so a browser that has it need not fetch it again.
    assert component._linked(Packed(1500, 1000, 2, 0, bytes(mine)), "film")["url"] == links[0]


@pytest.mark.parametrize("lasting", [True, False])
def test_download_is_there_until_its_own_session_goes_on(monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    media = MediaFileManager(MemoryMediaFileStorage("/media"))
    monkeypatch.setattr(downloads, "get_instance", lambda: SimpleNamespace(media_file_mgr=media))
    monkeypatch.setattr(downloads, "get_script_run_ctx", lambda: SimpleNamespace(session_id="mine"))
    made = downloads.lasting(lambda: "{}", "film.json", "application/json") if lasting else lambda: b"{}"
    url = media.execute_deferred(media.add_deferred(made, "application/json", "0.1", "film.json"))
    address = url.removeprefix("/media/")
    # Two pages of others are run before the browser comes.
    media.remove_orphaned_files()
    media.remove_orphaned_files()
    if not lasting:
        # What Streamlit does by itself; where it does so no more, `lasting` can go.
        assert media.read_file(address) is None
        return
    assert media.read_file(address).content == b"{}"
    media.clear_session_refs("mine")
    media.remove_orphaned_files()
    media.remove_orphaned_files()
    assert media.read_file(address) is None
    with pytest.raises(MediaFileStorageError):
        media.execute_deferred("another session's button")


def test_upload_is_let_go_once_it_was_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = MemoryUploadedFileManager("/upload")
    records = [UploadedFileRec(name, name, "image/png", b"film") for name in ("a", "b")]
    for session, record in zip(("mine", "other"), records, strict=True):
        manager.add_file(session, record)
    context = SimpleNamespace(session_id="mine", uploaded_file_mgr=manager)
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: context)
    uploads.let_go([UploadedFile(record, None) for record in records])
    assert manager.get_files("mine", ["a"]) == []
    assert [record.name for record in manager.get_files("other", ["b"])] == ["b"]


@pytest.mark.parametrize("page", ["read_film", "worklist"])
def test_pages_let_uploads_go(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    monkeypatch.setattr(
        MemoryUploadedFileManager, "remove_file", lambda self, session_id, file_id: gone.append(file_id)
    )
    app = opened(page)
    drop(app, "mine.png", SAMPLES[0].read())
    assert not app.exception
    assert len(gone) == 1
