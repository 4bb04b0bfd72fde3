"""The size of a codestream, read from codestreams of the codecs themselves."""

import struct

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from cxr.radiograph.codestream import encoded_size, without_comments
from scripts.hostile_files.bombs import codestream as main_header
from scripts.hostile_files.seeds import HEIGHT, WIDTH

LOSSLESS_HEAD = struct.pack(">HHHBHHB", 0xFFD8, 0xFFC3, 11, 12, 48, 64, 1) + b"\1\x11\0"
HUFFMAN_TABLE = b"\xff\xc4\0\3\0"
SCAN = b"\xff\xda\0\x08\1\1\0\1\0\0"


@pytest.fixture(params=["baseline", "progressive", JPEGLSLossless, JPEG2000Lossless])
def codestream(request, encoded, dicom, grey, ramp, tmp_path) -> bytes:
    """48 rows, 64 columns."""
    if request.param in ("baseline", "progressive"):
        return encoded(grey, "JPEG", progressive=request.param == "progressive", comment="\xff\xc0 is no frame here")
    file = tmp_path / "film.dcm"
    file.write_bytes(dicom(ramp, compress=request.param))
    return next(generate_frames(dcmread(file).PixelData, number_of_frames=1))


def test_size_is_rows_then_columns(codestream):
    assert encoded_size(codestream) == (48, 64)


def test_truncated_head_has_no_size(codestream):
    assert encoded_size(codestream[:12]) is None


def test_size_of_a_jp2_file_is_that_of_the_codestream_in_it(encoded, grey):
    assert encoded_size(encoded(grey, "JPEG2000")) == (48, 64)


def test_size_of_jpeg_2000_begins_at_the_offset_of_its_grid():
    grid = struct.pack(">HHHHIIII", 0xFF4F, 0xFF51, 41, 0, 70, 50, 6, 2)
    assert encoded_size(grid) == (48, 64)


def test_fill_bytes_before_a_marker_are_skipped(encoded, grey):
    data = encoded(grey, "JPEG")
    assert encoded_size(data[:2] + b"\xff\xff" + data[2:]) == (48, 64)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", bytes(99), b"\xff\xd8" + SCAN])
def test_what_is_no_codestream_has_no_size(data):
    assert encoded_size(data) is None


def test_lossless_frame_with_its_tables_has_a_size():
    assert encoded_size(LOSSLESS_HEAD + HUFFMAN_TABLE + SCAN) == (48, 64)


def test_lossless_frame_without_huffman_table_has_no_size():
    assert encoded_size(LOSSLESS_HEAD + SCAN) is None


@pytest.mark.parametrize("precision", [0, 1, 17, 255])
def test_impossible_precision_has_no_size(precision):
    head = bytearray(LOSSLESS_HEAD)
    head[6] = precision
    assert encoded_size(bytes(head) + HUFFMAN_TABLE + SCAN) is None


def test_second_frame_header_has_no_size():
    assert encoded_size(LOSSLESS_HEAD + HUFFMAN_TABLE + LOSSLESS_HEAD[2:] + SCAN) is None


def test_noise_ends_without_error():
    rng = np.random.default_rng(0)
    for length in range(2, 200):
        encoded_size(b"\xff\xd8" + rng.bytes(length))


def box(kind: bytes, body: bytes, wide: bool = False) -> bytes:
    """A box of a JP2 file (ISO 15444-1 I.4), by its short or its long length."""
    if wide:
        return struct.pack(">I4sQ", 1, kind, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind) + body


@pytest.mark.parametrize("wide", [False, True])
def test_size_of_a_jp2_file_is_that_of_its_codestream_box(wide):
    decoy = box(b"uuid", bytes(16) + main_header(HEIGHT, WIDTH, 64), wide)
    data = box(b"jP  ", b"\r\n\x87\n") + decoy + box(b"jp2c", main_header(300, 200, 64), wide)
    assert encoded_size(data) == (300, 200)


@pytest.mark.parametrize("wide", [False, True])
def test_what_stands_beside_the_codestream_of_a_jp2_file_does_not_stay(wide):
    image = main_header(300, 200, 64) + b"\xff\x90 image \xff\xd9"
    decoy = box(b"uuid", b"DOE" + main_header(HEIGHT, WIDTH, 64) + b"\xff\x90 DOE \xff\xd9", wide)
    data = box(b"jP  ", b"\r\n\x87\n") + decoy + box(b"jp2c", image, wide) + box(b"xml ", b"<n>DOE</n>\xff\xd9")
    assert without_comments(data).rstrip(b"\0") == image


@pytest.mark.parametrize("length", [0, 2, 7, 2**31])
def test_jp2_file_without_codestream_has_no_size(length):
    assert encoded_size(struct.pack(">I4s", length, b"jP  ") + bytes(60)) is None
