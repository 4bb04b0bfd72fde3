"""The program's log: one line an event, as text or as JSON, in which nobody's data can stand.

A line of this program's own modules holds fixed words, numbers and the names of errors' classes. What other libraries
log may quote a header, a file name or an exception's words, so of their lines only the place in the code, the level and
the classes of errors get through. That is less to look at, and nothing has to be erased from a log afterwards.
"""

import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

OWN: Final = "cxr"
WITHHELD: Final = "words of another library, withheld"
LIFE: Final = ("uvicorn.error",)
"""The server's own loggers: at level INFO they say that it starts and ends, with numbers of processes only."""
MOST_PLACES: Final = 20
SERVER: Final = ("uvicorn", "uvicorn.access", "uvicorn.asgi", *LIFE)
FIELDS: Final = "fields"
"""What a record of this program may carry besides: `extra={FIELDS: {...}}`, numbers and fixed words."""
CONSOLE: Final = "streamlit_console_handler"

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


def discreet(record: logging.LogRecord) -> logging.LogRecord:
    """What of a record may be written; see the head of this file."""
    kept = logging.makeLogRecord(record.__dict__)
    kept.where = f"{PurePath(record.pathname).stem}:{record.lineno}"
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    kept.error = None if error is None else error.__name__
    kept.trace = [] if error is None else _places(record.exc_info)
    kept.exc_info, kept.exc_text, kept.stack_info = None, None, None
    own = record.name == OWN or record.name.startswith(f"{OWN}.")
    if not own and not (record.name in LIFE and record.levelno == logging.INFO):
        kept.msg, kept.args = WITHHELD, None
        setattr(kept, FIELDS, {})
    return kept


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, event, logger, where, error, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            "where": getattr(record, "where", ""),
        }
        if (error := getattr(record, "error", None)) is not None:
            line |= {"error": error, "trace": getattr(record, "trace", [])}
        fields: Mapping[str, Any] = getattr(record, FIELDS, {})
        return json.dumps(line | {key: value for key, value in fields.items() if key not in line})


class TextLines(logging.Formatter):
    """A record as one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. A line break in an event does not make a second one."""
        error = getattr(record, "error", None)
        fields = getattr(record, FIELDS, {})
        said = " ".join(record.getMessage().split())
        more = "".join(f" {key}={value}" for key, value in fields.items())
        failed = "" if error is None else f" ({error} at {', '.join(getattr(record, 'trace', []))})"
        return (
            f"{_time(record)} {record.levelname:<7} {record.name} {getattr(record, 'where', '')}: {said}{failed}{more}"
        )


def set_up(form: Format, level: Level, stream: TextIO | None = None) -> None:
    """Let everything that this process logs go one way, whichever library logs it, now or later.

    Args:
        form: of the lines.
        level: the lowest that is written; other libraries' from "warning" on.
        stream: where to; None: standard error.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    for other in list(root.handlers):
        if isinstance(other, _Handler):
            root.removeHandler(other)
    root.addHandler(handler)
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger(OWN).setLevel(number)
    for name in SERVER:
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
        # Of each request it would write the address, in which the number of a study or a film's name stands.
        server.setLevel(max(number, logging.INFO if name in LIFE else logging.WARNING))
    _join_streamlit()
    # pydicom quotes values in its warnings.
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    threading.excepthook = _thread_failed
    sys.unraisablehook = _not_raised


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told from others."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write what may be written."""
        super().emit(discreet(record))


def _join_streamlit() -> None:
    """Streamlit gives each of its loggers, and the server's, a console of its own as it makes them; they lose it."""
    module = sys.modules.get("streamlit.logger")
    if module is None:
        return

    def joined(logger: logging.Logger) -> None:
        console = getattr(logger, CONSOLE, None)
        if console is not None:
            logger.removeHandler(console)
        logger.propagate = True

    vars(module)["setup_formatter"] = joined
    for logger in list(vars(module)["_loggers"].values()):
        joined(logger)
    before = vars(module)["get_logger"]
    if not hasattr(before, OWN):

        def get_logger(name: str) -> logging.Logger:
            logger: logging.Logger = before(name)
            logger.propagate = True
            return logger

        setattr(get_logger, OWN, True)
        vars(module)["get_logger"] = get_logger


def _thread_failed(args: "threading.ExceptHookArgs") -> None:
    """A thread that ended by an error says which kind, not what it says."""
    logging.getLogger(OWN).error("A thread ended by an error of the program: %s", args.exc_type.__name__)


def _not_raised(args: "UnraisableHookArgs") -> None:
    """An error that nobody can catch, of a finaliser or of a callback from C: which kind and where, not what it says.

    Nor what it was raised in: the text of an object may be of a patient.
    """
    error = Exception() if args.exc_value is None else args.exc_value
    logging.getLogger(OWN).error(
        "An error of the program was raised where nothing catches it",
        exc_info=(args.exc_type, error, args.exc_traceback),
    )


def _places(error: Any) -> list[str]:
    """Where in the code an error was raised, the last place last: files, lines, functions, and no word of the error."""
    frames = traceback.extract_tb(error[2])[-MOST_PLACES:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
