"""What readers say of studies: only ever added to, so that what was thought first stays beside what is thought now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr.findings import FINDINGS
from cxr.worklist.audit import Event, record
from cxr.worklist.database import Database
from cxr.worklist.studies import NoSuchStudy
from cxr.worklist.tables import Opinion, Study

Stage = Literal["blind", "informed"]
Abnormal = Literal["yes", "no", "unsure"]
Word = Literal["present", "absent", "unsure"]
LONGEST_TEXT: Final = 20_000
"""Characters of free text; a report of a chest film has a few hundred."""


class InvalidOpinion(ValueError):
    """An opinion that can't be kept; the message is one sentence that says why."""


@dataclass(frozen=True)
class View:
    """What a reader says of a study.

    Attributes:
        stage: "blind" before the model's verdict was shown, "informed" after.
        valid: False: not a valid chest film.
        abnormal: whether there is any finding; None where the reader did not say.
        findings: what is said of findings, of `FINDINGS`; those that nothing is said of are missing.
        text: free text.

    Raises:
        InvalidOpinion: on construction, for a word or a finding that there is not, and for text that can't be kept.
    """

    stage: Stage
    valid: bool = True
    abnormal: Abnormal | None = None
    findings: Mapping[str, Word] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        if self.stage not in get_args(Stage):
            raise InvalidOpinion(f"A reading is blind or informed, not {self.stage!r}.")
        if self.abnormal is not None and self.abnormal not in get_args(Abnormal):
            raise InvalidOpinion(f"Whether a film is abnormal is yes, no or unsure, not {self.abnormal!r}.")
        for name, word in self.findings.items():
            if name not in FINDINGS:
                raise InvalidOpinion(f"There is no finding {name!r}.")
            if word not in get_args(Word):
                raise InvalidOpinion(f"A finding is present, absent or unsure, not {word!r}.")
        if len(self.text) > LONGEST_TEXT:
            raise InvalidOpinion(f"The text has {len(self.text):,} characters; at most {LONGEST_TEXT:,} are kept.")
        if "\0" in self.text or (not self.text.isascii() and any("\ud800" <= c <= "\udfff" for c in self.text)):
            # PostgreSQL keeps neither.
            raise InvalidOpinion("The text holds characters that are no text; type it anew.")

    @property
    def any_finding(self) -> Abnormal | None:
        """Whether there is any finding: what the reader said, else "yes" where one is said to be present."""
        return "yes" if self.abnormal is None and "present" in self.findings.values() else self.abnormal

    @property
    def contradictory(self) -> bool:
        """Whether it says that there is no finding, and names one that is present."""
        return self.abnormal == "no" and "present" in self.findings.values()

    def says(self, finding: str) -> Word | None:
        """Of one finding: what the reader said, else "absent" where he said that there is none at all."""
        return self.findings.get(finding, "absent" if self.abnormal == "no" else None)


@dataclass(frozen=True)
class Said:
    """What a model said of a study, as the reader was shown it.

    Attributes:
        model: SHA-256 of the bundle.
        abnormal: calibrated probability, 0..1.
        verdict: "abnormal", "no finding" or "uncertain".
        findings: finding -> its calibrated probability, 0..1, and whether it was flagged.
    """

    model: str
    abnormal: float
    verdict: str
    findings: Mapping[str, tuple[float, bool]]


@dataclass(frozen=True)
class OpinionRow:
    """An opinion as it is kept: `view` by `reader` at `written` (UTC), and what was shown to him (None: nothing)."""

    id: int
    study: int
    reader: str
    written: datetime
    view: View
    said: Said | None


