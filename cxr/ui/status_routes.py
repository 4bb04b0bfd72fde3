"""What the app answers to an operator's programs: `/healthz`, and `/metrics` where the settings say so.

Who asks from elsewhere learns of `/healthz` whether the app does its work, and nothing else: which check fails is for
this machine alone, and what it says for the log and for `python -m cxr health`. Behind a proxy nobody counts as this
machine.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr.health import Health, health
from cxr.metrics import exposition, http_error
from cxr.settings import settings
from cxr.ui.addresses import FORWARDED, only_this_machine

_log = logging.getLogger(__name__)
_last: set[str] = set()
_OWN: Final = ThreadPoolExecutor(2, "status")
"""Threads of the answers alone: those that the event loop lends to everybody may all be at other work, and then a busy
app would look like a dead one."""


def routes() -> list[Route]:
    """The routes; `/metrics` is one of them only where something is counted."""
    found = [Route("/healthz", _healthz, methods=["GET"])]
    return [*found, Route("/metrics", _metrics, methods=["GET"])] if settings().metrics else found


async def _healthz(request: Request) -> Response:
    found = await _looked()
    _tell(found)
    body: dict[str, object] = {"status": "ok" if found.healthy else "failing"}
    if _on_this_machine(request):
        body["checks"] = {check.name: check.holds for check in found.checks}
    return JSONResponse(body, 200 if found.healthy else 503, headers={"Cache-Control": "no-store"})


async def _looked() -> Health:
    return await asyncio.get_running_loop().run_in_executor(_OWN, health)


def _tell(found: Health) -> None:
    """A check that begins to fail, or holds again, is a line of the log; one that goes on to is not."""
    failing = {check.name for check in found.checks if not check.holds}
    for check in found.checks:
        if check.name in failing - _last:
            _log.error("Health: %s fails. %s", check.name, check.said)
        elif check.name in _last - failing:
            _log.info("Health: %s holds again.", check.name)
    _last.clear()
    _last.update(failing)


async def _metrics(request: Request) -> Response:
    if not _may_see(request):
        return PlainTextResponse("There is nothing here.", 404)
    found = await _looked()
    numbers = [*found.numbers.items(), ("healthy", float(found.healthy))]
    text, kind = exposition(numbers, found.model)
    return Response(text, media_type=kind, headers={"Cache-Control": "no-store"})


def _may_see(request: Request) -> bool:
    token = settings().metrics_token
    if token is None:
        return _on_this_machine(request)
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token.get_secret_value()}".encode())


def _on_this_machine(request: Request) -> bool:
    """Whether it was asked from this machine, and not by a proxy on it for somebody else."""
    return (
        request.client is not None and only_this_machine(request.client.host) and not FORWARDED & set(request.headers)
    )


class Counted:
    """Middleware that counts answers with an error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, and look at the status of its answer."""
        watched = _watched(send) if scope["type"] == "http" else send
        await self._app(scope, receive, watched)


def _watched(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            http_error(message["status"])
        await send(message)

    return sent
