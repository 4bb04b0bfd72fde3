"""`python -m cxr classify`: an answer for each file on standard output."""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from cxr.classify import (
    GREY_SCALE,
    HEATMAP_OPACITY,
    Reading,
    Refusal,
    answer,
    as_json,
    as_refused_json,
    heatmap,
    png_note,
)
from cxr.evaluation.words import NOT_IN_MODEL
from cxr.files import printable
from cxr.model.card import Card
from cxr.model.engine import Engine
from cxr.model.heatmap import overlay
from cxr.model.verdict import RESEARCH_NOTICE, Verdict, decide
from cxr.radiograph.isolated import decoder
from cxr.radiograph.placement import UNTOUCHED, Placement
from cxr.registry import chosen_bundle

LONGEST_NAME: Final = 60
"""Characters of a file's name that its heatmaps carry; with the finding's they stay under what file systems allow."""


def classify_files(
    files: Sequence[Path],
    *,
    model: str | None,
    point: str,
    json_lines: bool,
    heatmaps: Path | None,
    placement: Placement = UNTOUCHED,
) -> list[str]:
    """Give every file an answer on standard output; one bad file never stops the rest.

    Args:
        files: PNG, JPEG and DICOM films, or anything else.
        model: name of a bundle; None for the serving one.
        point: name of the operating point.
        json_lines: one JSON object a line instead of text.
        heatmaps: folder for one PNG a film and flagged finding; made if missing. None: no heatmaps.
        placement: as of `answer`, for all of them.

    Returns:
        A sentence about each film whose heatmaps could not be written.

    Raises:
        BundleRejected: no such model, or it must not serve.
        ValueError: the model has no such operating point.
    """
    bundle = chosen_bundle(model)
    operating_point = bundle.card.operating_point(point)
    # It starts while the model is loaded.
    decoder()
    engine = Engine(bundle)
    unwritten = []
    if not json_lines:
        print(RESEARCH_NOTICE)
    for file, name in zip(files, _unique_names(files), strict=True):
        given = _answer_file(engine, file, placement)
        if isinstance(given, Refusal):
            print(_line(as_refused_json(given)) if json_lines else _refused_text(given), flush=True)
            continue
        verdict = decide(given.prediction.probabilities, operating_point)
        record = as_json(given, verdict, bundle, given.scope)
        print(_line(record) if json_lines else _as_text(given, verdict), flush=True)
        if heatmaps is not None:
            try:
                _write_heatmaps(given, verdict, bundle.card, heatmaps / name)
            except OSError as error:
                unwritten.append(f"{file}: the heatmaps could not be written ({error.strerror}).")
    return unwritten


def _line(record: dict[str, Any]) -> str:
    # ASCII: a name in any script, or in none, passes any pipe.
    return json.dumps(record)


def _answer_file(engine: Engine, file: Path, placement: Placement) -> Reading | Refusal:
    try:
        data = file.read_bytes()
    except OSError as error:
        return Refusal(str(file), f"The file can't be read: {error.strerror or 'unknown error'}.")
    return answer(engine, str(file), data, placement=placement)


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


def _refused_text(refusal: Refusal) -> str:
    lines = [f"{printable(refusal.name)}: not analysed. {refusal.reason}"]
    if refusal.turn is not None:
        lines.append(f"  note: --turn {refusal.turn} has it seen upright, --turn none as it is")
    if refusal.kind == GREY_SCALE:
        lines.append("  note: --grey as-is or --grey inverted says which way round it is")
    return "\n".join(lines)


def _as_text(reading: Reading, verdict: Verdict) -> str:
    flagged = ", ".join(f"{f.name} {f.probability:.2f}" for f in verdict.flagged) or "none"
    lines = [
        f"{printable(reading.name)}: {verdict.name} (abnormal probability {verdict.abnormal_probability:.2f}, "
        f"operating point {verdict.point.name}); flagged: {flagged}",
        *([f"  {NOT_IN_MODEL}: {', '.join(verdict.absent)}"] if verdict.absent else []),
        *(f"  note: {warning}" for warning in reading.warnings),
    ]
    return "\n".join(lines)
