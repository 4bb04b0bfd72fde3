"""Compressed DICOM films give the pixels that uncompressed ones do, and real ones those of pydicom's own chain."""

import io

import gdcm
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from cxr.radiograph import UnreadableFilm, read_radiograph
from cxr.radiograph.dicom import DECODERS


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_compression_does_not_change_pixels(syntax, signed, dicom, ramp):
    stored = ramp.astype(np.int16) - 2048 if signed else ramp
    window = {"WindowCenter": 0 if signed else 2048}
    film = read_radiograph(dicom(stored, compress=syntax, **window))
    np.testing.assert_array_equal(film.pixels, read_radiograph(dicom(stored, **window)).pixels)


@pytest.mark.parametrize("process", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
def test_lossless_jpeg_does_not_change_pixels(process, dicom, ramp, tmp_path):
    plain, compressed = tmp_path / "plain.dcm", tmp_path / "compressed.dcm"
    plain.write_bytes(dicom(ramp))
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(compressed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    np.testing.assert_array_equal(
        read_radiograph(compressed.read_bytes()).pixels, read_radiograph(plain.read_bytes()).pixels
    )


def test_baseline_jpeg_equals_pillows_decoding(dicom, encoded, grey):
    codestream = encoded(grey, "JPEG", quality=80)
    film = read_radiograph(dicom(grey, 8, frame=(JPEGBaseline8Bit, codestream)))
    np.testing.assert_allclose(film.pixels, np.asarray(Image.open(io.BytesIO(codestream))) / 255, atol=1e-6)


@pytest.mark.parametrize("syntax", [uid for uid in DECODERS if uid.is_compressed], ids=lambda uid: uid.keyword)
def test_decoder_of_each_encoding_is_installed(syntax):
    assert DECODERS[syntax] in get_decoder(syntax).available_plugins


def test_real_films_equal_pydicoms_own_chain(shared_data):
    refused = {"JPLY": "with 12 bits, which is not supported.", "html": "This is not a PNG, JPEG or DICOM file."}
    files = sorted((shared_data / "dicom").iterdir())
    assert files
    for file in files:
        reason = refused.get(file.name[:4])
        if reason:
            with pytest.raises(UnreadableFilm, match=reason):
                read_radiograph(file.read_bytes())
            continue
        dataset = dcmread(file)
        # None of these is signed or rescaled, so the window's output is what the stored bits can hold.
        shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset) / (2**dataset.BitsStored - 1)
        expected = 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
        film = read_radiograph(file.read_bytes())
        np.testing.assert_allclose(film.pixels, expected, atol=1e-6, err_msg=file.name)
        assert (film.facts.modality, film.facts.bits) == (dataset.Modality, dataset.BitsStored)
