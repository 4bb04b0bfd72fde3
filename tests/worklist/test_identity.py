"""Whose film a file is: the few elements that are read, and what is made of damaged ones."""

import io
import stat
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage
from small_films import dicom, png

from cxr.samples import SAMPLES
from cxr.worklist.identity import NotAFilm, check_kind, clean_name, identify, is_whole, secret_of

SHA = "0f" * 32
SECRET = bytes(range(32))
UID = "1.2.826.0.1.77"


def of(data, name="film", secret=SECRET):
    return identify(name, data, SHA, secret)


def test_a_dicom_film_says_whose_it_is():
    found = of(dicom(0.5, StudyInstanceUID=UID, PatientID="77", AccessionNumber="A 1", StudyDate="20260115"))
    assert (found.patient, found.accession, found.acquired) == ("77", "A 1", "2026-01-15")


def test_the_study_is_a_keyed_hash_of_its_uid():
    one, other = (of(dicom(0.5, seed, StudyInstanceUID=UID)).key for seed in range(2))
    assert one == other and len(one) <= 80
    assert one.startswith("dicom:") and UID not in one
    assert of(dicom(0.5, StudyInstanceUID=f"{UID}.1")).key != one
    assert of(dicom(0.5, StudyInstanceUID=UID), secret=bytes(32)).key != one


def test_a_film_without_a_study_is_a_study_of_its_own():
    found = of(dicom(0.5))
    assert found.key == f"film:{SHA}"
    assert found.patient is found.accession is found.acquired is None
    assert of(png(0.5)).key == f"film:{SHA}"


def test_the_sample_is_identified_like_pydicom_does_it():
    header = dcmread(io.BytesIO(SAMPLES[0].read()))
    found = of(SAMPLES[0].read())
    assert (found.patient, found.accession) == (header.PatientID, header.AccessionNumber)
    assert found.acquired.replace("-", "") == header.StudyDate


@pytest.mark.parametrize("date", ["2026", "20261399", "2026-1-1", None])
def test_a_date_that_is_none_is_not_kept(date):
    data = dicom(0.5, StudyInstanceUID=UID)
    if date is not None:
        data = dicom(0.5, StudyInstanceUID=UID, StudyDate="20260101").replace(b"20260101", date.encode()[:8].ljust(8))
    assert of(data).acquired is None


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("00000013_005.png", "00000013"),
        ("00030805_000.jpeg", "00030805"),
        ("00030806_000.png", None),
        ("20260131_001.png", None),  # a date, not a patient
        ("00000013_005.png.bak", None),
        ("x00000013_005.png", None),
    ],
)
def test_names_of_nihs_films_say_whose_they_are(name, patient):
    assert of(png(0.5), name).patient == patient


def test_a_damaged_length_lets_no_name_in():
    """The Patient ID's length is made to reach into the elements after it."""
    data = bytearray(dicom(0.5, PatientID="77", StudyInstanceUID=UID, PatientComments="Roentgen " * 20))
    at = data.index(b"\x10\x00\x20\x00LO")
    data[at + 6 : at + 8] = (120).to_bytes(2, "little")
    found = of(bytes(data))
    assert found.patient is None


def test_cut_off_anywhere_it_is_a_film_still():
    data = dicom(0.5, PatientID="77", StudyInstanceUID=UID)
    for end in range(132, 900, 7):
        assert "Roentgen" not in str(of(data[:end]))


def test_a_deflated_file_is_not_inflated(monkeypatch):
    data = dicom(0.5, syntax=DeflatedExplicitVRLittleEndian, StudyInstanceUID=UID)
    assert UID.encode() not in data
    monkeypatch.setattr(zlib, "decompress", lambda *_: pytest.fail("inflated"))
    assert of(data).key == f"film:{SHA}"


def test_a_table_of_contents_is_no_film():
    file = io.BytesIO()
    header = dcmread(io.BytesIO(dicom(0.5)))
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    header.save_as(file, enforce_file_format=True)
    with pytest.raises(NotAFilm, match="DICOMDIR"):
        of(file.getvalue())


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"hello", "not a PNG"), (b"GIF89a" + bytes(200), "not a")])
def test_what_is_no_film(data, why):
    with pytest.raises(NotAFilm, match=why):
        check_kind(data)


@pytest.mark.parametrize("data", [png(0.5), dicom(0.5), SAMPLES[0].read(), SAMPLES[1].read()])
def test_what_lacks_its_end_is_not_whole(data):
    check_kind(data)
    assert is_whole(data)
    for share in (0.3, 0.6, 0.99):
        assert not is_whole(data[: int(share * len(data))])
    assert not is_whole(data[:-40])


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a/b\\c.png", "c.png"),
        ("c.png/", "c.png"),
        ("a\0b\x1bc", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"),
        ("\udcff.png", "\\udcff.png"),
        ("胸部.png", "胸部.png"),
        ("", "film"),
    ],
)
def test_names_that_any_database_takes(name, clean):
    assert clean_name(name) == clean


def test_long_names_keep_both_ends():
    name = clean_name("a" * 300 + "_17.dcm")
    assert len(name) == 200 and name.endswith("_17.dcm")


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path):
    folder = tmp_path / "worklist"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: secret_of(folder), range(16)))
    assert len(found) == 1 and len(found.pop()) == 32
    assert [file.name for file in folder.iterdir()] == ["secret"]
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    (folder / "secret").write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        secret_of(folder)
