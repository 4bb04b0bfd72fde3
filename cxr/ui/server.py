"""How the app is served: refused where it must not be, behind its guard, with its routes for the operator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pkgutil import walk_packages

from pydantic import ValidationError
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from streamlit import config
from streamlit.web.server.server_util import get_url

import cxr.ui
from cxr.heap import spare_what_is_there
from cxr.logs import set_up
from cxr.settings import settings
from cxr.ui import status_routes
from cxr.ui.addresses import only_this_machine
from cxr.ui.guard import Guard
from cxr.ui.login import BadLogin, Login, login
from cxr.ui.status_routes import Counted
from cxr.ui.who import on_another_address
from cxr.ui.worklist.background import keep_working


def check_start() -> None:
    """End the process with one sentence where the app must not be served as it was started."""
    if (why := why_not()) is not None:
        raise SystemExit(f"Not started. {why}")


def why_not() -> str | None:
    """Why the app must not be served as it was started, in one sentence; None: it may be."""
    try:
        settings()
        way = login()
    except BadLogin as error:
        return str(error)
    except ValidationError as error:
        # Not in pydantic's own words, which repeat what was set: it may be a password.
        return "; ".join(f"Setting {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()) + "."
    address = str(config.get_option("server.address") or "")
    if way is None and not only_this_machine(address):
        return on_another_address(address)
    return _why_not_these_options(way)


def _why_not_these_options(way: Login | None) -> str | None:
    hosts = [str(host).strip().lower() for host in config.get_option("server.allowedHosts")]
    if not hosts or "*" in hosts:
        return "server.allowedHosts has to name the hosts under which the app is reached, one by one."
    if way is not None and way.host.lower() not in hosts:
        return (
            f"People reach the app at {way.host}, as redirect_uri says, but server.allowedHosts does not name it: "
            f"start with --server.allowedHosts {way.host}."
        )
    if not config.get_option("server.enableCORS") or not config.get_option("server.enableXsrfProtection"):
        return "server.enableCORS and server.enableXsrfProtection have to stay on."
    if config.get_option("server.trustedUserHeaders"):
        return "server.trustedUserHeaders has to stay empty: whoever writes such a header would be believed."
    return None


def middleware() -> list[Middleware]:
    """What stands before Streamlit's own server."""
    return [Middleware(Counted), Middleware(Guard, login=login())]


def routes() -> list[BaseRoute]:
    """What is answered beside the pages."""
    return [*status_routes.routes()]


def load_pages() -> None:
    """Load what the pages consist of before the first is opened, and spare it from searches for garbage."""
    for module in walk_packages(cxr.ui.__path__, f"{cxr.ui.__name__}."):
        import_module(module.name)
    spare_what_is_there()


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    """Begin with the worklist's work, which waits for no page, and say where the app is, once it is served.

    Streamlit's own welcome asks a server on the internet for that.
    """
    # Not before: the server has given its loggers consoles of their own by now.
    set_up(settings().log_format, settings().log_level)
    await asyncio.to_thread(load_pages)
    await asyncio.to_thread(keep_working)
    address = str(config.get_option("server.address") or "localhost")
    print(f"CXR Triage: {get_url(f'[{address}]' if ':' in address else address)}", flush=True)
    yield
