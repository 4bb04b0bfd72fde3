"""Which film is scored next, and by whom: a queue in the database that several processes may work on.

Who scores a film holds a lease of it, which is renewed as long as the process lives. What a process that has ended left
behind is taken over at once on the same machine, where its lock (`flock`) shows that it is gone, and elsewhere when its
lease runs out.
"""

import logging
import threading
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Select, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from cxr.lock import held, locked
from cxr.radiograph.placement import UNTOUCHED, Placement
from cxr.worklist.database import Database, DatabaseUnavailable
from cxr.worklist.rows import seen_as
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Result, Study

LEASE_SECONDS: Final = 60.0
RENEWALS: Final = 3
"""How often a lease is renewed before it would run out."""

_log = logging.getLogger(__name__)


class Bell:
    """Wakes up who waits for films, in this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = 0

    @property
    def rung(self) -> int:
        """How often it was rung."""
        return self._rung

    def ring(self) -> None:
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def wait(self, heard: int, seconds: float) -> None:
        """Return when it was rung more than `heard` times, and after some seconds in any case."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung > heard, seconds)


BELL: Final = Bell()
"""Of this process: rung when a film was taken in."""


@dataclass(frozen=True)
class Claimed:
    """A film to be scored: its number and its study's, its SHA-256, and how often that was begun, this time too.

    Attributes:
        placement: how a reader says that it has to be seen.
    """

    film: int
    study: int
    sha256: str
    attempts: int
    placement: Placement = UNTOUCHED


