"""What stands before Streamlit's server, in front of an app that answers everything."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from logged_in import ROLES, SECRET, claims, cookie
from starlette.types import Message, Receive, Scope, Send
from streamlit import config

from cxr.settings import settings
from cxr.ui import login as login_module
from cxr.ui.guard import Guard
from cxr.ui.headers import HEADERS
from cxr.ui.login import Login

LOCAL, PUBLIC = "http://127.0.0.1:8501", "https://cxr.hospital.test"
HERE = ("127.0.0.1", 40000)


@pytest.fixture(autouse=True)
def _hosts(monkeypatch: pytest.MonkeyPatch, changed_settings: pytest.MonkeyPatch) -> Iterator[None]:
    options = {"server.allowedHosts": ["localhost", "127.0.0.1", "::1", "cxr.hospital.test"]}
    true = config.get_option
    monkeypatch.setattr(config, "get_option", lambda name: options.get(name, true(name)))
    monkeypatch.setattr(login_module, "get_cookie_secret", lambda: SECRET)
    for name, value in ROLES.items():
        changed_settings.setenv(name, value)
    settings.cache_clear()
    login_module._ended.clear()
    yield
    login_module._ended.clear()


class Behind:
    """The app behind the guard: sets two cookies on every answer, and keeps what reached it."""

    def __init__(self, fails: bool = False) -> None:
        self.scopes: list[Scope] = []
        self.received: list[Message] = []
        self._fails = fails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if self._fails:
            raise RuntimeError("broken")
        if scope["type"] == "websocket":
            while not self.received or self.received[-1]["type"] != "websocket.disconnect":
                self.received.append(await receive())
            return
        cookies = [(b"set-cookie", b"a=1; path=/"), (b"set-cookie", b"b=2; Secure")]
        await send({"type": "http.response.start", "status": 200, "headers": cookies})
        await send({"type": "http.response.body", "body": b"behind"})


def asked(path: str = "/", *, kind: str = "http", client: Any = HERE, server: Any = HERE, **headers: str) -> Scope:
    sent = {"host": "127.0.0.1:8501"} | {name.lower().replace("_", "-"): value for name, value in headers.items()}
    return {
        "type": kind, "path": path, "method": "GET", "query_string": b"", "scheme": "http", "client": client,
        "server": server, "headers": [(n.encode(), v.encode("latin-1")) for n, v in sent.items() if v],
        "subprotocols": [one.strip() for one in sent.get("sec-websocket-protocol", "").split(",")],
    }  # fmt: skip


def answer(scope: Scope, login: Login | None = None, app: Behind | None = None) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of what comes back."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app or Behind(), login)(scope, receive, send))
    headers: dict[str, str] = {}
    for name, value in sent[0]["headers"]:
        headers[name.decode()] = "\n".join(filter(None, (headers.get(name.decode()), value.decode())))
    return sent[0]["status"], headers, b"".join(one["body"] for one in sent[1:]).decode()


def spoken(
    scope: Scope, messages: list[Message | float], login: Login | None = None, begun: Any = None
) -> tuple[Behind, list[Message]]:  # fmt: skip
    """What reaches an app of a websocket's messages (a number: a pause of so many seconds), and what it is sent."""
    app, sent, waiting = Behind(), [], list(messages)

    async def receive() -> Message:
        while waiting:
            one = waiting.pop(0)
            if isinstance(one, dict):
                if one.get("text") == "now" and begun:
                    begun()
                return one
            await asyncio.sleep(one)
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, login)(scope, receive, send))
    return app, sent


WEB = Login("cxr.hospital.test", https=True)
LOOPBACK = Login("127.0.0.1", https=False)
MESSAGE: Message = {"type": "websocket.receive", "bytes": b"x"}


@pytest.mark.parametrize("login", [None, LOOPBACK])
@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:8501", "127.0.0.1.evil.test", "127.0.0.1@evil.test", "", "127.0.0.1:x"]
)
def test_another_host_name_is_refused_so_that_rebinding_dns_leads_nowhere(host: str, login: Login | None):
    app = Behind()
    assert answer(asked(host=host), login, app)[0] == 400
    _, sent = spoken(asked("/_stcore/stream", kind="websocket", host=host), [MESSAGE], login)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert not app.scopes


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:1", "[::1]:8501", "LOCALHOST"])
def test_the_machines_own_names_are_answered(host: str):
    assert answer(asked(host=host))[0] == 200


