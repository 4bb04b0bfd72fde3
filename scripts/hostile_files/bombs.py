"""Files that must not be read, each with what has to be said of it. All are made on the spot, in memory."""

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from scripts.hostile_files.parts import (
    chunk,
    compressed,
    dataset_of,
    dicom,
    encapsulated,
    picture,
    png,
    rows_of,
    written,
)
from scripts.hostile_files.seeds import HEIGHT, WIDTH, ramp

DAMAGED_PNG = "The PNG file is truncated or damaged."
DAMAGED_JPEG = "The JPEG file is truncated or damaged."
DAMAGED_DICOM = "The DICOM file is truncated or damaged."
OTHER = "This is not a PNG, JPEG or DICOM file."
NO_NUMBERS = "The image holds pixels that are not numbers."
READ = "It is read."


SLOW_JPEG_LS: Final = base64.b64decode(
    "/9j/9wALDAAgACgBAREA/9oACAEBAAAAAKLFhwxxiw4Y4xjGczM3EWHDHGMYzmZm4iICBGiRRShCEVERFRETSSa22W2y2xggW2y29/3/"
    "P+/7/v4z+/v+/1/3/f8/7/kfn1/3/e+++/E+u+++++99g+N9999999g9t9999999g9N9999977g8r7777777g8L7777777h3X3333vvv"
    "DsfffffffeHU+++++++8Oh99997774dHvvvvvvvhye+++++++FF77733336cHfffffffpvd999999+Nzvvvffffa2t9999999rY33333"
    "332tbfe+++++61L7777777rSvvvvvvvutC+9999996zn3333333rMfffffffesp7774B776yvfffffffWN5VSfvvvvvvgA=="
)
"""The fuzzer found it: 40 x 32 pixels over which the codec computes for seconds: its end is missing."""


@dataclass(frozen=True)
class Bomb:
    """A hostile file.

    Attributes:
        name: what it is.
        make: gives its bytes.
        outcome: a part of the sentence with which it is refused, or `READ`.
        slow: it takes the time limit to be refused.
    """

    name: str
    make: Callable[[], bytes]
    outcome: str
    slow: bool = False


def bombs() -> list[Bomb]:
    """All of them."""
    return [*_disguised(), *_pngs(), *_jpegs(), *_dicom_headers(), *_dicom_structures(), *_dicom_values(), *_codecs()]


def _grey() -> np.ndarray:
    return (ramp() >> 4).astype(np.uint8)


def _disguised() -> list[Bomb]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    return [
        Bomb("EPS named .png", lambda: picture(_grey(), "EPS"), OTHER),
        Bomb("TIFF named .png", lambda: picture(_grey(), "TIFF"), OTHER),
        Bomb("SVG named .png", lambda: svg, OTHER),
        Bomb("WebP named .jpg", lambda: picture(_grey(), "WEBP"), OTHER),
        Bomb("PDF named .dcm", lambda: b"%PDF-1.7\n" + bytes(200), OTHER),
        Bomb("empty file", lambda: b"", "The file is empty."),
        Bomb("signature of a PNG and nothing else", lambda: b"\x89PNG\r\n\x1a\n", DAMAGED_PNG),
        Bomb("prefix of a DICOM file and nothing else", lambda: bytes(128) + b"DICM", "Transfer Syntax UID is missing"),
    ]


