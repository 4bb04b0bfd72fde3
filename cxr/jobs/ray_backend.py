"""Jobs as jobs of a Ray cluster, whose nodes see the runs, the models and the data under the same paths as the app.

The cluster is the queue. It never starts a job a second time by itself: a job whose node has died is interrupted, and
resuming it is a new submission, whose name is the job's handle. A worker with another handle than the one in the job's
state does not begin, or ends itself (`cxr.jobs.worker`, `cxr.jobs.stop`), so that a node that was thought dead and
comes back does no harm, even where locks don't reach from node to node.
"""

import os
import platform
import re
import shlex
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from cxr.jobs.backend import Stopped
from cxr.jobs.cluster import FAILED, MISSING, PENDING, RUNNING, STOPPED, Cluster, Needs, NoAnswer, Submission, cluster
from cxr.jobs.folder import LOG_FILE, RUN_LOCK, StoredJob, now, stop_request
from cxr.jobs.local import ALLOCATION, CPU, GPU
from cxr.jobs.progress import read_live
from cxr.jobs.spec import JobRefused, JobSpec
from cxr.lock import held
from cxr.settings import ROOT, settings

COMMAND: Final = ("-m", "cxr", "finetune", "--run")
HANDLE: Final = "CXR_RAY_SUBMISSION"
"""Variable that tells a worker its handle."""
NO_FOLDER, NO_PYTHON = 73, 74
"""Exit codes of the entrypoint."""
LOST_AFTER: Final = timedelta(hours=1)
"""A job that says nothing for so long, of a cluster that can't be asked, may be gone on with. That is far beyond any
hiccup of a network, and more than the clocks of two machines differ."""


class RayBackend:
    """See `Backend`.

    Args:
        command: what Python is to run on the node; the job's folder is appended.
    """

    def __init__(self, command: Sequence[str] = COMMAND):
        self.command = tuple(command)

    def problem(self, spec: JobSpec) -> str | None:
        """See `Backend.problem`. Nodes that the cluster would only add when they are needed count, so none is looked
        for."""
        try:
            cluster().check()
        except NoAnswer as error:
            return str(error)
        return None

    def launch(self, job: StoredJob) -> str:
        """See `Backend.launch`. Raises `JobRefused` if the cluster does not take it."""
        name = f"cxr-{job.id.partition('-')[0]}-{uuid.uuid4().hex[:12]}"
        try:
            cluster().submit(name, self._entrypoint(job, name), needs_of(job.spec), {"job": job.id})
        except NoAnswer as error:
            # Should the cluster have taken it all the same, its worker finds a handle that is not its own.
            raise JobRefused(str(error)) from error
        return name

    def own_handle(self) -> str:
        """See `Backend.own_handle`. Raises `JobRefused` in a process that no cluster started."""
        name = os.environ.get(HANDLE)
        if not name:
            raise JobRefused("This job is for the Ray cluster, which starts its process; resume it instead.")
        return name

    def dead(self, job: StoredJob, handle: str) -> str | None:
        """See `Backend.dead`. A cluster that can't be asked is no reason."""
        if held(job.folder / RUN_LOCK):
            return None
        try:
            where = cluster()
            found = where.look(handle)
        except NoAnswer as error:
            return _lost(job, error)
        if found.status == PENDING:
            # The cluster can't withdraw it; once it is started, it ends itself at once.
            return "It was withdrawn before the cluster began it." if stop_request(job.folder) is not None else None
        return None if found.status == RUNNING else _why(job, found, where)

    def remark(self, job: StoredJob, handle: str) -> str | None:
        """See `Backend.remark`."""
        if held(job.folder / RUN_LOCK):
            return None
        try:
            found = cluster().look(handle)
        except NoAnswer as error:
            return str(error)
        if found.status != PENDING:
            return None
        needs = str(needs_of(job.spec))
        return f"It waits until a node of the cluster has this free: {needs}." if needs else "It waits for the cluster."

    def log(self, job: StoredJob, handle: str) -> str:
        """See `Backend.log`."""
        try:
            return cluster().log(handle)
        except NoAnswer as error:
            return str(error)

    def stop(self, job: StoredJob, handle: str) -> None:
        """See `Backend.stop`. Ray would kill the process 3 seconds later, so its stop file has to be enough."""

    def kill(self, job: StoredJob, handle: str) -> None:
        """See `Backend.kill`. It takes a few seconds, and does not happen while the cluster can't be reached."""
        try:
            cluster().stop(handle)
        except NoAnswer:
            return

    @contextmanager
    def turn(self, job: StoredJob, should_stop: Callable[[], bool]) -> Iterator[str]:
        """See `Backend.turn`. The cluster starts the process when its turn has come."""
        if should_stop():
            raise Stopped("It was stopped before it began.")
        # The cluster sets it to the GPUs that it gives, and so does the entrypoint where there are to be none.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "-1").partition("-1")[0]
        devices = [f"{GPU}{number}" for number, _ in enumerate(filter(None, visible.split(",")))]
        yield f"{', '.join(devices) or CPU} of {platform.node()}"

    def ahead(self, job: StoredJob) -> int | None:
        """See `Backend.ahead`. The cluster may have other users, and takes what fits first."""
        return None

    def _entrypoint(self, job: StoredJob, name: str) -> str:
        """The shell command that becomes the worker, and writes to the job's log."""
        folder = job.folder.absolute()
        python = _python()
        variables = {
            **ALLOCATION,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "PYTHONUNBUFFERED": "1",
            HANDLE: name,
            "CXR_RUNS_DIR": str(folder.parent),
            "CXR_MODELS_DIR": str(settings().models_dir.absolute()),
            "CXR_CACHE_DIR": str(settings().cache_dir.absolute()),
            "CXR_JOB_GRACE_SECONDS": str(settings().job_grace_seconds),
        }
        if "KERAS_BACKEND" in os.environ:
            variables["KERAS_BACKEND"] = os.environ["KERAS_BACKEND"]
        if not gpus_of(job.spec):
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        words = ["env", *(f"{key}={value}" for key, value in variables.items()), python, *self.command, str(folder)]
        return (
            f"command -v {shlex.quote(python)} >/dev/null || exit {NO_PYTHON}; "
            f"[ -w {shlex.quote(str(folder))} ] || exit {NO_FOLDER}; "
            f"exec >>{shlex.quote(str(folder / LOG_FILE))} 2>&1; "
            # Where the nodes have the project at another path, it is installed there.
            f'export PYTHONPATH={shlex.quote(str(ROOT))}"${{PYTHONPATH:+:$PYTHONPATH}}"; '
            f"exec {shlex.join(words)}"
        )


