"""Labelled films, in shards of the Kaggle TFRecord release or in files: labels, metadata, the squares the model sees.

What there is and where it lies comes from the index of the shards, so that no film is decoded before it is asked for.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

import cxr.radiograph
from cxr.dataset.index import FilmStore, index_shards
from cxr.dataset.kept import kept_array
from cxr.dataset.metadata import METADATA_NAMES, years
from cxr.dataset.shards import Record, find_shards
from cxr.dataset.table import UNKNOWN
from cxr.dataset.tfrecord import UnreadableShard
from cxr.findings import NO_FINDING_INDEX
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


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The films of some shards without their pixels, row for row: by shard, and in each shard in file order.

    Attributes:
        store: where each lies.
        labels, metadata: as of `LabelledFilms`.
    """

    store: FilmStore
    labels: np.ndarray
    metadata: pd.DataFrame

    @property
    def abnormal(self) -> np.ndarray:
        """uint8 (n,): 1 where the film does not carry "No Finding"."""
        return 1 - self.labels[:, NO_FINDING_INDEX]

    def read(self, row: int) -> Record:
        """A film as it lies in its shard, its checksums verified.

        Raises:
            UnusableDataset: it is damaged, or the shard has changed.
        """
        try:
            return self.store.read(row)
        except UnreadableShard as error:
            raise UnusableDataset(str(error)) from error


def open_folder(folder: Path, cache: Path) -> Catalogue:
    """The films of every shard below a folder.

    Args:
        folder: holds `*.tfrec` at any depth, and `images_index.csv` or NIH's `Data_Entry_2017*.csv[.gz]` if it has one.
        cache: folder that keeps the indexes of the shards.

    Raises:
        UnusableDataset: no shards, one that is damaged or holds something else, a film that occurs twice, or
            contradictory labels.
    """
    shards = find_shards(folder)
    if not shards:
        raise UnusableDataset(f"There are no .tfrec files in {folder}.")
    return open_shards(shards, cache, metadata_file(folder))


def open_shards(shards: Sequence[Path], cache: Path, metadata: Path | None) -> Catalogue:
    """The films of some shards; see `open_folder`.

    Args:
        metadata: an `images_index.csv` or NIH's `Data_Entry_2017*.csv[.gz]`, if there is one.
    """
    indexes = index_shards(shards, cache)
    for index in indexes:
        if index.faults:
            raise UnusableDataset(index.faults[0])
    ids = [str(image_id) for index in indexes for image_id in index.image_ids]
    labels = np.concatenate([index.labels for index in indexes])
    _check_labels(ids, labels)
    store = FilmStore(
        image_ids=pd.Index(ids),
        shards=tuple(shards),
        shard=np.repeat(np.arange(len(indexes), dtype=np.int16), [len(index.offsets) for index in indexes]),
        offset=np.concatenate([index.offsets for index in indexes]),
        faults=(),
    )
    return Catalogue(store, labels, read_metadata(metadata, ids))


def load_films(
    films: Catalogue, rows: np.ndarray, size: int, cache: Path, heed: Callable[[], None] = lambda: None
) -> LabelledFilms:
    """Some films of shards, each through the same code that serves.

    Args:
        films: of the shards.
        rows: intp (m,), which of them.
        size: side of the model's square, pixels.
        cache: folder that keeps the decoded squares (m x size x size bytes), so that a second run starts at once.
        heed: called before each `DECODE_BATCH` films that are decoded; what it raises ends it.

    Raises:
        UnusableDataset: a film is damaged or can't be decoded.
    """
    kept = squares_file(films, rows, size, cache)
    pixels = _squares((films.read(int(row)) for row in rows), len(rows), size, kept, heed)
    return LabelledFilms(pixels, films.labels[rows], films.metadata.iloc[rows])


def squares_file(films: Catalogue, rows: np.ndarray, size: int, cache: Path) -> Path:
    """Where `load_films` keeps the squares of some films, whether or not it has yet."""
    return cache / f"films-{size}-{fingerprint(films.store.shards, films.metadata.index[rows])}.npy"


def load_labelled_films(folder: Path, size: int, cache: Path) -> LabelledFilms:
    """All films of every shard below a folder; see `open_folder` and `load_films`."""
    films = open_folder(folder, cache)
    return load_films(films, np.arange(len(films.labels)), size, cache)


def load_shards(shards: list[Path], size: int, cache: Path, metadata: Path | None) -> LabelledFilms:
    """All films of some shards; see `open_shards` and `load_films`."""
    films = open_shards(shards, cache, metadata)
    return load_films(films, np.arange(len(films.labels)), size, cache)


def load_images(folder: Path, labels: Path, size: int, cache: Path, metadata: Path | None) -> LabelledFilms:
    """Read the films of a folder that a table in the layout of `preprocessed_data.csv` labels.

    Args:
        folder: holds a PNG, JPEG or DICOM file of the name of each image id of the table, at any depth; further files,
            and rows without a file, are passed over.
        labels: the table.
        size, cache: as for `load_films`.
        metadata: as for `open_shards`.

    Raises:
        UnusableDataset: a film can't be decoded, contradictory labels, or none of the films has a label.
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
    _check_labels(known, values)
    stem = fingerprint([files[image_id] for image_id in known], known)
    records = (Record(i, files[i].read_bytes(), row) for i, row in zip(known, values, strict=True))
    pixels = _squares(records, len(known), size, cache / f"films-{size}-{stem}.npy")
    return LabelledFilms(pixels, values, read_metadata(metadata, known))


def square(record: Record, size: int) -> np.ndarray:
    """A film as the model sees it, uint8 (size, size): serving's square, rounded.

    Raises:
        UnusableDataset: it can't be decoded.
    """
    try:
        return np.rint(model_input(read_radiograph(record.image), size)).astype(np.uint8)
    except UnreadableFilm as error:
        raise UnusableDataset(f"Film {record.image_id}: {error}") from error


def fingerprint(files: Sequence[Path], image_ids: Iterable[str]) -> str:
    """Changes with the files, with the films among theirs, and with the code that makes a film the model's square."""
    facts = hashlib.sha256()
    for file in files:
        facts.update(f"{file.name},{file.stat().st_size},{file.stat().st_mtime_ns};".encode())
    facts.update("\n".join(image_ids).encode())
    for source in sorted(Path(cxr.radiograph.__file__).parent.glob("*.py")):
        facts.update(source.read_bytes())
    return facts.hexdigest()[:16]


def _squares(
    records: Iterator[Record], count: int, size: int, kept: Path, heed: Callable[[], None] = lambda: None
) -> np.ndarray:
    """The squares of some films, uint8 (count, size, size), decoded into a file, or from it if it is there."""
    if count == 0:
        return np.zeros((0, size, size), np.uint8)
    return kept_array(kept, (count, size, size), lambda pixels: _decode(records, pixels, heed))


def _decode(records: Iterator[Record], pixels: np.ndarray, heed: Callable[[], None]) -> None:
    # Decoding releases the interpreter lock, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = 0
        while batch := list(islice(records, DECODE_BATCH)):
            heed()
            for film in pool.map(lambda record: square(record, pixels.shape[1]), batch):
                pixels[done] = film
                done += 1


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
