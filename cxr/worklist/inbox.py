"""A folder whose files come into the worklist by themselves, as a modality, a script or a person puts them there.

A file is taken in when it has come to rest, and then moved to `taken/<date>/`, or to `refused/` with a `.why.txt`
beside it that says why; both lie in the folder itself. None is ever deleted. Whatever goes wrong, the file stays where
it is, `problems` says so, and the next look tries again; taking a film in twice is no matter.
"""

import atexit
import logging
import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from cxr.files import printable, replace_file
from cxr.lock import Held, locked
from cxr.settings import settings
from cxr.worklist.database import Database, DatabaseUnavailable, database
from cxr.worklist.film_folder import FilmFolder, film_folder
from cxr.worklist.identity import NotAFilm, is_whole
from cxr.worklist.intake import take_in
from cxr.worklist.unpack import HIDDEN, LARGEST_FILM, Refused, expand, is_archive

POLL_SECONDS: Final = 2.0
STILL_POLLS: Final = 2
"""At so many looks after the first a file has to be the same before it is taken in."""
PATIENCE_SECONDS: Final = 60.0
"""How long a file without its end has to be the same; a copy over a bad line may stall."""
TAKEN: Final = "taken"
REFUSED: Final = "refused"
NOTE: Final = ".why.txt"
"""What a refused file's name is followed by in the name of the note beside it."""
MOST_NOTES: Final = 100
UNFINISHED: Final = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp", "~")
LOCK_FILE: Final = "inbox.lock"
END_SECONDS: Final = 10.0
SOURCE: Final = "inbox"

_log = logging.getLogger(__name__)

Signature = tuple[int, int, int]
"""Of a file at one moment: inode, bytes, time of the last change in ns."""


@dataclass(frozen=True)
class Problem:
    """A file of the inbox that is not in the worklist, or the inbox itself ("."), and why, in one sentence."""

    file: str
    sentence: str


@dataclass
class _Seen:
    """A file as it was at the last look: since when, at how many looks, and where it belongs once it was dealt with."""

    signature: Signature
    since: float
    looks: int = 0
    belongs: str | None = None
    refusals: tuple[Refused, ...] = ()