def gpus_of(spec: JobSpec) -> int:
    """How many GPUs a job asks the cluster for; which ones is the cluster's choice."""
    if spec.devices == "auto":
        return settings().ray_gpus
    return sum(device != CPU for device in set(spec.devices.split(",")))


def needs_of(spec: JobSpec) -> Needs:
    """What a job asks the cluster for."""
    return Needs(settings().ray_cpus, gpus_of(spec), settings().ray_resources)


def _lost(job: StoredJob, error: NoAnswer) -> str | None:
    """Why a job of a cluster that can't be asked is given up; None as long as it may well be alive."""
    live = read_live(job.folder)
    heard = [event.time for event in job.state.events[-1:]] if job.state is not None else []
    if live is not None:
        heard.append(live.time)
    if heard and now() - max(heard) < LOST_AFTER:
        return None
    hours = LOST_AFTER.total_seconds() / 3600
    return f"It has said nothing for {hours:g} hour. {error}"


def _why(job: StoredJob, found: Submission, where: Cluster) -> str:
    """Why a job of the cluster is no more."""
    if found.status == MISSING:
        return f"The Ray cluster {where.address} does not know it any more, as after a restart of the cluster."
    if found.status == STOPPED:
        return "Somebody stopped it in the Ray cluster."
    if found.error == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT":
        return (
            "No node had room for it before the cluster gave up; resume it, or start the cluster's head with a larger "
            "RAY_JOB_START_TIMEOUT_SECONDS."
        )
    if "node has died" in found.message:
        return "Its node of the Ray cluster died."
    if said := re.search(r"exit code (-?\d+)", found.message):
        return _of_exit(job, int(said[1]))
    if found.status == FAILED:
        first = found.message.partition("\n")[0]
        return f"The Ray cluster ended it: {first.rstrip('.')}."
    return "Its process ended without a word."


def _of_exit(job: StoredJob, code: int) -> str:
    """What an exit code of the entrypoint, which may be the worker's, says of how it ended."""
    if code == NO_FOLDER:
        return (
            f"The folder {job.folder} is not there on the node, or can't be written to; CXR_RUNS_DIR has to lie on "
            "storage that the app and all nodes share."
        )
    if code == NO_PYTHON:
        return f"There is no {_python()} on the node; set CXR_RAY_PYTHON to its Python."
    if code in (-9, 137):
        return "Its process was killed on its node, as for lack of memory."
    return f"Its process ended with the exit code {code}; its log may say why."


def _python() -> str:
    return settings().ray_python or sys.executable
