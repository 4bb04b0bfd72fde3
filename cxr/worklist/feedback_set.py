"""What readers said, as a data set in the layout of the Kaggle release that `finetune --data` trains with.

The folder is pseudonymous: patients and readers have numbers that only this worklist's secret leads back from, and no
name of a file, header, date of a study or free text is in it. (What is burned into a film's pixels stays.) The same
feedback gives the same bytes, except in `exported.json`, which says who exported it and when.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from cxr import __version__
from cxr.dataset.shard_writer import SHARD_FILMS, shard_name, write_records
from cxr.dataset.shards import Record
from cxr.findings import CATEGORIES, FINDINGS
from cxr.radiograph import UnreadableFilm, model_input
from cxr.radiograph.isolated import decoder
from cxr.settings import settings
from cxr.worklist.audit import Event, record
from cxr.worklist.database import Database
from cxr.worklist.feedback_labels import RULE, LeftOut, counting
from cxr.worklist.feedback_plan import Item, Plan, keyed, plan_of
from cxr.worklist.film_folder import FilmFolder, FilmLost
from cxr.worklist.identity import secret_of

SIDE: Final = 600
QUALITY: Final = 95
"""Of the films as JPEG, as in the release: one channel, `SIDE` pixels square."""
SCHEMA: Final = 1
"""Counts up when the same feedback would be written otherwise."""
SOURCE: Final = "readers"
MANIFEST: Final = "manifest.json"
DRAFT: Final = re.compile(r"\..*\.[0-9a-f]{32}\.draft")
NOTES: Final = (
    "preprocessed_data.csv and the shards hold the readers' labels by the rule; original.csv those that NIH's release "
    "gives the same films, where it knows them.",
    "readers.csv holds what each reader said, blind and informed apart. What stands under `counts` made the labels.",
    "What is burned into the pixels of a film is not removed.",
)


class ExportRefused(RuntimeError):
    """There is nothing to export, or no place for it; the message is one sentence."""


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        folder: where it is.
        version: SHA-256 of what is in it.
        new: False: the folder held this version already.
        films, studies, patients, readers: how many.
        labels: films with each of the 15 categories.
        left_out: studies that readers said something of and that are not in it, by reason.
        films_left_out: films of the studies that are in it which are not, by reason.
    """

    folder: Path
    version: str
    new: bool
    films: int
    studies: int
    patients: int
    readers: int
    labels: Mapping[str, int]
    left_out: Mapping[str, int]
    films_left_out: Mapping[str, int]


def export(db: Database, films: FilmFolder, folder: Path, *, who: str, secret: bytes | None = None) -> ExportReport:
    """Write the feedback of a worklist as a data set.

    Args:
        films: holds the films that the database knows.
        folder: of the data set; missing, empty, or of the same version, in which case nothing is written.
        who: exports it; stands in the audit trail.
        secret: with which patients and readers get their numbers; None: this worklist's own.

    Raises:
        ExportRefused: no study has usable feedback, or the folder holds something else.
        DatabaseUnavailable: as of `Database`.
        OSError: it can't be written; nothing is left behind.
    """
    known = _version_in(folder)
    secret = secret_of(settings().worklist_dir) if secret is None else secret
    plan = plan_of(db, secret)
    draft, lock = _draft_of(folder)
    try:
        (draft / "data").mkdir()
        written = _write_shards(plan.items, films, draft / "data")
        plan = plan.without(LeftOut.UNREADABLE, len(plan.items) - len(written))
        if not written:
            reasons = ", ".join(f"{why}: {n}" for why, n in (*plan.left_out.items(), *plan.films_left_out.items()))
            raise ExportRefused(
                f"There is no film with labels of readers to export{f' ({reasons})' if reasons else ''}."
            )
        _write_tables(plan, written, draft, secret)
        report = _write_manifest(plan, written, draft, folder)
        if known not in (None, report.version):
            raise ExportRefused(f"The folder {folder} holds another feedback set, of version {known[:16]}.")
        # What leaves is recorded before it can be used.
        with db.writing() as session:
            record(
                session, who=who, event=Event.EXPORT, what=f"feedback set {report.version}", kind="feedback set",
                version=report.version, films=report.films, studies=report.studies,
                left_out=sum(report.left_out.values()),
            )  # fmt: skip
        if known is not None:
            return replace(report, new=False)
        exported = {"version": report.version, "exported": datetime.now(UTC).isoformat(timespec="seconds"), "by": who}
        _write_json(draft / "exported.json", exported | {"program": __version__})
        if folder.is_dir():
            folder.rmdir()
        draft.rename(folder)
        return report
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(lock)


def sweep_drafts(place: Path) -> None:
    """Remove the half-written sets that killed processes left in a folder; those that somebody writes stay."""
    for draft in place.glob(".*.draft"):
        if DRAFT.fullmatch(draft.name) is None or not draft.is_dir():
            continue
        # One that another user left stays: it is no reason not to write here.
        with suppress(OSError):
            descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft)
            finally:
                os.close(descriptor)


def _draft_of(folder: Path) -> tuple[Path, int]:
    """An empty folder beside that one, and its descriptor, whose lock says that somebody writes in it."""
    place = folder.absolute().parent
    place.mkdir(parents=True, exist_ok=True)
    sweep_drafts(place)
    while True:
        draft = place / f".{folder.name}.{uuid.uuid4().hex}.draft"
        draft.mkdir()
        with suppress(FileNotFoundError):
            descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who swept in the moment before it had its lock may have removed it.
            if os.fstat(descriptor).st_nlink:
                return draft, descriptor
            os.close(descriptor)


