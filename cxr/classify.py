"""Bytes in, an answer out: what the page shows and what `python -m cxr classify` prints."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol

import numpy as np
from PIL.PngImagePlugin import PngInfo

from cxr.evaluation.words import NOT_IN_MODEL
from cxr.model.bundle import Bundle
from cxr.model.card import Card
from cxr.model.engine import Engine, Prediction
from cxr.model.heatmap import overlay, supporting_map, upsample
from cxr.model.verdict import RESEARCH_NOTICE, FindingVerdict, Verdict, decide
from cxr.radiograph import Facts, UnreadableFilm, read_radiograph
from cxr.registry import chosen_bundle

HEATMAP_OPACITY: Final = 0.6
LONGEST_NAME: Final = 60
"""Characters of a file's name that its heatmaps carry; with the finding's they stay under what file systems allow."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A film that was read and classified.

    Attributes:
        name: what the file is called; never used to tell what it is.
        facts: what the file says of itself.
        warnings: sentences that the reader should see.
        grey: uint8 (height, width), the film for display, bright = dense.
        prediction: what the model says of it.
        milliseconds: from bytes to calibrated probabilities and all maps.
    """

    name: str
    facts: Facts
    warnings: tuple[str, ...]
    grey: np.ndarray
    prediction: Prediction
    milliseconds: float


@dataclass(frozen=True)
class Refusal:
    """A file that got no verdict, and why, in one sentence."""

    name: str
    reason: str


def answer(engine: Engine, name: str, data: bytes) -> Reading | Refusal:
    """Read and classify one file; a file that can't be read gets a refusal, not an exception."""
    start = perf_counter()
    try:
        film = read_radiograph(data)
    except UnreadableFilm as error:
        return Refusal(name, str(error))
    prediction = engine.predict([film])[0]
    milliseconds = 1000 * (perf_counter() - start)
    return Reading(name, film.facts, film.warnings, film.grey, prediction, milliseconds)


class Answered(Protocol):
    """What of a film that was read goes into its record; see `Reading`."""

    @property
    def name(self) -> str: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def milliseconds(self) -> float: ...


def as_json(reading: Answered, verdict: Verdict, bundle: Bundle) -> dict[str, Any]:
    """A verdict in the form that other programs rely on."""
    return {
        "file": reading.name,
        "status": "ok",
        "verdict": verdict.name,
        "abnormal_probability": round(verdict.abnormal_probability, 4),
        "operating_point": verdict.point.name,
        "findings": {f.name: _numbers(f) for f in verdict.findings} | dict.fromkeys(verdict.absent),
        **(_of_imported(verdict, bundle.card) if bundle.card.data is None else {}),
        "warnings": list(reading.warnings),
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "milliseconds": round(reading.milliseconds, 1),
    }


def _numbers(finding: FindingVerdict) -> dict[str, Any]:
    return {"probability": round(finding.probability, 4), "flagged": finding.flagged}


def _of_imported(verdict: Verdict, card: Card) -> dict[str, Any]:
    """What has to be said of an imported model's answer besides."""
    return {
        "absent": list(verdict.absent),
        "extra_findings": {f.name: _numbers(f) for f in verdict.extra},
        "abnormal_from": card.abnormal_from,
        "calibrated": False,
    }


def heatmap(reading: Reading, finding: str, card: Card) -> np.ndarray | None:
    """The heatmap of a finding over its film, float32 (height, width) in 0..1; None where nothing speaks for it."""
    grid = supporting_map(reading.prediction.evidence(finding))
    height, width = reading.grey.shape
    return None if grid is None else upsample(grid, height, width, card.map_shift)


def png_note() -> PngInfo:
    """What every picture that leaves the product says of itself."""
    note = PngInfo()
    note.add_text("Comment", RESEARCH_NOTICE)
    return note


def classify_files(
    files: Sequence[Path], *, model: str | None, point: str, json_lines: bool, heatmaps: Path | None
) -> list[str]:
    """Give every file an answer on standard output; one bad file never stops the rest.

    Args:
        files: PNG, JPEG and DICOM films, or anything else.
        model: name of a bundle; None for the serving one.
        point: name of the operating point.
        json_lines: one JSON object a line instead of text.
        heatmaps: folder for one PNG a film and flagged finding; made if missing. None: no heatmaps.

    Returns:
        A sentence about each film whose heatmaps could not be written.

    Raises:
        BundleRejected: no such model, or it must not serve.
        ValueError: the model has no such operating point.
    """
    bundle = chosen_bundle(model)
    operating_point = bundle.card.operating_point(point)
    engine = Engine(bundle)
    unwritten = []
    if not json_lines:
        print(RESEARCH_NOTICE)
    for file, name in zip(files, _unique_names(files), strict=True):
        given = _answer_file(engine, file)
        if isinstance(given, Refusal):
            refused = {"file": given.name, "status": "refused", "reason": given.reason}
            print(_line(refused) if json_lines else f"{given.name}: not analysed. {given.reason}", flush=True)
            continue
        verdict = decide(given.prediction.probabilities, operating_point)
        print(_line(as_json(given, verdict, bundle)) if json_lines else _as_text(given, verdict), flush=True)
        if heatmaps is not None:
            try:
                _write_heatmaps(given, verdict, bundle.card, heatmaps / name)
            except OSError as error:
                unwritten.append(f"{file}: the heatmaps could not be written ({error.strerror}).")
    return unwritten


def _line(record: dict[str, Any]) -> str:
    # ASCII: a name in any script, or in none, passes any pipe.
    return json.dumps(record)


def _answer_file(engine: Engine, file: Path) -> Reading | Refusal:
    try:
        data = file.read_bytes()
    except OSError as error:
        return Refusal(str(file), f"The file can't be read: {error.strerror or 'unknown error'}.")
    return answer(engine, str(file), data)


def _unique_names(files: Sequence[Path]) -> Iterator[str]:
    """A name for the heatmaps of each file, short enough to be one; where it is taken it gets a number."""
    taken: set[str] = set()
    for file in files:
        name = stem = file.name[:LONGEST_NAME]
        for number in count(2):
            if name not in taken:
                break
            name = f"{stem}-{number}"
        taken.add(name)
        yield name


def _write_heatmaps(reading: Reading, verdict: Verdict, card: Card, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    for finding in verdict.flagged:
        heat = heatmap(reading, finding.name, card)
        if heat is not None:
            picture = overlay(reading.grey, heat, HEATMAP_OPACITY)
            picture.save(stem.with_name(f"{stem.name}-{finding.name}.png"), pnginfo=png_note())


def _as_text(reading: Reading, verdict: Verdict) -> str:
    flagged = ", ".join(f"{f.name} {f.probability:.2f}" for f in verdict.flagged) or "none"
    lines = [
        f"{reading.name}: {verdict.name} (abnormal probability {verdict.abnormal_probability:.2f}, "
        f"operating point {verdict.point.name}); flagged: {flagged}",
        *([f"  {NOT_IN_MODEL}: {', '.join(verdict.absent)}"] if verdict.absent else []),
        *(f"  note: {warning}" for warning in reading.warnings),
    ]
    return "\n".join(lines)
