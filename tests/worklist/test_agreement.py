"""Agreement of readers and model against scikit-learn, a published standard error, and cases counted by hand."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from filled_worklist import MODEL, NOW, add_study, new_opinion, new_study, said_of
from sklearn.metrics import cohen_kappa_score

from cxr.worklist.agreement import (
    ANY,
    NOTHING,
    QUESTIONS,
    UNSURE,
    Agreement,
    Change,
    Readings,
    after_verdict,
    cohens_kappa,
    fitting_step,
    model_names,
    over_time,
    readings,
    state,
    with_model,
)
from cxr.worklist.database import Database
from cxr.worklist.opinions import View, save

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def made(
    blind: np.ndarray, said: np.ndarray, informed: np.ndarray | None = None, patient: np.ndarray | None = None
) -> Readings:
    """Readings about the first question alone, one day after the other."""
    n = len(blind)

    def column(values: np.ndarray | None) -> np.ndarray:
        answers = np.full((n, len(QUESTIONS)), NOTHING, np.int8)
        if values is not None:
            answers[:, 0] = values
        return answers

    days = np.datetime64("2026-03-02T12:00:00", "s") + np.arange(n) * np.timedelta64(1, "D")
    return Readings(
        np.arange(n) if patient is None else patient, np.arange(n), np.full(n, "Ada"), days, np.full(n, MODEL),
        column(blind), column(informed), column(said),
    )  # fmt: skip


def first(found: tuple[Agreement, ...]) -> Agreement:
    assert [row.question for row in found] == list(QUESTIONS)
    return found[0]


def change(found: tuple[Change, ...]) -> Change:
    return found[0]


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two raters, of whom the second says as the first does four times in five."""
    rng = np.random.default_rng(seed)
    a = (rng.random(n) < 0.4).astype(int)
    return a, np.where(rng.random(n) < 0.8, a, 1 - a)


def test_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.integers(0, 2, (2, 30))
        weights = rng.integers(0, 4, 30)
        cells = [((a == x) & (b == y)) @ weights for x, y in ((1, 1), (1, 0), (0, 1), (0, 0))]
        assert cohens_kappa(np.array(cells)) == pytest.approx(cohen_kappa_score(a, b, sample_weight=weights))
    assert cohens_kappa(np.array([[20, 5, 10, 15], [0, 0, 0, 9]]))[0] == pytest.approx(0.4)
    assert np.isnan(cohens_kappa(np.array([[0, 0, 0, 9], [7, 0, 0, 0], [0, 0, 0, 0]]))).all()


