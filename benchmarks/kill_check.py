"""What has to hold of a worklist whose processes were killed: nothing acknowledged lost, nothing half-written."""

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from sqlalchemy import select

from cxr.worklist.audit import Event, verify
from cxr.worklist.database import Database
from cxr.worklist.feedback_set import MANIFEST, sweep_drafts
from cxr.worklist.film_folder import FilmFolder, FilmLost
from cxr.worklist.intake import sweep
from cxr.worklist.status import FilmState
from cxr.worklist.tables import AuditLine, Film, Opinion, Study


@dataclass
class Acknowledged:
    """What processes said that they had done, before they were killed.

    Attributes:
        films: name of the file -> its study.
        opinions: number -> study and text.
        read: studies that were read.
        deleting, deleted: studies whose deletion began, and those of which it was said that it had ended.
        exports: folder -> version.
        failed: errors that no kill explains.
    """

    films: dict[str, int] = field(default_factory=dict)
    opinions: dict[int, tuple[int, str]] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    deleting: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    exports: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Take note of a line of `benchmarks.kill_child`, or of `python -m cxr ingest --json`."""
        said = json.loads(line)
        match said.get("did", said.get("status")):
            case "took" | "new" | "known":
                self.films[Path(said["file"]).name] = said["study"]
            case "said":
                self.opinions[said["opinion"]] = (said["study"], said["text"])
            case "read":
                self.read.add(said["study"])
            case "deletes":
                self.deleting.add(said["study"])
            case "deleted":
                self.deleted.add(said["study"])
            case "exported":
                self.exports[said["folder"]] = said["version"]
            case "failed" | "refused":
                self.failed.append(f"{said.get('kind', 'refused')}: {said.get('what', said.get('reason'))}")
            case "began":
                pass
            case other:
                raise ValueError(f"A line that nobody knows: {other!r}")


def faults(db: Database, films: FilmFolder, told: Acknowledged, content: dict[str, str]) -> list[str]:
    """What is wrong with a worklist, a sentence each; what nobody knows of any more is swept first.

    Args:
        db, films: of the worklist, in which nobody works now.
        told: what was acknowledged.
        content: SHA-256 of each film by the name of its file.
    """
    found = list(told.failed)
    sweep(db, films)
    with db.reading() as session:
        rows = session.scalars(select(Film)).all()
        studies = {study.id: study for study in session.scalars(select(Study))}
        opinions = {opinion.id: opinion for opinion in session.scalars(select(Opinion))}
        lines = Counter((line.event, line.what) for line in session.scalars(select(AuditLine)))
        known = {film.sha256: film for film in rows}
        found += _acknowledged(told, content, set(known), set(studies), opinions)
        for film in rows:
            found += [f"film {film.id}: {fault}" for fault in _film(films, film)]
    found += _strays(films, set(known))
    said = Counter(opinion.study_id for opinion in opinions.values())
    for number in studies:
        if lines[Event.OPINION, f"study {number}"] != said[number]:
            found.append(f"study {number} has {said[number]} opinions and other lines of the audit trail")
        if lines[Event.IMPORT, f"study {number}"] != sum(film.study_id == number for film in rows):
            found.append(f"study {number} has other films than lines of the audit trail")
    found += [f"no line says that study {number} was deleted" for number in told.deleted
              if not lines[Event.DELETED, f"study {number}"]]  # fmt: skip
    if (why := verify(db).why) is not None:
        found.append(why)
    return [*found, *_exports(films.root.parent / "exports", told)]


def _acknowledged(
    told: Acknowledged, content: dict[str, str], films: set[str], studies: set[int], opinions: dict[int, Opinion]
) -> list[str]:
    gone = told.deleting | told.deleted
    found = [f"the film {name} is lost" for name, study in told.films.items()
             if study not in gone and content[name] not in films]  # fmt: skip
    for number, (study, text) in told.opinions.items():
        kept = opinions.get(number)
        if study not in gone and (kept is None or kept.text != text):
            found.append(f"the opinion {number} is lost or another")
    found += [f"study {number} was deleted and is there" for number in told.deleted & studies]
    found += [f"study {number} is gone, and nobody deleted it" for number in
              (set(told.films.values()) | told.read) - studies - gone]  # fmt: skip
    return found


def _film(films: FilmFolder, film: Film) -> list[str]:
    found = []
    try:
        data = films.bytes(film.sha256)
        if len(data) != film.size:
            found.append("its size is another")
    except FilmLost as error:
        found.append(str(error))
    picture = films.thumbnail(film.sha256)
    if picture is not None:
        Image.open(io.BytesIO(picture)).load()
    if film.state == FilmState.SCORED:
        if picture is None or not film.results:
            found.append("it is scored and has no thumbnail or no result")
        found += ["its maps are lost" for result in film.results if films.result(film.sha256, result.model) is None]
    return found


def _strays(films: FilmFolder, known: set[str]) -> list[str]:
    strays = [folder.name for folder in films.root.glob("??/*") if folder.name not in known]
    found = [f"a film without a row stays: {name}" for name in strays]
    found += [f"a draft stays: {file.name}" for file in films.root.rglob("*.draft")]
    return found + [f"what was removed stays: {file.name}" for file in (films.root / ".removed").glob("*")]


def _exports(folder: Path, told: Acknowledged) -> list[str]:
    sweep_drafts(folder)
    found = [f"a half-written export stays: {left.name}" for left in folder.glob(".*")]
    found += [f"the export {name} is lost" for name in told.exports if not (folder / name / MANIFEST).is_file()]
    for export in folder.glob("[!.]*"):
        manifest = json.loads((export / MANIFEST).read_text())
        if told.exports.get(export.name, manifest["version"]) != manifest["version"]:
            found.append(f"the export {export.name} is another")
        for name, sha256 in manifest["files"].items():
            file = export / name
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                found.append(f"the export {export.name} is not whole: {name}")
    return found
