"""De-identified films, looked at in the raw bytes of what leaves."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from marked_films import DATE, KEY, LEAK, SIZE, TIME, UID, film, leaks, marked, pixels, written
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import DataElement, Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from cxr.radiograph.confidentiality import PROFILE, other_uid
from cxr.radiograph.deidentified import deidentified
from cxr.radiograph.deidentified_dicom import Cleaned
from cxr.radiograph.dicom import DECODERS
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.read import read_radiograph
from cxr.report.deidentify import new_key
from cxr.settings import ROOT

ADULT = ROOT / "cxr" / "samples" / "adult_pa.dcm"


def cleaned(data: bytes, key: bytes = KEY) -> tuple[Cleaned, Dataset]:
    made = deidentified(data, key, (), SIZE)
    return made, dcmread(io.BytesIO(made.data))


LISTED = [tag for tag in PROFILE if tag >> 16 >= 8 and tag not in (0x00080018, 0x0020000D, 0x0020000E)]


def test_table_is_the_standards():
    assert len(PROFILE) > 600
    for tag, action in {
        0x00100010: "Z", 0x00100020: "Z/D", 0x0020000D: "U", 0x00080080: "X/Z/D", 0x00104000: "X", 0x0040A730: "D",
        0x00081140: "X/Z/U*", 0x00080022: "X/Z", 0x00180010: "Z/D", 0x00880200: "X", 0x04000561: "X",
    }.items():  # fmt: skip
        assert PROFILE[tag] == action


def test_no_attribute_of_the_table_is_left():
    made = film()
    for tag in LISTED:
        made.add(marked(tag))
    data = written(made)
    assert LEAK.encode() in data
    assert DATE.encode() in data
    copy, _ = cleaned(data)
    assert leaks(copy.data) == []


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_no_attribute_is_left_in_other_encodings(syntax: str):
    made = film()
    for tag in LISTED:
        made.add(marked(tag))
    copy, read = cleaned(written(made, syntax))
    assert leaks(copy.data) == []
    assert read.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("depth", [1, 3, 20])
def test_no_attribute_is_left_in_sequences(depth: int):
    """In a sequence that the profile says nothing of, and so may stay."""
    inner = Dataset()
    for tag in LISTED:
        inner.add(marked(tag))
    inner.CodeValue = "1"
    inner.CodingSchemeDesignator = "SCT"
    for _ in range(depth):
        outer = Dataset()
        outer.AnatomicRegionSequence = [inner]
        outer.CodeValue, outer.CodingSchemeDesignator = "2", "SCT"
        inner = outer
    made = film()
    made.AnatomicRegionSequence = [inner]
    copy, read = cleaned(written(made))
    assert leaks(copy.data) == []
    assert len(read.AnatomicRegionSequence) == 1


def test_what_no_table_knows_is_left_out():
    made = film()
    block = made.private_block(0x0029, LEAK, create=True)
    block.add_new(1, "LO", LEAK)
    made.add_new(0x00091001, "UN", LEAK.encode())
    made.add_new(0x60000010, "US", 8)
    made.add_new(0x60000022, "LO", LEAK)
    made.add_new(0x60000045, "SH", LEAK)
    made.add_new(0x60023000, "OW", (LEAK * 2).encode())
    made.add_new(0x50003000, "OW", LEAK.encode())
    made.add_new(0x50002500, "LO", LEAK)
    made.add_new(0x00189999, "LO", LEAK)
    made.add_new(0x00200052, "UN", UID.encode())
    made.ImageComments = LEAK
    made.FilterType, made.GridAbsorbingMaterial, made.WindowCenterWidthExplanation = LEAK, LEAK, LEAK
    made.BodyPartExamined = "Leakxq LEAKXQ of 1987"
    made.add_new(0x00281050, "DS", "2048")
    made.Manufacturer = f"{LEAK} \u00e9"
    made.SpecificCharacterSet = "ISO_IR 192"
    local = Dataset()
    local.CodeValue, local.CodingSchemeDesignator, local.CodeMeaning = LEAK, "99LOCAL", LEAK
    made.ViewCodeSequence = [local]
    made.add_new(0xFFFCFFFC, "OB", LEAK.encode())
    copy, read = cleaned(written(made))
    assert leaks(copy.data) == []
    assert not any(element.tag.is_private for element in read)
    assert not any(0x5000 <= element.tag.group <= 0x60FF for element in read)
    # Type 2 stays, empty.
    assert read["Manufacturer"].value in (None, "")
    assert read["BodyPartExamined"].value in (None, "")
    assert len(read.ViewCodeSequence) == 0


# Each may stay: of a code string the letters, of a UID of the standard's own the digits, of a number the number.
@pytest.mark.parametrize(("vr", "value"), [("CS", LEAK), ("UI", f"1.2.840.10008.{DATE}"), ("IS", "777123")])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_a_file_declares_otherwise_than_the_standard_is_left_out(vr: str, value: str, syntax: str):
    elements = {
        **{
            "FilterType": 0x00181160,
            "GridAbsorbingMaterial": 0x00187040,
            "TextValue": 0x0040A160,
            "LUTLabel": 0x00409210,
        },
        **{"WindowCenterWidthExplanation": 0x00281055, "CodeMeaning": 0x00080104, "Manufacturer": 0x00080070},
        **{"ReasonForTheAttributeModification": 0x04000565, "KVP": 0x00180060, "in no dictionary": 0x00189999},
        **{"ViewCodeSequence": 0x00540220, "SOPClassUID of no film": 0x0008001A},
    }
    inner, made = Dataset(), film()
    inner.CodeValue, inner.CodingSchemeDesignator = "1", "SCT"
    for tag in elements.values():
        if dictionary_has_tag(tag) and dictionary_VR(tag) == vr:
            continue
        for place in (inner, made):
            place.add_new(tag, vr, value)
    made.AnatomicRegionSequence = [inner]
    data = written(made, syntax)
    assert data.count(value.encode()) > 20
    copy, read = cleaned(data)
    assert leaks(copy.data) == []
    # What has to be there is, empty, and of its right kind.
    assert (read["Manufacturer"].VR, read["Manufacturer"].value) == ("LO", "")
    assert "FilterType" not in read and len(read.AnatomicRegionSequence) == 1


@pytest.mark.parametrize(("keyword", "vr", "value"), [("Rows", "UL", 64), ("WindowCenter", "FL", 9.0)])
def test_a_copy_that_would_be_another_picture_is_refused(keyword: str, vr: str, value: float):
    made = film()
    made[keyword] = DataElement(tag_for_keyword(keyword), vr, value)
    assert read_radiograph(written(made)).facts.height == 64
    with pytest.raises(UnreadableFilm, match=f"'{keyword}' as another kind"):
        cleaned(written(made))


@pytest.mark.parametrize("text", ["Leakxq", "LEAKXQ-1", "LEAKXQ\tA", "LEAKXQ OF CHELSEA", "LEAKXQ\u00e9", "OK\\LEAKXq"])
def test_a_code_string_that_is_none_is_left_out(text: str):
    made = film()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.Grid = made.FieldOfViewShape = "LEAKED"
    data = written(made).replace(b"LEAKED", text.encode("latin-1"))
    length = len(text.encode("latin-1"))
    for tag in (b"\x18\x00\x66\x11", b"\x18\x00\x47\x11"):
        data = data.replace(tag + b"CS\x06\x00", tag + b"CS" + (length + length % 2).to_bytes(2, "little"))
    if length % 2:
        data = data.replace(text.encode("latin-1"), text.encode("latin-1") + b" ")
    copy, read = cleaned(data)
    assert b"leakxq" not in copy.data.lower()
    assert "Grid" not in read and "FieldOfViewShape" not in read


def test_numbers_that_are_text_are_left_out():
    """A damaged number can be anything."""
    made = film()
    made.KVP = "1204"
    damaged = written(made).replace(b"DS\x04\x001204", b"DS\x04\x00LEAK")
    assert b"DS\x04\x00LEAK" in damaged
    copy, read = cleaned(damaged)
    assert b"LEAK" not in copy.data
    assert "KVP" not in read


def test_head_of_file_is_new():
    copy, read = cleaned(written(film()))
    assert copy.data[:128] == bytes(128)
    meta = read.file_meta
    assert {element.keyword for element in meta} <= {
        "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName",
    }  # fmt: skip
    assert meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
    assert leaks(copy.data) == []


def test_says_what_was_done():
    _, read = cleaned(written(film()))
    assert read.PatientIdentityRemoved == "YES"
    assert "PS3.15" in read.DeidentificationMethod
    assert [item.CodeValue for item in read.DeidentificationMethodCodeSequence] == ["113100"]
    assert read.LongitudinalTemporalInformationModified == "REMOVED"
    assert read.BurnedInAnnotation == "NO"


def test_is_still_a_dx_film():
    """What the DX IOD wants a value for has one, and what may be empty is there."""
    _, read = cleaned(written(film()))
    for keyword in (
        *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"),
        *("PresentationIntentType", "ImageType", "PatientOrientation", "ImageLaterality", "BurnedInAnnotation"),
        *("PixelIntensityRelationship", "PixelIntensityRelationshipSign", "RescaleIntercept", "RescaleSlope"),
        *("PresentationLUTShape", "LossyImageCompression", "SamplesPerPixel", "PhotometricInterpretation"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "AnatomicRegionSequence"),
    ):
        assert read[keyword].value not in (None, "", []), keyword
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
        *("ReferringPhysicianName", "AccessionNumber", "ContentDate", "ContentTime"),
    ):
        assert read[keyword].value in (None, ""), keyword
    for keyword in ("SeriesNumber", "Manufacturer", "InstanceNumber", "DetectorType"):
        assert keyword in read


def test_pixels_and_what_shows_them_are_the_same():
    data = written(film())
    copy, read = cleaned(data)
    assert read.PixelData == film().PixelData
    before, after = read_radiograph(data), read_radiograph(copy.data)
    assert np.array_equal(before.pixels, after.pixels)
    assert before.facts == after.facts


def test_encoded_pixels_are_the_same(shared_data: Path):
    looked_at = 0
    for file in [ADULT, *sorted((shared_data / "dicom").glob("*_RG3_*"))]:
        data = file.read_bytes()
        before = dcmread(io.BytesIO(data))
        if file.name.startswith("JPLY"):
            continue
        copy, after = cleaned(data)
        for one in (before, after):
            one.pixel_array_options(decoding_plugin=DECODERS[one.file_meta.TransferSyntaxUID])
        assert np.array_equal(before.pixel_array, after.pixel_array), file.name
        assert str(before.StudyInstanceUID).encode() not in copy.data
        looked_at += 1
    assert looked_at >= 4


def test_real_films_of_others_keep_no_value():
    """No value of a text, a time or a UID of the source is in the bytes, of pydicom's own CR film too."""
    for path in (ADULT, Path(str(get_testdata_file("RG1_UNCR.dcm", download=False) or ""))):
        if not path.is_file():
            continue
        data = path.read_bytes()
        copy, _ = cleaned(data)
        head = copy.data[: copy.data.rindex(b"\xe0\x7f\x10\x00")]
        kept = {"Manufacturer", "ManufacturerModelName", "CodeValue", "CodingSchemeDesignator", "CodeMeaning"}
        for element in dcmread(io.BytesIO(data)).iterall():
            text = str(element.value).strip()
            if element.VR in ("LO", "SH", "PN", "LT", "ST", "DA", "TM", "UI") and element.keyword not in kept:
                named = text.startswith("1.2.840.10008.")
                assert named or len(text) < 4 or text.encode() not in head, element.keyword


