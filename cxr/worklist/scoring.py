"""Scoring the films of the worklist: in the background of the app, or in the foreground of a command."""

import atexit
import io
import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import selectinload

from cxr.classify import Reading, Refusal, answer
from cxr.heap import give_memory_back
from cxr.model.bundle import CARD_FILE, Bundle, BundleRejected, bundle_path, file_sha256, load_bundle
from cxr.model.engine import Engine
from cxr.model.heatmap import shrunk
from cxr.registry import check_same, serving
from cxr.settings import settings
from cxr.turns import reading_line
from cxr.worklist.audit import Event, record
from cxr.worklist.columns import set_columns, shortcomings
from cxr.worklist.database import Database, DatabaseUnavailable, database
from cxr.worklist.film_folder import FilmFolder, FilmLost, film_folder
from cxr.worklist.intake import OTHER_PATIENT, sweep
from cxr.worklist.scoring_queue import BELL, Claimed, Leases
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Result, Study

MOST_ATTEMPTS: Final = 3
POLL_SECONDS: Final = 2.0
"""How often is looked for films that another process took in."""
THOROUGH_POLLS: Final = 15
"""Every so many polls that found nothing, also films are looked for that another model scored."""
END_SECONDS: Final = 10.0
"""How long a process that ends waits for the films that it is scoring."""
THUMBNAIL_SIDE: Final = 256
THUMBNAIL_QUALITY: Final = 80
STUDIES: Final = 100
"""Whose columns are set in one transaction."""
WHO: Final = "scoring"

_log = logging.getLogger(__name__)


class ServingEngine:
    """The engine of the bundle that serves: of another one as soon as it is promoted, or its files change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, str] | None = None
        self._engine: Engine | None = None

    def __call__(self) -> Engine:
        """The engine for the next film.

        Raises:
            BundleRejected: no bundle can serve, or it is being replaced.
        """
        model = serving()
        try:
            key = (model.name, file_sha256(bundle_path(model.name) / CARD_FILE))
            with self._lock:
                if self._engine is None or key != self._key:
                    self._engine, self._key = Engine(load_bundle(bundle_path(model.name))), key
                engine = self._engine
        except OSError as error:
            raise BundleRejected("The serving model is being replaced.") from error
        check_same(model, engine.bundle)
        return engine


def score_film(db: Database, films: FilmFolder, leases: Leases, claimed: Claimed, engine: Engine) -> None:
    """Read a claimed film, score it, and keep what comes of it: its result, or why there is none.

    Raises:
        DatabaseUnavailable, OSError: it could not be read or kept at present; it is in the queue again, or will be.
    """
    try:
        _score(db, films, leases, claimed, engine)
    except (OSError, DatabaseUnavailable, KeyboardInterrupt):
        leases.give_back(claimed, tried=False)
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one film, the others have to be scored
        kind = type(error).__name__
        # Without what it says: that may be of the patient.
        _log.error("Scoring film %d failed: %s", claimed.film, kind)
        if claimed.attempts < MOST_ATTEMPTS:
            leases.give_back(claimed, tried=True)
        else:
            _refuse(db, films, leases, claimed, engine.bundle, f"Scoring it failed {MOST_ATTEMPTS} times ({kind}).")


def _score(db: Database, films: FilmFolder, leases: Leases, claimed: Claimed, engine: Engine) -> None:
    if claimed.attempts > MOST_ATTEMPTS:
        _refuse(db, films, leases, claimed, engine.bundle, "Scoring it ended the program three times.")
        return
    try:
        # In turn with the readers whose films are read: they don't wait for the worklist, nor it for them.
        with reading_line().joined(always=True) as place, place.turn():
            given = answer(engine, "", films.bytes(claimed.sha256), placement=claimed.placement)
        if isinstance(given, Refusal):
            _refuse(db, films, leases, claimed, engine.bundle, given)
        elif not np.isfinite(given.prediction.probabilities[0]):
            sentence = "The model gives no number for this film."
            unknown = Refusal("", sentence, "unknown", given.grey, given.facts, given.placement, given.turn)
            _refuse(db, films, leases, claimed, engine.bundle, unknown)
        else:
            _keep(db, films, leases, claimed, engine.bundle, given)
    except FilmLost as error:
        _refuse(db, films, leases, claimed, engine.bundle, str(error))


def _thumbnail(grey: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(shrunk(grey, THUMBNAIL_SIDE)).save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return file.getvalue()


def _keep(db: Database, films: FilmFolder, leases: Leases, claimed: Claimed, bundle: Bundle, reading: Reading) -> None:
    """The result and the study's columns, in one transaction, and the files while nobody else can have the film."""
    picture, prediction = _thumbnail(reading.grey), reading.prediction
    with db.writing() as session:
        if (rows := leases.mine(session, claimed)) is None:
            return
        study, film = rows
        # Not before: somebody may have turned the film meanwhile, and others have scored it as it lies now.
        films.put_thumbnail(claimed.sha256, picture)
        films.put_result(claimed.sha256, bundle.sha256, prediction, bundle.card.map_shift)
        result = next((found for found in film.results if found.model == bundle.sha256), None)
        if result is None:
            result = Result(model=bundle.sha256)
            film.results.append(result)
        result.model_name, result.scored, result.milliseconds = bundle.name, datetime.now(UTC), reading.milliseconds
        result.columns = list(prediction.columns)
        # JSON has no NaN.
        result.probabilities = [float(p) if np.isfinite(p) else None for p in prediction.probabilities]
        _note(film, reading, reading.warnings)
        leases.end(film, FilmState.SCORED)
        _show(study, bundle)
        record(
            session,
            who=WHO,
            event=Event.SCORED,
            what=f"film {film.id}",
            study=study.id,
            model=bundle.sha256,
            milliseconds=round(reading.milliseconds, 1),
            abnormal=float(1 - prediction.probabilities[0]),
            attempts=claimed.attempts,
        )


