"""What stands before Streamlit's own server: refuses what no page of this app asks for, and ends logins on time."""

import asyncio
import time
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from cxr.ui.addresses import FORWARDED, only_this_machine
from cxr.ui.headers import HEADERS, TLS_HEADERS
from cxr.ui.identity import Person, ends, person_of
from cxr.ui.login import Login, claims_of, end, ended
from cxr.ui.who import behind_a_proxy, on_another_address

CLOSED: Final = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/script-health-check")
"""What Streamlit's server could say of the app to anybody; nobody needs it here."""
BEFORE_LOGIN: Final = ("/_stcore/health", "/_stcore/host-config", "/_stcore/stream")
"""What the login page needs of Streamlit's own."""
BEHIND_LOGIN: Final = ("/_stcore/", "/media/", "/component/")
MEASURES: Final = "/metrics"
PROTOCOL: Final = "sec-websocket-protocol"
NO_LONGER: Final = 1008
"""Policy violation: how a websocket is closed whose login is over (RFC 6455, 7.4.1)."""


class Guard:
    """Middleware around Streamlit.

    Args:
        app: what it stands before.
        login: how people log in; None: there is no login, and only this machine is answered.
    """

    def __init__(self, app: ASGIApp, login: Login | None) -> None:
        self._app = app
        self._login = login
        self._headers = HEADERS | (TLS_HEADERS if login is not None and login.https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": NO_LONGER})
            elif self._login is None:
                await self._app(scope, receive, send)
            else:
                await _while_logged_in(self._app, scope, receive, send)
            return
        await self._answer(scope, receive, send, refusal)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, refusal: tuple[int, str] | None) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._mark(MutableHeaders(scope=message), _path(scope))
            await send(message)

        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, sent)
            return
        if self._login is not None and _path(scope) == "/auth/logout":
            end(claims_of(HTTPConnection(scope).cookies))
        try:
            await self._app(scope, receive, sent)
        except Exception:
            # The server writes it to its log; its own answer would come without these headers.
            if not begun:
                await PlainTextResponse("Something went wrong.", 500)(scope, receive, sent)
            raise

    def _mark(self, headers: MutableHeaders, path: str) -> None:
        """Put the security headers on an answer."""
        for name, value in self._headers.items():
            headers[name] = value
        if path.startswith("/media/"):
            # Films and reports stay in no browser's cache.
            headers["cache-control"] = "no-store"
        if self._login is not None and self._login.https:
            cookies = headers.getlist("set-cookie")
            del headers["set-cookie"]
            for cookie in cookies:
                headers.append("set-cookie", cookie if "; secure" in cookie.lower() else f"{cookie}; Secure")

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request gets no answer, with the HTTP status; None: it gets one."""
        headers = Headers(scope=scope)
        host, origin, path = headers.get("host"), headers.get("origin"), _path(scope)
        forwarded = FORWARDED & set(headers)
        if not is_host_allowed(host):
            return 400, "This app is not reached under this name; server.allowedHosts says under which it is."
        if origin is not None and _netloc(origin) != host:
            # Streamlit itself would ask a server on the internet for the machine's address, to see if this is it.
            return 403, "Requests of other sites' pages are not answered."
        if self._login is None:
            if forwarded:
                return 403, behind_a_proxy(forwarded)
            for end_of_it in (scope.get("server"), scope.get("client")):
                if end_of_it is None or not only_this_machine(str(end_of_it[0])):
                    return 403, on_another_address(str(end_of_it[0]) if end_of_it else "")
        elif path.startswith(BEHIND_LOGIN) and path not in BEFORE_LOGIN and _person(scope).role is None:
            return 401, "Log in first."
        if path.startswith(CLOSED) or (path == MEASURES and forwarded):
            return 404, "There is nothing here."
        return None


def _netloc(origin: str) -> str | None:
    """Host and port of an origin; None where it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _path(scope: Scope) -> str:
    """Path of a request, without that under which the whole app is served."""
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    path = str(scope["path"])
    return path.removeprefix(f"/{base}") if base else path


def _person(scope: Scope) -> Person:
    return person_of(claims_of(HTTPConnection(scope).cookies), time.time(), ended())


async def _while_logged_in(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """A websocket hears nothing more once its login is over; without one it reaches the login page in a new session."""
    login = _person(scope).login
    if login is None:
        await app(_without_session(scope), receive, send)
        return

    over = False

    async def received() -> Message:
        nonlocal over
        try:
            message = await asyncio.wait_for(receive(), ends(login) - time.time())
        except TimeoutError:
            over = True
        else:
            over = message["type"] == "websocket.receive" and login in ended()
        return {"type": "websocket.disconnect", "code": NO_LONGER} if over else message

    await app(scope, received, send)
    if over:
        await send({"type": "websocket.close", "code": NO_LONGER})


def _without_session(scope: Scope) -> Scope:
    """The request, without the third of Streamlit's subprotocols: the session that is to be gone on with."""
    headers = [
        (name, b",".join(value.split(b",")[:2]) if name == PROTOCOL.encode() else value)
        for name, value in scope["headers"]
    ]
    protocols = list(scope.get("subprotocols", ()))[:2]
    return {**scope, "headers": headers, "subprotocols": protocols}
