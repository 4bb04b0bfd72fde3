"""Which studies a reader has seen the verdict on: he can't read those blind any more."""

from collections.abc import Iterable

from sqlalchemy import select

from cxr.worklist.audit import Event
from cxr.worklist.database import Database
from cxr.worklist.tables import AuditLine, Opinion


def seen_by(db: Database, studies: Iterable[int], reader: str) -> set[int]:
    """Those of some studies whose verdict a reader was shown, as the audit trail has it, or on which he has an informed
    opinion."""
    wanted = {f"study {number}": number for number in studies}
    said = select(Opinion.study_id).where(
        Opinion.study_id.in_(wanted.values()), Opinion.reader == reader, Opinion.stage == "informed"
    )
    shown = select(AuditLine.what).where(
        AuditLine.what.in_(wanted),
        AuditLine.who == reader,
        AuditLine.event == Event.INSTANCES_ACCESSED,
        AuditLine.detail["stage"].as_string() == "informed",
    )
    with db.reading() as session:
        return set(session.scalars(said.distinct())) | {wanted[what] for what in session.scalars(shown.distinct())}
