"""A folder in the layout of the Kaggle TFRecord release, as arrays: films at the model's size, labels, metadata."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

import cxr.radiograph
from cxr.dataset.metadata import METADATA_NAMES, years
from cxr.dataset.shards import Record, find_shards, read_records
from cxr.dataset.table import UNKNOWN
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import CATEGORIES, NO_FINDING_INDEX
from cxr.radiograph import UnreadableFilm, model_input, read_radiograph

METADATA_COLUMNS: Final = ("patient", "view", "age", "sex", "source")
INDEX_NAMES: Final = {"nih_image_index": "image_id"}
DECODE_BATCH: Final = 256


class UnusableDataset(ValueError):
    """A data folder that can't be trained on; the message is one sentence that says why."""


@dataclass(frozen=True, eq=False)
class LabelledFilms:
    """Films with labels, row for row.

    Attributes:
        pixels: uint8 (n, size, size), the squares the model sees; may be a memory map.
        labels: uint8 (n, 15), 0 or 1, in the order of `CATEGORIES`.
        metadata: n rows indexed by image id with `patient`, `view`, `age` (years), `sex`, `source`;
            "unknown" (NaN for age) where the folder does not say.
    """

    pixels: np.ndarray
    labels: np.ndarray
    metadata: pd.DataFrame

    @property
    def abnormal(self) -> np.ndarray:
        """uint8 (n,): 1 where the film does not carry "No Finding"."""
        return 1 - self.labels[:, NO_FINDING_INDEX]

    def subset(self, mask: np.ndarray) -> "LabelledFilms":
        """The films where the boolean `mask` (n,) is true, in memory."""
        return LabelledFilms(np.asarray(self.pixels[mask]), self.labels[mask], self.metadata[mask])


def load_labelled_films(folder: Path, size: int, cache: Path) -> LabelledFilms:
    """Read every shard below a folder, each film through the same code that serves.

    Args:
        folder: holds `*.tfrec` at any depth, and `images_index.csv` or NIH's `Data_Entry_2017*.csv[.gz]` if it has one.
        size: side of the model's square, pixels.
        cache: folder that keeps the decoded squares (n x size x size bytes), so that a second run starts at once.

    Raises:
        UnusableDataset: no shards, a damaged shard or film, a film that occurs twice, or contradictory labels.
    """
    shards = find_shards(folder)
    if not shards:
        raise UnusableDataset(f"There are no .tfrec files in {folder}.")
    return load_shards(shards, size, cache, metadata_file(folder))


def load_shards(shards: list[Path], size: int, cache: Path, metadata: Path | None) -> LabelledFilms:
    """Read some shards; see `load_labelled_films`.

    Args:
        metadata: an `images_index.csv` or NIH's `Data_Entry_2017*.csv[.gz]`, if there is one.
    """

    def records() -> Iterator[Record]:
        for shard in shards:
            if shard.stat().st_size == 0:
                raise UnusableDataset(f"{shard.name} is empty.")
            yield from read_records(shard)

    return _load(shards, records, size, cache, metadata)


def load_images(folder: Path, labels: Path, size: int, cache: Path, metadata: Path | None) -> LabelledFilms:
    """Read the films of a folder that a table in the layout of `preprocessed_data.csv` labels.

    Args:
        folder: holds a PNG, JPEG or DICOM file of the name of each image id of the table, at any depth; further files,
            and rows without a file, are passed over.
        labels: the table.
        size, cache, metadata: as for `load_shards`.

    Raises:
        UnusableDataset: as for `load_labelled_films`, or none of the films has a label.
        InvalidTable: with everything that is wrong with the table.
    """
    from cxr.dataset.kaggle import read_labels
    from cxr.dataset.rules import FREE_LABEL_RULES

    table = read_labels(labels.read_bytes(), labels.name, FREE_LABEL_RULES)
    files = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}
    known = [image_id for image_id in table.index if image_id in files]
    if not known:
        raise UnusableDataset(f"None of the films of {labels.name} is in {folder}.")
    values = table.loc[known].to_numpy()

    def records() -> Iterator[Record]:
        for image_id, row in zip(known, values, strict=True):
            yield Record(image_id, files[image_id].read_bytes(), row)

    return _load([labels, *(files[image_id] for image_id in known)], records, size, cache, metadata)


