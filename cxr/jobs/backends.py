"""Which backends there are."""

from collections.abc import Callable
from typing import Final

from cxr.jobs.backend import Backend
from cxr.jobs.local import LocalBackend
from cxr.jobs.ray_backend import RayBackend
from cxr.jobs.spec import JobRefused

BACKENDS: Final[dict[str, Callable[[], Backend]]] = {"local": LocalBackend, "ray": RayBackend}


def backend(name: str) -> Backend:
    """The backend of a specification. Raises `JobRefused` if it is not available here."""
    if name not in BACKENDS:
        raise JobRefused(f"The backend {name} is not available here; there are: {', '.join(BACKENDS)}.")
    return BACKENDS[name]()