def _blank_png(width: int, height: int, bits: int) -> bytes:
    return png(width, height, bytes(height * (1 + width * bits // 8)), bits=bits)


def _with_chunk(name: bytes, body: bytes) -> bytes:
    return png(WIDTH, HEIGHT, rows_of(_grey()), before=[chunk(name, body)])


def _bomb(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes * 1_000_000), 9)


def _pngs() -> list[Bomb]:
    whole = picture(np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8), "PNG")
    text = b"Comment\0\0"
    return [
        Bomb(
            "PNG of 100 megapixels in 12 KB", partial(_blank_png, 10_000, 10_000, 1), "10000 x 10000 pixels, more than"
        ),
        Bomb("PNG of 64 megapixels in 8 KB", partial(_blank_png, 8000, 8000, 1), "The image is blank"),
        Bomb("PNG of 64 megapixels of 16 bits in 124 KB", partial(_blank_png, 8000, 8000, 16), "The image is blank"),
        Bomb("PNG of 2^31-1 x 2^31-1 pixels", lambda: png(2**31 - 1, 2**31 - 1, b"\0"), "megapixels"),
        Bomb("truncated PNG", lambda: whole[: len(whole) // 2], DAMAGED_PNG),
        Bomb("PNG, zTXt of 200 MB in 200 KB", lambda: _with_chunk(b"zTXt", text + _bomb(200)), DAMAGED_PNG),
        Bomb("PNG, iTXt of 200 MB in 200 KB", lambda: _with_chunk(b"iTXt", b"C\0\1\0\0\0" + _bomb(200)), DAMAGED_PNG),
        Bomb("PNG, iCCP of 200 MB in 200 KB", lambda: _with_chunk(b"iCCP", b"icc\0\0" + _bomb(200)), DAMAGED_PNG),
        Bomb("PNG, IDAT of 200 MB for 1 KB of pixels", lambda: png(WIDTH, HEIGHT, bytes(200_000_000)), "is blank"),
        Bomb("PNG with 100,000 text chunks", lambda: _many_chunks(b"tEXt", b"a\0b", 100_000), READ),
        Bomb("PNG with a chunk of 2 GB", _long_chunk, READ),
        Bomb("PNG with more transparent colours than a palette has", _long_transparency, DAMAGED_PNG),
        Bomb("PNG with 100,000 frames", lambda: _with_chunk(b"acTL", struct.pack(">II", 100_000, 0)), "100001 images"),
    ]


def _many_chunks(name: bytes, body: bytes, count: int) -> bytes:
    return png(WIDTH, HEIGHT, rows_of(_grey()), before=[chunk(name, body)] * count)


def _long_transparency() -> bytes:
    """The fuzzer found it: Pillow looks at them when colours are converted, after the file was loaded."""
    before = [chunk(b"PLTE", bytes(range(256)) * 3), chunk(b"tRNS", bytes(300))]
    return png(WIDTH, HEIGHT, rows_of(_grey()), colour=3, before=before)


def _long_chunk() -> bytes:
    data = picture(_grey(), "PNG")
    at = data.index(b"IDAT") - 4
    return data[:at] + struct.pack(">I", 2**31 - 1) + data[at + 4 :]


def _jpegs() -> list[Bomb]:
    whole = picture(_grey(), "JPEG")
    return [
        Bomb("truncated JPEG", lambda: whole[: len(whole) // 2], DAMAGED_JPEG),
        Bomb("JPEG of 65500 x 65500 pixels", lambda: _resized_jpeg(whole, 65500), "has more than 64 megapixels"),
        Bomb("JPEG of 8000 x 8000 pixels that holds 32 x 40", lambda: _resized_jpeg(whole, 8000), READ),
        Bomb("progressive JPEG of 20,000 scans", lambda: _scans(4000, 20_000), "comes in 20,0"),
        Bomb("progressive JPEG of 64 megapixels in 45 scans", lambda: _scans(8000, 40), READ),
    ]


def _resized_jpeg(data: bytes, side: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def _scans(side: int, count: int) -> bytes:
    """The last scan of a progressive JPEG again and again: each goes over all the pixels."""
    image = Image.new("L", (side, side))
    image.putpixel((9, 9), 200)
    data = picture(image, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - 1) + data[-2:]


def _changed(**elements: object) -> Callable[[], bytes]:
    return lambda: dicom(ramp(), **elements)


def _dicom_headers() -> list[Bomb]:
    wrong = "says that its image has"
    return [
        Bomb("DICOM with Rows 0", _changed(Rows=0), wrong),
        Bomb("DICOM with Rows and Columns 65535", _changed(Rows=65535, Columns=65535), "65535 x 65535 pixels, more"),
        Bomb("DICOM with Rows 65535", _changed(Rows=65535), "is truncated or damaged (encoded as Explicit"),
        Bomb("DICOM with NumberOfFrames 10^9", _changed(NumberOfFrames=10**9), "holds 1000000000 frames"),
        Bomb("DICOM of 3 frames", _changed(NumberOfFrames=3), "holds 3 frames"),
        Bomb("DICOM with BitsAllocated 65535", _changed(BitsAllocated=65535), "truncated or damaged"),
        Bomb("DICOM with BitsStored 200", _changed(BitsStored=200), "truncated or damaged"),
        Bomb("structured report", _changed(Modality="SR", PixelData=None), "is a structured report"),
        Bomb("DICOMDIR", _directory, "holds no image (Media Storage Directory Storage)"),
        Bomb("DICOM with a colour image", _changed(SamplesPerPixel=3), "holds a colour image"),
        Bomb("CT slice", _changed(Modality="CT"), "has modality CT"),
        Bomb("DICOM whose encoding is named like a patient", _named_encoding, READ),
        Bomb("deflated DICOM", lambda: written(dataset_of(ramp()), DeflatedExplicitVRLittleEndian), "not supported"),
        Bomb("deflated DICOM that grows a thousandfold", _deflated, "Deflated Explicit VR Little Endian, which is not"),
    ]


def _named_encoding() -> bytes:
    """A file whose Transfer Syntax UID has the type of a name; the fuzzer found it."""
    return dicom(ramp()).replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x10\x00PN")


def _directory() -> bytes:
    dataset = dataset_of(ramp(), PixelData=None, Modality=None)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    return written(dataset)


def _deflated() -> bytes:
    return written(dataset_of(np.zeros((8000, 8000), np.uint16)), DeflatedExplicitVRLittleEndian)


def element(group: int, number: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    """An element of explicit VR with a long length, and that length may lie."""
    return struct.pack("<HH2sHI", group, number, vr, 0, length) + value


def _inserted(part: bytes, **elements: object) -> bytes:
    """A film with some bytes before its data set."""
    data = dicom(ramp(), **elements)
    # The first element of the data set: SOP Class UID.
    at = data.index(b"\x08\x00\x16\x00UI")
    return data[:at] + part + data[at:]


def _nested(group: int, number: int, depth: int) -> bytes:
    start = element(group, number, b"SQ", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return start * depth + end * depth


def _dicom_structures() -> list[Bomb]:
    short = struct.pack("<HH2sH", 0x0009, 0x1001, b"LO", 0)
    return [
        Bomb("20,000 nested sequences", lambda: _inserted(_nested(8, 0x1140, 20_000)), DAMAGED_DICOM),
        Bomb("20,000 nested VOI LUTs", lambda: _inserted(_nested(0x28, 0x3010, 20_000)), DAMAGED_DICOM),
        Bomb("element of 4 GB", lambda: _inserted(element(8, 0x14, b"OB", 0xFFFFFFFE)), DAMAGED_DICOM),
        Bomb("pixels of 4 GB", lambda: _inserted(element(0x7FE0, 0x10, b"OW", 0xFFFFFFFE)), "This DICOM file holds"),
        Bomb("1,000,000 empty elements in 8 MB", lambda: _inserted(short * 1_000_000), READ),
        Bomb("10,000,000 empty elements in 80 MB", lambda: _inserted(short * 10_000_000), "takes longer", slow=True),
    ]


def _dicom_values() -> list[Bomb]:
    floats = dataset_of(ramp(), PixelData=None, BitsAllocated=32, Modality="DX")
    floats.FloatPixelData = np.full(ramp().size, np.nan, np.float32).tobytes()
    return [
        Bomb("WindowWidth 0", _changed(WindowWidth=0), READ),
        Bomb("WindowWidth NaN", _changed(WindowWidth="nan"), READ),
        Bomb("WindowCenter infinite", _changed(WindowCenter="inf"), READ),
        Bomb("WindowCenter 1e308", _changed(WindowCenter="1e308", WindowWidth="1e308"), READ),
        Bomb("RescaleSlope NaN", _changed(RescaleSlope="nan", RescaleIntercept=0), NO_NUMBERS),
        Bomb("RescaleSlope infinite", _changed(RescaleSlope="inf", RescaleIntercept=0), NO_NUMBERS),
        Bomb("RescaleSlope 1e308", _changed(RescaleSlope="1e308", RescaleIntercept=0), NO_NUMBERS),
        Bomb("RescaleIntercept NaN", _changed(RescaleSlope=1, RescaleIntercept="nan"), NO_NUMBERS),
        Bomb("RescaleSlope 0", _changed(RescaleSlope=0, RescaleIntercept=0), "is blank"),
        Bomb("Float Pixel Data of NaN", lambda: written(floats), "holds no image"),
        Bomb("PixelSpacing infinite", _changed(PixelSpacing=["inf", "nan"]), READ),
    ]


def codestream(rows: int, columns: int, tile: int, components: int = 1) -> bytes:
    """The main header of a JPEG 2000 codestream (ISO 15444-1 A.5.1) without any tile."""
    sizes = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, tile, tile, 0, 0, components) + b"\x0b\1\1" * components
    start = b"\xff\x4f\xff\x51" + struct.pack(">H", len(sizes) + 2) + sizes
    style = b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    return start + style + b"\xff\x5c\x00\x13\x40" + bytes(16)


def _hidden_codestream() -> bytes:
    """A JP2 file with a box that holds the header of a small codestream, before the box with the large one."""
    boxes = [
        (b"jP  ", b"\r\n\x87\n"),
        (b"ftyp", b"jp2 \0\0\0\0jp2 "),
        (b"uuid", bytes(16) + codestream(HEIGHT, WIDTH, 64)),
        (b"jp2c", codestream(30_000, 30_000, 30_000)),
    ]
    return b"".join(struct.pack(">I", len(body) + 8) + name + body for name, body in boxes)


def _codecs() -> list[Bomb]:
    stored, grey = ramp(), _grey()
    damaged = "The image in the DICOM file is truncated or damaged"
    size = "but its header says"
    tile_part = b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x0e\x00\x01\xff\x93\xff\xd9"

    def coded(data: bytes, rows: int = HEIGHT, columns: int = WIDTH) -> Callable[[], bytes]:
        return lambda: encapsulated(stored, JPEG2000Lossless, [data], Rows=rows, Columns=columns)

    return [
        Bomb("JPEG 2000 larger than its header", coded(codestream(30_000, 30_000, 30_000)), size),
        Bomb("JPEG 2000 larger than a header hidden in JP2", coded(_hidden_codestream()), size),
        Bomb("JPEG 2000 of 64 million tiles", coded(codestream(8000, 8000, 1) + tile_part, 8000, 8000), damaged),
        Bomb("JPEG 2000 of 16,384 components", coded(codestream(HEIGHT, WIDTH, 64, 16384) + tile_part), damaged),
        Bomb("JPEG 2000 of 64 megapixels without data", coded(codestream(8000, 8000, 8000) + tile_part, 8000, 8000), damaged),
        Bomb("JPEG-LS larger than its header", lambda: compressed(stored, JPEGLSLossless, Rows=8, Columns=8), size),
        Bomb("JPEG-LS whose end is missing, seconds of work for its codec", lambda: encapsulated(
            stored, JPEGLSLossless, [SLOW_JPEG_LS]), damaged),
        Bomb("baseline JPEG larger than its header", lambda: encapsulated(
            grey, JPEGBaseline8Bit, [_resized_jpeg(picture(grey, "JPEG"), 60_000)], 8), size),
        Bomb("run lengths beyond the image", lambda: compressed(stored, RLELossless, Rows=8, Columns=8), damaged),
        Bomb("64 megapixels of run lengths in 1 MB", lambda: compressed(
            np.zeros((8000, 8000), np.uint16), RLELossless), "The image is blank"),
        Bomb("fragment of 4 GB", lambda: _long_fragment(compressed(stored, RLELossless)), READ),
    ]  # fmt: skip


def _long_fragment(data: bytes) -> bytes:
    at = data.rindex(b"\xfe\xff\x00\xe0")
    return data[: at + 4] + struct.pack("<I", 0xFFFFFFF0) + data[at + 8 :]
