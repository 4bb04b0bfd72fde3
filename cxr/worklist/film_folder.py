"""The files of the worklist's films: `films/ab/abcd…/` holds a film as it came, its thumbnail, and models' results.

A folder is named after the SHA-256 of its film, so the same film is there once, whoever brought it and under whatever
name. Every file is whole from the moment that it has its name, and on the disk by then: a process that is killed, or a
machine that loses power, leaves drafts and films that the database knows nothing of, and `sweep` removes both.
"""

import fcntl
import io
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from cxr.model.engine import Prediction
from cxr.settings import settings

FILM: Final = "film"
THUMBNAIL: Final = "thumbnail.jpg"
REMOVED: Final = ".removed"
LOCK: Final = ".lock"
DRAFT: Final = ".draft"

Content: TypeAlias = bytes | memoryview
"""Of a file. (In the class below, `bytes` is a method.)"""


class FilmLost(LookupError):
    """The bytes of a film are not there any more, or are others; the message is one sentence for the reader."""


@dataclass(frozen=True, eq=False)
class StoredResult:
    """What a model made of a film, as it was when the film was scored.

    Attributes:
        prediction: as the engine gave it; of the square whole grey levels are kept.
        map_shift: (rows, columns) by which the maps lie off the film, as shares of its sides (`Card.map_shift`).
    """

    prediction: Prediction
    map_shift: tuple[float, float]


