"""DICOM files that are refused: each with a sentence, before anything large is decoded, and without the patient."""

import contextlib
import io
import struct

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cxr.radiograph import UnreadableFilm, read_radiograph
from cxr.radiograph.header import header

SYNTAX = b"\x02\x00\x10\x00UI"
SOP_CLASS = b"\x08\x00\x16\x00UI"
MODALITY = b"\x08\x00\x60\x00CS"
DAMAGED = "The DICOM file is truncated or damaged."


def with_length(data: bytes, element: bytes, end: int) -> bytes:
    """The length of an element changed so that its value goes on to `end`."""
    start = data.index(element) + len(element)
    return data[:start] + struct.pack("<H", end - start - 2) + data[start + 2 :]


def lut_item(elements: dict[str, list[int] | None]) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        if value is not None:
            setattr(item, keyword, value)
            item[keyword].VR = "US"
    return item


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Modality": "SR", "PixelData": None}, "is a structured report"),
        ({"PixelData": None}, "holds no image (Digital X-Ray Image Storage - For Presentation)"),
        ({"Modality": "CT"}, "has modality CT; only radiographs (CR, DX) are read"),
        ({"NumberOfFrames": 2}, "holds 2 frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}, "a colour image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "a colour image"),
        ({"Rows": 0}, "has 64 x 0 pixels"),
        ({"Rows": None}, "has no usable Rows"),
        ({"BitsStored": None}, "has no usable BitsStored"),
        ({"Rows": 65535, "Columns": 65535}, "65535 x 65535 pixels, more than the 64 megapixels"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_no_film_is_refused_from_its_header(elements, words, dicom, ramp, refusal, no_decoding):
    assert words in refusal(dicom(ramp, **elements))


def test_file_without_image_or_class_is_refused(dicom, ramp, refusal):
    data = dicom(ramp, PixelData=None).replace(SOP_CLASS, b"\x08\x00\x17\x00UI")
    assert refusal(data) == "This DICOM file holds no image (of unknown class)."


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "OT", "SC", None])
def test_modalities_that_can_be_a_radiograph_are_read(modality, dicom, ramp):
    assert read_radiograph(dicom(ramp, Modality=modality)).facts.modality == modality


def test_deflated_file_is_refused_by_name(dicom, ramp, refusal):
    message = refusal(dicom(ramp, syntax=DeflatedExplicitVRLittleEndian))
    assert message == "The DICOM file is encoded as Deflated Explicit VR Little Endian, which is not supported."


def test_video_is_refused_by_name(dicom, ramp, refusal):
    assert "encoded as MPEG2 Main Profile" in refusal(dicom(ramp, frame=(MPEG2MPML, bytes(64))))


def test_unknown_encoding_is_refused_by_its_uid(dicom, ramp, refusal):
    data = dicom(ramp).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0")
    assert "encoded as 1.2.840.99999.1.2.1, which is not supported" in refusal(data)


def test_missing_encoding_is_refused(dicom, ramp, refusal):
    data = dicom(ramp).replace(SYNTAX, b"\x02\x00\x17\x00UI")
    assert refusal(data) == "The DICOM file does not say how it is encoded (Transfer Syntax UID is missing)."


def test_truncated_native_pixels_are_refused(dicom, ramp, refusal):
    message = "The image in the DICOM file is truncated or damaged (encoded as Explicit VR Little Endian)."
    assert refusal(dicom(ramp)[:-2]) == message


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_file_that_ends_anywhere_is_refused(syntax, dicom, ramp, refusal):
    data = dicom(ramp, compress=syntax)
    for end in range(132, len(data) - 8, 13):
        refusal(data[:end])


def test_compressed_file_that_ends_in_its_pixels_is_called_truncated(dicom, ramp, refusal):
    assert refusal(dicom(ramp, compress=RLELossless)[:-100]) == DAMAGED


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_truncated_codestream_is_refused(syntax, dicom, ramp, refusal):
    whole = dcmread(io.BytesIO(dicom(ramp, compress=syntax)))
    codestream = next(generate_frames(whole.PixelData, number_of_frames=1))
    message = refusal(dicom(ramp, frame=(syntax, codestream[:-40])))
    assert message == f"The image in the DICOM file is truncated or damaged (encoded as {syntax.name})."


