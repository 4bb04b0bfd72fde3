"""Health: each check fails where its part of the work does, and asking can't overload anything."""

import asyncio
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from cxr import health as module
from cxr.cli import main
from cxr.health import LOOKS, Monitor, Unwell
from cxr.settings import settings
from cxr.ui import status_routes
from cxr.worklist import database as databases


@pytest.fixture
def place(changed_settings, tmp_path):
    """An empty worklist of its own."""
    changed_settings.setenv("CXR_WORKLIST_DIR", str(tmp_path / "worklist"))
    changed_settings.delenv("CXR_DATABASE_URL", raising=False)
    settings.cache_clear()
    yield changed_settings
    module._monitors.clear()
    for found in databases._opened.values():
        found.dispose()
    databases._opened.clear()


def failing(looks=LOOKS, seconds=60.0):
    found = Monitor(looks, wait_seconds=seconds).health()
    return {check.name: check.said for check in found.checks if not check.holds}


def test_a_sound_machine_is_well_and_the_command_says_so(place, capsys):
    assert failing() == {}
    assert main(["health"]) == 0
    assert "ok  model: The model default is loaded" in capsys.readouterr().out


def test_a_broken_model_is_named(place, tmp_path, monkeypatch):
    # Pages that were opened before in this process have begun to score in it.
    monkeypatch.setattr(module, "scoring_here", lambda: None)
    assert failing({"model": LOOKS["model"]}) == {}
    models = shutil.copytree(settings().models_dir, tmp_path / "models", ignore=shutil.ignore_patterns("backbones"))
    (models / "default" / "model.onnx").write_bytes(b"x")
    place.setenv("CXR_MODELS_DIR", str(models))
    settings.cache_clear()
    # Another engine: one that runs goes on with what it has loaded.
    assert failing({"model": LOOKS["model"]}) == {}
    monkeypatch.setattr(module, "_OWN", module.ServingEngine())
    monitor = Monitor({"model": LOOKS["model"]})
    assert "was changed: model.onnx" in monitor.health().checks[0].said
    assert monitor.health().model is None


def test_a_database_that_cannot_be_written_is_named(place):
    databases.database()
    found = {"database": LOOKS["database"]}
    assert failing(found) == {}
    with databases.database().writing() as session:
        before = session.connection().exec_driver_sql("SELECT version_num FROM alembic_version").one()
    databases.database().dispose()
    (settings().worklist_dir / databases.FILE).write_bytes(b"no database at all, but long enough to be looked at" * 99)
    assert "can't be used" in failing(found)["database"]
    assert before


def test_a_database_that_somebody_holds_is_named_in_time_and_not_asked_again(place):
    db = databases.database()
    release, held = threading.Event(), threading.Event()

    def hold():
        with db.writing() as session:
            session.connection()
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    monitor = Monitor({"database": LOOKS["database"]}, wait_seconds=0.3, good_seconds=0.0)
    start = time.monotonic()
    try:
        for _ in range(3):
            assert "no answer within 0.3 seconds" in monitor.health().checks[0].said
        assert time.monotonic() - start < 3
        assert sum(thread.name == "health-database" for thread in threading.enumerate()) == 1
    finally:
        release.set()
        holder.join()
    end = time.monotonic() + 10
    while not monitor.health().healthy:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_too_little_space_and_a_folder_that_is_none(place, tmp_path):
    place.setenv("CXR_LEAST_FREE_MEGABYTES", str(10**12))
    settings.cache_clear()
    assert "fewer than the" in failing({"disk": LOOKS["disk"]})["disk"]
    (tmp_path / "worklist").rmdir()
    (tmp_path / "worklist").write_bytes(b"")
    assert failing({"folder": LOOKS["folder"]}) == {"folder": "File exists."}


def test_decoders_that_do_not_decode_and_a_scorer_that_ended(monkeypatch):
    class Decoder:
        busy = False

        def read(self, data):
            raise module.UnreadableFilm("x")

    class Scorer:
        alive = False

    monkeypatch.setattr(module, "decoder", Decoder)
    monkeypatch.setattr(module, "scoring_here", Scorer)
    found = failing({name: LOOKS[name] for name in ("decoder", "scoring")})
    assert "do not" in found["decoder"] and "have ended" in found["scoring"]
    Decoder.busy = True
    assert failing({"decoder": LOOKS["decoder"]}) == {}


def test_asking_often_looks_once():
    asked = []
    monitor = Monitor({"one": lambda state: str(asked.append(1))})
    threads = [threading.Thread(target=monitor.health) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def unwell(state):
    raise Unwell("/secret/place is full")


@dataclass
class Answer:
    status: int = 0
    text: str = ""

    def json(self):
        return json.loads(self.text)


def asked(app, path, host, headers):
    """What an app answers to a request."""
    answer = Answer()
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "client": (host, 5000), "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        answer.status = message.get("status", answer.status)
        answer.text += message.get("body", b"").decode()

    asyncio.run(app(scope, receive, send))
    return answer


@pytest.fixture
def client(monkeypatch):
    """Asks the routes, from an address."""
    status_routes._last.clear()

    def ask(path, looks, host="127.0.0.1", **headers):
        monitor = Monitor(looks)
        monkeypatch.setattr(status_routes, "health", monitor.health)
        return asked(Starlette(routes=status_routes.routes()), path, host, headers)

    return ask


def test_strangers_learn_nothing_but_that_it_is_well_or_not(client, caplog):
    sound, ill = {"disk": lambda state: "fine"}, {"disk": unwell, "line": lambda state: "fine"}
    assert client("/healthz", sound).json() == {"status": "ok", "checks": {"disk": True}}
    own = client("/healthz", ill)
    assert own.status == 503 and own.json() == {"status": "failing", "checks": {"disk": False, "line": True}}
    for answer in (client("/healthz", ill, "10.0.0.7"), client("/healthz", ill, **{"X-Forwarded-For": "10.0.0.7"})):
        assert answer.status == 503 and answer.json() == {"status": "failing"}
    assert [r.getMessage() for r in caplog.records if "Health" in r.getMessage()] == [
        "Health: disk fails. /secret/place is full"
    ]


def test_a_busy_app_answers_still(monkeypatch):
    """Whatever else is at work in the threads that the event loop lends to everybody."""
    busy, done = threading.Event(), threading.Event()
    monkeypatch.setattr(status_routes, "health", Monitor({"disk": lambda state: "fine"}).health)

    async def asks():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))

        def work():
            busy.set()
            done.wait(20)

        other = loop.run_in_executor(None, work)
        while not busy.is_set():
            await asyncio.sleep(0.01)
        try:
            return await asyncio.wait_for(status_routes._healthz(Request({"type": "http", "headers": []})), 5)
        finally:
            done.set()
            await other

    assert asyncio.run(asks()).status_code == 200


def test_metrics_are_for_this_machine_or_for_who_has_the_token(client, changed_settings):
    looks = {"line": LOOKS["line"]}
    assert client("/metrics", looks).status == 404
    changed_settings.setenv("CXR_METRICS", "1")
    settings.cache_clear()
    assert "cxr_healthy 1.0" in client("/metrics", looks).text
    assert client("/metrics", looks, "10.0.0.7").status == 404
    assert client("/metrics", looks, **{"X-Forwarded-For": "10.0.0.7"}).status == 404
    changed_settings.setenv("CXR_METRICS_TOKEN", "s3cret")
    settings.cache_clear()
    assert client("/metrics", looks).status == 404
    assert client("/metrics", looks, "10.0.0.7", Authorization="Bearer s3cret").status == 200
    assert "s3cret" not in repr(settings())
