"""What another administrator's process does."""

import os
import sys
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier

from cxr import jobs
from cxr.jobs import actions
from cxr.jobs.backends import BACKENDS
from cxr.jobs.local import LocalBackend
from cxr.settings import settings


def prepared(environment: Mapping[str, str], worker: str) -> None:
    """Have the settings and the worker of the test."""
    os.environ.update(environment)
    settings.cache_clear()
    BACKENDS["local"] = lambda: LocalBackend((sys.executable, worker))
    actions.preflight = lambda spec: []


def act(environment: Mapping[str, str], worker: str, together: Barrier, given: tuple[str, ...]) -> str:
    """Start (a specification, a token) or resume (an id) at the same moment as others; returns the id, or why not."""
    prepared(environment, worker)
    together.wait(60)
    try:
        if len(given) == 2:
            return jobs.start(jobs.JobSpec.model_validate_json(given[0]), given[1]).id
        return jobs.resume(given[0], "Ada").id
    except jobs.JobRefused as error:
        return f"refused: {error}"


def start_and_stay(environment: Mapping[str, str], worker: str, spec: str) -> None:
    """Start a job and live on, as the app does."""
    prepared(environment, worker)
    jobs.start(jobs.JobSpec.model_validate_json(spec), "token")
    time.sleep(600)
