"""What the program counts for Prometheus, if the settings say so; else every function here returns at once.

No label holds anything of a film, a person or a file: the kinds are few and fixed, so the numbers of series are too.
"""

import math
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from time import perf_counter
from typing import Any, Final, ParamSpec, TypeVar

from cxr.settings import settings

KINDS: Final = frozenset(
    ("unreadable", "turned", "lateral", "other_body_part", "slice", "not_a_film", "blank", "saturated", "tiny",
     "cropped", "grey_scale", "unknown")
)  # fmt: skip
"""Why a film is refused; any other word is counted as "other"."""
SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the classes of time from bytes to verdict."""
FAILED: Final = "failed"

Arguments = ParamSpec("Arguments")
Given = TypeVar("Given")


class _Series:
    """The counters, and where they are registered."""

    def __init__(self) -> None:
        # Only who counts pays for the import.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
        from prometheus_client.process_collector import ProcessCollector

        self.registry: CollectorRegistry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.read = Counter("cxr_films_read", "Films that got a verdict.", registry=self.registry)
        self.refused = Counter("cxr_films_refused", "Films that got none.", ["kind"], registry=self.registry)
        self.seconds = Histogram(
            "cxr_film_seconds", "From bytes to verdict or refusal.", buckets=SECONDS, registry=self.registry
        )
        self.decoders = Counter(
            "cxr_decoder_restarts", "Decoding processes that were replaced.", registry=self.registry
        )
        self.http = Counter("cxr_http_errors", "Answers with an error.", ["status"], registry=self.registry)
        self.line = Gauge("cxr_line_films", "Films that wait or are read in the app.", registry=self.registry)
        self.backlog = Gauge("cxr_backlog_films", "Films that wait to be scored.", registry=self.registry)
        self.healthy = Gauge("cxr_healthy", "1 if every check of health holds.", registry=self.registry)
        self.model = Info("cxr_model", "The model that serves.", registry=self.registry)


_making = threading.Lock()


@lru_cache(maxsize=1)
def _made() -> _Series:
    return _Series()


def _series() -> _Series | None:
    """The counters; None where nothing is counted."""
    if not settings().metrics:
        return None
    with _making:
        return _made()


def measured(call: Callable[Arguments, Given]) -> Callable[Arguments, Given]:
    """Count what a function that answers one film gives: what has a `kind` is a refusal, anything else a reading."""

    @wraps(call)
    def counted(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Given:
        series = _series()
        if series is None:
            return call(*args, **kwargs)
        start = perf_counter()
        try:
            given = call(*args, **kwargs)
        except Exception:
            series.refused.labels(kind=FAILED).inc()
            raise
        series.seconds.observe(perf_counter() - start)
        kind = getattr(given, "kind", None)
        if kind is None:
            series.read.inc()
        else:
            series.refused.labels(kind=kind if kind in KINDS else "other").inc()
        return given

    return counted


def decoder_replaced() -> None:
    """A process that decodes films was ended and another one takes its place."""
    if (series := _series()) is not None:
        series.decoders.inc()


def http_error(status: int) -> None:
    """A request was answered with an error, 400..599."""
    if (series := _series()) is not None:
        series.http.labels(status=f"{min(max(status // 100, 4), 5)}xx").inc()


def exposition(numbers: Iterable[tuple[str, float]], model: tuple[str, str] | None) -> tuple[bytes, str]:
    """All counters in Prometheus' text format, and its media type.

    Args:
        numbers: of `line`, `backlog` and `healthy`, as they are now. One that is missing is not known now, and is NaN:
            nobody takes what was true before for what is.
        model: name and SHA-256 of the bundle that serves; None where none does.

    Raises:
        RuntimeError: nothing is counted.
    """
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    series = _series()
    if series is None:
        raise RuntimeError("nothing is counted: the setting metrics is off")
    gauges: dict[str, Any] = {"line": series.line, "backlog": series.backlog, "healthy": series.healthy}
    known = dict(numbers)
    for name, gauge in gauges.items():
        gauge.set(known.pop(name, math.nan))
    if known:
        raise KeyError(f"there is no gauge for {', '.join(known)}")
    series.model.info({} if model is None else {"name": model[0], "sha256": model[1][:16]})
    return generate_latest(series.registry), CONTENT_TYPE_LATEST
