"""Make the tables in cxr/dataset/release from NIH's own files.

    python -m scripts.pack_release FOLDER

FOLDER holds `preprocessed_data.csv` (of the Kaggle release "NIH Chest X-rays TFRecords"), `Data_Entry_2017*.csv[.gz]`
and `BBox_List_2017.csv` (of NIH). They are checked like any table that a user brings.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cxr.dataset.kaggle import load_folder
from cxr.dataset.table import RELEASE, UNKNOWN, FilmTable
from cxr.findings import CATEGORIES


def packed(table: FilmTable) -> pd.DataFrame:
    """The films in as few bits as they need: the image id as its two numbers, the labels as one, in `CATEGORIES` order."""
    films = table.films
    number = films.index.str[9:12].astype(np.int16)
    if not (films.index == [f"{p:08d}_{k:03d}.png" for p, k in zip(films["patient"], number, strict=True)]).all():
        raise ValueError("An image id is not made of the patient's number.")
    if films["age"].isna().any() or films[["sex", "view"]].eq(UNKNOWN).any(axis=None):
        raise ValueError("NIH's metadata do not cover all films.")
    return pd.DataFrame(
        {
            "patient": films["patient"].to_numpy(),
            "number": number,
            "follow_up": films["follow_up"].to_numpy(),
            "age": films["age"].to_numpy().astype(np.uint8),
            "sex": films["sex"].cat.codes.to_numpy(),
            "view": films["view"].cat.codes.to_numpy(),
            "labels": (table.labels @ (1 << np.arange(len(CATEGORIES)))).astype(np.uint16),
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    table = load_folder(parser.parse_args().folder)
    for note in table.notes:
        print(note)
    RELEASE.mkdir(exist_ok=True)
    packed(table).to_parquet(RELEASE / "films.parquet", compression="zstd", compression_level=19, index=False)
    table.boxes.to_parquet(RELEASE / "boxes.parquet", compression="zstd", compression_level=19, index=False)
    print(*(f"{path.name}: {path.stat().st_size:,} bytes" for path in sorted(RELEASE.glob("*.parquet"))), sep="\n")
