"""The log: every event a line, and nobody's data in it."""

import io
import json
import logging
import sys
import threading
import warnings
from types import SimpleNamespace

import pytest
import streamlit.logger

from cxr import logs

MARKED = "Doe^Jane 1970-01-01 jane_doe.png"


@pytest.fixture
def written(monkeypatch):
    """Lines that are logged in the test, as JSON; afterwards logging is as it was."""
    root, names = logging.getLogger(), ("cxr", *logs.SERVER)
    before = (root.level, root.handlers[:], threading.excepthook, sys.unraisablehook)
    kept = {name: (logging.getLogger(name).level, logging.getLogger(name).handlers[:]) for name in names}
    for name in ("setup_formatter", "get_logger", "_loggers"):
        monkeypatch.setattr(streamlit.logger, name, getattr(streamlit.logger, name))
    stream = io.StringIO()
    with warnings.catch_warnings():
        logs.set_up("json", "info", stream)
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.setLevel(before[0])
    root.handlers[:], threading.excepthook, sys.unraisablehook = before[1:]
    for name, (level, handlers) in kept.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers


def fail():
    raise ValueError(MARKED)


def test_an_event_is_one_line_with_time_level_and_fields(written):
    logging.getLogger("cxr.test").warning("Film %d\nfailed", 7, extra={logs.FIELDS: {"films": 3}})
    (line,) = written()
    assert line["event"] == "Film 7\nfailed" and line["level"] == "warning" and line["logger"] == "cxr.test"
    assert line["films"] == 3 and line["time"].endswith("+00:00") and line["where"].startswith("test_logs:")


def test_what_other_libraries_say_is_withheld_and_where_they_say_it_is_not(written):
    for name in ("pydicom", "PIL.PngImagePlugin", "uvicorn.error", "uvicorn", "streamlit.web.server"):
        logging.getLogger(name).error("Invalid value %r", MARKED)
        logging.getLogger(name).error(f"Invalid value {MARKED}")
    streamlit.logger.get_logger("streamlit.new.one").error("Uncaught app execution %s", MARKED)
    warnings.warn(f"The value {MARKED} is not valid for VR DA", UserWarning, stacklevel=1)
    lines = written()
    assert len(lines) == 12
    assert {line["event"] for line in lines} == {logs.WITHHELD}
    assert "test_logs:" in lines[0]["where"]
    assert "Doe" not in json.dumps(lines)


def test_of_an_error_its_class_and_its_place_in_the_code_are_kept(written):
    for name in ("cxr.test", "streamlit.error_util"):
        try:
            fail()
        except ValueError:
            logging.getLogger(name).exception("It failed")
    own, foreign = written()
    assert own["event"] == "It failed" and foreign["event"] == logs.WITHHELD
    for line in (own, foreign):
        assert line["error"] == "ValueError"
        assert line["trace"][-1].startswith("test_logs.py:") and line["trace"][-1].endswith(" fail")
        assert "Doe" not in json.dumps(line)


def test_a_thread_that_fails_says_only_how(written, capsys):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert written()[0]["event"] == "A thread ended by an error of the program: ValueError"
    assert "Doe" not in "".join(capsys.readouterr())


def test_an_error_that_nothing_catches_says_only_how_and_where(written, capsys):
    class Film:
        def __del__(self):
            fail()

        def __repr__(self):
            return MARKED

    Film()
    # As C code does that has lost the words and the place.
    sys.unraisablehook(
        SimpleNamespace(exc_type=KeyError, exc_value=None, exc_traceback=None, err_msg=MARKED, object=Film)
    )
    first, second, *_ = written()
    assert first["event"] == "An error of the program was raised where nothing catches it"
    assert first["error"] == "ValueError" and first["trace"][-1].endswith(" fail")
    assert (second["error"], second["trace"]) == ("KeyError", [])
    assert "Doe" not in json.dumps(written()) and "Doe" not in "".join(capsys.readouterr())


def test_requests_are_not_logged_and_the_start_of_the_server_is(written):
    logging.getLogger("uvicorn.access").info('"GET /worklist?study=3 HTTP/1.1" 200')
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 12)
    assert [line["event"] for line in written()] == ["Started server process [12]"]


def test_text_has_one_line_an_event():
    stream = io.StringIO()
    handler = logs._Handler(stream)
    handler.setFormatter(logs.TextLines())
    logger = logging.Logger("cxr.test")
    logger.addHandler(handler)
    try:
        fail()
    except ValueError:
        logger.exception("It\nfailed")
    assert stream.getvalue().count("\n") == 1
    assert "It failed (ValueError at " in stream.getvalue() and "Doe" not in stream.getvalue()


def test_a_line_of_a_replaced_streamlit_logger_comes_once(written):
    logger = streamlit.logger.get_logger("streamlit.another")
    assert not [handler for handler in logger.handlers if handler.__class__ is logging.StreamHandler]
    logger.error("x")
    assert len(written()) == 1
    assert sys.modules["streamlit.logger"].get_logger("streamlit.another") is logger
