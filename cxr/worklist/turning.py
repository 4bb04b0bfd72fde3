"""A reader says how a film has to be seen: kept for all readers, and the film is scored anew."""

from sqlalchemy import select

from cxr.radiograph.placement import AS_IT_IS, INVERTED, Placement
from cxr.worklist.audit import Event, record
from cxr.worklist.claims import refuse_others
from cxr.worklist.database import Database
from cxr.worklist.intake import OTHER_PATIENT
from cxr.worklist.scoring_queue import BELL
from cxr.worklist.status import FilmState
from cxr.worklist.tables import Film, Study


class NoSuchFilm(LookupError):
    """There is no film of this number, or no more."""

    def __init__(self, number: int) -> None:
        super().__init__(f"There is no film {number} in the worklist; its study may have been deleted.")


def turn_film(db: Database, number: int, placement: Placement, who: str) -> None:
    """Have a film seen as a reader says, from now on and by everybody.

    What models said of it as it lay before goes, and so does the verdict on its study until it is scored anew: a number
    that belongs to another picture is not to be seen. What readers said stays.

    Args:
        db: the database.
        number: of the film.
        placement: against how its file has it; of what nobody has said, the scope check thinks anew.
        who: the reader; goes into the audit trail.

    Raises:
        NoSuchFilm: there is none of this number.
        InReading: somebody else reads its study; the picture is not turned before his eyes.
        DatabaseUnavailable: the database can't be written; nothing has changed.
    """
    with db.writing() as session:
        # The study first, as everybody does, or two could wait for each other.
        owner = select(Study).join(Film).where(Film.id == number).with_for_update(of=Study)
        study = session.scalar(owner)
        film = session.scalar(select(Film).where(Film.id == number).with_for_update())
        if study is None or film is None:
            raise NoSuchFilm(number)
        refuse_others(study, who)
        film.turn = placement.words if placement.lies_said else None
        film.inverted, film.grey_said = placement.inverted, placement.grey_said
        film.state, film.attempts = FilmState.QUEUED, 0
        film.reason = film.refused_as = film.refused_by = film.seems = None
        # Who scores it at the moment finds that it is not his any more, and drops what he made of it.
        film.lease_by = film.lease_until = None
        film.results.clear()
        film.warnings = [known for known in film.warnings if known == OTHER_PATIENT]
        study.model = study.abnormal = study.verdict = None
        study.critical, study.findings = [], []
        said = {"lies": placement.words} if placement.lies_said else {}
        if placement.grey_said:
            said["grey"] = INVERTED if placement.inverted else AS_IT_IS
        record(
            session, who=who, event=Event.TURNED, what=f"film {number}", study=study.id, film=number, **said,
        )  # fmt: skip
    BELL.ring()