@pytest.mark.parametrize("login", [None, LOOPBACK])
@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://127.0.0.1:9999", "http://localhost:8501", "http://["]
)
def test_another_origin_is_refused_and_nothing_is_looked_up_for_it(origin: str, login: Login | None):
    app = Behind()
    assert answer(asked("/_stcore/health", origin=origin), login, app)[0] == 403
    behind, sent = spoken(asked("/_stcore/stream", kind="websocket", origin=origin), [MESSAGE], login)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert not app.scopes
    assert not behind.scopes


def test_the_own_origin_is_answered():
    assert answer(asked(origin=LOCAL))[0] == 200
    assert spoken(asked("/_stcore/stream", kind="websocket", origin=LOCAL), [MESSAGE])[0].received[0] == MESSAGE


@pytest.mark.parametrize("header", ["Forwarded", "X_Forwarded_For", "X_Forwarded_Host", "X_Real_IP", "Via"])
def test_without_login_nothing_that_came_through_a_proxy_is_answered(header: str):
    status, _, text = answer(asked(**{header: "10.0.0.7"}))
    assert status == 403
    assert "came through a proxy" in text
    assert not spoken(asked(kind="websocket", **{header: "10.0.0.7"}), [MESSAGE])[0].scopes
    assert answer(asked(**{header: "10.0.0.7"}), LOOPBACK)[0] == 200


@pytest.mark.parametrize("ends", [{"client": ("10.0.0.7", 1)}, {"server": ("10.0.0.7", 1)}, {"client": None}])
def test_without_login_no_other_machine_is_answered_however_the_server_was_started(ends: dict[str, Any]):
    assert answer(asked(**ends))[0] == 403
    assert answer(asked(**ends), LOOPBACK)[0] == 200


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/agent/interact", "/_stcore/agent/openapi.json"])
def test_what_streamlits_server_would_say_of_the_app_is_closed(path: str):
    assert answer(asked(path))[0] == 404
    assert answer(asked(path, cookie=f"_streamlit_user={cookie(claims('administrator'), LOCAL)}"), LOOPBACK)[0] == 404


def test_measures_do_not_go_out_through_a_proxy():
    assert answer(asked("/metrics"), LOOPBACK)[0] == 200
    assert answer(asked("/metrics", x_forwarded_for="10.0.0.7"), LOOPBACK)[0] == 404


DATA = ["/media/0123.png", "/_stcore/upload_file/session/file", "/component/x/y.js", "/_stcore/bidi-components/v/x.js"]


@pytest.mark.parametrize("path", DATA)
def test_films_and_uploads_want_a_login_with_a_role(path: str):
    assert answer(asked(path))[0] == 200, "without a login this machine is asking"
    for subject, status in (("viewer", 200), ("nobody", 401)):
        assert answer(asked(path, cookie=f"_streamlit_user={cookie(claims(subject), LOCAL)}"), LOOPBACK)[0] == status
    forged = cookie(claims("administrator"), LOCAL, "another secret, as long as the real")
    old = cookie(claims("administrator", age=13 * 3600), LOCAL)
    for value in ("", forged, old, "x"):
        assert answer(asked(path, cookie=f"_streamlit_user={value}"), LOOPBACK)[0] == 401


@pytest.mark.parametrize("path", ["/", "/admin", "/_stcore/health", "/_stcore/host-config", "/static/js/x.js"])
def test_what_the_login_page_needs_comes_without_one(path: str):
    assert answer(asked(path), LOOPBACK)[0] == 200


@pytest.mark.parametrize(
    ("scope", "status"), [(asked(), 200), (asked(host="evil.test"), 400), (asked("/_stcore/metrics"), 404)]
)
def test_every_answer_has_the_security_headers(scope: Scope, status: int):
    got, headers, _ = answer(scope)
    assert got == status
    assert headers | HEADERS == headers
    assert "strict-transport-security" not in headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert "*" not in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]


