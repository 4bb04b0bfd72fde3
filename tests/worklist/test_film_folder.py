"""The folder of films: whole or not at all, once for the same content, and nothing left behind."""

import errno
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_films import Brightness, png

from cxr.radiograph import read_radiograph
from cxr.worklist import film_folder as module
from cxr.worklist.film_folder import FilmFolder, FilmLost

DATA = png(0.5)
SHA = hashlib.sha256(DATA).hexdigest()
MODEL = "ab" * 32
SHIFT = (0.01, -0.02)


@pytest.fixture
def folder(tmp_path):
    return FilmFolder(tmp_path / "films")


def everything(folder):
    return {str(file.relative_to(folder.root)) for file in folder.root.rglob("*") if file.is_file()} - {".lock"}


def test_a_film_comes_back_as_it_was(folder):
    assert folder.put(SHA, memoryview(DATA)) is True
    assert folder.put(SHA, DATA) is False
    assert folder.bytes(SHA) == DATA
    assert everything(folder) == {f"{SHA[:2]}/{SHA}/film"}


def test_half_a_film_is_written_anew(folder):
    folder.put(SHA, DATA)
    (folder.folder(SHA) / "film").write_bytes(DATA[:100])
    with pytest.raises(FilmLost, match="changed or damaged"):
        folder.bytes(SHA)
    assert folder.put(SHA, DATA) is True
    assert folder.bytes(SHA) == DATA


def test_a_film_that_is_not_there_is_said_to_be_lost(folder):
    with pytest.raises(FilmLost, match="no longer"):
        folder.bytes(SHA)
    assert folder.thumbnail(SHA) is None
    assert folder.result(SHA, MODEL) is None


def test_a_result_comes_back_with_all_that_heatmaps_need(folder):
    prediction = Brightness().predict([read_radiograph(DATA)])[0]
    folder.put(SHA, DATA)
    folder.put_result(SHA, MODEL, prediction, SHIFT)
    stored = folder.result(SHA, MODEL)
    for name in ("logits", "probabilities", "maps", "head_bias"):
        np.testing.assert_array_equal(getattr(stored.prediction, name), getattr(prediction, name))
    np.testing.assert_allclose(stored.prediction.square, prediction.square, atol=0.5)
    np.testing.assert_array_equal(stored.prediction.evidence("Mass"), prediction.evidence("Mass"))
    assert stored.prediction.columns == prediction.columns
    assert stored.map_shift == SHIFT
    assert folder.result(SHA, "cd" * 32) is None


def test_a_result_with_pickles_or_cut_off_is_none(folder):
    folder.put(SHA, DATA)
    file = folder.folder(SHA) / f"{MODEL[:16]}.npz"
    np.savez(file, logits=np.array([{"a": 1}], dtype=object))
    assert folder.result(SHA, MODEL) is None
    folder.put_result(SHA, MODEL, Brightness().predict([read_radiograph(DATA)])[0], SHIFT)
    file.write_bytes(file.read_bytes()[:-40])
    assert folder.result(SHA, MODEL) is None


def test_what_belongs_to_a_removed_film_is_not_kept(folder):
    folder.put(SHA, DATA)
    with folder.removing():
        folder.remove(SHA)
        folder.remove(SHA)
    with pytest.raises(FilmLost, match="removed"):
        folder.put_thumbnail(SHA, b"small")
    assert everything(folder) == set()


def test_a_full_disk_leaves_nothing(folder, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        folder.put(SHA, DATA)
    assert everything(folder) == set()


def test_the_same_film_from_many_threads_is_there_once(folder):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: folder.put(SHA, DATA), range(16)))
    assert everything(folder) == {f"{SHA[:2]}/{SHA}/film"}
    assert folder.bytes(SHA) == DATA


def test_sweeping_removes_orphans_and_abandoned_drafts_only(folder):
    kept, orphan = png(0.1), png(0.2)
    names = [hashlib.sha256(data).hexdigest() for data in (kept, orphan)]
    for name, data in zip(names, (kept, orphan), strict=True):
        folder.put(name, data)
    (folder.folder(names[0]) / ".film.0123.draft").write_bytes(b"half")
    (folder.root / ".removed" / "x").mkdir(parents=True)
    assert folder.sweep(lambda asked: {names[0]} & set(asked)) == 1
    assert everything(folder) == {f"{names[0][:2]}/{names[0]}/film"}
    assert not list((folder.root / ".removed").iterdir())


def test_sweeping_waits_for_who_adds_a_film(folder):
    """Its bytes are there before its row; in between it must not be taken for an orphan."""
    rows = set()
    with folder.adding():
        folder.put(SHA, DATA)
        sweeper = threading.Thread(target=folder.sweep, args=(lambda asked: rows & set(asked),))
        sweeper.start()
        sweeper.join(0.2)
        assert sweeper.is_alive()
        rows.add(SHA)
    sweeper.join()
    assert folder.bytes(SHA) == DATA