def _note(film: Film, given: Reading | Refusal, warnings: Iterable[str] = ()) -> None:
    """What is known of a film besides its result; what another model made of it before goes."""
    if given.facts is not None:
        film.facts = asdict(given.facts)
    film.seems, film.inverted = given.turn, given.placement.inverted
    film.warnings = list(dict.fromkeys([*(known for known in film.warnings if known == OTHER_PATIENT), *warnings]))


def _refuse(
    db: Database, films: FilmFolder, leases: Leases, claimed: Claimed, bundle: Bundle, why: Refusal | str
) -> None:
    """Keep why a film has no result: what came of reading it, or a sentence where that came to nothing."""
    picture = _thumbnail(why.grey) if isinstance(why, Refusal) and why.grey is not None else None
    with db.writing() as session:
        if (rows := leases.mine(session, claimed)) is None:
            return
        study, film = rows
        # What another model made of it before, too: there is no probability of a film that is refused.
        film.results.clear()
        if isinstance(why, Refusal):
            if picture is not None:
                films.put_thumbnail(claimed.sha256, picture)
            _note(film, why)
            # Where the film could be seen, it is this model that refuses it, and another one may not.
            by = None if why.grey is None else bundle.sha256
            leases.end(film, FilmState.REFUSED, why.reason, why.kind, by)
        else:
            leases.end(film, FilmState.REFUSED, why)
        _show(study, bundle)
        record(session, who=WHO, event=Event.NOT_ANALYSED, what=f"film {film.id}", study=study.id, kind=film.refused_as)


def _show(study: Study, bundle: Bundle) -> None:
    """Set the study's columns; one that was read keeps what was shown, if anything was."""
    if study.status != Status.READ or study.model is None:
        set_columns(study, bundle)


def restate(db: Database, bundle: Bundle, *, all_of_them: bool) -> None:
    """Set the columns of waiting studies that a model scored before, without scoring them again.

    So they are right after a roll back, and after the operator chose other points or other critical findings.

    Args:
        all_of_them: also of studies whose columns are of this model.

    Raises:
        DatabaseUnavailable: as ever.
    """
    last = 0
    while True:
        never_shown = and_(Study.status == Status.READ, Study.model.is_(None))
        open_ones = or_(Study.status == Status.WAITING, never_shown)
        some = select(Study.id).where(open_ones, Study.id > last).order_by(Study.id).limit(STUDIES)
        scored = Film.results.any(Result.model == bundle.sha256)
        some = some.where(Study.films.any(scored))
        if not all_of_them:
            some = some.where(Study.model.is_distinct_from(bundle.sha256))
        with db.reading() as session:
            found = list(session.scalars(some))
        if not found:
            return
        last = found[-1]
        with db.writing() as session:
            rows = select(Study).where(Study.id.in_(found), open_ones).order_by(Study.id)
            whole = rows.options(selectinload(Study.films).selectinload(Film.results)).with_for_update(of=Study)
            for study in session.scalars(whole):
                set_columns(study, bundle)


def score_queued(
    db: Database, films: FilmFolder, engine: Engine, tell: Callable[[Claimed], object] = lambda claimed: None
) -> int:
    """Score what waits for it, in the foreground; films that another process is scoring are left to it.

    Args:
        tell: called after each film.

    Returns:
        How many films were scored or refused.

    Raises:
        DatabaseUnavailable, OSError: it can't go on.
    """
    count = 0
    with Leases(db, _locks(films)) as leases:
        while (claimed := leases.next(engine.bundle.sha256)) is not None:
            score_film(db, films, leases, claimed, engine)
            count += 1
            tell(claimed)
    restate(db, engine.bundle, all_of_them=False)
    return count


