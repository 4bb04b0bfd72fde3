"""A film at full depth is the film that is read, before its window."""

import numpy as np
import pytest
from pydicom import Dataset, Sequence

from cxr.radiograph import full_depth, read_radiograph
from cxr.samples import FOLDER


def lut(first: int, table: np.ndarray) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(table), first, 12]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = table.tolist()
    item["LUTData"].VR = "US"
    return item


CURVED = np.rint(np.linspace(0, 1, 3000) ** 2 * 4095).astype(int)

KINDS = {
    "window": {"WindowCenter": 2000, "WindowWidth": 1500},
    # Every second value lies on the edge between two greys, where the least difference shows.
    "ties": {"WindowCenter": 2000.5, "WindowWidth": 511},
    "one level wide": {"WindowCenter": 2000, "WindowWidth": 1},
    "beyond the values": {"WindowCenter": -500, "WindowWidth": 9000},
    "exact": {"WindowCenter": 1800, "WindowWidth": 600, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 1800, "WindowWidth": 600, "VOILUTFunction": "SIGMOID"},
    "lookup table": {"VOILUTSequence": Sequence([lut(500, CURVED)])},
    "percentiles": {"WindowCenter": None, "WindowWidth": None},
    "rescaled": {"RescaleSlope": 0.5, "RescaleIntercept": -300, "WindowCenter": 700, "WindowWidth": 900},
    "rescaled downwards": {"RescaleSlope": -2, "RescaleIntercept": 100, "WindowCenter": -4000, "WindowWidth": 5000},
    "padded": {"PixelPaddingValue": 0, "WindowCenter": None},
    "padded, windowed": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 900},
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("kind", KINDS)
def test_picture_at_the_files_window_is_the_film_as_it_is_read(kind, photometric, dicom, ramp):
    data = dicom(ramp, PhotometricInterpretation=photometric, **KINDS[kind])
    depth = full_depth(data)
    np.testing.assert_array_equal(depth.picture(), read_radiograph(data).grey)
    assert depth.levels.dtype == np.uint16 and depth.low < depth.high


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_value_of_the_file_has_its_level_and_the_denser_the_greater(photometric, dicom, ramp):
    depth = full_depth(dicom(ramp + 1000, bits=16, PhotometricInterpretation=photometric))
    np.testing.assert_array_equal(depth.zero + depth.step * depth.levels.astype(int), ramp.astype(int) + 1000)
    shown = read_radiograph(dicom(ramp + 1000, bits=16, PhotometricInterpretation=photometric)).pixels
    order = np.argsort(depth.levels, axis=None, kind="stable")
    assert (np.diff(shown.ravel()[order]) >= 0).all()


def test_signed_values_keep_all_their_levels(dicom, ramp):
    stored = ramp.astype(np.int16) - 2048
    data = dicom(stored, WindowCenter=0, WindowWidth=4096)
    depth = full_depth(data)
    assert len(np.unique(depth.levels)) == len(np.unique(stored))
    np.testing.assert_array_equal(depth.picture(), read_radiograph(data).grey)


def test_another_window_is_the_films_values_between_black_and_white(dicom, ramp):
    depth = full_depth(dicom(ramp))
    low, high = 1000.0, 1256.0
    by_hand = np.rint(np.clip((ramp - low) / (high - low), 0, 1).astype(np.float32) * 255)
    np.testing.assert_array_equal(depth.picture(low - depth.zero, high - depth.zero), by_hand)


def test_curve_is_stretched_over_another_window(dicom, ramp):
    depth = full_depth(dicom(ramp, **KINDS["sigmoid"]))
    centre, width = 3000.0, 200.0
    by_hand = 255 / (1 + np.exp(-4 * (ramp - centre) / width))
    low = centre - width / 2 - depth.zero
    assert np.abs(depth.picture(low, low + width) - by_hand).max() <= 0.5 + 1e-4


def test_padding_is_black_at_every_window(dicom, ramp):
    depth = full_depth(dicom(ramp + 1, bits=13, PixelPaddingValue=1, PhotometricInterpretation="MONOCHROME1"))
    assert depth.padded
    assert depth.picture(-60000.0, -50000.0)[0, 0] == 0
    assert depth.picture(-60000.0, -50000.0)[1, 1] == 255


def test_values_of_more_than_16_bits_are_thinned_to_16(dicom, ramp):
    depth = full_depth(dicom(ramp.astype(np.uint32) * 1000, bits=32, WindowCenter=2_000_000, WindowWidth=4_000_000))
    values = depth.zero + depth.step * depth.levels.astype(float)
    assert np.abs(values - ramp * 1000.0).max() <= depth.step / 2 + 1e-6
    assert depth.levels.max() == 65535


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_8_bit_pictures(kind, encoded, grey):
    data = encoded(grey, kind)
    depth = full_depth(data)
    np.testing.assert_array_equal(depth.picture(), read_radiograph(data).grey)
    np.testing.assert_array_equal(depth.zero + depth.levels, read_radiograph(data).grey)


def test_16_bit_png_keeps_what_8_bits_would_lose(encoded, ramp):
    data = encoded((ramp * 16).astype(np.uint16), "PNG")
    depth = full_depth(data)
    assert len(np.unique(depth.levels)) == len(np.unique(ramp)) > 256
    np.testing.assert_array_equal(depth.picture(), read_radiograph(data).grey)


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.iterdir() if file.suffix in (".dcm", ".jpeg")))
def test_samples(name):
    data = (FOLDER / name).read_bytes()
    depth = full_depth(data)
    np.testing.assert_array_equal(depth.picture(), read_radiograph(data).grey)


def test_real_dicom_files(shared_data):
    for name in ("J2KI_RG1_J2KI", "RLE_RG3_RLE"):
        data = next((shared_data / "dicom").rglob(name)).read_bytes()
        np.testing.assert_array_equal(full_depth(data).picture(), read_radiograph(data).grey)


@pytest.mark.parametrize(
    ("elements", "at"),
    [
        ({}, None),
        ({"PixelSpacing": [0.1, 0.1]}, "stated"),
        ({"ImagerPixelSpacing": [0.1, 0.1]}, "detector"),
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.1, 0.1]}, "detector"),
        ({"PixelSpacing": [0.09, 0.09], "ImagerPixelSpacing": [0.1, 0.1]}, "patient"),
        ({"PixelSpacing": [0.1, 0.1], "PixelSpacingCalibrationType": "FIDUCIAL"}, "patient"),
    ],
)
def test_spacing_says_where_it_holds(elements, at, dicom, ramp):
    assert full_depth(dicom(ramp, **elements)).facts.spacing_at == at
