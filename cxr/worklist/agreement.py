"""How far readers and model agree, and what seeing the verdict does to what a reader says.

Of each reader and study count the last blind opinion that was written before the reader's first informed one, and the
last informed one. A film that the reader calls no valid chest film is not compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
from sqlalchemy import func, select

from cxr.evaluation.metrics import CHUNK, CONFIDENCE, MIN_PATIENTS, RESAMPLES, never_certain, unseen
from cxr.findings import FINDINGS
from cxr.model.card import Estimate
from cxr.worklist.database import Database
from cxr.worklist.opinions import OpinionRow, Said, Stage, View, row_of
from cxr.worklist.tables import Opinion, Result, Study

ANY: Final = "Abnormal"
QUESTIONS: Final = (ANY, *FINDINGS)
"""What reader and model both answer: whether there is any finding, and whether there is each of the 14."""
NOTHING: Final = -1
"""Said of a question; else 0 (no, absent, not flagged), 1 (yes, present, flagged) or `UNSURE`."""
UNSURE: Final = 2
CODES: Final[Mapping[str | None, int]] = {
    None: NOTHING, "no": 0, "absent": 0, "no finding": 0, "yes": 1, "present": 1, "abnormal": 1,
    "unsure": UNSURE, "uncertain": UNSURE,
}  # fmt: skip
Step = Literal["day", "week", "month"]
MOST_PERIODS: Final = 26
"""Above this many days or weeks, time is counted in the next longer step."""


@dataclass(frozen=True, eq=False)
class Readings:
    """Readings, one of each reader and study, row for row; column k of a matrix is about `QUESTIONS[k]`.

    Attributes:
        patient: intp (n,), a number for each patient; a study of unknown patient has one of its own.
        study: intp (n,), number of the study.
        reader: str (n,).
        written: datetime64[s] (n,), UTC, when the last opinion of the reading was written.
        model: str (n,), SHA-256 of the bundle that `said` is of; "" where there is none.
        blind, informed: int8 (n, 15), what the reader said before and after the verdict was shown: 0, 1, `UNSURE`, or
            `NOTHING`.
        said: int8 (n, 15), what the model said: as the reader was shown it, else as it stands in the list.
    """

    patient: np.ndarray
    study: np.ndarray
    reader: np.ndarray
    written: np.ndarray
    model: np.ndarray
    blind: np.ndarray
    informed: np.ndarray
    said: np.ndarray

    def __len__(self) -> int:
        return len(self.patient)

    def where(self, keep: np.ndarray) -> "Readings":
        """Those where the boolean `keep` (n,) is true."""
        return Readings(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def at(self, stage: Stage) -> np.ndarray:
        """`blind` or `informed`."""
        return self.blind if stage == "blind" else self.informed


@dataclass(frozen=True)
class Agreement:
    """Reader and model on one question.

    Attributes:
        question: of `QUESTIONS`.
        both, reader_only, model_only, neither: readings by who said yes.
        patients: of these readings.
        unsure: readings that are left out because the reader was unsure, or the model uncertain.
        agreement: share of readings in which both say the same; None: too few to say.
        kappa: Cohen's kappa; None: too few to say.
    """

    question: str
    both: int
    reader_only: int
    model_only: int
    neither: int
    patients: int
    unsure: int
    agreement: Estimate | None
    kappa: Estimate | None

    @property
    def readings(self) -> int:
        """How many are compared."""
        return self.both + self.reader_only + self.model_only + self.neither


@dataclass(frozen=True)
class Period:
    """Agreement in a day, week or month; `start` is its first day."""

    start: date
    agreement: Agreement


@dataclass(frozen=True)
class Change:
    """One question before and after the verdict was shown.

    Attributes:
        question: of `QUESTIONS`.
        readings: in which the reader answered it blind and informed, and the model did.
        patients: of these readings.
        changed: in which the second answer is another than the first.
        apart, joined: in which the blind answer was not the model's, and how many of these became the model's.
        together, left: in which the blind answer was the model's, and how many of these became another.
        changed_share: `changed` of `readings`; None: too few to say.
        joined_share: `joined` of `apart`; left_share: `left` of `together`.
    """

    question: str
    readings: int
    patients: int
    changed: int
    apart: int
    joined: int
    together: int
    left: int
    changed_share: Estimate | None
    joined_share: Estimate | None
    left_share: Estimate | None


def cohens_kappa(cells: np.ndarray) -> np.ndarray:
    """Cohen's kappa of tables of two by two (Cohen 1960, doi:10.1177/001316446002000104).

    Args:
        cells: float (…, 4): both yes, only the first, only the second, neither; counts or weights.

    Returns:
        float64 (…), -1..1; NaN for an empty table, and where both raters always give the same one answer.
    """
    both, first, second, neither = np.moveaxis(np.asarray(cells, np.float64), -1, 0)
    total = both + first + second + neither
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (both + neither) / total
        expected = ((both + first) * (both + second) + (second + neither) * (first + neither)) / total**2
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def state(db: Database) -> tuple[int, int, str]:
    """Changes whenever `readings` may give something else; far quicker."""
    with db.reading() as session:
        last, count = session.execute(select(func.max(Opinion.id), func.count(Opinion.id))).one()
        scored = session.scalar(select(func.max(Result.scored)))
        # A roll back or another operating point changes these and scores nothing.
        shown = session.execute(select(Study.model, Study.verdict, func.count()).group_by(Study.model, Study.verdict))
        verdicts = sorted(str(tuple(row)) for row in shown)
    return last or 0, count, f"{scored} {verdicts}"


def model_names(db: Database) -> dict[str, str]:
    """Names of the bundles whose results are in the database, by their SHA-256."""
    with db.reading() as session:
        return {
            row.model: row.model_name for row in session.execute(select(Result.model, Result.model_name).distinct())
        }


def readings(db: Database) -> Readings:
    """All readings in the database."""
    with db.reading() as session:
        opinions = [row_of(opinion) for opinion in session.scalars(select(Opinion).order_by(Opinion.id))]
        columns = (Study.id, Study.patient, Study.model, Study.verdict, Study.abnormal, Study.findings)
        asked = select(Opinion.study_id).distinct()
        studies = {row[0]: row for row in session.execute(select(*columns).where(Study.id.in_(asked)))}
    of_reader: dict[tuple[int, str], list[OpinionRow]] = {}
    for opinion in opinions:
        of_reader.setdefault((opinion.study, opinion.reader), []).append(opinion)
    rows = []
    for (study, reader), given in of_reader.items():
        if study not in studies:
            # Deleted between the two queries.
            continue
        _, patient, model, verdict, abnormal, findings = studies[study]
        blind, informed = _counting(given)
        told = None if informed is None else informed.said
        if told is None and model is not None:
            told = Said(model, abnormal, verdict, {name: (p, flagged) for name, p, flagged in findings})
        rows.append(
            (
                f"study {study}" if patient is None else f"patient {patient}",
                study,
                reader,
                given[-1].written,
                "" if told is None else told.model,
                _answers(blind),
                _answers(informed),
                _model_answers(told),
            )
        )
    return _columns(rows)


def with_model(found: Readings, stage: Stage) -> tuple[Agreement, ...]:
    """Agreement of readers and model, for each of `QUESTIONS`, at one stage of reading."""
    return _agreements(found, stage, QUESTIONS)


def over_time(found: Readings, stage: Stage, question: str, step: Step | None = None) -> tuple[Period, ...]:
    """Agreement on one question in each day, week (from Monday) or month (UTC) that has readings, the first one first.

    Args:
        step: None: the shortest with at most `MOST_PERIODS` between the first and the last reading.
    """
    if not len(found):
        return ()
    starts = np.array([_start(moment, step or fitting_step(found)) for moment in found.written.tolist()])
    periods = []
    for start in sorted(set(starts.tolist())):
        periods.append(Period(start, _agreements(found.where(starts == start), stage, (question,))[0]))
    return tuple(periods)


def fitting_step(found: Readings) -> Step:
    """The shortest step of time with at most `MOST_PERIODS` of them between the first and the last reading."""
    days = int((found.written.max() - found.written.min()) / np.timedelta64(1, "D"))
    return "day" if days <= MOST_PERIODS else "week" if days <= 7 * MOST_PERIODS else "month"


def after_verdict(found: Readings) -> tuple[Change, ...]:
    """What readers said before and after the verdict was shown, for each of `QUESTIONS`. "Unsure" is an answer here."""
    known = (found.blind != NOTHING) & (found.informed != NOTHING) & (found.said != NOTHING)
    changed, apart = known & (found.blind != found.informed), known & (found.blind != found.said)
    joined, left = apart & (found.informed == found.said), known & ~apart & changed
    parts = np.stack([known, changed, apart, joined, known & ~apart, left], axis=-1)
    totals, drawn = _resampled(found.patient, parts)
    changes = []
    for k, question in enumerate(QUESTIONS):
        counts = [int(count) for count in totals[k]]
        people = [_patients(found.patient, parts[:, k, whole]) for whole in (0, 2, 4)]
        shares = [
            _share(totals[k], drawn[:, k], part, whole, patients)
            for part, whole, patients in zip((1, 3, 5), (0, 2, 4), people, strict=True)
        ]
        n, moved, differed, came, same, went = counts
        changes.append(Change(question, n, people[0], moved, differed, came, same, went, *shares))
    return tuple(changes)


def _counting(given: Sequence[OpinionRow]) -> tuple[OpinionRow | None, OpinionRow | None]:
    """Of one reader's opinions on a study, in their order: the blind and the informed one that count.

    One that was given after the verdict was asked for, but before there was any, was not informed by it.
    """
    informed = [opinion for opinion in given if opinion.view.stage == "informed" and opinion.said is not None]
    until = informed[0].id if informed else given[-1].id + 1
    blind = [opinion for opinion in given if opinion not in informed and opinion.id < until]
    return blind[-1] if blind else None, informed[-1] if informed else None


def _answers(opinion: OpinionRow | None) -> list[int]:
    if opinion is None or not opinion.view.valid:
        return [NOTHING] * len(QUESTIONS)
    view: View = opinion.view
    return [CODES[view.any_finding], *(CODES[view.says(name)] for name in FINDINGS)]


def _model_answers(told: Said | None) -> list[int]:
    if told is None:
        return [NOTHING] * len(QUESTIONS)
    flags = (told.findings.get(name) for name in FINDINGS)
    return [CODES[told.verdict], *(NOTHING if flag is None else int(flag[1]) for flag in flags)]


def _columns(rows: Iterable[tuple[Any, ...]]) -> Readings:
    patient, study, reader, written, model, blind, informed, said = zip(*rows, strict=True) if rows else [()] * 8
    answers = (np.array(part, np.int8).reshape(-1, len(QUESTIONS)) for part in (blind, informed, said))
    moments = np.array([moment.replace(tzinfo=None) for moment in written], "datetime64[s]")
    _, number = np.unique(np.array(patient, str), return_inverse=True)
    return Readings(number, np.array(study, np.intp), np.array(reader, str), moments, np.array(model, str), *answers)


def _agreements(found: Readings, stage: Stage, questions: Sequence[str]) -> tuple[Agreement, ...]:
    columns = [QUESTIONS.index(question) for question in questions]
    read, said = found.at(stage)[:, columns], found.said[:, columns]
    cells = np.stack([(read == a) & (said == b) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))], axis=-1)
    unsure = (read != NOTHING) & (said != NOTHING) & ((read == UNSURE) | (said == UNSURE))
    totals, drawn = _resampled(found.patient, cells)
    rows = []
    for k, question in enumerate(questions):
        both, reader_only, model_only, neither = (int(count) for count in totals[k])
        patients = _patients(found.patient, np.any(cells[:, k], axis=-1))
        agreement = _agreed(totals[k], drawn[:, k], patients)
        kappa = _kappa(totals[k], drawn[:, k], found.patient, cells[:, k])
        left_out = int(unsure[:, k].sum())
        rows.append(Agreement(question, both, reader_only, model_only, neither, patients, left_out, agreement, kappa))
    return tuple(rows)


def _resampled(patient: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts of readings, and the same in bootstrap resamples of the patients, each of whom brings all readings.

    Args:
        patient: intp (n,).
        parts: bool (n, k, c), which readings count.

    Returns:
        float64 (k, c) and (RESAMPLES, k, c).
    """
    _, number = np.unique(patient, return_inverse=True)
    patients, shape = int(number.max(initial=-1)) + 1, parts.shape[1:]
    counts = np.zeros((patients, *shape))
    np.add.at(counts, number, parts)
    drawn = np.zeros((RESAMPLES, *shape))
    rng = np.random.default_rng(0)
    for first in range(0, RESAMPLES if patients else 0, CHUNK):
        # One draw serves all questions, so the time does not grow with them.
        times = rng.multinomial(patients, np.full(patients, 1 / patients), size=min(CHUNK, RESAMPLES - first))
        drawn[first : first + len(times)] = np.tensordot(times.astype(np.float64), counts, axes=1)
    return counts.sum(axis=0), drawn