class FilmFolder:
    """The folder of films. Threads and processes may share it.

    Args:
        root: made if it is missing.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def folder(self, sha256: str) -> Path:
        """Where the files of a film are, or would be."""
        return self.root / sha256[:2] / sha256

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Within it no film is removed: for who stores a film and then tells the database of it."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Within it no film is added: for who makes the database forget a film and then removes it."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def put(self, sha256: str, data: Content) -> bool:
        """Keep a film's bytes; when this returns they are on the disk. False: they were there already.

        Raises:
            OSError: they can't be written; nothing half-written is left behind.
        """
        folder = self.folder(sha256)
        film = folder / FILM
        new = not film.exists() or film.stat().st_size != len(data)
        if new:
            folder.mkdir(parents=True, exist_ok=True)
            _write(film, lambda file: file.write(data))
        # Also where it is known: whoever wrote it may be about to.
        for names in (folder, folder.parent, self.root):
            _sync(names)
        return new

    def bytes(self, sha256: str) -> bytes:
        """A film as it came.

        Raises:
            FilmLost: it is not there, or what is there is another.
            OSError: it can't be read at present.
        """
        try:
            data = (self.folder(sha256) / FILM).read_bytes()
        except FileNotFoundError as error:
            raise FilmLost("The file is no longer in the folder of films; add it again.") from error
        if sha256_of(data).hexdigest() != sha256:
            raise FilmLost("The file in the folder of films was changed or damaged; add it again.")
        return data

    def discard_changed(self, sha256: str) -> None:
        """Put a film aside whose bytes are not those of its name, so that `put` can bring it back."""
        try:
            self.bytes(sha256)
        except FilmLost:
            (self.folder(sha256) / FILM).unlink(missing_ok=True)

    def put_thumbnail(self, sha256: str, picture: Content) -> None:
        """Keep a small JPEG of a film. Raises `FilmLost` if the film was removed meanwhile, and `OSError`."""
        self._write_beside(sha256, THUMBNAIL, lambda file: file.write(picture))

    def thumbnail(self, sha256: str) -> Content | None:
        """The small JPEG of a film, grey, at most 256 pixels on a side; None before it was scored."""
        try:
            return (self.folder(sha256) / THUMBNAIL).read_bytes()
        except FileNotFoundError:
            return None

    def put_result(self, sha256: str, model: str, prediction: Prediction, map_shift: tuple[float, float]) -> None:
        """Keep what a model made of a film, in place of what the same model made of it before.

        Args:
            sha256: of the film.
            model: SHA-256 of the bundle.
            prediction: of the engine.
            map_shift: of the bundle's card.

        Raises:
            FilmLost: the film was removed meanwhile.
            OSError: it can't be written.
        """
        parts = {
            "logits": prediction.logits.astype(np.float32),
            "probabilities": prediction.probabilities.astype(np.float64),
            "maps": prediction.maps.astype(np.float32),
            "head_bias": prediction.head_bias.astype(np.float32),
            "square": np.rint(np.clip(prediction.square, 0, 255)).astype(np.uint8),
            "columns": np.array(prediction.columns),
            "map_shift": np.array(map_shift, np.float64),
        }
        self._write_beside(sha256, _result_name(model), lambda file: np.savez(file, **parts))

    def result(self, sha256: str, model: str) -> StoredResult | None:
        """What a model made of a film; None where it did not score it, or what it made of it is damaged."""
        try:
            with np.load(self.folder(sha256) / _result_name(model), allow_pickle=False) as stored:
                prediction = Prediction(
                    stored["logits"],
                    stored["probabilities"],
                    stored["maps"],
                    stored["head_bias"],
                    stored["square"].astype(np.float32),
                    tuple(str(name) for name in stored["columns"]),
                )
                rows, columns = stored["map_shift"]
        except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError, EOFError):
            return None
        return StoredResult(prediction, (float(rows), float(columns)))

    def remove(self, sha256: str) -> None:
        """Remove all files of a film; what is not there is no matter. Call it within `removing`.

        Raises:
            OSError: they can't be removed; `sweep` will try again.
        """
        bin_ = self.root / REMOVED
        bin_.mkdir(exist_ok=True)
        gone = bin_ / uuid.uuid4().hex
        try:
            # In one step, so that nobody finds half of it or writes into it any more.
            self.folder(sha256).rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone)
        _sync(self.folder(sha256).parent)

    def sweep(self, known: Callable[[Iterable[str]], set[str]]) -> int:
        """Remove what processes left behind that ended in the middle of something.

        Args:
            known: those of some SHA-256 that the database has a film of; asked while nobody adds one.

        Returns:
            How many films without a place in the worklist were removed.

        Raises:
            OSError: something can't be removed.
        """
        stored = {folder.name for folder in self.root.glob("??/*")}
        strays = stored - known(stored)
        for draft in self.root.glob(f"??/*/*{DRAFT}"):
            _remove_abandoned(draft)
        with self.removing():
            # Some may have got their place since.
            orphans = strays - known(strays)
            for sha256 in orphans:
                self.remove(sha256)
            for gone in (self.root / REMOVED).glob("*"):
                shutil.rmtree(gone)
        return len(orphans)

    def _write_beside(self, sha256: str, name: str, fill: Callable[[io.BufferedWriter], object]) -> None:
        try:
            _write(self.folder(sha256) / name, fill)
        except FileNotFoundError as error:
            raise FilmLost("The film was removed while it was being scored.") from error


def film_folder() -> FilmFolder:
    """The folder of films of the settings."""
    return FilmFolder(settings().worklist_dir / "films")


def _result_name(model: str) -> str:
    return f"{model[:16]}.npz"


def _write(file: Path, fill: Callable[[io.BufferedWriter], object]) -> None:
    """Write a file in one step, on the disk when this returns; its folder is there."""
    draft, stream = _draft_of(file)
    try:
        with stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
            draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(file.parent)


def _draft_of(file: Path) -> tuple[Path, io.BufferedWriter]:
    """An empty file beside that one, whose lock says that somebody writes it."""
    while True:
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}{DRAFT}")
        stream = draft.open("xb")
        fcntl.flock(stream, fcntl.LOCK_EX)
        # Who swept in the moment before it had its lock may have removed it.
        if os.fstat(stream.fileno()).st_nlink:
            return draft, stream
        stream.close()


def _sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(draft: Path) -> None:
    """Remove a draft, unless somebody writes it."""
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.unlink(missing_ok=True)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
