"""Files that are nearly right, drawn by Hypothesis: what comes out is a film or a refusal, in little memory and time.

The longer run is `make fuzz`. These go through the app's decoder, which makes a refusal of any crash; an exception that
a reader did not expect has a sentence of its own, and fails here.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from cxr.radiograph import UnreadableFilm
from cxr.radiograph.decoding_process import Limits
from cxr.radiograph.isolated import UNDECODABLE, Decoder
from scripts.hostile_files.parts import PATIENT, PNG_START, chunk, png
from scripts.hostile_files.seeds import seeds

SEEDS = seeds()
DICOM_SEEDS = [name for name in SEEDS if name.startswith("dicom")]
PNG_SEEDS = [name for name in SEEDS if name.startswith("png")]
# The same examples everywhere: a change of the readers makes a test fail, not the day.
OFTEN = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def decoder():
    made = Decoder(Limits(megabytes=512, seconds=5, max_pixels=2_000_000), 1)
    yield made
    made.close()


def read(decoder, data):
    """Every way in which the app looks at a file."""
    try:
        film = decoder.read(data)
    except UnreadableFilm as error:
        sentence = str(error)
        assert sentence != UNDECODABLE
        assert sentence[0].isupper() and sentence.endswith(".") and sentence.isprintable()
        assert PATIENT.partition("^")[0] not in sentence
    else:
        assert film.pixels.shape == (film.facts.height, film.facts.width)
        assert np.isfinite(film.pixels).all() and film.pixels.min() >= 0 and film.pixels.max() <= 1
        assert film.facts.pixel_spacing is None or np.isfinite(film.facts.pixel_spacing).all()
        assert PATIENT.partition("^")[0] not in " ".join(map(str, (film.facts, *film.warnings)))
    for other in (decoder.full_depth, lambda whole: decoder.thumbnail(whole, 20), decoder.header, decoder.is_whole):
        try:
            other(data)
        except UnreadableFilm as error:
            assert str(error) != UNDECODABLE


@st.composite
def changed(draw, names=tuple(SEEDS)):
    """A seed in which some bytes are others, are gone, or come twice."""
    data = bytearray(SEEDS[draw(st.sampled_from(names))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["set", "set", "insert", "delete", "repeat", "cut"]))
        length = draw(st.sampled_from([1, 1, 2, 4, 16, 200]))
        if kind == "set":
            data[at : at + length] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=12))
        elif kind == "delete":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.sampled_from([1, 2, 50]))
        else:
            del data[at:]
    return bytes(data)


@given(data=changed())
@OFTEN
def test_damaged_bytes(decoder, data):
    read(decoder, data)


def numbers(bits):
    edges = [0, 1, 2, 7, 8, 12, 15, 16, 17, 32, 64, 2**bits - 1, 2 ** (bits - 1)]
    return st.one_of(st.sampled_from([edge for edge in edges if edge < 2**bits]), st.integers(0, 2**bits - 1))


DECIMALS = st.one_of(
    st.sampled_from(["0", "-0", "nan", "inf", "-inf", "1e308", "-1e308", "1e-308", "1e400", "", "wide", "1\\2", "\\"]),
    st.floats(-1e6, 1e6).map(lambda value: f"{value:.8g}"),
)
SHORTS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PlanarConfiguration",
)  # fmt: skip
STRINGS = (
    "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImagerPixelSpacing",
    "NumberOfFrames", "VOILUTFunction", "PhotometricInterpretation", "Modality", "ViewPosition", "PatientAge",
    "WindowCenterWidthExplanation", "PixelSpacingCalibrationType", "SpecificCharacterSet",
)  # fmt: skip
WORDS = st.one_of(
    DECIMALS, st.text(max_size=20),
    st.sampled_from(["SIGMOID", "LINEAR_EXACT", "MONOCHROME1", "YBR_FULL", "000Y", "999D", "ISO 2022 IR 87", "GBK"]),
)  # fmt: skip


@st.composite
def odd_headers(draw):
    """A DICOM seed some of whose elements say something else, or something impossible."""
    dataset = dcmread(io.BytesIO(SEEDS[draw(st.sampled_from(DICOM_SEEDS))]))
    for keyword in draw(st.lists(st.sampled_from(SHORTS), max_size=3)):
        setattr(dataset, keyword, draw(numbers(16)))
        dataset[keyword].VR = "US"
    # As bytes, so that what is no number is written too.
    words = {}
    for number, keyword in enumerate(draw(st.lists(st.sampled_from(STRINGS), max_size=3, unique=True))):
        words[f"@@{number}@@@@@@@@@@@@".encode()] = draw(WORDS).encode("utf-8", "replace")
        setattr(dataset, keyword, "1")
        dataset[keyword].VR = "LO"
        dataset[keyword].value = f"@@{number}@@@@@@@@@@@@"
    lut = draw(st.none() | st.tuples(numbers(16), numbers(16), st.sampled_from([0, 8, 12, 16, 99])))
    for keyword in ("VOILUTSequence", "ModalityLUTSequence"):
        if lut is not None and keyword in dataset:
            dataset[keyword].value[0].LUTDescriptor = list(lut)
            dataset[keyword].value[0]["LUTDescriptor"].VR = "US"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=False)
    data = file.getvalue()
    for placeholder, word in words.items():
        data = data.replace(placeholder, word[: len(placeholder)].ljust(len(placeholder)))
    return data


@given(data=odd_headers())
@OFTEN
def test_odd_headers(decoder, data):
    read(decoder, data)


@st.composite
def odd_pngs(draw):
    """A PNG whose checksums are right and whose chunks are not; or one from drawn fields."""
    if draw(st.booleans()):
        bits, colour = draw(st.sampled_from([1, 2, 4, 8, 16, 3])), draw(st.sampled_from([0, 2, 3, 4, 6, 5]))
        samples = draw(st.binary(max_size=300)) * draw(st.sampled_from([1, 20]))
        width, height = draw(st.integers(0, 60)), draw(st.integers(0, 60))
        palette = [chunk(b"PLTE", draw(st.binary(max_size=12)))] if draw(st.booleans()) else []
        extra = st.sampled_from([b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"eXIf", b"acTL", b"sBIT", b"pHYs", b"cHRM"])
        others = [chunk(draw(extra), draw(st.binary(max_size=30))) for _ in range(draw(st.integers(0, 2)))]
        return png(
            width, height, samples, bits=bits, colour=colour, interlace=draw(st.integers(0, 2)), before=palette + others
        )
    data, at, parts = SEEDS[draw(st.sampled_from(PNG_SEEDS))], len(PNG_START), []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    place = draw(st.integers(0, len(parts) - 1))
    name, body = parts[place]
    if name == b"IDAT":
        rows = bytearray(zlib.decompress(body))
        rows[draw(st.integers(0, len(rows) - 1))] = draw(st.integers(0, 255))
        body = zlib.compress(bytes(rows[: draw(st.integers(0, len(rows)))]))
    elif body:
        changed = bytearray(body)
        changed[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
        body = bytes(changed)
    parts[place] = (name, body)
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), parts[draw(st.integers(0, len(parts) - 1))])
    return PNG_START + b"".join(chunk(*part) for part in parts)


@given(data=odd_pngs())
@OFTEN
def test_odd_pngs(decoder, data):
    read(decoder, data)
