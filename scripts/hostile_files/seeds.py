"""Small films in every encoding that is read, from which the fuzzers start."""

import numpy as np
from PIL import Image
from pydicom import Dataset, Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from scripts.hostile_files.parts import (
    chunk,
    compressed,
    dataset_of,
    dicom,
    encapsulated,
    interlaced_rows,
    lossless_jpeg,
    picture,
    png,
    rows_of,
    written,
)

HEIGHT, WIDTH = 32, 40


def ramp() -> np.ndarray:
    """Stored values 0..4095, uint16 (32, 40)."""
    return (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 4095 // (HEIGHT * WIDTH - 1)).astype(np.uint16)


def seeds() -> dict[str, bytes]:
    """Films by the names of their encodings; every one can be read."""
    return _pngs() | _jpegs() | _plain_dicoms() | _compressed_dicoms()


def _pngs() -> dict[str, bytes]:
    deep = ramp() * 16
    grey = (deep >> 8).astype(np.uint8)
    image = Image.fromarray(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png-8": picture(image, "PNG"),
        "png-16": picture(deep, "PNG"),
        "png-1": picture(grey > 100, "PNG"),
        "png-palette": picture(image.convert("P"), "PNG", transparency=9),
        "png-grey-alpha": picture(image.convert("LA"), "PNG"),
        "png-rgb": picture(image.convert("RGB"), "PNG"),
        "png-rgba": picture(image.convert("RGBA"), "PNG"),
        "png-interlaced": png(WIDTH, HEIGHT, interlaced_rows(grey), interlace=1),
        "png-interlaced-16": png(WIDTH, HEIGHT, interlaced_rows(deep), bits=16, interlace=1),
        "png-rgb-16": png(WIDTH, HEIGHT, rows_of(np.repeat(deep[..., None], 3, axis=2)), bits=16, colour=2),
        "png-exif": picture(image, "PNG", exif=exif),
        "png-text": png(
            WIDTH, HEIGHT, rows_of(grey), before=[chunk(b"tEXt", b"Comment\0text"), chunk(b"gAMA", bytes(4))]
        ),
    }


def _jpegs() -> dict[str, bytes]:
    image = Image.fromarray((ramp() >> 4).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 8
    return {
        "jpeg-grey": picture(image, "JPEG"),
        "jpeg-progressive": picture(image, "JPEG", progressive=True),
        "jpeg-rgb": picture(image.convert("RGB"), "JPEG"),
        "jpeg-cmyk": picture(image.convert("CMYK"), "JPEG"),
        "jpeg-exif": picture(image, "JPEG", exif=exif),
        "jpeg-restarts": picture(image, "JPEG", restart_marker_blocks=1),
    }


def _lut(first: int, entries: list[int]) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, 12], entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def _modality_lut() -> Dataset:
    item = _lut(0, [65535 - 16 * value for value in range(4096)])
    item.LUTDescriptor = [4096, 0, 16]
    item["LUTDescriptor"].VR = "US"
    item.ModalityLUTType = "US"
    return item


def _plain_dicoms() -> dict[str, bytes]:
    stored = ramp()
    signed = stored.astype(np.int16) - 2048
    # pydicom writes the bytes of pixels as they are, in any byte order.
    swapped = dataset_of(stored.byteswap())
    return {
        "dicom-plain": dicom(stored, PixelSpacing=[0.2, 0.2], ViewPosition="PA", BodyPartExamined="CHEST"),
        "dicom-implicit": written(dataset_of(stored), ImplicitVRLittleEndian),
        "dicom-big-endian": written(swapped, ExplicitVRBigEndian),
        "dicom-8": dicom((stored >> 4).astype(np.uint8), 8, PhotometricInterpretation="MONOCHROME1"),
        "dicom-32": dicom(stored.astype(np.uint32) * 1000, 32),
        "dicom-signed": dicom(signed, WindowCenter=0, RescaleSlope=-1.5, RescaleIntercept=7),
        "dicom-padded": dicom(stored, PixelPaddingValue=0, PixelPaddingRangeLimit=90, WindowCenter=None),
        "dicom-sigmoid": dicom(stored, VOILUTFunction="SIGMOID", PatientAge="034Y"),
        "dicom-voi-lut": dicom(stored, VOILUTSequence=Sequence([_lut(0, list(range(0, 4096, 16)))])),
        "dicom-modality-lut": dicom(stored, ModalityLUTSequence=Sequence([_modality_lut()])),
    }


def _compressed_dicoms() -> dict[str, bytes]:
    stored = ramp()
    grey = (stored >> 4).astype(np.uint8)
    return {
        "dicom-rle": compressed(stored, RLELossless),
        "dicom-jpeg-ls": compressed(stored, JPEGLSLossless),
        "dicom-jpeg-2000": compressed(stored, JPEG2000Lossless),
        "dicom-jpeg-2000-signed": compressed(stored.astype(np.int16) - 2048, JPEG2000Lossless, WindowCenter=0),
        "dicom-jpeg-lossless": lossless_jpeg(stored),
        "dicom-jpeg-lossless-14": lossless_jpeg(stored, "JPEGLosslessProcess14"),
        "dicom-jpeg-baseline": encapsulated(grey, JPEGBaseline8Bit, [picture(grey, "JPEG")], 8),
    }