def _load(
    files: list[Path], records: Callable[[], Iterator[Record]], size: int, cache: Path, metadata: Path | None
) -> LabelledFilms:
    """The films of some records, decoded, or from the cache if these files were decoded before."""
    stem = cache / f"films-{size}-{_fingerprint(files)}"
    pixels_path, labels_path = stem.with_suffix(".pixels.npy"), stem.with_suffix(".labels.npz")
    if not labels_path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            _decode(records, size, pixels_path, labels_path)
        except UnreadableShard as error:
            raise UnusableDataset(str(error)) from error
    with np.load(labels_path, allow_pickle=False) as stored:
        labels, ids = stored["labels"], [str(image_id) for image_id in stored["ids"]]
    _check_labels(ids, labels)
    return LabelledFilms(np.load(pixels_path, mmap_mode="r"), labels, read_metadata(metadata, ids))


def _fingerprint(files: list[Path]) -> str:
    """Changes with the files and with the code that turns a film into the model's square."""
    facts = hashlib.sha256()
    for file in files:
        facts.update(f"{file.name},{file.stat().st_size},{file.stat().st_mtime_ns};".encode())
    for source in sorted(Path(cxr.radiograph.__file__).parent.glob("*.py")):
        facts.update(source.read_bytes())
    return facts.hexdigest()[:16]


def _decode(records: Callable[[], Iterator[Record]], size: int, pixels_path: Path, labels_path: Path) -> None:
    count = sum(1 for _ in records())
    pixels = np.lib.format.open_memmap(pixels_path, "w+", np.uint8, (count, size, size))
    labels = np.zeros((count, len(CATEGORIES)), np.uint8)
    ids: list[str] = []

    def square(record: Record) -> np.ndarray:
        try:
            return np.rint(model_input(read_radiograph(record.image), size)).astype(np.uint8)
        except UnreadableFilm as error:
            raise UnusableDataset(f"Film {record.image_id}: {error}") from error

    # Decoding releases the interpreter lock, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = records()
        while batch := list(islice(waiting, DECODE_BATCH)):
            start = len(ids)
            for row, film in enumerate(pool.map(square, batch), start):
                pixels[row] = film
            labels[start : start + len(batch)] = [record.labels for record in batch]
            ids.extend(record.image_id for record in batch)
    pixels.flush()
    # Written last: its presence says that the pixels are complete.
    draft = labels_path.with_suffix(".draft.npz")
    np.savez(draft, labels=labels, ids=np.array(ids))
    draft.replace(labels_path)


def _check_labels(ids: list[str], labels: np.ndarray) -> None:
    if len(set(ids)) != len(ids):
        raise UnusableDataset(f"{len(ids) - len(set(ids))} films occur more than once in the shards.")
    findings = np.delete(labels, NO_FINDING_INDEX, axis=1)
    contradictory = (labels[:, NO_FINDING_INDEX] == findings.any(axis=1)).sum()
    if contradictory:
        raise UnusableDataset(f"{contradictory} films carry both “No Finding” and a finding, or neither.")


def metadata_file(folder: Path, deep: bool = True) -> Path | None:
    """The metadata of a folder: its own `images_index.csv`, else NIH's `Data_Entry_2017*.csv[.gz]`, else None.

    Args:
        deep: whether to look at any depth, or only in the folder itself.
    """
    find = folder.rglob if deep else folder.glob
    found = sorted(find("images_index.csv")) or sorted(find("Data_Entry_2017*.csv*"))
    return found[0] if found else None


def read_metadata(file: Path | None, image_ids: list[str]) -> pd.DataFrame:
    """The metadata of some films, in their order; see `LabelledFilms.metadata`.

    Without a file, the patient is the first eight digits of the image id, as in NIH's release.

    Raises:
        UnusableDataset: the table lacks its image id, or a film has no patient.
    """
    table = pd.DataFrame(index=pd.Index(image_ids, name="image_id"))
    if file is not None:
        given = pd.read_csv(file).rename(columns=METADATA_NAMES | INDEX_NAMES)
        if "image_id" not in given:
            raise UnusableDataset(f"{file.name} has no column “Image Index”.")
        table = table.join(given.drop_duplicates("image_id").set_index("image_id").filter(METADATA_COLUMNS))
    from_id = pd.Series(pd.to_numeric(table.index.str[:8], errors="coerce"), index=table.index)
    if "patient" in table:
        given = table["patient"]
        table["patient"] = pd.to_numeric(given, errors="coerce").where(given.notna(), from_id)
    else:
        table["patient"] = from_id
    if table["patient"].isna().any():
        raise UnusableDataset(f"{int(table['patient'].isna().sum())} films have no patient id that is a number.")
    table["patient"] = table["patient"].astype(np.int64)
    for column in ("view", "sex", "source"):
        table[column] = table[column].fillna(UNKNOWN) if column in table else UNKNOWN
    table["age"] = years(table["age"]) if "age" in table else np.nan
    return table[list(METADATA_COLUMNS)]
