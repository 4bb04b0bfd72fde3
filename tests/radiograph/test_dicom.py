"""DICOM films from stored values to grey levels. Expected pixels follow the formulas of PS3.3 C.11."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from cxr.radiograph import read_radiograph

NO_WINDOW = "The file gives no window; grey levels were set from the image itself."
BAD_WINDOW = "The window that the file gives can't be used; grey levels were set from the image itself."


def linear(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, to 0..1."""
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def robust(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values - low) / (high - low), 0, 1)


def lookup_table(first: int, depth: int, entries: list[int], explanation: str = "") -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData, item.LUTExplanation = [len(entries), first, depth], entries, explanation
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def assert_pixels(data: bytes, expected: np.ndarray) -> None:
    np.testing.assert_allclose(read_radiograph(data).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_full_window_maps_stored_bits_to_the_whole_scale(bits, dicom, ramp):
    stored = (ramp * 16 >> 16 - bits).astype(np.uint8 if bits == 8 else np.uint16)
    film = read_radiograph(dicom(stored, bits))
    np.testing.assert_allclose(film.pixels, stored / (2**bits - 1), atol=1e-6)
    assert film.facts.bits == bits


def test_monochrome1_equals_its_monochrome2_twin(dicom, ramp):
    film = read_radiograph(dicom(ramp, WindowCenter=1500, WindowWidth=1000))
    # Inverting stored values mirrors the window about the middle of the scale.
    twin = read_radiograph(
        dicom(4095 - ramp, PhotometricInterpretation="MONOCHROME1", WindowCenter=4096 - 1500, WindowWidth=1000)
    )
    np.testing.assert_allclose(twin.pixels, film.pixels, atol=1e-6)
    assert film.pixels[0, 0] == 0 and twin.facts.photometric == "MONOCHROME1"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda uid: uid.keyword)
def test_other_native_encodings_equal_explicit_little_endian(syntax, dicom, ramp):
    stored = ramp.astype(">u2") if syntax == ExplicitVRBigEndian else ramp
    assert_pixels(dicom(stored, syntax=syntax), ramp / 4095)


def test_signed_values_are_rescaled_before_the_window(dicom, ramp):
    stored = ramp.astype(np.int16) - 2048
    data = dicom(stored, RescaleSlope=2, RescaleIntercept=500, WindowCenter=300, WindowWidth=2000)
    assert_pixels(data, linear(stored * 2.0 + 500, 300, 2000))


def test_modality_lut_is_applied_before_the_window(dicom, ramp):
    table = np.arange(4096)[::-1] * 16
    data = dicom(ramp, ModalityLUTSequence=[lookup_table(0, 16, table.tolist())], WindowCenter=30_000, WindowWidth=9000)
    assert_pixels(data, linear(table[ramp], 30_000, 9000))


@pytest.mark.parametrize("depth", [8, 12, 16])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_voi_lut_is_looked_up_and_preferred_to_the_window(depth, syntax, dicom, ramp):
    table = np.rint(np.linspace(0, 1, 3000) ** 2 * (2**depth - 1)).astype(int)
    sequence = [lookup_table(500, depth, table.tolist(), "HARDER"), lookup_table(0, 8, [0, 1])]
    film = read_radiograph(dicom(ramp, VOILUTSequence=sequence, **({"syntax": syntax} if syntax else {})))
    index = np.clip(ramp.astype(int) - 500, 0, 2999)
    np.testing.assert_allclose(film.pixels, table[index] / (2**depth - 1), atol=1e-6)
    assert film.facts.window == "VOI LUT “HARDER” (first of 2)"


def test_single_window(dicom, ramp):
    film = read_radiograph(dicom(ramp, WindowCenter=2500.5, WindowWidth=700))
    np.testing.assert_allclose(film.pixels, linear(ramp, 2500.5, 700), atol=1e-6)
    assert (film.facts.window, film.warnings) == ("window", ())


def test_first_of_several_windows_is_used_and_named(dicom, ramp):
    data = dicom(
        ramp,
        WindowCenter=[1000, 3000],
        WindowWidth=[500, 900],
        WindowCenterWidthExplanation=["NORMAL", "LUNG"],
    )
    assert_pixels(data, linear(ramp, 1000, 500))
    assert read_radiograph(data).facts.window == "window “NORMAL” (first of 2)"


@pytest.mark.parametrize(
    ("function", "formula"),
    [
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1800.0) / 600))),
        ("LINEAR_EXACT", lambda x: np.clip((x - 1800.0) / 600 + 0.5, 0, 1)),
    ],
)
def test_voi_lut_function(function, formula, dicom, ramp):
    assert_pixels(dicom(ramp, VOILUTFunction=function, WindowCenter=1800, WindowWidth=600), formula(ramp))