class Inbox:
    """Looks into a folder again and again; only one process does so for a worklist, the others stand by.

    Args:
        folder: which; its subfolders belong to it.
        who: for the audit trail.
        poll_seconds: between two looks.
        patience_seconds: see `PATIENCE_SECONDS`.
    """

    def __init__(
        self,
        folder: Path,
        db: Database,
        films: FilmFolder,
        *,
        who: str = "inbox",
        poll_seconds: float = POLL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ):
        self.folder = folder
        self._db, self._films, self._who = db, films, who
        self._poll_seconds, self._patience = poll_seconds, patience_seconds
        self._seen: dict[Path, _Seen] = {}
        self._problems: tuple[Problem, ...] = ()
        self._found: list[Problem] = []
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What stood in the way at the last look, and the files that lie in `refused/`."""
        return self._problems

    def start(self) -> None:
        """Begin to watch, in the background."""
        self._ending.clear()
        self._thread = threading.Thread(target=self._watch, name="inbox", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = END_SECONDS) -> None:
        """Watch no more; wait for the file that is being taken in, but not for ever."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _watch(self) -> None:
        while not self._ending.is_set():
            try:
                with locked(self._films.root.parent / LOCK_FILE, wait=False):
                    while not self._ending.is_set():
                        self.poll()
                        self._ending.wait(self._poll_seconds)
            except Held:
                # Another process watches; this one follows when that one ends, and shows what it left in `refused/`.
                self._found = []
                self._end_look()
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the inbox unwatched, unseen
                _log.error("The inbox met with an error: %s", type(error).__name__)
                self._problems = (Problem(".", f"The inbox can't be watched ({type(error).__name__})."),)
            self._ending.wait(self._poll_seconds)

    def poll(self) -> int:
        """Take one look; returns how many films were new. Only who holds the inbox's lock may."""
        self._found = []
        present, new = dict(self._files()), 0
        self._seen = {file: seen for file, seen in self._seen.items() if file in present}
        for file, signature in present.items():
            if self._ending.is_set():
                break
            seen = self._seen.get(file)
            if seen is None or seen.signature != signature:
                self._seen[file] = _Seen(signature, monotonic())
                continue
            seen.looks += 1
            if seen.looks >= STILL_POLLS:
                new += self._handle(file, seen)
        self._end_look()
        return new

    def _end_look(self) -> None:
        self._found += [
            Problem(_shown(note.relative_to(self.folder)).removesuffix(NOTE), _first_line(note))
            for note in sorted((self.folder / REFUSED).rglob(f"*{NOTE}"))[:MOST_NOTES]
        ]
        self._problems = tuple(self._found)

    def _problem(self, file: Path, sentence: str) -> None:
        self._found.append(Problem(_shown(file.relative_to(self.folder)), sentence))

    def _files(self) -> Iterator[tuple[Path, Signature]]:
        """Every file that may be taken in some time, in the order of their names."""
        if self._films.root.parent.resolve().is_relative_to(self.folder.resolve()):
            self._problem(self.folder, "The inbox must not hold the worklist's own folder; choose another.")
            return

        def unreadable(error: OSError) -> None:
            self._problem(Path(error.filename), f"The folder can't be read: {error.strerror}.")

        for place, folders, names in os.walk(self.folder, onerror=unreadable):
            at = Path(place)
            own = (TAKEN, REFUSED) if at == self.folder else ()
            folders[:] = sorted(name for name in folders if not _ignored(name) and name not in own)
            for name in sorted(names):
                if _ignored(name):
                    continue
                try:
                    found = (at / name).lstat()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._problem(at / name, f"The file can't be looked at: {error.strerror}.")
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield at / name, _signature(found)
                else:
                    self._problem(at / name, "This is a link or a device; only files are taken in.")

    def _handle(self, file: Path, seen: _Seen) -> int:
        """Take in a file that has come to rest, and move it; returns how many films were new."""
        new = 0
        try:
            if seen.belongs is None:
                if not self._ready(file, seen):
                    return 0
                new = self._take(file, seen)
            if seen.belongs is not None:
                self._move(file, seen, seen.belongs)
        except FileNotFoundError:
            if file.exists():
                self._problem(file, "The file could not be moved: its new folder vanished.")
            else:
                self._problem(file, "The file vanished before it was taken in.")
        except OSError as error:
            self._problem(file, f"The file could not be taken in or moved: {error.strerror or 'unknown error'}.")
        except DatabaseUnavailable as error:
            self._problem(file, str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others have to be taken in
            _log.error("Taking in a file of the inbox failed: %s", type(error).__name__)
            self._problem(file, f"Taking it in failed ({type(error).__name__}).")
        return new

    def _ready(self, file: Path, seen: _Seen) -> bool:
        """Whether a file is complete; one without its end gets more time, and is then taken for what it is."""
        if monotonic() - seen.since >= self._patience:
            return True
        with file.open("rb") as stream:
            start = stream.read(132)
        if is_archive(start):
            return zipfile.is_zipfile(file)
        # What is too large to be a film is not read whole to find out whether it is.
        _, size, _ = seen.signature
        return size > LARGEST_FILM or is_whole(file.read_bytes())

    def _take(self, file: Path, seen: _Seen) -> int:
        """Take in a file, or what is in it; says in `seen` where it belongs then."""
        taken = new = 0
        refused = list[Refused]()
        for part in expand(_shown(file.relative_to(self.folder)), file):
            if isinstance(part, Refused):
                refused.append(part)
                continue
            try:
                given = take_in(self._db, self._films, part.name, part.data, who=self._who, source=SOURCE)
            except NotAFilm as error:
                refused.append(Refused(part.name, str(error)))
            else:
                taken, new = taken + 1, new + given.new
        seen.refusals = tuple(refused)
        seen.belongs = f"{TAKEN}/{datetime.now(UTC).date().isoformat()}" if taken else REFUSED
        return new

    def _move(self, file: Path, seen: _Seen, place: str) -> None:
        """Move a file to where it belongs, with a note of what was refused; unless it is another one by now."""
        if _signature(file.lstat()) != seen.signature:
            # Whoever wrote it went on; it is looked at anew.
            del self._seen[file]
            return
        relative = file.relative_to(self.folder)
        target = _free(self.folder / place / relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        if seen.refusals:
            # First, so that nothing refused is without it. Of a zip that held films too it is the only trace there.
            note = _free(self.folder / REFUSED / relative.with_name(f"{target.name}{NOTE}"))
            note.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{printable(part.name)}: {part.reason}\n" for part in seen.refusals)
            replace_file(note, lines.encode("utf-8", "backslashreplace"))
        file.rename(target)
        del self._seen[file]
        if _signature(target.lstat()) != seen.signature:
            # It changed in the last moment. Back, to be looked at anew; nothing is where it was.
            target.rename(_free(file))


def _signature(found: os.stat_result) -> Signature:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(UNFINISHED) or name in HIDDEN


def _shown(path: Path) -> str:
    """A path as text that can be shown and stored, whatever its name is made of."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _free(file: Path) -> Path:
    """That path, or one like it where there is a file already. One process moves files here."""
    number, free = 2, file
    while free.exists():
        free = file.with_name(f"{file.stem}-{number}{file.suffix}")
        number += 1
    return free


def _first_line(note: Path) -> str:
    try:
        lines = note.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"Why it was refused can't be read: {error.strerror}."
    more = f" And {len(lines) - 1} more." if len(lines) > 1 else ""
    return f"{lines[0] if lines else 'It was refused.'}{more}"


_inboxes: dict[tuple[int, Path, Path, str | None], Inbox] = {}
_starting = threading.Lock()


def inbox() -> Inbox | None:
    """The inbox of the settings, watched by this process from the first call to its end; None where there is none.

    Raises:
        DatabaseUnavailable, OSError: it can't be watched at present; the next call tries again.
    """
    folder = settings().inbox
    if folder is None:
        return None
    key = (os.getpid(), folder, settings().worklist_dir, settings().database_url)
    with _starting:
        if key not in _inboxes:
            made = Inbox(folder, database(), film_folder())
            made.start()
            atexit.register(made.stop)
            _inboxes[key] = made
        return _inboxes[key]
