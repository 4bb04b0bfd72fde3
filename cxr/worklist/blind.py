"""Which studies a reader has seen the verdict on: he can't read those blind any more."""

from collections.abc import Iterable

from sqlalchemy import select

from cxr.worklist.database import Database
from cxr.worklist.tables import Opinion


def seen_by(db: Database, studies: Iterable[int], reader: str) -> set[int]:
    """Those of some studies on which a reader has an informed opinion, in one statement."""
    wanted = list(studies)
    query = select(Opinion.study_id).where(
        Opinion.study_id.in_(wanted), Opinion.reader == reader, Opinion.stage == "informed"
    )
    with db.reading() as session:
        return set(session.scalars(query.distinct()))
