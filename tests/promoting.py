"""Small models that may take each other's place."""

import shutil
from pathlib import Path

import pytest

from cxr.model.bundle import Bundle, load_bundle, write_card
from cxr.settings import settings


def another_model(bundle: Bundle, folder: Path, factor: float = 1.0) -> Bundle:
    """A copy of a bundle with thresholds of its own, so another model that the gate finds as good as the first.

    Args:
        factor: of all thresholds; any but 1 makes them its own.
    """
    shutil.copytree(bundle.path, folder)
    points = tuple(
        point.model_copy(
            update={
                "threshold": point.threshold * factor,
                "uncertain_low": point.uncertain_low * factor,
                "findings": {
                    name: found.model_copy(update={"threshold": found.threshold * factor})
                    for name, found in point.findings.items()
                },
            }
        )
        for point in bundle.card.operating_points
    )
    write_card(folder, bundle.card.model_copy(update={"name": folder.name, "operating_points": points}))
    return load_bundle(folder)


def models_folder(patch: pytest.MonkeyPatch, bundle: Bundle, place: Path, factors: dict[str, float]) -> Path:
    """A models folder in a place of its own, with models that are as good as a bundle; settings point to it.

    Args:
        factors: name of each model -> what its thresholds are multiplied by.
    """
    folder = place / "models"
    for name, factor in factors.items():
        another_model(bundle, folder / name, factor)
    patch.setenv("CXR_MODELS_DIR", str(folder))
    patch.setenv("CXR_EVALUATIONS_DIR", str(place / "evaluations"))
    patch.delenv("CXR_MODEL", raising=False)
    settings.cache_clear()
    return folder


def flip_a_byte(file: Path) -> None:
    """Damage a file in its middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