def save(db: Database, study_id: int, reader: str, view: View, said: Said | None) -> int:
    """Keep an opinion; it is on the disk when this returns.

    Saying again what one said last of this study changes nothing, so that a page may save as often as it is drawn.

    Args:
        said: what the reader was shown; None in a blind reading, and where no film could be analysed.

    Returns:
        The number of the opinion, or of the last one where that says the same.

    Raises:
        NoSuchStudy: it was deleted, or never was.
        InvalidOpinion: the reader has no name, or was shown a verdict in a blind reading.
    """
    if not reader.strip():
        raise InvalidOpinion("An opinion needs the name of its reader.")
    if view.stage == "blind" and said is not None:
        raise InvalidOpinion("In a blind reading the reader is shown no verdict.")
    model, shown = (None, {}) if said is None else (said.model, _kept(said))
    with db.writing() as session:
        # It can't be deleted before this is kept.
        if session.get(Study, study_id, with_for_update={"read": True, "key_share": True}) is None:
            raise NoSuchStudy(study_id)
        last = _last(session, study_id, reader, None)
        if last is not None and (row_of(last).view, last.model, last.said) == (view, model, shown):
            return last.id
        opinion = Opinion(
            study_id=study_id, reader=reader, written=datetime.now(UTC), stage=view.stage, valid=view.valid,
            abnormal=view.abnormal, findings=dict(view.findings), text=view.text, model=model, said=shown,
        )  # fmt: skip
        session.add(opinion)
        session.flush()
        record(
            session, who=reader, event=Event.OPINION, what=f"study {study_id}", opinion=opinion.id, stage=view.stage,
            valid=view.valid, abnormal=view.abnormal, model=model, corrected=_corrected(view, said),
        )  # fmt: skip
        return opinion.id


def latest(db: Database, study_id: int, reader: str | None = None, stage: Stage | None = None) -> OpinionRow | None:
    """The last opinion on a study, of one reader and of one stage where these are given; None if there is none."""
    with db.reading() as session:
        found = _last(session, study_id, reader, stage)
        return None if found is None else row_of(found)


def history(db: Database, study_id: int) -> list[OpinionRow]:
    """All opinions on a study, the first one first; empty for a study that there is not."""
    with db.reading() as session:
        found = session.scalars(select(Opinion).where(Opinion.study_id == study_id).order_by(Opinion.id))
        return [row_of(opinion) for opinion in found]


def row_of(opinion: Opinion) -> OpinionRow:
    """A row of the table as what the rest of the program knows."""
    view = View(
        cast(Stage, opinion.stage), opinion.valid, cast(Abnormal | None, opinion.abnormal), opinion.findings,
        opinion.text,
    )  # fmt: skip
    return OpinionRow(
        opinion.id, opinion.study_id, opinion.reader, opinion.written, view, _said(opinion.model, opinion.said)
    )


def _last(session: Session, study_id: int, reader: str | None, stage: Stage | None) -> Opinion | None:
    query = select(Opinion).where(Opinion.study_id == study_id).order_by(Opinion.id.desc()).limit(1)
    if reader is not None:
        query = query.where(Opinion.reader == reader)
    if stage is not None:
        query = query.where(Opinion.stage == stage)
    return session.scalars(query).one_or_none()


def _kept(said: Said) -> dict[str, Any]:
    """As the table keeps it; see `Opinion.said`."""
    findings = {name: [float(p), bool(flagged)] for name, (p, flagged) in said.findings.items()}
    return {"abnormal": float(said.abnormal), "verdict": said.verdict, "findings": findings}


def _said(model: str | None, kept: Mapping[str, Any]) -> Said | None:
    if model is None:
        return None
    findings = {name: (float(p), bool(flagged)) for name, (p, flagged) in kept["findings"].items()}
    return Said(model, float(kept["abnormal"]), str(kept["verdict"]), findings)


def _corrected(view: View, said: Said | None) -> int | None:
    """Of how many findings the reader says the opposite of what was flagged; None where nothing was shown."""
    if said is None:
        return None
    opposite = {True: "absent", False: "present"}
    return sum(view.says(name) == opposite[flagged] for name, (_, flagged) in said.findings.items())