def _patients(patient: np.ndarray, mask: np.ndarray) -> int:
    return len(np.unique(patient[mask]))


def _between(values: np.ndarray, value: float) -> Estimate:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return Estimate(value=float(value), low=float(low), high=float(high))


def _share(total: np.ndarray, drawn: np.ndarray, part: int, whole: int, patients: int) -> Estimate | None:
    """Column `part` of column `whole`, of readings of so many patients; None where these are too few."""
    if patients < MIN_PATIENTS:
        return None
    with np.errstate(invalid="ignore"):
        shares = drawn[:, part] / drawn[:, whole]
    return never_certain(_between(shares, total[part] / total[whole]), patients)


def _agreed(total: np.ndarray, drawn: np.ndarray, patients: int) -> Estimate | None:
    if patients < MIN_PATIENTS:
        return None
    with np.errstate(invalid="ignore"):
        shares = (drawn[:, 0] + drawn[:, 3]) / drawn.sum(axis=1)
    return never_certain(_between(shares, (total[0] + total[3]) / total.sum()), patients)


def _kappa(total: np.ndarray, drawn: np.ndarray, patient: np.ndarray, cells: np.ndarray) -> Estimate | None:
    """None unless the reader said yes on films of `MIN_PATIENTS` patients, and no on those of as many."""
    yes, no = (_patients(patient, cells[:, a] | cells[:, b]) for a, b in ((0, 1), (2, 3)))
    if min(yes, no) < MIN_PATIENTS:
        return None
    found = _between(cohens_kappa(drawn), float(cohens_kappa(total)))
    if total[1] == total[2] == 0:
        # No resample of full agreement shows anything else; the next patient may. See `never_certain`.
        share = total[0] / total.sum()
        by_chance = share**2 + (1 - share) ** 2
        doubt = unseen(_patients(patient, np.any(cells, axis=-1))) / (1 - by_chance)
        return found.model_copy(update={"low": min(found.low, 1 - doubt)})
    return found


def _start(moment: datetime, step: Step) -> date:
    day = moment.date()
    if step == "day":
        return day
    return day - timedelta(days=day.weekday()) if step == "week" else day.replace(day=1)
