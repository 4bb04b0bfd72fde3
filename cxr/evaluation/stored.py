"""The evaluation that a bundle carries: its report on the held-out patients, and their scores without the films."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cxr.evaluation.report import Report
from cxr.evaluation.scored import ScoredFilms, load_scored, save_scored
from cxr.model.attach import attach
from cxr.model.bundle import Bundle, BundleRejected
from cxr.settings import settings

REPORT_FILE: Final = "report.json"
TEST_FILE: Final = "test.npz"
HELD_OUT: Final = "held-out patients"
"""Name of the test set that every bundle has."""


@dataclass(frozen=True, eq=False)
class StoredEvaluation:
    """What `store` kept."""

    report: Report
    films: ScoredFilms


def store(bundle: Bundle, report: Report, films: ScoredFilms) -> Bundle:
    """Keep an evaluation on held-out patients in the bundle, with hashes in its card; returns the bundle as it then is.

    A report names the model by `Bundle.model_sha256`, which does not change with what is attached.
    """

    return attach(bundle, (REPORT_FILE, TEST_FILE), lambda folder: _write(folder, report, films))


def store_report(bundle: Bundle, report: Report) -> Bundle:
    """Replace the report of a stored evaluation. Its scored films stay: of their ids there are only hashes."""

    def write(folder: Path) -> None:
        (folder / REPORT_FILE).write_text(report.model_dump_json(indent=1) + "\n")

    return attach(bundle, (REPORT_FILE,), write)


def save(bundle: Bundle, name: str, report: Report, films: ScoredFilms) -> Path:
    """Keep an evaluation on another test set beside the bundle's own, in `evaluations_dir`; returns its folder.

    Raises:
        ValueError: the name can't be that of a folder.
    """
    if name == HELD_OUT or not re.fullmatch(r"[\w][\w .-]*", name):
        raise ValueError(f"An evaluation can't be called {name!r}; use other letters, digits, spaces, dots and dashes.")
    folder = settings().evaluations_dir / bundle.name / name
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, report, films)
    return folder


def saved(bundle: Bundle) -> dict[str, Path]:
    """The folders of a bundle's saved evaluations by name. One whose model has been replaced since is left out."""
    found = sorted((settings().evaluations_dir / bundle.name).glob(f"*/{REPORT_FILE}"))
    model = bundle.model_sha256
    return {path.parent.name: path.parent for path in found if model in path.read_text()}


def _write(folder: Path, report: Report, films: ScoredFilms) -> None:
    (folder / REPORT_FILE).write_text(report.model_dump_json(indent=1) + "\n")
    save_scored(films, folder / TEST_FILE)


def load_evaluation(bundle: Bundle) -> StoredEvaluation | None:
    """The evaluation of a bundle, whose files `load_bundle` has checked; None if it has none.

    Raises:
        BundleRejected: it is of another version of this software.
    """
    if not {REPORT_FILE, TEST_FILE} <= set(bundle.card.files):
        return None
    return load_saved(bundle.path)


def load_saved(folder: Path) -> StoredEvaluation:
    """The evaluation in a folder.

    Raises:
        BundleRejected: there is none, or of another version of this software.
    """
    try:
        report = Report.model_validate_json((folder / REPORT_FILE).read_bytes())
        return StoredEvaluation(report, load_scored(folder / TEST_FILE))
    except (ValidationError, OSError, ValueError, KeyError) as error:
        raise BundleRejected(
            f"The evaluation in {folder.name} can't be read; make it anew: `python -m cxr evaluate`, --store or --save."
        ) from error
