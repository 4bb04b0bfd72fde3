"""The inbox: files that come slowly, vanish, can't be read or are no films; none is lost, and each problem is seen."""

import errno
import os
import zipfile

import pytest
from small_films import dicom, png
from sqlalchemy import select

from cxr.lock import locked
from cxr.worklist import film_folder as folder_module
from cxr.worklist import inbox as module
from cxr.worklist.database import DatabaseUnavailable
from cxr.worklist.inbox import LOCK_FILE, Inbox
from cxr.worklist.tables import Film


@pytest.fixture
def inbox(database, films, tmp_path):
    """One that is looked into by hand; files without an end get no more time than others."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return Inbox(folder, database, films, poll_seconds=0.05, patience_seconds=0)


def looks(inbox, count=3):
    return sum(inbox.poll() for _ in range(count))


def names(database):
    with database.reading() as session:
        return sorted(session.scalars(select(Film.name)))


def tree(inbox):
    return sorted(str(file.relative_to(inbox.folder)) for file in inbox.folder.rglob("*") if file.is_file())


def said(inbox):
    return {problem.file: problem.sentence for problem in inbox.problems}


def dated(paths):
    return [
        path if not path.startswith("taken/") else "/".join(["taken", "DATE", *path.split("/")[2:]]) for path in paths
    ]


def test_films_of_all_folders_are_taken_in_and_moved(inbox, database):
    (inbox.folder / "ward" / "7").mkdir(parents=True)
    (inbox.folder / "a.png").write_bytes(png(0.1))
    (inbox.folder / "ward" / "7" / "b.dcm").write_bytes(dicom(0.2))
    assert looks(inbox) == 2
    assert names(database) == ["a.png", "b.dcm"]
    assert dated(tree(inbox)) == ["taken/DATE/a.png", "taken/DATE/ward/7/b.dcm"]
    assert inbox.problems == ()
    assert looks(inbox) == 0


def test_a_file_is_taken_when_it_has_come_to_rest(inbox, database):
    data = png(0.1)
    file = inbox.folder / "slow.png"
    for end in (50, 400, 900, len(data)):
        file.write_bytes(data[:end])
        os.utime(file, ns=(end, end))
        assert looks(inbox, 2) == 0
    assert inbox.poll() == 1
    assert names(database) == ["slow.png"]


def test_a_file_without_its_end_gets_more_time(inbox, database):
    inbox._patience = 60
    for name, data in (("half.png", png(0.1)[:-100]), ("empty.png", b""), ("half.zip", b"PK\x03\x04" + bytes(200))):
        (inbox.folder / name).write_bytes(data)
    assert looks(inbox, 5) == 0
    assert tree(inbox) == ["empty.png", "half.png", "half.zip"]
    inbox._patience = 0
    assert looks(inbox) == 1
    assert dated(tree(inbox)) == [
        "refused/empty.png",
        "refused/empty.png.why.txt",
        "refused/half.zip",
        "refused/half.zip.why.txt",
        "taken/DATE/half.png",
    ]


@pytest.mark.parametrize("name", ["film.png.part", "film.tmp", ".film.png", "film.png~", "film.CRDOWNLOAD"])
def test_unfinished_files_are_left_until_they_have_their_name(inbox, database, name):
    (inbox.folder / name).write_bytes(png(0.1))
    assert looks(inbox) == 0
    (inbox.folder / name).rename(inbox.folder / "film.png")
    assert looks(inbox) == 1
    assert names(database) == ["film.png"]


def test_what_is_no_film_is_refused_with_a_note(inbox, database):
    (inbox.folder / "notes.txt").write_text("hello")
    looks(inbox)
    assert tree(inbox) == ["refused/notes.txt", "refused/notes.txt.why.txt"]
    assert said(inbox) == {"refused/notes.txt": "notes.txt: This is not a PNG, JPEG or DICOM file."}
    (inbox.folder / "refused" / "notes.txt.why.txt").unlink()
    looks(inbox)
    assert inbox.problems == ()


def test_what_is_too_large_to_be_a_film_is_refused_without_being_read(database, films, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILM", 1000)
    monkeypatch.setattr("cxr.worklist.unpack.LARGEST_FILM", 1000)
    monkeypatch.setattr(module, "is_whole", lambda data: pytest.fail("it was read"))
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "recording.mp4").write_bytes(bytes(1001))
    inbox = Inbox(folder, database, films, patience_seconds=60)
    assert looks(inbox) == 0
    assert "no film is that large" in said(inbox)["refused/recording.mp4"]


def test_an_archive_is_taken_with_a_note_of_what_is_none(inbox, database):
    with zipfile.ZipFile(inbox.folder / "cd.zip", "w") as archive:
        for name, data in (("1.png", png(0.1)), ("readme.txt", b"hello"), ("2.png", png(0.2))):
            archive.writestr(name, data)
    assert looks(inbox) == 2
    assert dated(tree(inbox)) == ["refused/cd.zip.why.txt", "taken/DATE/cd.zip"]
    assert said(inbox) == {"refused/cd.zip": "cd.zip/readme.txt: This is not a PNG, JPEG or DICOM file."}


def test_files_of_the_same_name_keep_each_other(inbox, database):
    for level in (0.1, 0.2, 0.3):
        (inbox.folder / "film.png").write_bytes(png(level))
        looks(inbox)
    assert dated(tree(inbox)) == ["taken/DATE/film-2.png", "taken/DATE/film-3.png", "taken/DATE/film.png"]


def test_the_same_film_again_is_moved_and_not_new(inbox, database):
    for name in ("a.png", "b.png"):
        (inbox.folder / name).write_bytes(png(0.1))
    assert looks(inbox) == 1
    assert names(database) == ["a.png"]
    assert dated(tree(inbox)) == ["taken/DATE/a.png", "taken/DATE/b.png"]


def test_a_full_disk_leaves_the_file_and_says_so(inbox, database, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (inbox.folder / "film.png").write_bytes(png(0.1))
    with monkeypatch.context() as patch:
        patch.setattr(folder_module.os, "fsync", full)
        assert looks(inbox, 5) == 0
        assert "No space left" in said(inbox)["film.png"]
    assert inbox.poll() == 1
    assert inbox.problems == () and names(database) == ["film.png"]


def test_a_database_that_is_gone_leaves_the_file(inbox, database, monkeypatch):
    def gone(*_, **__):
        raise DatabaseUnavailable("The database is gone.")

    (inbox.folder / "film.png").write_bytes(png(0.1))
    with monkeypatch.context() as patch:
        patch.setattr(module, "take_in", gone)
        looks(inbox, 4)
        assert said(inbox) == {"film.png": "The database is gone."}
    assert inbox.poll() == 1


def test_one_bad_file_does_not_keep_the_others(inbox, database, monkeypatch):
    def careless(db, films, name, *args, **kwargs):
        if name == "a.png":
            raise RuntimeError("of a patient")
        return original(db, films, name, *args, **kwargs)

    original = module.take_in
    monkeypatch.setattr(module, "take_in", careless)
    for name, level in (("a.png", 0.1), ("b.png", 0.2)):
        (inbox.folder / name).write_bytes(png(level))
    assert looks(inbox) == 1
    assert said(inbox) == {"a.png": "Taking it in failed (RuntimeError)."}


def test_a_file_that_can_not_be_moved_is_taken_in_once(inbox, database, monkeypatch):
    def refused(self, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (inbox.folder / "film.png").write_bytes(png(0.1))
    reads = []
    original = module.expand
    monkeypatch.setattr(module, "expand", lambda name, file: reads.append(name) or original(name, file))
    with monkeypatch.context() as patch:
        patch.setattr(module.Path, "rename", refused)
        assert looks(inbox, 6) == 1
        assert "Permission denied" in said(inbox)["film.png"]
    looks(inbox)
    assert reads == ["film.png"]
    assert dated(tree(inbox)) == ["taken/DATE/film.png"]


def test_a_file_that_changes_while_it_is_taken_in_is_taken_in_again(inbox, database, monkeypatch):
    file = inbox.folder / "film.png"
    original = module.take_in

    def replaced(*args, **kwargs):
        taken = original(*args, **kwargs)
        monkeypatch.setattr(module, "take_in", original)
        file.write_bytes(png(0.9, 1))
        return taken

    file.write_bytes(png(0.1))
    monkeypatch.setattr(module, "take_in", replaced)
    assert looks(inbox, 6) == 2
    assert dated(tree(inbox)) == ["taken/DATE/film.png"]
    assert (next((inbox.folder / "taken").rglob("film.png"))).read_bytes() == png(0.9, 1)


def test_files_that_vanish_or_can_not_be_read(inbox, database, monkeypatch):
    file = inbox.folder / "gone.png"
    file.write_bytes(png(0.1))
    looks(inbox, 2)
    monkeypatch.setattr(module, "expand", lambda name, path: path.unlink() or path.open())
    looks(inbox, 1)
    assert said(inbox) == {"gone.png": "The file vanished before it was taken in."}
    looks(inbox)
    assert inbox.problems == ()
    (inbox.folder / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(inbox.folder / "pipe.png")
    looks(inbox)
    assert set(said(inbox)) == {"link.png", "pipe.png"}


def test_a_file_without_permission_is_said(inbox, database, monkeypatch):
    def denied(name, path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (inbox.folder / "film.png").write_bytes(png(0.1))
    monkeypatch.setattr(module, "expand", denied)
    looks(inbox)
    assert said(inbox) == {"film.png": "The file could not be taken in or moved: Permission denied."}
    assert tree(inbox) == ["film.png"]


def test_a_folder_that_is_not_there_and_one_that_must_not_be(inbox, database, films):
    inbox.folder.rmdir()
    looks(inbox)
    assert said(inbox) == {".": "The folder can't be read: No such file or directory."}
    wrong = Inbox(films.root.parent.parent, database, films)
    looks(wrong)
    assert "must not hold" in said(wrong)["."]


def test_one_process_watches_and_another_follows_when_it_ends(inbox, database, films):
    (inbox.folder / "film.png").write_bytes(png(0.1))
    with locked(films.root.parent / LOCK_FILE):
        inbox.start()
        inbox._ending.wait(0.5)
        assert names(database) == []
    for _ in range(200):
        if names(database):
            break
        inbox._ending.wait(0.05)
    inbox.stop()
    assert names(database) == ["film.png"]