def test_agreement_and_its_interval() -> None:
    a, b = drawn(1500)
    row = first(with_model(made(a, b), "blind"))
    assert row.agreement is not None
    assert row.kappa is not None
    assert (row.readings, row.patients, row.both, row.neither) == (1500, 1500, (a & b).sum(), (1 - (a | b)).sum())
    assert row.agreement.value == pytest.approx((a == b).mean())
    assert row.kappa.value == pytest.approx(cohen_kappa_score(a, b))
    # Fleiss, Cohen & Everitt 1969 (doi:10.1037/h0028106), equation 13: the standard error of kappa in large samples.
    p = np.array([[(b[a == x] == y).sum() for y in (1, 0)] for x in (1, 0)]) / 1500
    rows, columns, kappa = p.sum(axis=1), p.sum(axis=0), row.kappa.value
    chance = rows @ columns
    on = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in (0, 1))
    off = (1 - kappa) ** 2 * sum(p[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    error = np.sqrt((on + off - (kappa - chance * (1 - kappa)) ** 2) / 1500) / (1 - chance)
    assert row.kappa.high - row.kappa.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_interval_counts_patients_not_readings() -> None:
    a, b = drawn(300)
    once = first(with_model(made(a, b), "blind")).kappa
    patient = np.repeat(np.arange(300), 4)
    again = first(with_model(made(a.repeat(4), b.repeat(4), patient=patient), "blind"))
    assert once is not None
    assert again.kappa is not None
    assert (again.readings, again.patients) == (1200, 300)
    assert (again.kappa.low, again.kappa.high) == pytest.approx((once.low, once.high))


def test_full_agreement_is_not_certain() -> None:
    a = np.array([1, 0] * 10)
    row = first(with_model(made(a, a), "blind"))
    assert row.agreement is not None
    assert row.kappa is not None
    assert (row.agreement.value, row.kappa.value, row.kappa.high) == (1, 1, 1)
    # None of 20 patients: the exact interval of the share ends at 1 - 0.025 ** (1 / 20).
    doubt = 1 - 0.025 ** (1 / 20)
    assert row.agreement.low == pytest.approx(1 - doubt)
    assert row.kappa.low == pytest.approx(1 - doubt / 0.5)


@pytest.mark.parametrize(
    ("a", "patient", "agreement", "kappa"),
    [
        # 4 patients in all; 4 who have it; 5 of each, but the 5 are one patient.
        ([1, 0, 1, 0], None, False, False),
        ([1] * 4 + [0] * 30, None, True, False),
        ([1] * 5 + [0] * 5, None, True, True),
        ([1] * 5 + [0] * 5, [0] * 5 + [1, 2, 3, 4, 5], True, False),
    ],
)
def test_too_few_patients_to_say(a: list[int], patient: list[int] | None, agreement: bool, kappa: bool) -> None:
    answers = np.array(a)
    row = first(with_model(made(answers, answers, patient=None if patient is None else np.array(patient)), "blind"))
    assert (row.agreement is not None, row.kappa is not None) == (agreement, kappa)


def test_unsure_answers_are_counted_and_not_compared() -> None:
    row = first(with_model(made(np.array([1, UNSURE, 0, 1, NOTHING]), np.array([1, 1, UNSURE, NOTHING, 1])), "blind"))
    assert (row.readings, row.both, row.unsure) == (1, 1, 2)


def test_changes_counted_by_hand() -> None:
    #                 kept  kept  came  left  came  went by
    blind = np.array([1, 0, 0, 1, UNSURE, 0])
    informed = np.array([1, 0, 1, 0, 1, UNSURE])
    said = np.array([1, 1, 1, 1, 1, 1])
    row = change(after_verdict(made(blind, said, informed)))
    assert (row.readings, row.changed, row.apart, row.joined, row.together, row.left) == (6, 4, 4, 2, 2, 1)
    assert row.changed_share is not None
    assert row.changed_share.value == pytest.approx(4 / 6)
    assert row.joined_share is None
    assert row.left_share is None


def test_shares_of_changes_have_intervals() -> None:
    blind, said = np.array([1, 0] * 40), np.array([0, 0, 0, 1] * 20)
    informed = np.where(np.arange(80) % 8 == 0, said, blind)
    row = change(after_verdict(made(blind, said, informed)))
    assert (row.apart, row.joined, row.together, row.left) == (60, 10, 20, 0)
    assert row.joined_share is not None
    assert row.joined_share.value == pytest.approx(1 / 6)
    assert row.joined_share.low < 1 / 6 < row.joined_share.high
    assert row.left_share is not None
    assert row.left_share.value == 0 < row.left_share.high


def test_periods() -> None:
    a = np.array([1, 0] * 15)
    found = made(a, a)
    assert fitting_step(found) == "week"
    weeks = over_time(found, "blind", ANY)
    # 2 March 2026 is a Monday.
    assert [(p.start, p.agreement.readings) for p in weeks[:2]] == [(date(2026, 3, 2), 7), (date(2026, 3, 9), 7)]
    assert weeks[-1].agreement.readings == 2
    assert weeks[-1].agreement.agreement is None
    months = over_time(found, "blind", ANY, "month")
    assert [(p.start, p.agreement.readings) for p in months] == [(date(2026, 3, 1), 30)]
    assert months[0].agreement == first(with_model(found, "blind"))
    assert over_time(found.where(a == 9), "blind", ANY) == ()
    assert fitting_step(found.where(np.arange(30) < 3)) == "day"


def test_which_opinions_count(database: Database) -> None:
    study = add_study(database, None, b"1", patient="P", said=said_of())
    save(database, study, "Ada", View("blind", abnormal="no"), None)
    save(database, study, "Ada", View("blind", abnormal="yes", findings={"Mass": "present"}), None)
    save(database, study, "Ada", View("informed", abnormal="no", findings={"Mass": "unsure"}), said_of("Effusion"))
    # Who has seen the verdict is blind no more.
    save(database, study, "Ada", View("blind", abnormal="no"), None)
    save(database, study, "Ben", View("blind", valid=False, abnormal="yes"), None)
    other = add_study(database, None, b"2", patient="P", said=said_of("Mass", verdict="uncertain", model="cd" * 32))
    save(database, other, "Ada", View("blind", findings={"Mass": "absent"}), None)
    found = readings(database)
    assert (found.reader.tolist(), found.study.tolist()) == (["Ada", "Ben", "Ada"], [study, study, other])
    assert found.patient.tolist() == [0, 0, 0]
    assert found.model.tolist() == [MODEL, MODEL, "cd" * 32]
    asked = [QUESTIONS.index(name) for name in (ANY, "Effusion", "Mass", "Hernia")]
    assert found.blind[0, asked].tolist() == [1, NOTHING, 1, NOTHING]
    # No finding at all, so no effusion and no hernia either.
    assert found.informed[0, asked].tolist() == [0, 0, UNSURE, 0]
    assert found.said[0, asked].tolist() == [1, 1, 0, NOTHING]
    assert (found.blind[1] == NOTHING).all()
    # Shown nothing: compared with what stands in the list.
    assert found.said[2, asked].tolist() == [UNSURE, 0, 1, NOTHING]
    assert found.blind[2, asked].tolist() == [NOTHING, NOTHING, 0, NOTHING]


@on_sqlite
def test_from_the_database_to_the_numbers(database: Database) -> None:
    assert len(readings(database)) == 0
    assert [row.readings for row in with_model(readings(database), "blind")] == [0] * len(QUESTIONS)
    before = state(database)
    with database.writing() as session:
        for k in range(24):
            flagged = ("Effusion",) if k % 2 else ()
            study = new_study(bytes([k]), patient=f"P-{k}")
            view = View(
                "informed", abnormal="yes" if k % 3 else "no", findings={"Effusion": "present"} if k % 3 else {}
            )
            study.opinions.append(new_opinion("Ada", view, said_of(*flagged), NOW + timedelta(days=k)))
            session.add(study)
    assert state(database) != before
    found = readings(database)
    rows = {row.question: row for row in with_model(found, "informed")}
    truth, said = np.arange(24) % 3 > 0, np.arange(24) % 2 == 1
    for question in (ANY, "Effusion"):
        kappa = rows[question].kappa
        assert kappa is not None
        assert kappa.value == pytest.approx(cohen_kappa_score(truth, said))
    assert (rows["Mass"].readings, rows["Mass"].neither, rows["Mass"].kappa) == (8, 8, None)
    assert [row.readings for row in with_model(found, "blind")] == [0] * len(QUESTIONS)
    assert found.written.max() == np.datetime64((NOW + timedelta(days=23)).astimezone(UTC).replace(tzinfo=None))
    assert model_names(database) == {}
    assert isinstance(found.written[0].item(), datetime)
