"""DICOM films whose every value would be known again wherever it turned up."""

import io
import struct

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

KEY = b"k" * 32
LEAK = "LEAKXQ"
DATE, TIME = "19870604", "131719"
UID = "1.2.826.0.1.987654321"
SIZE = 10_000_000
"""Pixels, more than any film here has."""

MARKED: dict[str, object] = {
    "DA": DATE, "TM": TIME, "DT": DATE + TIME, "AS": "077Y", "UI": UID, "IS": "777123", "DS": "777.125",
    "US": 51966, "SS": 13579, "UL": 3735928559, "SL": 1234567890, "FL": 123456.0, "FD": 123456.789,
    "OB": LEAK.encode(), "OW": LEAK.encode(), "UN": LEAK.encode(), "OF": LEAK.encode() + b"\0\0", "UV": 2**63 + 77,
    "OD": LEAK.encode() + b"\0\0", "OL": LEAK.encode() + b"\0\0", "OV": LEAK.encode() + b"\0\0",
    "UR": f"http://{LEAK}", "AT": 0x00100010,
}  # fmt: skip
"""A value for each value representation that would be known again; of text it is `LEAK`."""


def pixels() -> np.ndarray:
    shape = (64, 96)
    return (np.arange(64 * 96, dtype=np.uint16).reshape(shape) * 7 % 4096).astype(np.uint16)


def film(uid: str = f"{UID}.3") -> Dataset:
    """A DX film with what its IOD asks for, and no more."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = DigitalXRayImageStorageForPresentation, uid
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{UID}.1", f"{UID}.2"
    made.PatientName, made.PatientID = LEAK, LEAK
    made.PatientBirthDate, made.PatientSex = DATE, "F"
    made.StudyDate, made.StudyTime, made.ReferringPhysicianName = DATE, TIME, LEAK
    made.StudyID, made.AccessionNumber = LEAK, LEAK
    made.Modality, made.PresentationIntentType, made.SeriesNumber = "DX", "FOR PRESENTATION", 1
    made.Manufacturer, made.InstanceNumber, made.ContentDate, made.ContentTime = "Maker", 1, DATE, TIME
    made.ImageType, made.PatientOrientation, made.ImageLaterality = ["ORIGINAL", "PRIMARY"], ["L", "F"], "U"
    made.BurnedInAnnotation, made.LossyImageCompression = "NO", "00"
    made.PixelIntensityRelationship, made.PixelIntensityRelationshipSign = "LIN", 1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = 0, 1, "US"
    made.PresentationLUTShape, made.DetectorType, made.ViewPosition = "IDENTITY", "DIRECT", "PA"
    made.BodyPartExamined = "CHEST"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "51185008", "SCT", "Chest"
    made.AnatomicRegionSequence = [region]
    made.Rows, made.Columns = pixels().shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.WindowCenter, made.WindowWidth = 2048, 4096
    made.PixelData = pixels().tobytes()
    return made


def written(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.SourceApplicationEntityTitle = LEAK
    made.file_meta.ImplementationVersionName = LEAK
    made.file_meta.PrivateInformationCreatorUID = f"{UID}.9"
    made.file_meta.PrivateInformation = LEAK.encode()
    made.preamble = (LEAK * 22).encode()[:128]
    stream = io.BytesIO()
    made.save_as(stream, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian)
    return stream.getvalue()


def marked(tag: int, nested: int = 0) -> DataElement:
    """An element with a value that would be known again."""
    vr = dictionary_VR(tag).split(" or ")[0] if keyword_for_tag(tag) else "LO"
    if vr == "SQ":
        item = Dataset()
        item.PatientName, item.StudyDate, item.StudyInstanceUID, item.TextValue = LEAK, DATE, UID, LEAK
        return DataElement(tag, "SQ", Sequence([item]))
    return DataElement(tag, vr, MARKED.get(vr, LEAK))


def leaks(data: bytes) -> list[str]:
    """Which of the marks are in the bytes."""
    found = {LEAK, DATE, TIME, "077Y", UID, "777123", "777.125"}
    numbers = {"I": 3735928559, "i": 1234567890, "f": 123456.0, "d": 123456.789}
    packed = {kind: [struct.pack(order + kind, number) for order in "<>"] for kind, number in numbers.items()}
    return [
        *(mark for mark in sorted(found) if mark.encode() in data),
        *(kind for kind, both in packed.items() if any(each in data for each in both)),
    ]