def test_uids_of_a_study_hold_together_within_an_export():
    one, other = film(f"{UID}.3"), film(f"{UID}.4")
    other.SeriesInstanceUID = f"{UID}.5"
    first, second = (cleaned(written(each))[1] for each in (one, other))
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.StudyInstanceUID != f"{UID}.1"
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in (first.StudyInstanceUID, second.SOPInstanceUID))
    elsewhere = cleaned(written(one), b"l" * 32)[1]
    assert elsewhere.StudyInstanceUID != first.StudyInstanceUID
    assert first.SOPClassUID == DigitalXRayImageStorageForPresentation
    assert new_key() != new_key()
    assert other_uid(UID, KEY) == other_uid(UID, KEY)


@pytest.mark.filterwarnings("ignore:The pixel data is")
def test_bits_beside_the_pixels_are_cleared():
    """An overlay of the old kind lies in the bits that no pixel uses."""
    made = film()
    made.PixelData = (pixels() | 0x8000).tobytes() + LEAK.encode()
    copy, read = cleaned(written(made))
    assert read.PixelData == pixels().tobytes()
    assert leaks(copy.data) == []


@pytest.mark.filterwarnings("ignore:The pixel data is")
def test_bits_beside_signed_pixels_have_their_sign_alone():
    made = film()
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 1
    values = (pixels() & 0x0FFF).astype(np.int16) - 2048
    made.PixelData = (values.view(np.uint16) ^ 0x7000).tobytes()
    _, read = cleaned(written(made))
    assert read.PixelData == values.tobytes()


