"""The evaluation that a bundle carries: its report on the held-out patients, and their scores without the films."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cxr.evaluation.report import Report
from cxr.evaluation.scored import ScoredFilms, load_scored, save_scored
from cxr.model.attach import attach
from cxr.model.bundle import Bundle, BundleRejected

REPORT_FILE: Final = "report.json"
TEST_FILE: Final = "test.npz"


@dataclass(frozen=True, eq=False)
class StoredEvaluation:
    """What `store` kept."""

    report: Report
    films: ScoredFilms


def store(bundle: Bundle, report: Report, films: ScoredFilms) -> Bundle:
    """Keep an evaluation on held-out patients in the bundle, with hashes in its card; returns the bundle as it then is.

    The report names the bundle by the hash that its card had before.
    """

    def write(folder: Path) -> None:
        (folder / REPORT_FILE).write_text(report.model_dump_json(indent=1) + "\n")
        save_scored(films, folder / TEST_FILE)

    return attach(bundle, (REPORT_FILE, TEST_FILE), write)


def load_evaluation(bundle: Bundle) -> StoredEvaluation | None:
    """The evaluation of a bundle, whose files `load_bundle` has checked; None if it has none.

    Raises:
        BundleRejected: it is of another version of this software.
    """
    if not {REPORT_FILE, TEST_FILE} <= set(bundle.card.files):
        return None
    try:
        report = Report.model_validate_json((bundle.path / REPORT_FILE).read_bytes())
        return StoredEvaluation(report, load_scored(bundle.path / TEST_FILE))
    except (ValidationError, OSError, ValueError, KeyError) as error:
        raise BundleRejected(
            f"The evaluation in the model {bundle.name} can't be read; make it anew: `python -m cxr evaluate --store`."
        ) from error
