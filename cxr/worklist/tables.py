"""The tables of the worklist, the same in SQLite and in PostgreSQL.

A patient's name is in none of them. A patient's identifier is in `Study.patient` alone; no log, no audit line has it.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NEVER_REUSED: Final = {"sqlite_autoincrement": True}
"""SQLite would give the number of a deleted row again, which stands in the audit trail and in addresses of pages."""


class Moment(TypeDecorator[datetime]):
    """A time in UTC, of which the time zone comes back as it went in; SQLite by itself forgets it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Of all tables; columns take a `datetime` as `Moment` and a list or dict as JSON."""

    type_annotation_map: ClassVar = {datetime: Moment, dict[str, Any]: JSON, list[Any]: JSON}


class Study(Base):
    """What a reader reads: one or more films of one patient at one time.

    Attributes:
        key: what makes it one: "dicom:" and the keyed hash of the Study Instance UID, or "film:" and a SHA-256.
        name: what the list calls it: name of its first file.
        patient: Patient ID of the DICOM header, or NIH's patient number from the name of a file of ChestX-ray14.
        accession, acquired: Accession Number and Study Date (YYYY-MM-DD) of the header.
        arrived: when its first film was taken in; the waiting time counts from here.
        status: a value of `cxr.worklist.status.Status`.
        reader, reading_since: who reads it now.
        read_by, read_at: who read it last.
        model: SHA-256 of the bundle that gave what follows; None before any film is scored.
        abnormal: calibrated probability that it is abnormal, 0..1: the highest of its films.
        verdict: "abnormal", "no finding" or "uncertain": that of the film with the highest probability.
        critical: critical findings that are flagged on any of its films.
        findings: [name, probability, flagged] of the 14 findings over its films, the most probable first.
    """

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(Text)
    patient: Mapped[str | None] = mapped_column(Text, index=True)
    accession: Mapped[str | None] = mapped_column(Text)
    acquired: Mapped[str | None] = mapped_column(String(10))
    arrived: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(16))
    reader: Mapped[str | None] = mapped_column(Text)
    reading_since: Mapped[datetime | None]
    read_by: Mapped[str | None] = mapped_column(Text)
    read_at: Mapped[datetime | None]
    model: Mapped[str | None] = mapped_column(String(64))
    abnormal: Mapped[float | None]
    verdict: Mapped[str | None] = mapped_column(String(16))
    critical: Mapped[list[Any]] = mapped_column(JSON, default=list)
    findings: Mapped[list[Any]] = mapped_column(JSON, default=list)
    films: Mapped[list["Film"]] = relationship(
        back_populates="study", cascade="all, delete-orphan", passive_deletes=True, order_by="Film.id"
    )
    opinions: Mapped[list["Opinion"]] = relationship(
        back_populates="study", cascade="all, delete-orphan", passive_deletes=True, order_by="Opinion.id"
    )
    __table_args__ = (Index("study_status_arrived", "status", "arrived"), NEVER_REUSED)


class Film(Base):
    """One image of a study.

    Attributes:
        sha256: of the file as it came; its bytes lie under this name in the folder of films.
        name: of the file, never used to tell what it is.
        source: "drop", "inbox" or "command line".
        size: bytes.
        state: a value of `cxr.worklist.status.FilmState`.
        reason: why it was not analysed, in one sentence.
        refused_as: the kind of that, as of `cxr.classify.Refusal`; None where scoring itself failed, or was not tried.
        refused_by: SHA-256 of the bundle whose scope check refused it, which another bundle's may not; None where it is
            not the model's doing.
        turn: how a reader says that it has to be seen, as of `cxr.radiograph.placement.WORDS`; None: nobody has said.
        seems: what has to be done besides to see it upright, as the scope check thinks; None: nothing.
        inverted: it is scored and shown with its grey scale the other way round.
        grey_said: that is so, or not so, because a reader says it; else the scope check thinks so.
        lease_by, lease_until: which process scores it, and when another one may take it over.
        attempts: how often scoring was begun; one that ends a process each time is refused at last.
        facts: of `cxr.radiograph.Facts`, by field; empty before it was read.
        warnings: sentences for the reader.
    """

    __tablename__ = "film"
    __table_args__ = NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(16))
    size: Mapped[int]
    arrived: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    refused_as: Mapped[str | None] = mapped_column(String(24))
    refused_by: Mapped[str | None] = mapped_column(String(64))
    turn: Mapped[str | None] = mapped_column(String(16))
    seems: Mapped[str | None] = mapped_column(String(16))
    inverted: Mapped[bool | None]
    grey_said: Mapped[bool | None]
    lease_by: Mapped[str | None] = mapped_column(Text)
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    warnings: Mapped[list[Any]] = mapped_column(JSON, default=list)
    study: Mapped[Study] = relationship(back_populates="films")
    results: Mapped[list["Result"]] = relationship(
        back_populates="film", cascade="all, delete-orphan", passive_deletes=True, order_by="Result.id"
    )


class Result(Base):
    """What one model says of a film; its maps lie beside the film's bytes.

    Attributes:
        model, model_name: SHA-256 and name of the bundle.
        milliseconds: from bytes to calibrated probabilities and all maps.
        columns, probabilities: names in the model's order, and calibrated probabilities 0..1.
    """

    __tablename__ = "result"
    id: Mapped[int] = mapped_column(primary_key=True)
    film_id: Mapped[int] = mapped_column(ForeignKey("film.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(64))
    model_name: Mapped[str] = mapped_column(Text)
    scored: Mapped[datetime]
    milliseconds: Mapped[float]
    columns: Mapped[list[Any]] = mapped_column(JSON)
    probabilities: Mapped[list[Any]] = mapped_column(JSON)
    film: Mapped[Film] = relationship(back_populates="results")
    __table_args__ = (UniqueConstraint("film_id", "model"), NEVER_REUSED)


class Opinion(Base):
    """What a reader says of a study. Never changed: a reader who thinks again writes another, and the last one counts.

    Attributes:
        stage: "blind" (before the verdict was shown) or "informed" (after).
        valid: False: not a valid chest film.
        abnormal: "yes", "no" or "unsure"; None where the reader did not say.
        findings: finding -> "present", "absent" or "unsure"; only those that the reader said something of.
        text: free text.
        model: SHA-256 of the bundle whose verdict the reader had seen; None in a blind read.
        said: what that bundle said then: {"abnormal": p, "verdict": name, "findings": {name: [p, flagged]}}.
    """

    __tablename__ = "opinion"
    __table_args__ = NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    reader: Mapped[str] = mapped_column(Text)
    written: Mapped[datetime]
    stage: Mapped[str] = mapped_column(String(16))
    valid: Mapped[bool]
    abnormal: Mapped[str | None] = mapped_column(String(8))
    findings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    text: Mapped[str] = mapped_column(Text, default="")
    model: Mapped[str | None] = mapped_column(String(64))
    said: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    study: Mapped[Study] = relationship(back_populates="opinions")


class AuditLine(Base):
    """One line of the audit trail, chained to the one before by its hash; see `cxr.worklist.audit`.

    Attributes:
        number: 1, 2, 3, … without a gap.
        who: the person or process.
        event: a value of `cxr.worklist.audit.Event`.
        what: what it was done to, such as "study 12"; never a patient's name, number or file name.
        detail: numbers and names that belong to it.
        previous, digest: SHA-256 of the line before and of this one, in hexadecimal.
    """

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[datetime]
    who: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(String(32))
    what: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("audit_what", "what"),)