@pytest.mark.parametrize("elements", [{"PixelData": b""}, {"frame": (JPEGBaseline8Bit, bytes(8))}])
def test_pixel_data_without_image_are_refused(elements, dicom, ramp, refusal):
    assert "truncated or damaged" in refusal(dicom(ramp, **elements))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_codestream_larger_than_the_header_says_is_refused_before_decoding(syntax, dicom, ramp, refusal, no_decoding):
    message = refusal(dicom(ramp, compress=syntax, Rows=8, Columns=8))
    assert message == "The image in the DICOM file has 64 x 48 pixels, but its header says 8 x 8."


def test_second_frame_that_the_header_does_not_count_is_refused(dicom, ramp, refusal):
    assert "several frames" in refusal(dicom(ramp, Rows=24))


def test_run_lengths_beyond_the_image_are_refused(dicom, ramp, refusal):
    assert "truncated or damaged" in refusal(dicom(ramp, compress=RLELossless, Rows=8, Columns=8))


def test_interrupt_while_decoding_is_no_refusal(dicom, ramp, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pydicom.dataset.Dataset.convert_pixel_data", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_radiograph(dicom(ramp))


@pytest.mark.parametrize("change", [{"LUTData": None}, {"LUTDescriptor": None}, {"LUTDescriptor": [4096, 0, 12]}])
def test_damaged_voi_lut_is_refused(change, dicom, ramp, refusal):
    elements = {"LUTDescriptor": [2, 0, 12], "LUTData": [0, 4095]} | change
    data = dicom(ramp, VOILUTSequence=[lut_item(elements)])
    assert refusal(data) == "The VOI lookup table of the DICOM file is damaged."


@pytest.mark.parametrize("element", [SYNTAX, SOP_CLASS, MODALITY], ids=["syntax", "class", "modality"])
def test_damaged_length_does_not_carry_the_patient_into_message_or_log(element, dicom, ramp, refusal, caplog, recwarn):
    data = dicom(ramp, PatientID="7", PixelData=None)
    for end in range(data.index(element) + 8, len(data) + 1):
        refusal(with_length(data, element, end))
    assert "Roentgen" not in caplog.text
    assert not [warning for warning in recwarn if "Roentgen" in str(warning.message)]


def test_damaged_modality_does_not_carry_the_patient_into_the_facts(dicom, ramp):
    data = dicom(ramp, PatientID="7")
    film = read_radiograph(with_length(data, MODALITY, data.index(b"\x10\x00\x20\x00LO")))
    assert film.facts.modality is None


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_damage_anywhere_is_a_film_or_a_refusal(syntax, dicom, ramp):
    data = dicom(ramp, compress=syntax, PixelSpacing=[0.2, 0.2], RescaleSlope=1, RescaleIntercept=0, ViewPosition="PA")
    rng = np.random.default_rng(0)
    for position in range(132, 800):
        damaged = bytearray(data)
        damaged[position % len(data)] = rng.integers(256)
        try:
            film = read_radiograph(bytes(damaged))
        except UnreadableFilm:
            continue
        assert film.pixels.shape == (film.facts.height, film.facts.width)


@pytest.mark.parametrize(
    "element",
    [
        SYNTAX, SOP_CLASS, MODALITY, b"\x20\x00\x0d\x00UI", b"\x28\x00\x04\x00CS", b"\x28\x00\x50\x10DS",
        b"\x28\x00\x02\x00US",
    ],
    ids=["syntax", "class", "modality", "study", "photometric", "window", "samples"],
)  # fmt: skip
@pytest.mark.parametrize("vr", [b"SQ", b"PN", b"AT", b"UL", b"OB", b"FD", b"UN", b"DA", b"IS", b"LO"])
def test_element_of_another_type_is_a_film_or_a_refusal(element, vr, dicom, ramp):
    whole = dicom(ramp, StudyInstanceUID="1.2.3.4")
    data = whole.replace(element, element[:4] + vr)
    assert data != whole
    # Of a sequence of which only the length is right, also with an element in it whose own length is wrong.
    for other in (data, data.replace(b"MONOCHROME2", b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x08")):
        assert header(other).directory in (False, True)
        with contextlib.suppress(UnreadableFilm):
            assert read_radiograph(other).facts.photometric in ("MONOCHROME1", "MONOCHROME2")
