"""A folder in the layout of the Kaggle release, made on the spot: tables, boxes, and shards with small films."""

from pathlib import Path

import numpy as np
from handmade_shards import film_fields, write_shard
from synthetic import BLOB, SIDE, encoded, synthetic_film

from cxr.dataset.table import FILM_SIDE
from cxr.findings import CATEGORIES

PATIENTS = 40
FILMS_EACH = 3
SHARDS = 4


def labels_of(patient: int, number: int) -> tuple[str, ...]:
    """Every second patient has a mass; its last film an effusion too."""
    if patient % 2 == 0:
        return ("No Finding",)
    return ("Effusion", "Mass") if number == FILMS_EACH - 1 else ("Mass",)


def write_folder(folder: Path, patients: int = PATIENTS) -> Path:
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
            film = encoded(synthetic_film(rng, blob), "JPEG")
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
