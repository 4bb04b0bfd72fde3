"""Bytes in, an answer out: what the page shows and what `python -m cxr classify` prints."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from PIL.PngImagePlugin import PngInfo

from cxr.model.bundle import Bundle, bundle_path, load_bundle
from cxr.model.engine import Engine, Prediction
from cxr.model.heatmap import overlay, supporting_map, upsample
from cxr.model.verdict import RESEARCH_NOTICE, Verdict, decide
from cxr.radiograph import Radiograph, UnreadableFilm, read_radiograph
from cxr.settings import settings

HEATMAP_OPACITY: Final = 0.6


@dataclass(frozen=True, eq=False)
class Answer:
    """What one file got: a film with its prediction, or the reason why not.

    Attributes:
        name: what the file is called; never used to tell what it is.
        film, prediction: None if the file was refused.
        refusal: one sentence; None if it was not.
        milliseconds: from bytes to calibrated probabilities and all maps.
    """

    name: str
    film: Radiograph | None
    prediction: Prediction | None
    refusal: str | None
    milliseconds: float


def answer(engine: Engine, name: str, data: bytes) -> Answer:
    """Read and classify one file; a file that can't be read gets a refusal, not an exception."""
    start = perf_counter()
    try:
        film = read_radiograph(data)
    except UnreadableFilm as error:
        return Answer(name, None, None, str(error), 1000 * (perf_counter() - start))
    prediction = engine.predict([film])[0]
    return Answer(name, film, prediction, None, 1000 * (perf_counter() - start))


def as_json(given: Answer, bundle: Bundle, verdict: Verdict | None) -> dict[str, Any]:
    """The answer in the form that other programs rely on; `verdict` is None for a refused file."""
    if given.film is None or verdict is None:
        return {"file": given.name, "status": "refused", "reason": given.refusal}
    return {
        "file": given.name,
        "status": "ok",
        "verdict": verdict.name,
        "abnormal_probability": round(verdict.abnormal_probability, 4),
        "operating_point": verdict.point.name,
        "findings": {f.name: {"probability": round(f.probability, 4), "flagged": f.flagged} for f in verdict.findings},
        "warnings": list(given.film.warnings),
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "milliseconds": round(given.milliseconds, 1),
    }


def heatmap(given: Answer, finding: str) -> np.ndarray | None:
    """The heatmap of a finding over its film, float32 (height, width) in 0..1; None where nothing speaks for the finding."""
    if given.film is None or given.prediction is None:
        raise ValueError(f"{given.name} was refused; it has no heatmap.")
    grid = supporting_map(given.prediction.evidence(finding))
    return None if grid is None else upsample(grid, given.film.facts.height, given.film.facts.width)


def png_note() -> PngInfo:
    """What every picture that leaves the product says of itself."""
    note = PngInfo()
    note.add_text("Comment", RESEARCH_NOTICE)
    return note


def classify_files(
    files: Sequence[Path], *, model: str | None, point: str, json_lines: bool, heatmaps: Path | None
) -> None:
    """Give every file an answer on standard output; one bad file never stops the rest.

    Args:
        files: PNG, JPEG and DICOM films, or anything else.
        model: name of a bundle; None for the serving one.
        point: name of the operating point.
        json_lines: one JSON object a line instead of text.
        heatmaps: folder for one PNG a film and flagged finding; made if missing. None: no heatmaps.

    Raises:
        BundleRejected: no such model, or it must not serve.
        OSError: a heatmap can't be written.
    """
    bundle = load_bundle(bundle_path(model or settings().model))
    operating_point = bundle.card.operating_point(point)
    engine = Engine(bundle)
    if not json_lines:
        print(RESEARCH_NOTICE)
    for file, name in zip(files, _unique_names(files), strict=True):
        given = _answer_file(engine, file)
        verdict = None if given.prediction is None else decide(given.prediction.probabilities, operating_point)
        if json_lines:
            print(json.dumps(as_json(given, bundle, verdict), ensure_ascii=False), flush=True)
        else:
            print(_as_text(given, verdict), flush=True)
        if heatmaps is not None and verdict is not None:
            _write_heatmaps(given, verdict, heatmaps, name)


def _answer_file(engine: Engine, file: Path) -> Answer:
    try:
        data = file.read_bytes()
    except OSError as error:
        return Answer(str(file), None, None, f"The file can't be read: {error.strerror or 'unknown error'}.", 0.0)
    return answer(engine, str(file), data)


def _unique_names(files: Sequence[Path]) -> Iterator[str]:
    """A name for the heatmaps of each file; files of the same name in different folders get a number."""
    seen: dict[str, int] = {}
    for file in files:
        seen[file.name] = seen.get(file.name, 0) + 1
        yield file.name if seen[file.name] == 1 else f"{file.name}-{seen[file.name]}"


def _write_heatmaps(given: Answer, verdict: Verdict, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for finding in verdict.findings:
        heat = heatmap(given, finding.name) if finding.flagged else None
        if heat is not None and given.film is not None:
            picture = overlay(given.film.pixels, heat, HEATMAP_OPACITY)
            picture.save(folder / f"{name}-{finding.name}.png", pnginfo=png_note())


def _as_text(given: Answer, verdict: Verdict | None) -> str:
    if given.film is None or verdict is None:
        return f"{given.name}: not analysed. {given.refusal}"
    flagged = ", ".join(f"{f.name} {f.probability:.2f}" for f in verdict.findings if f.flagged) or "none"
    lines = [
        f"{given.name}: {verdict.name} (abnormal probability {verdict.abnormal_probability:.2f}, "
        f"operating point {verdict.point.name}); flagged: {flagged}",
        *(f"  note: {warning}" for warning in given.film.warnings),
    ]
    return "\n".join(lines)