def in_words(report: ExportReport) -> str:
    """The report as lines of text."""
    written = "wrote" if report.new else "is there already:"
    return "\n".join(
        [
            f"{written} {report.folder}, version {report.version[:16]}",
            f"films: {report.films:,}, studies: {report.studies:,}, patients: {report.patients:,}, readers: "
            f"{report.readers:,}; films by label:",
            *(f"{count:>8,}  {name}" for name, count in report.labels.items() if count),
            *(f"{count:>8,}  studies left out: {why}" for why, count in report.left_out.items()),
            *(f"{count:>8,}  films left out: {why}" for why, count in report.films_left_out.items()),
        ]
    )


def _version_in(folder: Path) -> str | None:
    """The version of the feedback set that a folder holds; None where it is missing or empty."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        return str(json.loads((folder / MANIFEST).read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportRefused(f"The folder {folder} is not empty and holds no feedback set; name another.") from error


def _write_shards(items: Sequence[Item], films: FilmFolder, folder: Path) -> list[Item]:
    """Write the films; returns those that could still be read."""
    written: list[Item] = []
    shards = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(items), SHARD_FILMS):
            part = items[first : first + SHARD_FILMS]
            pictures = pool.map(lambda item: _picture(films, item), part)
            kept = [(item, picture) for item, picture in zip(part, pictures, strict=True) if picture is not None]
            if kept:
                with (folder / shard_name(shards, len(kept))).open("wb") as file:
                    write_records(file, (Record(item.image_id, picture, item.labels) for item, picture in kept))
                shards += 1
                written += [item for item, _ in kept]
    return written


def _picture(films: FilmFolder, item: Item) -> bytes | None:
    """A film as the release would have it, upright; None where it is gone or can't be read."""
    try:
        film = decoder().read(films.bytes(item.sha256))
        square = model_input(item.placement.film(film), SIDE)
    except (FilmLost, UnreadableFilm):
        return None
    file = io.BytesIO()
    Image.fromarray(np.rint(square).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _write_tables(plan: Plan, written: Sequence[Item], folder: Path, secret: bytes) -> None:
    header = ["", *CATEGORIES]
    _write_csv(folder / "preprocessed_data.csv", header, ([i.image_id, *map(str, i.labels)] for i in written))
    known = ((item.image_id, item.original) for item in written if item.original is not None)
    _write_csv(folder / "original.csv", header, ([image_id, *map(str, labels)] for image_id, labels in known))
    index = ([item.image_id, item.image_id[:8], item.view, SOURCE] for item in written)
    _write_csv(folder / "images_index.csv", ["image_id", "patient", "view", "source"], index)
    columns = ["image_id", "reader", "stage", "counts", "valid", "abnormal", *FINDINGS, "model"]
    _write_csv(folder / "readers.csv", columns, _reader_rows(plan, written, secret))


def _reader_rows(plan: Plan, written: Sequence[Item], secret: bytes) -> Iterator[list[str]]:
    """The last opinion of each reader and stage on each film."""
    for item in written:
        given = plan.opinions[item.study]
        made = {opinion.id for opinion in counting(given)}
        last = {(opinion.reader, opinion.view.stage): opinion for opinion in given}
        rows = [
            [
                f"reader-{keyed(secret, f'reader {reader}')[:8]}", stage, str(int(opinion.id in made)),
                str(int(opinion.view.valid)), opinion.view.abnormal or "",
                *(opinion.view.findings.get(name, "") for name in FINDINGS),
                "" if opinion.said is None else opinion.said.model,
            ]
            for (reader, stage), opinion in last.items()
        ]  # fmt: skip
        yield from ([item.image_id, *row] for row in sorted(rows))


def _write_manifest(plan: Plan, written: Sequence[Item], draft: Path, folder: Path) -> ExportReport:
    files = {path.relative_to(draft).as_posix(): _sha256(path) for path in sorted(draft.rglob("*")) if path.is_file()}
    studies = {item.study for item in written}
    opinions = [opinion for study in studies for opinion in plan.opinions[study]]
    shown = {opinion.said.model for opinion in opinions if opinion.said is not None}
    days = sorted(opinion.written.date().isoformat() for opinion in opinions)
    report = ExportReport(
        folder=folder,
        version="",
        new=True,
        films=len(written),
        studies=len(studies),
        patients=len({item.image_id[:8] for item in written}),
        readers=len({opinion.reader for opinion in opinions}),
        labels=dict(zip(CATEGORIES, map(int, np.sum([i.labels for i in written], axis=0)), strict=True)),
        left_out=plan.left_out,
        films_left_out=plan.films_left_out,
    )
    counted = ("films", "studies", "patients", "readers", "labels", "left_out", "films_left_out")
    content = {
        "schema": SCHEMA, **{name: getattr(report, name) for name in counted}, "rule": RULE, "notes": NOTES,
        "with_original_labels": sum(item.original is not None for item in written),
        "opinions_from": days[0],
        "opinions_to": days[-1],
        "models": [{"sha256": sha256, "name": plan.models.get(sha256)} for sha256 in sorted(shown)],
        "film": {"side": SIDE, "channels": 1, "encoding": f"JPEG, quality {QUALITY}"},
        "files": files,
    }  # fmt: skip
    version = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    _write_json(draft / MANIFEST, {"version": version} | content)
    return replace(report, version=version)


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    # None of the cells has a comma or a quotation mark in it.
    path.write_text("".join(f"{','.join(row)}\n" for row in [header, *rows]), encoding="utf-8")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
