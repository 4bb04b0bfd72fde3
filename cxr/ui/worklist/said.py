"""What a model said of a study, at the thresholds of that very model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxr.model.bundle import CARD_FILE, Bundle, BundleRejected, bundle_path, file_sha256
from cxr.model.verdict import Verdict, decide
from cxr.settings import settings
from cxr.ui.admin.cards import card_of
from cxr.worklist.columns import point_of
from cxr.worklist.database import Database
from cxr.worklist.opinions import Said
from cxr.worklist.status import FilmState
from cxr.worklist.studies import FilmRow, ResultRow, StudyRow, latest_result


@dataclass(frozen=True, eq=False)
class FilmSaid:
    """What a model said of one film."""

    film: FilmRow
    result: ResultRow
    verdict: Verdict | None


@dataclass(frozen=True, eq=False)
class StudySaid:
    """What a model said of a study.

    Attributes:
        model, name: SHA-256 and name of the bundle.
        bundle: the bundle; None where it is not installed any more, or another one has its name.
        films: of the films that it scored; the verdicts are None where there is no bundle, it has not the worklist's
            operating point, or the study was shown at another.
    """

    model: str
    name: str
    bundle: Bundle | None
    films: tuple[FilmSaid, ...]

    @cached_property
    def deciding(self) -> FilmSaid:
        """The film with the highest abnormal probability, whose verdict is the study's."""
        return max(self.films, key=lambda said: -said.result.probabilities[0])

    @property
    def verdict(self) -> Verdict | None:
        """The study's verdict."""
        return self.deciding.verdict

    def of(self, film: FilmRow) -> FilmSaid | None:
        """What was said of one of the films."""
        return next((said for said in self.films if said.film.id == film.id), None)


def said_of(db: Database, study: StudyRow) -> StudySaid | None:
    """What the model said whose numbers the list shows; None where no film was analysed."""
    if study.model is None:
        return None
    # Of a film that was refused since, nothing that was said of it before holds.
    analysed = [film for film in study.films if film.state != FilmState.REFUSED]
    found = [(film, latest_result(db, film.id, study.model)) for film in analysed]
    results = [(film, result) for film, result in found if result is not None]
    if not results:
        return None
    name = results[0][1].model_name
    bundle = _bundle(name, study.model)
    point = None if bundle is None else point_of(bundle.card, settings().worklist_point)
    films = [
        FilmSaid(film, result, None if point is None else decide(result.probabilities.astype(np.float64), point))
        for film, result in results
    ]
    said = StudySaid(study.model, name, bundle, tuple(films))
    if said.verdict is not None and said.verdict.name != study.verdict:
        # Another operating point was set since: what was shown then stays what is shown.
        return StudySaid(study.model, name, bundle, tuple(FilmSaid(one.film, one.result, None) for one in films))
    return said


def _bundle(name: str, sha256: str) -> Bundle | None:
    """The bundle that scored, if it is still what it was."""
    try:
        path = bundle_path(name)
        return Bundle(path, card_of(name), sha256) if file_sha256(path / CARD_FILE) == sha256 else None
    except (BundleRejected, OSError):
        return None


def shown_to_reader(study: StudyRow) -> Said | None:
    """What a reader is shown of it, as it is kept beside his opinion."""
    if study.model is None or study.abnormal is None or study.verdict is None:
        return None
    findings = {finding.name: (finding.probability, finding.flagged) for finding in study.findings}
    return Said(study.model, study.abnormal, study.verdict, findings)
