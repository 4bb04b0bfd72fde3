"""The rule of the order: the same in numbers, in SQL and in words."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import select
from worklist_rows import NOON, add_study

from cxr.settings import settings
from cxr.worklist.database import Database
from cxr.worklist.order import rank, rank_sql, rule_in_words
from cxr.worklist.tables import Study


@pytest.mark.parametrize(
    ("abnormal", "critical", "hours", "expected"),
    [(0.3, False, 0, 0.3), (0.3, True, 0, 2.3), (0.3, False, 4, 1.3), (0.3, True, 6, 3.8), (None, False, 0, 0.5)],
)
def test_the_rank_is_what_the_rule_says(abnormal: float | None, critical: bool, hours: float, expected: float) -> None:
    assert rank(abnormal, critical, hours) == pytest.approx(expected)


def test_sql_computes_the_same(database: Database) -> None:
    rng = np.random.default_rng(0)
    expected = {}
    for number in range(30):
        abnormal = None if number % 5 == 0 else float(rng.random())
        critical = ["Effusion"] if number % 7 == 0 else []
        waited = float(rng.random()) * 20
        study = add_study(database, f"{number}", waited=waited, abnormal=abnormal, critical=critical)
        expected[study] = rank(abnormal, bool(critical), waited)
    with database.reading() as session:
        found = dict(iter(session.execute(select(Study.id, rank_sql()))))
    # It is the rank up to a number that is the same for all: the present moment.
    shift = NOON.timestamp() / 3600 / settings().ageing_hours
    # SQLite's days are precise to 40 microseconds and its texts are read to the millisecond.
    precision = 1e-6
    assert {study: value + shift for study, value in found.items()} == pytest.approx(expected, abs=precision)


def test_a_film_without_findings_is_not_overtaken_for_ever(database: Database) -> None:
    """Critical studies arrive every hour, and the least suspicious one is read before those of 12 hours later."""
    quiet = add_study(database, "quiet", abnormal=0.01)
    for hour in range(1, 25):
        arrived = NOON + timedelta(hours=hour)
        add_study(database, f"critical {hour}", now=arrived, abnormal=0.99, critical=["Pneumothorax"])
    with database.reading() as session:
        order = session.scalars(select(Study.id).order_by(rank_sql().desc())).all()
    ahead = order.index(quiet)
    # 2.98 of probability are 11.92 hours.
    assert ahead == 11


def test_the_order_of_two_does_not_change_by_waiting() -> None:
    differences = [rank(0.9, False, hours) - rank(0.2, True, hours + 1) for hours in (0, 5, 50)]
    assert all(a == pytest.approx(b) for a, b in pairwise(differences))


def test_the_words_have_the_numbers_of_the_settings(changed_settings: pytest.MonkeyPatch) -> None:
    changed_settings.setenv("CXR_AGEING_HOURS", "2.5")
    changed_settings.setenv("CXR_CRITICAL_FINDINGS", '["Pneumothorax", "Pleural_Thickening"]')
    words = rule_in_words()
    assert "every 2.5 hours of waiting count as much as a probability of 1" in words
    assert "pneumothorax or pleural thickening is flagged" in words
    assert rank(0.0, False, 2.5) == pytest.approx(1.0)


def test_a_critical_finding_has_to_be_one(changed_settings: pytest.MonkeyPatch) -> None:
    changed_settings.setenv("CXR_CRITICAL_FINDINGS", '["Pneumothorax", "Fracture"]')
    with pytest.raises(ValueError, match=r"critical_findings\.1\n.*'Fracture' is none of the findings Atelectasis"):
        settings()
