"""Films made on the spot. Each maker is a fixture that gives a function."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from cxr.radiograph import UnreadableFilm, read_radiograph

PATIENT = "Roentgen^Wilhelm"


@pytest.fixture(scope="session")
def ramp() -> np.ndarray:
    """Stored values 0..4095, uint16 (48, 64), that change under any flip or turn."""
    return (np.arange(48 * 64).reshape(48, 64) * 4095 // (48 * 64 - 1)).astype(np.uint16)


@pytest.fixture(scope="session")
def grey(ramp: np.ndarray) -> np.ndarray:
    """The same as uint8."""
    return (ramp // 16).astype(np.uint8)


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """An image or array as the bytes of a file: `encoded(image, "PNG", **options of Pillow)`."""

    def encode(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def dicom() -> Callable[..., bytes]:
    """A DICOM film as bytes.

    `dicom(stored, bits=12, compress=UID, frame=(UID, codestream), syntax=UID, **elements)`: the window shows all stored
    values; an element that is None is left out.
    """

    def make(
        stored: np.ndarray,
        bits: int = 12,
        compress: UID | None = None,
        frame: tuple[UID, bytes] | None = None,
        syntax: UID = ExplicitVRLittleEndian,
        **elements: object,
    ) -> bytes:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
        dataset.SOPInstanceUID = "1.2.3"
        dataset.Modality = "DX"
        dataset.PatientName = PATIENT
        dataset.Rows, dataset.Columns = stored.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stored.itemsize * 8, bits, bits - 1
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits - 1), 2**bits
        dataset.PixelData = stored.tobytes()
        dataset["PixelData"].VR = "OW"
        if compress:
            dataset.compress(compress)
        if frame:
            dataset.file_meta.TransferSyntaxUID = frame[0]
            dataset.PixelData = encapsulate([frame[1]])
            dataset["PixelData"].is_undefined_length = True
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def refusal() -> Callable[[bytes], str]:
    """The sentence with which a file is refused; fails where it is read, or the sentence is none for a reader."""

    def refuse(data: bytes) -> str:
        with pytest.raises(UnreadableFilm) as caught:
            read_radiograph(data)
        message = str(caught.value)
        assert message[0].isupper() and message.endswith(".") and message.isprintable()
        assert "Roentgen" not in message
        return message

    return refuse


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to decode pixels fails the test."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("the pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    monkeypatch.setattr("pydicom.dataset.Dataset.convert_pixel_data", fail)
