"""Counting for Prometheus: off by default, and nobody's data in it."""

from dataclasses import dataclass

import pytest

from cxr import metrics
from cxr.settings import settings


@dataclass
class Refused:
    kind: str


@pytest.fixture
def on(changed_settings):
    changed_settings.setenv("CXR_METRICS", "1")
    settings.cache_clear()
    metrics._made.cache_clear()
    yield
    metrics._made.cache_clear()


def exposed(*numbers):
    text, kind = metrics.exposition(numbers, ("default", "ab" * 32))
    assert kind.startswith("text/plain")
    return text.decode()


def test_by_default_nothing_is_counted():
    assert settings().metrics is False
    metrics.decoder_replaced()
    metrics.http_error(500)
    assert metrics.measured(lambda: 3)() == 3
    with pytest.raises(RuntimeError, match="nothing is counted"):
        metrics.exposition([], None)


def test_films_are_counted_by_a_few_kinds(on):
    answer = metrics.measured(lambda given: given)
    for given in (object(), object(), Refused("lateral"), Refused("Doe^Jane"), Refused("Roe^Ann")):
        assert answer(given) is given
    metrics.decoder_replaced()
    metrics.http_error(404)
    metrics.http_error(503)
    text = exposed(("line", 4), ("backlog", 17), ("healthy", 1))
    for line in (
        "cxr_films_read_total 2.0",
        'cxr_films_refused_total{kind="lateral"} 1.0',
        'cxr_films_refused_total{kind="other"} 2.0',
        "cxr_film_seconds_count 5.0",
        "cxr_decoder_restarts_total 1.0",
        'cxr_http_errors_total{status="4xx"} 1.0',
        'cxr_http_errors_total{status="5xx"} 1.0',
        "cxr_line_films 4.0",
        "cxr_backlog_films 17.0",
        'cxr_model_info{name="default",sha256="abababababababab"} 1.0',
    ):
        assert line in text.splitlines(), line
    assert "Doe" not in text


def test_what_is_not_known_now_is_no_number(on):
    assert "cxr_backlog_films 17.0" in exposed(("line", 4), ("backlog", 17), ("healthy", 1)).splitlines()
    # The database fails: nothing says how many wait.
    text = exposed(("line", 4), ("healthy", 0)).splitlines()
    assert "cxr_backlog_films NaN" in text and "cxr_line_films 4.0" in text
    with pytest.raises(KeyError, match="backlogs"):
        exposed(("backlogs", 1))


def test_an_error_of_the_program_is_counted_and_raised(on):
    def fail():
        raise KeyError("Doe^Jane")

    with pytest.raises(KeyError):
        metrics.measured(fail)()
    assert 'cxr_films_refused_total{kind="failed"} 1.0' in exposed()


def test_every_kind_of_refusal_of_the_scope_check_is_known():
    from typing import get_args

    from cxr.radiograph import scope

    kinds = set(get_args(getattr(scope, "Reason", None)) or ())
    assert kinds <= metrics.KINDS
