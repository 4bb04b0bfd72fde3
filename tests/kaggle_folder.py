"""A folder in the layout of the Kaggle release, made on the spot: tables, boxes, and shards with small films."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from handmade_shards import film_fields, write_shard
from PIL import Image
from synthetic import BLOB, SIDE, encoded, synthetic_film

from cxr.dataset.table import FILM_SIDE
from cxr.findings import CATEGORIES
from cxr.radiograph import read_radiograph
from cxr.samples import SAMPLES

PATIENTS = 40
FILMS_EACH = 3
SHARDS = 4


def labels_of(patient: int, number: int) -> tuple[str, ...]:
    """Every second patient has a mass; its last film an effusion too."""
    if patient % 2 == 0:
        return ("No Finding",)
    return ("Effusion", "Mass") if number == FILMS_EACH - 1 else ("Mass",)


Picture = Callable[[np.random.Generator, tuple[int, int] | None], np.ndarray]
"""Makes a film, uint8 (side, side), with a mass at (row, column) of SIDE or none."""

CHEST_SIDE = 256


def chest_film() -> Picture:
    """Chest films, for those who show them to the shipped model, which refuses noise: a sample with other noise."""
    grey = Image.fromarray(read_radiograph(SAMPLES[0].read()).grey).resize((CHEST_SIDE, CHEST_SIDE))
    chest = np.asarray(grey, np.float32)

    def film(rng: np.random.Generator, blob: tuple[int, int] | None) -> np.ndarray:
        return np.clip(chest + rng.normal(0, 2, chest.shape), 0, 255).astype(np.uint8)

    return film


def write_folder(folder: Path, patients: int = PATIENTS, picture: Picture = synthetic_film) -> Path:
    """Write it; three films of each patient, of whom the odd ones have a mass, boxed on their first films."""
    rng = np.random.default_rng(0)
    shards: list[list[dict]] = [[] for _ in range(SHARDS)]
    table = [",".join(("", *CATEGORIES))]
    metadata = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for patient in range(1, patients + 1):
        for number in range(FILMS_EACH):
            image_id = f"{patient:08d}_{number:03d}.png"
            labels = labels_of(patient, number)
            blob = tuple(int(v) for v in rng.integers(4, SIDE - BLOB - 4, 2)) if "Mass" in labels else None
            film = encoded(picture(rng, blob), "JPEG")
            shards[(patient + number) % SHARDS].append(film_fields(image_id, film, labels))
            table.append(",".join((image_id, *(str(int(name in labels)) for name in CATEGORIES))))
            sex, view = "MF"[patient % 2], ("PA", "AP")[number % 2]
            metadata.append(f"{image_id},{'|'.join(labels)},{number},{patient},{20 + patient + number},{sex},{view}")
            if blob is not None and number == 0:
                x, y, side = (value * FILM_SIDE / SIDE for value in (blob[1], blob[0], BLOB))
                boxes.append(f"{image_id},Mass,{x},{y},{side},{side},,,")
    (folder / "data").mkdir(parents=True)
    for number, films in enumerate(shards):
        write_shard(folder / "data" / f"{number:03d}-{len(films):03d}.tfrec", *films)
    for name, lines in (
        ("preprocessed_data.csv", table),
        ("Data_Entry_2017_v2020.csv", metadata),
        ("BBox_List_2017.csv", boxes),
    ):
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder
