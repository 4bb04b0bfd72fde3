"""Studies put straight into the worklist's tables, as scoring leaves them, for readers to say something of."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from cxr.worklist.database import Database
from cxr.worklist.film_folder import FilmFolder
from cxr.worklist.opinions import Said, View
from cxr.worklist.status import FilmState, Status
from cxr.worklist.tables import Film, Opinion, Study

MODEL = "ab" * 32
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def new_study(
    *data: bytes,
    patient: str | None = None,
    name: str = "film.png",
    accession: str | None = None,
    acquired: str | None = None,
    state: FilmState = FilmState.SCORED,
    view: str | None = "PA",
    said: Said | None = None,
) -> Study:
    """A study of one film or more, whose bytes are `data`; `said` is what the model says of it in the list."""
    digests = [hashlib.sha256(content).hexdigest() for content in data]
    kind = "film" if accession is None else "dicom"
    study = Study(
        key=f"{kind}:{digests[0]}", name=name, patient=patient, accession=accession, acquired=acquired, arrived=NOW,
        status=Status.WAITING.value, critical=[], findings=[],
    )  # fmt: skip
    if said is not None:
        study.model, study.abnormal, study.verdict = said.model, said.abnormal, said.verdict
        study.findings = [[finding, p, flagged] for finding, (p, flagged) in said.findings.items()]
    for content, sha256 in zip(data, digests, strict=True):
        study.films.append(
            Film(
                sha256=sha256, name=name, source="drop", size=len(content), arrived=NOW, state=state.value,
                facts={} if view is None else {"view": view}, warnings=[],
            )
        )  # fmt: skip
    return study


def new_opinion(reader: str, view: View, said: Said | None = None, written: datetime = NOW) -> Opinion:
    """An opinion, to be put to a study."""
    shown = {} if said is None else {"abnormal": said.abnormal, "verdict": said.verdict, "findings": said.findings}
    return Opinion(
        reader=reader, written=written, stage=view.stage, valid=view.valid, abnormal=view.abnormal,
        findings=dict(view.findings), text=view.text, model=None if said is None else said.model, said=shown,
    )  # fmt: skip


def add_study(db: Database, films: FilmFolder | None, *data: bytes, **more: Any) -> int:
    """Keep a study of `new_study`, and its films if a folder is given; returns its number."""
    for content in data if films is not None else ():
        films.put(hashlib.sha256(content).hexdigest(), content)
    study = new_study(*data, **more)
    with db.writing() as session:
        session.add(study)
        session.flush()
        return study.id


def said_of(*flagged: str, verdict: str | None = None, model: str = MODEL) -> Said:
    """A model that flags some of three findings."""
    findings = {name: (0.8 if name in flagged else 0.1, name in flagged) for name in ("Effusion", "Mass", "Nodule")}
    return Said(model, 0.9 if flagged else 0.1, verdict or ("abnormal" if flagged else "no finding"), findings)
