"""Archives: what is in them, one file at a time, and those that mean harm."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
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


def test_links_and_drives_are_refused_and_the_others_are_not():
    link = zipfile.ZipInfo("film.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("C:\\windows\\film.png", png(0.1))
        archive.writestr("good.png", png(0.2))
    first, second, third = expand("a.zip", stream.getvalue())
    assert isinstance(first, Refused) and "is a link" in first.reason
    assert isinstance(second, Refused) and "leads out" in second.reason
    assert third == Unpacked("a.zip/good.png", png(0.2))


def entry(offset, kernel, name, extra=b"", packed=None):
    """A line of the table of contents, and the head of the entry itself, of a deflated file of a packed size."""
    size = len(kernel) if packed is None else packed
    common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, size, 10**6, len(name), len(extra))
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name + extra
    return central, b"PK\x03\x04" + common + name + extra


def ended(body, central, count, size=None):
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(central) if size is None else size, len(body), 0)
    return body + central + b"PK\x05\x06" + end


def test_a_zip_whose_entries_hold_each_other_is_refused():
    """As in D. Fifield's better bomb: each entry's data begins with the head of the next; all share one kernel."""
    kernel = zlib.compress(bytes(10**6), 9)[2:-4]
    body, central = b"", b""
    heads = [entry(0, b"", b"%d" % number)[1] for number in range(50)]
    for number, head in enumerate(heads):
        rest = sum(map(len, heads[number + 1 :])) + len(kernel)
        line, head = entry(len(body), b"", b"%d" % number, packed=rest)
        central, body = central + line, body + head
    assert "overlap" in only(ended(body + kernel, central, len(heads)))


def test_a_zip_whose_entries_hide_each_other_in_their_extra_fields_is_refused():
    kernel = zlib.compress(bytes(10**6), 9)[2:-4]
    body, central = b"", b""
    for number in range(20):
        line, head = entry(len(body), kernel, b"%d" % number)
        central, body = central + line, body + head
    assert "overlap" in only(ended(body + kernel, central, 20))


@pytest.mark.parametrize("count", [0, 1, 65_535])
def test_a_wrong_number_of_entries_is_no_matter_or_refused(count):
    data = bytearray(zipped({"a.png": png(0.1), "b.png": png(0.2)}))
    at = data.rindex(b"PK\x05\x06")
    data[at + 8 : at + 12] = struct.pack("<HH", count, count)
    found = list(expand("a.zip", bytes(data)))
    assert all(isinstance(part, Refused) or part.data in (png(0.1), png(0.2)) for part in found)
    assert len(found) <= 2


@pytest.mark.parametrize("offset", [12, 16])
@pytest.mark.parametrize("value", [0, 3, 2**32 - 2])
def test_a_table_of_contents_that_is_elsewhere_is_refused(offset, value):
    data = bytearray(zipped({"a.png": png(0.1)}))
    at = data.rindex(b"PK\x05\x06")
    data[at + offset : at + offset + 4] = struct.pack("<I", value)
    for part in expand("a.zip", bytes(data)):
        assert isinstance(part, Refused) or part.data == png(0.1)


def test_a_huge_table_of_contents_is_not_read():
    """40 MB of entries without data would be 700,000 objects; the list is refused by its size."""
    line = entry(0, b"", b"a" * 12)[0]
    central = line * (40 * 2**20 // len(line))
    data = ended(b"PK\x03\x04", central, 65_535)
    tracemalloc.start()
    assert "more than the 20000 files" in only(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    "name", ["x" * 4000 + ".png", "<script>alert(1)</script>.png", "a\nb.png", "\u202egnp.exe", "=1+1.png"]
)
def test_odd_names_do_no_harm(name):
    (part,) = expand("a.zip", zipped({name: png(0.1)}))
    assert isinstance(part, Unpacked) and part.data == png(0.1)


def test_any_damage_to_an_archive_gives_films_or_refusals():
    whole = zipped({"a.png": png(0.1), "b/c.png": png(0.2)})
    rng = np.random.default_rng(5)
    for _ in range(1500):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(256)
        for part in expand("a.zip", bytes(data)):
            assert isinstance(part, Refused | Unpacked)
