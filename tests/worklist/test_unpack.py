"""Archives: what is in them, one file at a time, and those that mean harm."""

import io
import tracemalloc
import zipfile

import pytest
from small_films import dicom, png

from cxr.worklist import unpack as module
from cxr.worklist.unpack import Refused, Unpacked, expand


def zipped(files, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def only(data):
    (found,) = expand("a.zip", data)
    assert isinstance(found, Refused)
    assert found.reason.endswith(".")
    return found.reason


def test_anything_else_is_itself():
    data = png(0.5)
    assert list(expand("film.png", data)) == [Unpacked("film.png", data)]


def test_files_of_an_archive_in_their_order_and_without_litter(tmp_path):
    files = {"b/2.png": png(0.2), "a/1.dcm": dicom(0.1)}
    data = zipped({"__MACOSX/._1.dcm": b"x", "b/": b"", "a/.DS_Store": b"x", **files})
    expected = [Unpacked(f"study.zip/{name}", content) for name, content in files.items()]
    assert list(expand("study.zip", data)) == expected
    (tmp_path / "x").write_bytes(data)
    assert list(expand("study.zip", tmp_path / "x")) == expected


def test_a_dicom_film_whose_preamble_looks_like_a_zip_is_a_film():
    data = b"PK\x03\x04" + dicom(0.5)[4:]
    assert list(expand("film", data)) == [Unpacked("film", data)]


@pytest.mark.parametrize("name", ["../film.png", "a/../../film.png", "/etc/film.png", "..\\film.png"])
def test_names_that_lead_out_are_refused_and_the_others_are_not(name):
    first, second = expand("a.zip", zipped({name: png(0.1), "good.png": png(0.2)}))
    assert isinstance(first, Refused) and "leads out" in first.reason
    assert second == Unpacked("a.zip/good.png", png(0.2))


def test_a_bomb_is_refused_without_being_unpacked():
    data = zipped({"film.png": bytes(300 * 2**20)})
    tracemalloc.start()
    assert "grow far beyond" in only(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 * 10


def test_a_bomb_that_lies_about_its_size_is_stopped():
    data = bytearray(zipped({"film.png": bytes(50 * 2**20)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = (1000).to_bytes(4, "little")
    reason = only(bytes(data))
    assert "damaged" in reason or "grow far beyond" in reason


def test_entries_that_share_their_bytes_are_refused():
    data = bytearray(zipped({"a.png": png(0.1), "b.png": png(0.2)}))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = (0).to_bytes(4, "little")
    assert "overlap" in only(bytes(data))


def test_too_many_and_too_much(monkeypatch):
    data = zipped({f"{number}.png": bytes(2000) for number in range(5)})
    monkeypatch.setattr(module, "MOST_ENTRIES", 4)
    assert "holds 5 files" in only(data)
    monkeypatch.setattr(module, "MOST_ENTRIES", 5)
    monkeypatch.setattr(module, "LARGEST_ARCHIVE", 9999)
    assert "would unpack to" in only(data)


def test_a_film_larger_than_any_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILM", 10**6)
    with (tmp_path / "big.dcm").open("wb") as file:
        file.truncate(3 * 10**6)
    assert "has 3 MB" in only(tmp_path / "big.dcm")


def test_encrypted_nested_cut_off_and_empty():
    data = bytearray(zipped({"film.png": png(0.1)}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    assert "encrypted" in only(bytes(data))
    assert "archive in an archive" in only(zipped({"inner.zip": zipped({"film.png": png(0.1)})}))
    assert "truncated or damaged" in only(zipped({"film.png": png(0.1)})[:-30])
    assert "holds no files" in only(zipped({}))


def test_a_damaged_entry_does_not_stop_the_others():
    data = bytearray(zipped({"a.png": png(0.1), "b.png": png(0.2)}))
    data[200] ^= 0xFF
    first, second = expand("a.zip", bytes(data))
    assert isinstance(first, Refused) and "damaged" in first.reason
    assert second == Unpacked("a.zip/b.png", png(0.2))
