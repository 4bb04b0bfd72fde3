"""Whether the app can do its work now: named checks, each of which does what the work needs.

A check that hangs is a check that failed: all run at the same time in threads of their own, and who asks waits for them
only so long. One that still hangs is not begun again. Asking often costs nothing: an answer is good for a second.
"""

import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
from PIL import Image
from sqlalchemy import func, select, text

from cxr.model.bundle import BundleRejected
from cxr.model.engine import Engine
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.isolated import DecoderUnavailable, decoder
from cxr.settings import settings
from cxr.turns import reading_line
from cxr.worklist.background import scoring_here
from cxr.worklist.database import DatabaseUnavailable, database
from cxr.worklist.scoring import ServingEngine
from cxr.worklist.status import FilmState
from cxr.worklist.tables import Film

GOOD_SECONDS: Final = 1.0
"""How long an answer is given again."""
WAIT_SECONDS: Final = 5.0
"""How long who asks waits for the checks."""
MEGABYTE: Final = 1024**2
WRITTEN: Final = b"health"


class Unwell(RuntimeError):
    """A check failed; the message is one sentence for the operator, without anything of a patient."""


@dataclass(frozen=True)
class Check:
    """One answer: what was looked at, whether it holds, and one sentence for the operator."""

    name: str
    holds: bool
    said: str


@dataclass(frozen=True)
class Health:
    """All answers.

    Attributes:
        checks: in their order.
        numbers: films in the app's line and films that wait to be scored, by "line" and "backlog", where known.
        model: name and SHA-256 of the bundle that serves; None where none does.
    """

    checks: tuple[Check, ...]
    numbers: Mapping[str, float]
    model: tuple[str, str] | None

    @property
    def healthy(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


@dataclass
class _State:
    """What the checks note besides their sentence."""

    numbers: dict[str, float] = field(default_factory=dict)
    model: tuple[str, str] | None = None


Look = Callable[[_State], str]


class Monitor:
    """Runs checks.

    Args:
        looks: by name; each gives its sentence, or raises `Unwell` or what the work raises.
        wait_seconds, good_seconds: see there.
    """

    def __init__(
        self, looks: Mapping[str, Look], *, wait_seconds: float = WAIT_SECONDS, good_seconds: float = GOOD_SECONDS
    ):
        self._looks = looks
        self._wait, self._good = wait_seconds, good_seconds
        self._asking = threading.Lock()
        self._running: dict[str, threading.Thread] = {}
        self._found: dict[str, Check] = {}
        self._state = _State()
        self._last: tuple[float, Health] | None = None

    def health(self) -> Health:
        """How things are; at most `good_seconds` old."""
        with self._asking:
            if self._last is not None and monotonic() - self._last[0] < self._good:
                return self._last[1]
            end = monotonic() + self._wait
            for name, look in self._looks.items():
                if name not in self._running or not self._running[name].is_alive():
                    self._found.pop(name, None)
                    thread = threading.Thread(target=self._look, args=(name, look), name=f"health-{name}", daemon=True)
                    self._running[name] = thread
                    thread.start()
            for thread in self._running.values():
                thread.join(max(0.0, end - monotonic()))
            late = f"There was no answer within {self._wait:g} seconds."
            checks = tuple(self._found.get(name, Check(name, False, late)) for name in self._looks)
            found = Health(checks, dict(self._state.numbers), self._state.model)
            self._last = (monotonic(), found)
            return found

    def _look(self, name: str, look: Look) -> None:
        try:
            self._found[name] = Check(name, True, look(self._state))
        except (Unwell, BundleRejected, DatabaseUnavailable, DecoderUnavailable) as error:
            self._found[name] = Check(name, False, str(error))
        except OSError as error:
            self._found[name] = Check(name, False, f"{error.strerror or 'Unknown error'}.")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no good news, and who asks has to hear of it
            self._found[name] = Check(name, False, f"It met with an error of the program ({type(error).__name__}).")


def _engine() -> Engine:
    """The engine with which this process scores; of one that scores nothing, an engine of its own."""
    found = scoring_here()
    return _OWN() if found is None else found.engine()


_OWN: Final = ServingEngine()


class _Undone(Exception):
    """Raised to have a transaction undone."""


def _model(state: _State) -> str:
    """The engine was loaded, its graph reproduced the bundle's probe then, and it still is what is to serve."""
    state.model = None
    bundle = _engine().bundle
    state.model = (bundle.name, bundle.sha256)
    return f"The model {bundle.name} is loaded and reproduced its probe."


def _database(state: _State) -> str:
    """A row is written, and the transaction undone."""
    db = database()
    state.numbers.pop("backlog", None)
    try:
        with db.writing() as session:
            session.execute(text("UPDATE alembic_version SET version_num = version_num"))
            raise _Undone
    except _Undone:
        pass
    with db.reading() as session:
        waiting = session.scalar(select(func.count()).select_from(Film).where(Film.state == FilmState.QUEUED)) or 0
    state.numbers["backlog"] = waiting
    return f"It was written to; {waiting:,} films wait to be scored."


def _worklist_dir() -> Path:
    folder = settings().worklist_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _disk(_state: _State) -> str:
    free, least = shutil.disk_usage(_worklist_dir()).free / MEGABYTE, settings().least_free_megabytes
    if free < least:
        raise Unwell(f"{free:,.0f} MB are free, fewer than the {least:,} MB that CXR_LEAST_FREE_MEGABYTES asks for.")
    return f"{free:,.0f} MB are free."


def _folder(_state: _State) -> str:
    """A file is written to the disk in the worklist's folder, and vanishes."""
    with tempfile.TemporaryFile(dir=_worklist_dir()) as file:
        file.write(WRITTEN)
        file.flush()
        os.fsync(file.fileno())
    return "A file could be written."


def _film() -> bytes:
    file = io.BytesIO()
    Image.fromarray((np.indices((256, 256)).sum(0) % 256).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _decoder(_state: _State) -> str:
    """A small film is decoded; where every process is at work on one, they do their work."""
    if decoder().busy:
        return "All processes are at work."
    try:
        decoder().read(_film())
    except UnreadableFilm as error:
        raise Unwell("The processes that decode films do not.") from error
    return "A film was decoded."


def _scoring(_state: _State) -> str:
    """The app scores films by itself once its first page was opened, or it was started as a service."""
    found = scoring_here()
    if found is None:
        return "This process scores no films."
    if not found.alive:
        raise Unwell("The threads that score films have ended; start the app anew.")
    # Not that the model can't give something: that is no trouble.
    if trouble := found.trouble:
        raise Unwell(trouble[0])
    return "Films are scored as they come."


def _line(state: _State) -> str:
    state.numbers["line"] = reading_line().length
    return f"{state.numbers['line']:,.0f} films wait or are being read."


LOOKS: Final[Mapping[str, Look]] = {
    "model": _model,
    "database": _database,
    "disk": _disk,
    "folder": _folder,
    "decoder": _decoder,
    "scoring": _scoring,
    "line": _line,
}


_monitors: dict[int, Monitor] = {}
_making = threading.Lock()


def health() -> Health:
    """How this process is."""
    with _making:
        if os.getpid() not in _monitors:
            _monitors[os.getpid()] = Monitor(LOOKS)
    return _monitors[os.getpid()].health()
