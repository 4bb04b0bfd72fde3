"""Films made on the spot. Each maker is a fixture that gives a function."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.uid import UID

from cxr.radiograph import UnreadableFilm, read_radiograph
from scripts.hostile_files.parts import PATIENT, compressed, dataset_of, encapsulated, picture, written


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

    return picture


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
        syntax: UID | None = None,
        **elements: object,
    ) -> bytes:
        if compress:
            return compressed(stored, compress, bits, **elements)
        if frame:
            return encapsulated(stored, frame[0], [frame[1]], bits, **elements)
        return written(dataset_of(stored, bits, **elements), syntax)

    return make


@pytest.fixture(scope="session")
def refusal() -> Callable[[bytes], str]:
    """The sentence with which a file is refused; fails where it is read, or the sentence is none for a reader."""

    def refuse(data: bytes) -> str:
        with pytest.raises(UnreadableFilm) as caught:
            read_radiograph(data)
        message = str(caught.value)
        assert message[0].isupper() and message.endswith(".") and message.isprintable()
        assert PATIENT.partition("^")[0] not in message
        return message

    return refuse


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to decode pixels fails the test."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("the pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    monkeypatch.setattr("pydicom.dataset.Dataset.convert_pixel_data", fail)
