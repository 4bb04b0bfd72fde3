"""Random access to films in `.tfrec` shards: where each begins, found by reading headers and labels, not images.

The index of a shard is built once and kept beside the cache, as one small file that is checked against the shard's size
and time. A shard that is damaged keeps the films before the damage; what is wrong is told by name and offset.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cxr.dataset.kept import draft_of
from cxr.dataset.shards import Record, parse_labels, parse_record, skim
from cxr.dataset.table import FilmTable
from cxr.dataset.tfrecord import (
    FRAME_FOOTER,
    FRAME_HEADER,
    DamagedFrame,
    UnreadableShard,
    payload_length,
    read_payload,
)
from cxr.findings import CATEGORIES

PAGE: Final = 4096
VERSION: Final = 1
"""Part of the name of an index file; counts up when what it holds changes."""


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """What lies where in one shard.

    Attributes:
        path: of the shard.
        image_ids: str (n,), in file order.
        offsets: int64 (n,), bytes from the start of the file to each record's frame.
        labels: uint8 (n, 15).
        faults: what is wrong with the shard, a sentence each.
    """

    path: Path
    image_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    faults: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FilmStore:
    """The films of a table that lie in shards.

    Attributes:
        image_ids: str (n,), of the rows of the table.
        shards: all of them.
        shard, offset: int16 and int64 (n,), for each row of the table the shard's number (-1: in none) and the offset.
        faults: what is wrong, a sentence each.
    """

    image_ids: pd.Index
    shards: tuple[Path, ...]
    shard: np.ndarray
    offset: np.ndarray
    faults: tuple[str, ...]

    @property
    def available(self) -> np.ndarray:
        """bool (n,): the rows of the table whose film lies in a shard."""
        return self.shard >= 0

    def read(self, row: int) -> Record:
        """The film of a row of the table.

        Raises:
            KeyError: it lies in no shard.
            UnreadableShard: it is damaged, or the shard changed since it was indexed; named by shard and offset.
        """
        if self.shard[row] < 0:
            raise KeyError(row)
        shard, offset = self.shards[self.shard[row]], int(self.offset[row])
        record = read_at(shard, offset)
        if record.image_id != self.image_ids[row]:
            raise UnreadableShard(f"{shard.name}, offset {offset:,}: another film lies there; the shard has changed.")
        return record


def read_at(shard: Path, offset: int) -> Record:
    """The film whose frame begins at an offset of a shard, both of its checksums verified.

    Raises:
        UnreadableShard: there is none, or it is damaged.
    """
    try:
        with shard.open("rb") as file:
            try:
                file.seek(offset)
            except (OSError, ValueError, OverflowError) as error:
                raise DamagedFrame("there is no such offset.") from error
            payload = read_payload(file)
            if payload is None:
                raise DamagedFrame("the file ends before the record.")
            return parse_record(payload)
    except (ValueError, OSError) as error:
        reason = _reason(error) if isinstance(error, OSError) else error
        raise UnreadableShard(f"{shard.name}, offset {offset:,}: {reason}") from error


def _reason(error: OSError) -> str:
    return f"{error.strerror}."


def index_shards(
    shards: Sequence[Path], cache: Path, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[ShardIndex]:
    """The index of each shard, from the cache where it is there and the shard has not changed since.

    Args:
        shards: `.tfrec` files.
        cache: folder that keeps the indexes.
        progress: called with the number of shards that are done, and of all.
    """
    cache.mkdir(parents=True, exist_ok=True)
    done = []
    # Reading a page of the file releases the interpreter lock, so one thread parses while another waits.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index in pool.map(lambda shard: _kept(shard, cache), shards):
            done.append(index)
            progress(len(done), len(shards))
    return done


def unindexed(shards: Sequence[Path], cache: Path) -> list[Path]:
    """Those of some shards that are not in the cache as they are now."""
    return [shard for shard in shards if not _kept_at(shard, cache).is_file()]


def fingerprint(shards: Sequence[Path]) -> str:
    """Changes when a shard does: its path, its size, or the time of its last change."""
    return hashlib.sha256(os.fsencode(f"{VERSION};{';'.join(map(_facts, shards))}")).hexdigest()[:24]


def _facts(shard: Path) -> str:
    try:
        stat = shard.stat()
    except OSError:
        return f"{shard.absolute()},gone"
    return f"{shard.resolve()},{stat.st_size},{stat.st_mtime_ns}"


def _kept_at(shard: Path, cache: Path) -> Path:
    return cache / f"index-{fingerprint([shard])}.npz"


def _kept(shard: Path, cache: Path) -> ShardIndex:
    """The index of a shard from the cache, or made and kept. What a system could not read today is not kept."""
    kept = _kept_at(shard, cache)
    try:
        with np.load(kept, allow_pickle=False) as stored:
            arrays = [stored[name] for name in ("image_ids", "offsets", "labels", "faults")]
        if not all(isinstance(array, np.ndarray) for array in arrays):
            raise ValueError("An entry is no array.")
        image_ids, offsets, labels, faults = arrays
        return ShardIndex(shard, image_ids, offsets, labels, tuple(map(str, faults)))
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        # There is none yet, or it is damaged, which NumPy and zipfile say in all these ways.
        try:
            found = _scan(shard)
        except OSError as error:
            return _unread(shard, error)
    _keep(found, kept)
    return found


def _keep(found: ShardIndex, kept: Path) -> None:
    with draft_of(kept) as draft, draft.open("wb") as file:
        np.savez_compressed(
            file,
            image_ids=found.image_ids,
            offsets=found.offsets,
            labels=found.labels,
            faults=np.array(found.faults, str),
        )


def scan(shard: Path) -> ShardIndex:
    """Index a shard by reading of each record the header (with its checksum), the id and the labels, but not the film.

    A record that is not a labelled film is left out; after a frame that is not sound nothing more can be found.
    """
    try:
        return _scan(shard)
    except OSError as error:
        return _unread(shard, error)


def _unread(shard: Path, error: OSError) -> ShardIndex:
    return _index(shard, [], [], [], [f"{shard.name}: {_reason(error)}"])


def _scan(shard: Path) -> ShardIndex:
    image_ids: list[str] = []
    offsets: list[int] = []
    labels: list[np.ndarray] = []
    left_out: list[str] = []
    faults: list[str] = []
    # A small buffer, and no reading ahead: what lies between the labels of two records is a film.
    with shard.open("rb", buffering=PAGE) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        size, offset = os.fstat(file.fileno()).st_size, 0
        if not size:
            faults.append(f"{shard.name}: the file is empty.")
        while offset < size:
            try:
                file.seek(offset)
                length = payload_length(file.read(FRAME_HEADER))
                end = offset + FRAME_HEADER + length + FRAME_FOOTER
                if end > size:
                    raise DamagedFrame("the file ends within the record.")
            except DamagedFrame as error:
                faults.append(
                    f"{shard.name}, offset {offset:,}: {error} Films before it that can be used: {len(offsets):,}."
                )
                break
            try:
                image_id, values = parse_labels(skim(file, length))
            except ValueError as error:
                left_out.append(f"{shard.name}, offset {offset:,}: {error}")
            else:
                image_ids.append(image_id)
                labels.append(values)
                offsets.append(offset)
            offset = end
    if left_out:
        faults.insert(0, f"{left_out[0]} Records of this shard that are left out: {len(left_out):,}.")
    return _index(shard, image_ids, offsets, labels, faults)


def _index(
    shard: Path, image_ids: list[str], offsets: list[int], labels: list[np.ndarray], faults: list[str]
) -> ShardIndex:
    return ShardIndex(
        shard,
        np.array(image_ids, dtype=str),
        np.array(offsets, np.int64),
        np.array(labels, np.uint8).reshape(-1, len(CATEGORIES)),
        tuple(faults),
    )


def film_store(indexes: Sequence[ShardIndex], table: FilmTable) -> FilmStore:
    """Bring the films of some shards together with the rows of a table, by image id.

    What does not fit is told in `faults`: films that the table does not have, that lie in the shards more than once
    (the first counts), or whose labels differ from the table's (the table counts).
    """
    faults = [fault for index in indexes for fault in index.faults]
    shard, offset = np.full(len(table), -1, np.int16), np.zeros(len(table), np.int64)
    unknown = again = differing = 0
    for number, index in enumerate(indexes):
        rows = table.row.reindex(index.image_ids).to_numpy(float)
        known = ~np.isnan(rows)
        unknown += int((~known).sum())
        # A shard is read back to front, so that of a film that it holds twice the first remains.
        rows, offsets, labels = rows[known].astype(int)[::-1], index.offsets[known][::-1], index.labels[known][::-1]
        new = shard[rows] < 0
        shard[rows[new]], offset[rows[new]] = number, offsets[new]
        shown = new & (offset[rows] == offsets)
        again += int((~shown).sum())
        differing += int((labels[shown] != table.labels[rows[shown]]).any(axis=1).sum())
    for count, what in (
        (unknown, "Films of the shards that are not in the table, and are not shown"),
        (again, "Films that lie in the shards once more; the first of each is shown"),
        (differing, "Films with other labels in the shards than in the table, whose labels are shown"),
    ):
        if count:
            faults.append(f"{what}: {count:,}.")
    return FilmStore(table.films.index, tuple(index.path for index in indexes), shard, offset, tuple(faults))