class Leases:
    """The films that this process scores. Its threads may share one; use it as a context.

    Args:
        folder: where the locks of the processes that score lie; made if it is missing.
        lease_seconds: how long a film stays with a process of another machine that does not renew its lease.

    Raises:
        OSError: the folder can't be used.
    """

    def __init__(self, db: Database, folder: Path, lease_seconds: float = LEASE_SECONDS):
        self._db = db
        self._folder = folder
        self._lease = timedelta(seconds=lease_seconds)
        self._stack = ExitStack()
        self._films: set[int] = set()
        self._model, self._judged = "", set[int]()
        self._found = False
        self._ended = threading.Event()
        self.token = uuid.uuid4().hex

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stack.callback(self._lock_file(self.token).unlink, missing_ok=True)
        self._stack.enter_context(locked(self._lock_file(self.token)))
        threading.Thread(target=self._renew, name="leases", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._stack.close()

    def next(self, model: str, *, thorough: bool = True) -> Claimed | None:
        """Claim the film that is to be scored next.

        Those that came first come first, but those that already ended a process wait until the others are done; then
        films of waiting studies that another model scored, or refused.

        Args:
            model: SHA-256 of the bundle that will score it.
            thorough: also look for films that another model scored or refused, which takes longer the more studies
                wait.

        Raises:
            DatabaseUnavailable: as ever.
        """
        gone: list[str] = []
        if model != self._model:
            self._model, self._judged = model, set()
        # While one film follows another, what dead processes left can wait, and nobody has to look before he claims.
        if not self._found:
            with self._db.reading() as session:
                gone = self._gone(session)
                if session.scalar(self._waiting(gone)) is None and not (
                    thorough and session.scalar(self._scored_by_another(model))
                ):
                    # So nobody else has to wait for one who only looks.
                    return None
        found = self._claim(model, gone, thorough)
        if found is None and self._found:
            self._found = False
            return self.next(model, thorough=thorough)
        self._found = found is not None
        return found

    def _claim(self, model: str, gone: list[str], thorough: bool) -> Claimed | None:
        with self._db.writing() as session:
            # In PostgreSQL others may be choosing at the same time; each gets another.
            film = session.scalar(self._waiting(gone).with_for_update(skip_locked=True, of=Film))
            if film is None and thorough:
                film = session.scalar(self._scored_by_another(model).with_for_update(skip_locked=True, of=Film))
            if film is None:
                return None
            if film.state == FilmState.REFUSED:
                self._judged.add(film.id)
            film.state = FilmState.SCORING
            film.attempts += 1
            film.lease_by, film.lease_until = self.token, datetime.now(UTC) + self._lease
            seen = seen_as(film.turn, film.inverted, film.grey_said)
            claimed = Claimed(film.id, film.study_id, film.sha256, film.attempts, seen)
        self._films.add(claimed.film)
        return claimed

    def _waiting(self, gone: list[str]) -> Select[Film]:
        abandoned = or_(Film.lease_until < datetime.now(UTC), Film.lease_by.in_(gone))
        ready = or_(Film.state == FilmState.QUEUED, and_(Film.state == FilmState.SCORING, abandoned))
        return select(Film).where(ready).order_by(Film.attempts, Film.id).limit(1)

    def _scored_by_another(self, model: str) -> Select[Film]:
        """Films that were scored, or refused by a scope check, but not that model's, of studies that wait.

        Where a refusal was in question, a process has its say once: two that serve different models would else take
        turns with it for ever.
        """
        own = exists().where(Result.film_id == Film.id, Result.model == model)
        scored = and_(Film.state == FilmState.SCORED, ~own)
        # None, where it is no model's doing, is unequal to nothing.
        refused = and_(Film.state == FilmState.REFUSED, Film.refused_by != model)
        found = (Study.status == Status.WAITING, or_(scored, refused), Film.id.not_in(list(self._judged)))
        return select(Film).join(Study).where(*found).order_by(Study.arrived, Film.id).limit(1)

    def _gone(self, session: Session) -> list[str]:
        """Those who hold leases and whose process has ended. Of another machine's nothing can be said."""
        tokens = session.scalars(select(Film.lease_by).where(Film.state == FilmState.SCORING).distinct())
        files = {token: self._lock_file(token) for token in tokens if token is not None and token != self.token}
        return [token for token, file in files.items() if file.exists() and not held(file)]

    def mine(self, session: Session, claimed: Claimed) -> tuple[Study, Film] | None:
        """The rows of a claimed film, locked; None where it was deleted meanwhile, or somebody else took it over."""
        # The study first, as everybody does, or two could wait for each other.
        study = session.scalar(select(Study).where(Study.id == claimed.study).with_for_update())
        film = session.scalar(select(Film).where(Film.id == claimed.film).with_for_update())
        if study is None or film is None or film.state != FilmState.SCORING or film.lease_by != self.token:
            return None
        return study, film

    def end(
        self, film: Film, state: FilmState, reason: str | None = None, kind: str | None = None, by: str | None = None
    ) -> None:
        """Give a claimed film its new state, in the transaction of `mine`.

        Args:
            reason, kind: why it is refused, in a sentence and for programs.
            by: the bundle whose scope check refused it; None where another bundle would have to refuse it as well.
        """
        film.state, film.reason, film.refused_as, film.refused_by = state, reason, kind, by
        film.lease_by = film.lease_until = None
        if state == FilmState.SCORED or by is not None:
            film.attempts = 0
        if by is not None:
            self._judged.add(film.id)
        self._films.discard(film.id)

    def give_back(self, claimed: Claimed, *, tried: bool) -> None:
        """Put a film back into the queue.

        Args:
            tried: its scoring failed, so this counts as an attempt; else it was only interrupted.

        Raises:
            DatabaseUnavailable: as ever; the lease will run out.
        """
        self._films.discard(claimed.film)
        with self._db.writing() as session:
            rows = self.mine(session, claimed)
            if rows is not None:
                film = rows[1]
                self.end(film, FilmState.QUEUED)
                film.attempts -= not tried

    def _lock_file(self, token: str) -> Path:
        return self._folder / f"{token}.lock"

    def _renew(self) -> None:
        while not self._ended.wait(self._lease.total_seconds() / RENEWALS):
            if not (films := list(self._films)):
                continue
            mine = (Film.id.in_(films), Film.state == FilmState.SCORING, Film.lease_by == self.token)
            try:
                with self._db.writing() as session:
                    session.execute(
                        update(Film).where(*mine).values(lease_until=datetime.now(UTC) + self._lease),
                        execution_options={"synchronize_session": False},
                    )
            except DatabaseUnavailable as error:
                _log.warning("Leases could not be renewed: %s", error)

    def clear(self) -> None:
        """Remove the locks of processes that have ended and hold no leases. Raises `DatabaseUnavailable`, `OSError`."""
        for file in self._folder.glob("*.lock"):
            if not held(file):
                with self._db.reading() as session:
                    leases = session.scalar(select(Film.id).where(Film.lease_by == file.stem).limit(1))
                if leases is None:
                    file.unlink(missing_ok=True)
