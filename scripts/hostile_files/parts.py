"""PNG and DICOM files from their parts, right or wrong."""

import io
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import gdcm
import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

PNG_START: Final = b"\x89PNG\r\n\x1a\n"
PATIENT: Final = "Roentgen^Wilhelm"
ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps between columns and rows, of the passes of an interlaced PNG (ISO 15948, 8.2)."""


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int,
    height: int,
    samples: bytes,
    *,
    bits: int = 8,
    colour: int = 0,
    interlace: int = 0,
    before: Iterable[bytes] = (),
) -> bytes:
    """A PNG file.

    Args:
        samples: rows, each after the byte of its filter; they are compressed here.
        before: chunks between the header and the samples.
    """
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(samples)), chunk(b"IEND", b"")]
    return PNG_START + b"".join(parts)


def rows_of(values: np.ndarray) -> bytes:
    """The rows of a PNG from values (height, width[, channels]), unfiltered; interlaced by `interlaced_rows`."""
    wide = values.astype(">u2" if values.itemsize == 2 else "u1")
    return b"".join(b"\0" + row.tobytes() for row in wide)


def interlaced_rows(values: np.ndarray) -> bytes:
    """The same as Adam7 has them."""
    passes = (values[top::down, left::across] for left, top, across, down in ADAM7)
    return b"".join(rows_of(part) for part in passes if part.size)


def picture(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """An image as Pillow writes it."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def dataset_of(stored: np.ndarray, bits: int = 12, **elements: object) -> Dataset:
    """A DICOM film, not compressed, whose window shows all stored values; an element that is None is left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2.4"
    dataset.Modality, dataset.PatientName, dataset.PatientID = "DX", PATIENT, "77"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stored.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits - 1), 2**bits
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return _changed(dataset, elements)


def _changed(dataset: Dataset, elements: Mapping[str, object]) -> Dataset:
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset, syntax: UID | None = None) -> bytes:
    """A data set as a file, in another transfer syntax than it says where one is given."""
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def dicom(stored: np.ndarray, bits: int = 12, **elements: object) -> bytes:
    """`dataset_of`, as a file."""
    return written(dataset_of(stored, bits, **elements))


def compressed(stored: np.ndarray, syntax: UID, bits: int = 12, **elements: object) -> bytes:
    """A film as pydicom compresses it; elements as of `dataset_of`, said of the compressed film."""
    dataset = dataset_of(stored, bits)
    dataset.compress(syntax)
    return written(_changed(dataset, elements))


def encapsulated(stored: np.ndarray, syntax: UID, codestreams: Sequence[bytes], bits: int = 12, **kw: object) -> bytes:
    """A film whose header is that of `stored` and whose pixels are some codestreams."""
    dataset = dataset_of(stored, bits, **kw)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(list(codestreams))
    dataset["PixelData"].is_undefined_length = True
    return written(dataset)


def lossless_jpeg(stored: np.ndarray, process: str = "JPEGLosslessProcess14_1") -> bytes:
    """A film compressed by GDCM, the only one here that writes lossless JPEG."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder, "plain.dcm"), Path(folder, "packed.dcm")
        plain.write_bytes(dicom(stored))
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
        if not reader.Read():
            raise ValueError("GDCM does not read the film")
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise ValueError("GDCM does not compress the film")
        writer.SetFileName(str(packed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        return packed.read_bytes()