def test_comments_of_a_codestream_go():
    grey = Image.fromarray((pixels() >> 4).astype(np.uint8))
    stream = io.BytesIO()
    grey.save(stream, "JPEG", comment=LEAK.encode(), exif=_exif())
    made = film()
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    frame = stream.getvalue() + LEAK.encode()
    made.PixelData = encapsulate([frame])
    made["PixelData"].is_undefined_length = True
    data = written(made, JPEGBaseline8Bit)
    assert data.count(LEAK.encode()) > 20
    copy, _ = cleaned(data)
    assert leaks(copy.data) == []
    assert np.array_equal(read_radiograph(data).pixels, read_radiograph(copy.data).pixels)


def _exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0132], exif[0x0112] = LEAK, f"{DATE} {TIME}", orientation
    return exif


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_metadata_of_pictures_goes(kind: str, orientation: int):
    grey, stream = Image.fromarray((pixels() >> 4).astype(np.uint8)), io.BytesIO()
    if kind == "PNG":
        info = PngInfo()
        info.add_text("Patient", LEAK)
        info.add_text("Comment", LEAK * 50, zip=True)
        info.add_itxt("XML", LEAK, zip=False)
        grey.save(stream, kind, pnginfo=info, exif=_exif(orientation), dpi=(300, 300))
    else:
        grey.save(stream, kind, exif=_exif(orientation), comment=LEAK.encode(), icc_profile=LEAK.encode() * 30)
    data = stream.getvalue() + LEAK.encode()
    copy = deidentified(data, KEY, (), SIZE)
    assert leaks(copy.data) == []
    assert zlib.compress((LEAK * 50).encode()) not in copy.data
    assert copy.suffix == (".png" if kind == "PNG" else ".jpg")
    before, after = read_radiograph(data), read_radiograph(copy.data)
    assert before.pixels.shape == after.pixels.shape
    assert np.array_equal(before.pixels, after.pixels)
    image = Image.open(io.BytesIO(copy.data))
    assert set(image.getexif()) == ({0x0112} if orientation != 1 else set())


@pytest.mark.parametrize("uid", [None, "1.2.03.4"])
def test_a_film_without_a_number_that_holds_to_the_rules_is_exported_with_another(uid):
    source = dcmread(ADULT)
    if uid is None:
        del source.SOPInstanceUID
    else:
        source["SOPInstanceUID"].value = uid
    file = io.BytesIO()
    source.save_as(file, enforce_file_format=False)
    copy = cleaned(file.getvalue())[1]
    assert copy.SOPInstanceUID.is_valid
    assert copy.SOPInstanceUID != "1.2.03.4"
    assert copy.file_meta.MediaStorageSOPInstanceUID == copy.SOPInstanceUID
