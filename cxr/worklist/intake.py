"""How a file becomes a film of the worklist: its bytes first, then its row, both on the disk before anybody is told."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cxr.settings import settings
from cxr.worklist.audit import Event, record
from cxr.worklist.database import Database
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.identity import Identity, check_kind, clean_name, identify, secret_of
from cxr.worklist.scoring_queue import BELL
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Study

TRIES: Final = 5
"""How often what another one stored in the same moment is looked for."""
AT_A_TIME: Final = 500
OTHER_PATIENT: Final = "The Patient ID of this film is not that of the study's other films."


@dataclass(frozen=True)
class Taken:
    """A film that is in the worklist.

    Attributes:
        study, film: their numbers.
        new: False where a film of the same content was there before.
    """

    study: int
    film: int
    new: bool


def take_in(db: Database, films: FilmFolder, name: str, data: bytes, *, who: str, source: str) -> Taken:
    """Take a file into the worklist. When this returns, it survives whatever ends the process or the machine.

    The films of one DICOM study become one study. A film for a study that was read puts it back among those that wait.

    Args:
        name: of the file; its last part is kept.
        data: the whole file; it is not copied.
        who: the person or process that brings it.
        source: "drop", "inbox" or "command line".

    Raises:
        NotAFilm: it is no PNG, JPEG or DICOM film; nothing is kept. A damaged film is taken in, and not analysed.
        DatabaseUnavailable, OSError: it can't be kept at present; taking it in again later is no matter.
    """
    check_kind(data)
    sha256 = hashlib.sha256(data).hexdigest()
    name = clean_name(name)
    identity = identify(name, data, sha256, secret_of(settings().worklist_dir))
    with films.adding():
        taken = _known(db, films, sha256, data)
        if taken is None:
            films.put(sha256, data)
            taken = _store(db, Film(sha256=sha256, name=name, source=source, size=len(data)), identity, who)
    BELL.ring()
    return taken


def _known(db: Database, films: FilmFolder, sha256: str, data: bytes) -> Taken | None:
    """The film of that content, if it is there. One whose file was lost is whole again, and will be scored."""
    with db.reading() as session:
        found = session.scalar(select(Film).where(Film.sha256 == sha256))
    if found is None:
        return None
    if found.state == FilmState.REFUSED:
        films.discard_changed(sha256)
    if films.put(sha256, data):
        with db.writing() as session:
            film = session.scalar(select(Film).where(Film.id == found.id).with_for_update())
            if film is not None and film.state == FilmState.REFUSED:
                film.state, film.reason, film.attempts = FilmState.QUEUED, None, 0
                film.refused_as = film.refused_by = None
    return Taken(found.study_id, found.id, new=False)


def _store(db: Database, film: Film, identity: Identity, who: str) -> Taken:
    """Give a film its row, in a study that is there or a new one."""
    for attempt in range(TRIES):
        try:
            with db.writing() as session:
                return _row(session, film, identity, who)
        except IntegrityError:
            # PostgreSQL: somebody else stored this film, or the first one of this study, in the same moment.
            if attempt + 1 == TRIES:
                raise
            film = Film(sha256=film.sha256, name=film.name, source=film.source, size=film.size)
    raise AssertionError("unreachable")


def _row(session: Session, film: Film, identity: Identity, who: str) -> Taken:
    known = session.scalar(select(Film).where(Film.sha256 == film.sha256))
    if known is not None:
        return Taken(known.study_id, known.id, new=False)
    now = datetime.now(UTC)
    study = session.scalar(select(Study).where(Study.key == identity.key).with_for_update())
    if study is None:
        study = Study(
            key=identity.key,
            name=film.name,
            patient=identity.patient,
            accession=identity.accession,
            acquired=identity.acquired,
            arrived=now,
            status=Status.WAITING,
        )
        session.add(study)
    else:
        if study.status == Status.READ:
            study.status = Status.WAITING
        study.patient = study.patient or identity.patient
        study.accession = study.accession or identity.accession
        study.acquired = study.acquired or identity.acquired
    film.warnings = []
    if identity.patient is not None and study.patient is not None and identity.patient != study.patient:
        film.warnings = [OTHER_PATIENT]
    film.study, film.arrived, film.state = study, now, FilmState.QUEUED
    session.add(film)
    session.flush()
    record(
        session,
        who=who,
        event=Event.IMPORT,
        what=f"study {study.id}",
        film=film.id,
        source=film.source,
        bytes=film.size,
    )
    return Taken(study.id, film.id, new=True)


def sweep(db: Database, films: FilmFolder) -> int:
    """Remove what killed processes left in the folder of films; returns how many films without a row there were.

    Raises:
        DatabaseUnavailable, OSError: as ever; nothing that has a row is removed.
    """

    def known(stored: Iterable[str]) -> set[str]:
        asked, found = list(stored), set[str]()
        with db.reading() as session:
            for start in range(0, len(asked), AT_A_TIME):
                some = asked[start : start + AT_A_TIME]
                found |= set(session.scalars(select(Film.sha256).where(Film.sha256.in_(some))))
        return found

    return films.sweep(known)
