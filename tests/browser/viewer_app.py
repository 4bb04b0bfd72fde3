"""A page with nothing but the film viewer, for its tests: films made on the spot, and a count of the app's runs."""

import io
from typing import Final

import numpy as np
import streamlit as st
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from cxr.radiograph import FullDepth, full_depth
from cxr.ui.viewer import Box, ViewerFilm, film_viewer

WIDTH, HEIGHT = 500, 400
SHIFT: Final = (0.03, -0.02)
SPACING: Final = (0.1, 0.2)
"""Row and column spacing of the second film at the detector, mm."""


def waves(seed: int) -> np.ndarray:
    """A 16-bit film, uint16 (400, 500), of slow waves, and two fields 40 levels apart: less than 8 bits can tell."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    film = 30000 + 20000 * np.sin(x / (40 + seed)) * np.cos(y / (33 + seed))
    film[150:250, 200:250] = 20000
    film[150:250, 250:300] = 20040
    film[0, 0] = 65000  # all 16 bits are in use
    return film.astype(np.uint16)


def png(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def dicom(levels: np.ndarray) -> bytes:
    """With a sigmoid window, small values bright, and spacing at the detector."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = levels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 30000, 20000, "SIGMOID"
    dataset.ImagerPixelSpacing = list(SPACING)
    dataset.PixelData = levels.tobytes()
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def depths() -> dict[str, FullDepth]:
    return {"one": full_depth(png(waves(0))), "two": full_depth(dicom(waves(3)))}


def grids() -> dict[str, np.ndarray | None]:
    """Maps such as a model makes."""
    grid = np.maximum(np.random.default_rng(7).normal(0, 1, (10, 10)), 0).astype(np.float32)
    other = np.zeros((8, 10), np.float32)
    other[2, 7] = 1
    return {"Effusion": grid / grid.max(), "Mass": other, "Hernia": None}


def square() -> np.ndarray:
    return np.tile(np.arange(0, 200, 2, np.uint8), (100, 1))


def viewer_film(name: str) -> ViewerFilm:
    return ViewerFilm(
        id=name,
        title=f"Film {name}",
        depth=depths()[name],
        heatmaps=grids(),
        map_shift=SHIFT,
        captions={"Effusion": "Effusion, 0.412, flagged", "Mass": "Mass, 0.120", "Hernia": "Hernia, 0.010"},
        notes={"Effusion": "It shows where, not how much.", "Hernia": "No region speaks for it."},
        square=square(),
        boxes=(Box("Effusion", 40, 40, 60, 50),),
    )


def main() -> None:
    st.set_page_config(layout="wide")
    kept = st.session_state
    kept.setdefault("runs", 0)
    kept.setdefault("shown", "one")
    kept.runs += 1
    with st.container(horizontal=True):
        st.button("Run again")
        if st.button("Change film"):
            kept.shown = "two" if kept.shown == "one" else "one"
        st.text_input("Words")
        st.text(f"Runs: {kept.runs}")
        st.text(f"Sent: {kept.get('sent', 'nothing')}")
    other = "two" if kept.shown == "one" else "one"
    film_viewer(
        viewer_film(kept.shown), "viewer", previous=viewer_film(other), keys={"n": "next film"},
        on_key=lambda action: kept.update(sent=action),
    )  # fmt: skip


if __name__ == "__main__":
    main()
