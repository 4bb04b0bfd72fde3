"""The shipped model's scope check: on the shipped samples, on drawn pictures, and on real ones where there are any."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.model.bundle import load_bundle
from cxr.model.engine import Engine
from cxr.radiograph import Facts, Radiograph, read_radiograph
from cxr.radiograph.scope import Scope
from cxr.samples import SAMPLES
from cxr.settings import ROOT
from cxr.training.scope_pictures import drawn, turned


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_bundle(ROOT / "models" / "default"))


def said(engine: Engine, film: Radiograph) -> Scope:
    prediction = engine.predict([film])[0]
    assert engine.scope is not None
    assert prediction.features is not None
    return engine.scope.check(film, prediction.features, prediction.square)


def changed(film: Radiograph, pixels: np.ndarray) -> Radiograph:
    height, width = pixels.shape
    return Radiograph(np.ascontiguousarray(pixels, np.float32), Facts("PNG", width, height, 8, "L"))


@pytest.fixture(scope="module")
def samples() -> list[Radiograph]:
    return [read_radiograph(sample.read()) for sample in SAMPLES]


def test_the_shipped_samples_are_accepted_as_they_lie(engine: Engine, samples: list[Radiograph]) -> None:
    for film in samples:
        found = said(engine, film)
        assert (found.refusal, found.turn, found.inverted) == (None, None, False)


@pytest.mark.parametrize("remedy", ["left", "right", "half"])
def test_turned_samples_are_seen_to_be(engine: Engine, samples: list[Radiograph], remedy: str) -> None:
    for film in samples:
        assert said(engine, changed(film, turned(film.pixels, remedy))).turn == remedy


def test_inverted_samples_are_seen_to_be(engine: Engine, samples: list[Radiograph]) -> None:
    assert [said(engine, changed(film, 1 - film.pixels)).inverted for film in samples] == [True] * len(samples)


def test_a_corner_of_a_film_is_refused(engine: Engine, samples: list[Radiograph]) -> None:
    for film in samples:
        height, width = film.pixels.shape
        assert said(engine, changed(film, film.pixels[: height // 4, : width // 4])).refusal is not None


def test_pages_screenshots_slices_and_limbs_are_refused(engine: Engine) -> None:
    pictures = [picture for seed in (100, 101) for picture in drawn(np.random.default_rng(seed))]
    refused = [said(engine, changed(None, picture.pixels)).refusal is not None for picture in pictures]
    assert sum(refused) >= len(pictures) - 1


def test_the_card_gives_a_rate_for_each_target(engine: Engine) -> None:
    facts = engine.bundle.card.scope
    assert facts is not None
    rates = {(rate.pictures, rate.expected): rate.share.value for rate in facts.rates}
    assert rates["test films", "accepted"] == 1
    assert rates["all other hospitals", "accepted"] >= 0.98
    assert rates["all pictures out of scope but laterals and drawn ones", "refused"] >= 0.95
    assert rates["lateral, each in turn", "refused"] >= 0.9


@pytest.mark.parametrize("folder", ["hannover_covid", "openist_normal"])
def test_films_of_another_hospital_are_accepted(engine: Engine, shared_data: Path, folder: str) -> None:
    files = sorted((shared_data / "frontal_other" / folder).iterdir())[::25]
    found = [said(engine, read_radiograph(file.read_bytes())) for file in files]
    assert [scope.refusal for scope in found] == [None] * len(files)
    assert sum(scope.turn is None and not scope.inverted for scope in found) >= len(files) - 1


@pytest.mark.parametrize(("folder", "step"), [("lateral", 2), ("ct_slice", 8), ("hand_full", 1), ("headct_64px", 5)])
def test_other_pictures_are_refused_whatever_their_size(
    engine: Engine, shared_data: Path, folder: str, step: int
) -> None:
    for file in sorted((shared_data / "out_of_scope" / folder).iterdir())[::step]:
        film = read_radiograph(file.read_bytes())
        if min(film.pixels.shape) < 200:
            assert said(engine, film).reason == "tiny"
            enlarged = Image.fromarray(film.pixels).resize((512, 512), Image.Resampling.BICUBIC)
            film = changed(film, np.clip(np.asarray(enlarged), 0, 1))
        assert said(engine, film).reason not in (None, "tiny"), file.name


def test_a_dicom_chest_is_accepted_and_a_dicom_hip_is_not(engine: Engine, shared_data: Path) -> None:
    chest, hip = (
        read_radiograph((shared_data / "dicom" / name).read_bytes()) for name in ("J2KI_RG1_J2KI", "RLE_RG2_RLE")
    )
    assert said(engine, chest).refusal is None
    assert said(engine, hip).reason == "other_body_part"
