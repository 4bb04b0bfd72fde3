"""Jobs as processes of this machine, which outlive whoever started them. A file lock per device is the queue."""

import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Final

from cxr.jobs import machine
from cxr.jobs.backend import Stopped
from cxr.jobs.folder import LOG_FILE, RUN_LOCK, STATE_LOCK, StoredJob, stored_jobs
from cxr.jobs.process import Process, boot_id, process
from cxr.jobs.spec import JobSpec, State
from cxr.lock import Held, held, locked
from cxr.settings import ROOT, settings

COMMAND: Final = (sys.executable, "-m", "cxr", "finetune", "--run")
CPU: Final = "cpu"
GPU: Final = "gpu"
LOCKS: Final = ".locks"
LOOK_SECONDS: Final = 0.5
"""Between two looks of a job that waits for its turn."""
ALLOCATION: Final = {"MALLOC_MMAP_THRESHOLD_": "4294967295", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
"""Without these glibc gives each large array back to the system, and TensorFlow's time on a CPU goes to page faults."""


class LocalBackend:
    """See `Backend`.

    Args:
        command: what starts the worker; the job's folder is appended.
    """

    def __init__(self, command: Sequence[str] = COMMAND):
        self.command = tuple(command)

    def problem(self, spec: JobSpec) -> str | None:
        """See `Backend.problem`."""
        try:
            boot_id()
        except OSError:
            return "Jobs need Linux, which tells one process from another; `python -m cxr finetune` trains anywhere."
        missing = sorted(set(devices_of(spec)) - {CPU, *(gpu.device for gpu in machine.gpus())})
        if missing:
            known = ", ".join(gpu.device for gpu in machine.gpus()) or "none"
            return f"This machine has no {', '.join(missing)}; its GPUs: {known}."
        return None

    def launch(self, job: StoredJob) -> str:
        """See `Backend.launch`."""
        with (job.folder / LOG_FILE).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - the command is ours
                [*self.command, str(job.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(devices_of_job(job), os.environ),
                # A session of its own, so that nothing that ends the caller's group ends it.
                start_new_session=True,
            )
        found = process(child.pid)
        # Somebody has to take its exit status, or it stays as a zombie while the caller lives.
        Thread(target=child.wait, daemon=True).start()
        if found is None:
            # Should it live all the same, nobody could tell it from others.
            child.kill()
            raise OSError(f"the process ended at once; see {LOG_FILE}")
        return str(found)

    def own_handle(self) -> str:
        """See `Backend.own_handle`."""
        found = process(os.getpid())
        if found is None:
            raise OSError("this process is not in /proc")
        return str(found)

    def dead(self, job: StoredJob, handle: str) -> str | None:
        """See `Backend.dead`."""
        try:
            meant = Process.parsed(handle)
        except ValueError:
            return "Which process it was can't be told."
        if meant.host != platform.node():
            lives = held(job.folder / RUN_LOCK)
            return None if lives else f"Its process on the machine {meant.host} is gone."
        if meant.boot != boot_id():
            return "The machine was restarted."
        if process(meant.pid) != meant:
            return "Its process is gone: it was killed, or the system ended it for lack of memory."
        return None

    def remark(self, job: StoredJob, handle: str) -> str | None:
        """See `Backend.remark`."""
        return None

    def log(self, job: StoredJob, handle: str) -> str:
        """See `Backend.log`. All goes to the job's log."""
        return ""

    def stop(self, job: StoredJob, handle: str) -> None:
        """See `Backend.stop`."""
        self._signal(job, handle, signal.SIGTERM)

    def kill(self, job: StoredJob, handle: str) -> None:
        """See `Backend.kill`."""
        self._signal(job, handle, signal.SIGKILL)

    def _signal(self, job: StoredJob, handle: str, number: signal.Signals) -> None:
        try:
            meant = Process.parsed(handle)
        except ValueError:
            return
        if process(meant.pid) != meant:
            # It is gone, or of another machine that shares the folder; where there is no Linux, it always is.
            return
        try:
            descriptor = os.pidfd_open(meant.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor is that of one process, whose number nobody else gets while this is asked.
            if process(meant.pid) == meant:
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    @contextmanager
    def turn(self, job: StoredJob, should_stop: Callable[[], bool]) -> Iterator[str]:
        """See `Backend.turn`."""
        devices = devices_of_job(job)
        with ExitStack() as locks:
            while not self._take(job, devices, locks):
                if should_stop():
                    raise Stopped("It was stopped before its turn came.")
                time.sleep(LOOK_SECONDS)
            yield ", ".join(devices)

    def _take(self, job: StoredJob, devices: Sequence[str], locks: ExitStack) -> bool:
        """Take all devices or none; whether they are taken."""
        if any(other.state and other.state.events[-1].state is State.QUEUED for other in self._before(job)):
            return False
        folder = settings().runs_dir / LOCKS
        folder.mkdir(exist_ok=True)
        try:
            for device in devices:
                locks.enter_context(locked(folder / f"{platform.node()}-{device}.lock", wait=False))
        except Held:
            locks.close()
            return False
        return True

    def ahead(self, job: StoredJob) -> int | None:
        """See `Backend.ahead`."""
        return len(self._before(job))

    def _before(self, job: StoredJob) -> list[StoredJob]:
        """The living jobs of this machine that share a device with a queued job and have it before."""
        devices, ticket = set(devices_of_job(job)), job.state.ticket if job.state else math.inf

        def goes_first(other: StoredJob) -> bool:
            if other.state is None or other.id == job.id or other.spec.backend != job.spec.backend:
                return False
            state = other.state.events[-1].state
            return state is State.RUNNING or (state is State.QUEUED and other.state.ticket < ticket)

        sharing = (other for other in stored_jobs() if goes_first(other) and devices & set(devices_of_job(other)))
        return [other for other in sharing if self.lives(other)]

    def lives(self, job: StoredJob) -> bool:
        """Whether the process of a job is on this machine, and is not known to be dead."""
        handle = job.state.handle if job.state is not None else None
        if handle is None:
            # It is being started at this moment, or never was.
            return held(job.folder / STATE_LOCK)
        here = handle.partition(" ")[0] == platform.node()
        return here and (self.dead(job, handle) is None or held(job.folder / RUN_LOCK))


def devices_of(spec: JobSpec) -> tuple[str, ...]:
    """The devices of this machine that a job needs, in the order in which all jobs take them."""
    if spec.devices != "auto":
        return tuple(sorted(set(spec.devices.split(","))))
    return tuple(sorted(gpu.device for gpu in machine.visible_gpus())) or (CPU,)


def devices_of_job(job: StoredJob) -> tuple[str, ...]:
    """The devices that a job was queued for: what "auto" means differs from process to process."""
    return (job.state.devices if job.state is not None else ()) or devices_of(job.spec)


def busy_with(devices: Collection[str]) -> str | None:
    """The first of some devices of this machine that a living job has or waits for; None if none of them is."""
    local = LocalBackend()
    alive = (job for job in stored_jobs() if job.state is not None and job.state.events[-1].state.alive)
    ours = [job for job in alive if job.spec.backend == "local" and set(devices) & set(devices_of_job(job))]
    taken = {device for job in ours if local.lives(job) for device in devices_of_job(job)}
    return min(taken & set(devices), default=None)


def environment(devices: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker.

    Args:
        devices: that it may see.
        given: the caller's environment, which is kept but for them.
    """
    numbers = [device.removeprefix(GPU) for device in devices if device != CPU]
    paths = [str(ROOT), *filter(None, [given.get("PYTHONPATH")])]
    return {
        **ALLOCATION,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **given,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        # The order of NVIDIA's management library, in which "gpu0" is counted; CUDA's own is by speed.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(numbers) or "-1",
    }