def test_a_failure_has_them_too_and_says_nothing():
    with pytest.raises(RuntimeError):
        answer(asked(), app=Behind(fails=True))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(Guard(Behind(fails=True), None)(asked(), lambda: None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500
    assert {name.encode() for name in HEADERS} <= {name for name, _ in sent[0]["headers"]}
    assert sent[1]["body"] == b"Something went wrong."


def test_behind_tls_browsers_keep_to_it_and_cookies_too():
    _, headers, _ = answer(asked(host="cxr.hospital.test"), WEB)
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["set-cookie"] == "a=1; path=/; Secure\nb=2; Secure"
    assert answer(asked())[1]["set-cookie"] == "a=1; path=/\nb=2; Secure"


def test_films_and_reports_stay_in_no_cache():
    assert answer(asked("/media/0123.png"))[1]["cache-control"] == "no-store"


def stream(said: dict[str, Any] | None, **headers: str) -> Scope:
    given = {} if said is None else {"cookie": f"_streamlit_user={cookie(said, LOCAL)}"}
    protocols = "streamlit, token, an-earlier-session"
    return asked("/_stcore/stream", kind="websocket", sec_websocket_protocol=protocols, **given, **headers)


def test_a_websocket_hears_nothing_more_once_its_login_is_over():
    # 0.4 seconds of it are left.
    scope = stream(claims("reader", age=12 * 3600 - 0.4))
    behind, sent = spoken(scope, [MESSAGE, 5.0, MESSAGE], LOOPBACK)
    assert [one["type"] for one in behind.received] == ["websocket.receive", "websocket.disconnect"]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_websocket_of_a_login_that_lasts_is_let_be():
    behind, sent = spoken(stream(claims("reader")), [MESSAGE, 0.1, MESSAGE], LOOPBACK)
    assert [one["type"] for one in behind.received] == ["websocket.receive"] * 2 + ["websocket.disconnect"]
    assert not sent
    assert behind.scopes[0]["subprotocols"] == ["streamlit", "token", "an-earlier-session"]


def test_a_logout_ends_the_other_tabs_too_and_the_cookie_is_of_no_more_use():
    said = claims("reader")
    logout = asked("/auth/logout", cookie=f"_streamlit_user={cookie(said, LOCAL)}")

    def log_out() -> None:
        login_module.end(said)

    behind, sent = spoken(stream(said), [MESSAGE, MESSAGE | {"text": "now"}, MESSAGE], LOOPBACK, log_out)
    assert [one["type"] for one in behind.received] == ["websocket.receive", "websocket.disconnect"]
    assert sent == [{"type": "websocket.close", "code": 1008}]
    login_module._ended.clear()
    assert answer(asked(DATA[0], cookie=f"_streamlit_user={cookie(said, LOCAL)}"), LOOPBACK)[0] == 200
    assert answer(logout, LOOPBACK)[0] == 200
    assert answer(asked(DATA[0], cookie=f"_streamlit_user={cookie(said, LOCAL)}"), LOOPBACK)[0] == 401
    assert answer(asked(DATA[0], cookie=f"_streamlit_user={cookie(claims('viewer'), LOCAL)}"), LOOPBACK)[0] == 200


@pytest.mark.parametrize("said", [None, claims("reader", age=13 * 3600), claims("reader") | {"sub": ""}])
def test_without_a_login_that_counts_no_earlier_session_is_gone_on_with(said: dict[str, Any] | None):
    behind, _ = spoken(stream(said), [MESSAGE], LOOPBACK)
    assert behind.scopes[0]["subprotocols"] == ["streamlit", "token"]
    assert dict(behind.scopes[0]["headers"])[b"sec-websocket-protocol"] == b"streamlit, token"


def test_ended_logins_are_forgotten_when_they_would_be_over_anyway():
    login_module.end(claims("reader", age=12 * 3600 + 1))
    assert not login_module.ended()
    login_module.end(claims("reader"))
    assert len(login_module.ended()) == 1
    assert all(one.issued <= time.time() for one in login_module.ended())