class Scorer:
    """Threads that score films as they come. At most one film each is decoded at a time.

    Args:
        engine: gives the engine for the next film, and raises `BundleRejected` where there is none.
        workers: threads.
        poll_seconds: how often they look for films of other processes.
    """

    def __init__(
        self,
        db: Database,
        films: FilmFolder,
        *,
        engine: Callable[[], Engine],
        workers: int = 1,
        poll_seconds: float = POLL_SECONDS,
    ):
        self._db, self._films, self._engine_now = db, films, engine
        self._poll_seconds = poll_seconds
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()
        self._trouble: dict[str, str] = {}
        self._shortcomings: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What stands in the way of scoring at present, and what the serving model can't give; one sentence each."""
        return (*dict.fromkeys(self._trouble.values()), *self._shortcomings)

    @property
    def alive(self) -> bool:
        """Whether its threads run."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def trouble(self) -> tuple[str, ...]:
        """What stands in the way of scoring at present, one sentence each."""
        return tuple(dict.fromkeys(self._trouble.values()))

    def engine(self) -> Engine:
        """The engine for the next film. Raises `BundleRejected` where there is none."""
        return self._engine_now()

    def start(self) -> None:
        """Begin, in the background; what killed processes left behind is removed first."""
        self._ending.clear()
        self._threads = [threading.Thread(target=self._run, name="scoring", daemon=True)]
        self._threads[0].start()

    def stop(self, seconds: float = END_SECONDS) -> None:
        """Take no more films, and wait for those that are being scored, but not for ever."""
        self._ending.set()
        BELL.ring()
        for thread in self._threads:
            thread.join(seconds)

    def _run(self) -> None:
        """Make ready, then score with the other workers until the end."""
        while not self._ending.is_set():
            try:
                sweep(self._db, self._films)
                with Leases(self._db, _locks(self._films)) as leases:
                    leases.clear()
                    others = [
                        threading.Thread(target=self._work, args=(leases,), name=f"scoring-{number}", daemon=True)
                        for number in range(1, self._workers)
                    ]
                    for thread in others:
                        thread.start()
                    self._work(leases, chief=True)
                    for thread in others:
                        thread.join()
            except Exception as error:  # noqa: BLE001 - see `_in_trouble`
                self._in_trouble(error)

    def _in_trouble(self, error: Exception) -> None:
        """Say what stands in the way, and wait a moment. No trouble ends a thread: scoring would stop unseen."""
        known = (BundleRejected, DatabaseUnavailable, OSError)
        if not isinstance(error, known):
            _log.error("Scoring met with an error of the program: %s", type(error).__name__)
        self._trouble[threading.current_thread().name] = _sentence(error)
        self._ending.wait(self._poll_seconds)

    def _work(self, leases: Leases, chief: bool = False) -> None:
        """Score until the end; one of the workers, the chief, also sees to what concerns whole studies."""
        me = threading.current_thread().name
        model, idle = "", 0
        while not self._ending.is_set():
            heard = BELL.rung
            try:
                engine = self._engine_now()
                if engine.bundle.sha256 != model:
                    if chief:
                        self._shortcomings = shortcomings(engine.bundle.card)
                        restate(self._db, engine.bundle, all_of_them=True)
                    model, idle = engine.bundle.sha256, 0
                thorough = idle % THOROUGH_POLLS == 0
                claimed = leases.next(model, thorough=thorough)
                if claimed is not None:
                    score_film(self._db, self._films, leases, claimed, engine)
                    give_memory_back()
                    idle = 0
                elif thorough and chief:
                    restate(self._db, engine.bundle, all_of_them=False)
                self._trouble.pop(me, None)
            except Exception as error:  # noqa: BLE001 - see `_in_trouble`
                self._in_trouble(error)
                continue
            if claimed is None:
                idle += 1
                BELL.wait(heard, self._poll_seconds)


def _locks(films: FilmFolder) -> Path:
    return films.root.parent / "scoring"


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The folder of films can't be used: {error.strerror or 'unknown error'}."
    if isinstance(error, BundleRejected | DatabaseUnavailable):
        return str(error)
    return f"Scoring met with an error of the program ({type(error).__name__})."


_scorers: dict[tuple[int, Path, str | None], Scorer] = {}
_starting = threading.Lock()


def scorer() -> Scorer:
    """The scorer of this process and of the settings, which is started at the first call and ends with the process.

    Raises:
        DatabaseUnavailable, OSError: it can't be started at present; the next call tries again.
    """
    key = (os.getpid(), settings().worklist_dir, settings().database_url)
    with _starting:
        if key not in _scorers:
            made = Scorer(database(), film_folder(), engine=ServingEngine(), workers=settings().scoring_workers)
            made.start()
            atexit.register(made.stop)
            _scorers[key] = made
        return _scorers[key]