@pytest.mark.parametrize(
    ("elements", "warning"),
    [
        ({"WindowCenter": None, "WindowWidth": None}, NO_WINDOW),
        ({"WindowCenter": None}, NO_WINDOW),
        ({"WindowWidth": ""}, NO_WINDOW),
        ({"WindowWidth": 0}, NO_WINDOW),
        ({"WindowWidth": [0, 800], "WindowCenter": [0, 900]}, NO_WINDOW),
        ({"WindowWidth": 0.5}, BAD_WINDOW),
        ({"VOILUTFunction": "CUBIC"}, BAD_WINDOW),
    ],
    ids=["none", "no centre", "empty", "zero", "first zero", "below 1", "unknown function"],
)
def test_unusable_window_falls_back_to_percentiles_with_warning(elements, warning, dicom, ramp):
    film = read_radiograph(dicom(ramp, **elements))
    np.testing.assert_allclose(film.pixels, robust(ramp), atol=1e-6)
    assert (film.facts.window, film.warnings) == ("percentiles 0.5 to 99.5", (warning,))


@pytest.mark.parametrize(("keyword", "warning"), [("WindowWidth", NO_WINDOW), ("WindowCenter", BAD_WINDOW)])
def test_window_that_is_no_number_falls_back_to_percentiles_with_warning(keyword, warning, dicom, ramp):
    film = read_radiograph(dicom(ramp, **{keyword: "2345.6"}).replace(b"2345.6", b"wide  "))
    np.testing.assert_allclose(film.pixels, robust(ramp), atol=1e-6)
    assert film.warnings == (warning,)


def test_film_in_few_values_without_window_spans_them(dicom):
    stored = np.full((48, 64), 100, np.uint16)
    stored[0, 0], stored[1, 1] = 90, 110
    film = read_radiograph(dicom(stored, WindowCenter=None))
    assert [film.pixels[0, 0], film.pixels[2, 2], film.pixels[1, 1]] == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 4095])
def test_padding_is_black_and_does_not_disturb_percentiles(photometric, limit, dicom, ramp):
    stored = ramp // 2 + 100
    inside = np.zeros(stored.shape, bool)
    inside[8:-8, 8:-8] = True
    stored[~inside] = 4000
    stored[0] = 4000 if limit is None else 4095
    padding = {"PixelPaddingValue": 4000} | ({"PixelPaddingRangeLimit": limit} if limit else {})
    film = read_radiograph(dicom(stored, PhotometricInterpretation=photometric, WindowCenter=None, **padding))
    image = robust(stored[inside])
    np.testing.assert_allclose(film.pixels[inside], 1 - image if photometric == "MONOCHROME1" else image, atol=1e-6)
    assert (film.pixels[~inside] == 0).all()


def test_facts_are_those_of_the_header(dicom, ramp):
    elements = {"ViewPosition": "PA", "BodyPartExamined": "CHEST", "PixelSpacing": [0.14, 0.2]}
    film = read_radiograph(dicom(ramp, ImagerPixelSpacing=[1, 1], **elements))
    facts = film.facts
    assert (facts.modality, facts.view, facts.body_part) == ("DX", "PA", "CHEST")
    assert facts.pixel_spacing == (0.14, 0.2)
    assert film.warnings == ()
    assert "Roentgen" not in repr(film)


def test_damage_in_an_element_that_is_not_read_does_no_harm(dicom, ramp):
    data = dicom(ramp)
    damaged = data.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00ZZ")
    assert damaged != data
    np.testing.assert_array_equal(read_radiograph(damaged).pixels, read_radiograph(data).pixels)


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({}, None),
        ({"PixelSpacing": [0, 0]}, None),
        ({"PixelSpacing": 0.14}, None),
        ({"PixelSpacing": [0.1, 0.1, 0.1]}, None),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.15, 0.16]}, (0.15, 0.16)),
        ({"ImagerPixelSpacing": [0.15, 0.16]}, (0.15, 0.16)),
    ],
)
def test_spacing_falls_back_to_the_detector_and_zero_is_unknown(elements, spacing, dicom, ramp):
    assert read_radiograph(dicom(ramp, **elements)).facts.pixel_spacing == spacing


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"ViewPosition": "LATERAL"}, "its view is LATERAL"),
        ({"BodyPartExamined": "HAND"}, "another body part: hand"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw detector data"),
        ({"PatientAge": "015Y"}, "the patient is a child"),
        ({"PatientAge": "018M"}, "the patient is a child"),
    ],
)
def test_film_out_of_scope_warns(elements, words, dicom, ramp):
    (warning,) = read_radiograph(dicom(ramp, **elements)).warnings
    assert words in warning
