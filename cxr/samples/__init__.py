"""Three real films that ship with the app, with where they come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Sample:
    """A shipped film: `label` for the reader, `file` in this folder, `source` with its licence, and a `warning` that
    belongs with its verdict."""

    label: str
    file: str
    source: str
    warning: str | None = None

    def read(self) -> bytes:
        """The bytes of the file."""
        return (FOLDER / self.file).read_bytes()


KERMANY: Final = (
    "Kermany et al. 2018, Labeled Optical Coherence Tomography and Chest X-Ray Images (Mendeley Data), CC BY 4.0"
)

CHILD: Final = "A film of a child. The model was made for adults; its verdict here only shows how the app works."

SAMPLES: Final = (
    Sample("Adult, PA, DICOM", "adult_pa.dcm", "RG1_J2KI.dcm of the pydicom-data package (NEMA WG04 test image), MIT"),
    Sample("Child, labelled normal, JPEG", "child_normal.jpeg", KERMANY, CHILD),
    Sample("Child, labelled pneumonia, JPEG", "child_pneumonia.jpeg", KERMANY, CHILD),
)
