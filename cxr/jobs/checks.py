"""What can be known to stand against a job before it is queued, a sentence each. Without Keras."""

import os

from cxr.jobs import machine
from cxr.jobs.backends import backend
from cxr.jobs.check import Check, answered, waits_for
from cxr.jobs.folder import stored_jobs
from cxr.jobs.local import CPU, busy_with, devices_of
from cxr.jobs.spec import NAME, JobRefused, JobSpec
from cxr.jobs.words import bytes_in_words
from cxr.registry import REGISTRY_FILE
from cxr.settings import settings

GPU_BYTES = 2 * 1024**3
"""Memory without which a GPU is not worth a try."""


def preflight(spec: JobSpec) -> list[Check]:
    """Look whether a job could run. A folder of data that is seen for the first time is indexed, which takes a while.

    Returns:
        A check for each question that could be asked; those that need the data are missing where it can't be read.
    """
    # What reads films and scores is slow to import, and everybody who lists jobs imports this.
    from cxr.jobs.data_checks import data_checks

    name = spec.model
    return [answered("name", name_problem(name), f"The name {name} is free."), *_devices(spec), *data_checks(spec)]


def name_problem(name: str) -> str | None:
    """Why a new model can't have a name, in one sentence; None if it can."""
    if not NAME.fullmatch(name):
        return f"A model can't be called {name!r}; use letters, digits, dots and dashes, at most 64."
    if name.startswith(REGISTRY_FILE):
        return f"A model can't be called {name!r}; names that begin with {REGISTRY_FILE} are of the models' registry."
    if (settings().models_dir / name).exists():
        return f"There is a model or folder {name} in {settings().models_dir} already; choose another name."
    for job in stored_jobs():
        if job.spec.model == name:
            return f"The job {job.id} makes the model {name}; choose another name, or delete that job."
    return None


def _devices(spec: JobSpec) -> list[Check]:
    try:
        problem = backend(spec.backend).problem(spec)
    except JobRefused as error:
        problem = str(error)
    if problem is not None or spec.backend != "local":
        return [answered("devices", problem, f"It runs on the backend {spec.backend}.")]
    devices = devices_of(spec)
    if devices == (CPU,):
        return [Check("devices", True, "It trains on the CPU; how long an epoch takes is known after its first steps.")]
    used = [gpu for gpu in machine.gpus() if gpu.device in devices]
    checks = [_free(gpu) for gpu in used]
    batch, share = spec.config.batch_size, spec.config.batch_size // len(devices)
    # Under the other backends of Keras one device trains.
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        uneven = f"batch_size (={batch}) must be a multiple of the {len(devices)} GPUs."
        even = f"Each GPU gets {share} of the {batch} films of a batch."
        checks.append(answered("batch", uneven if batch % len(devices) else None, even))
    return checks


def _free(gpu: machine.Gpu) -> Check:
    what, free = f"{gpu.device} ({gpu.name})", f"{bytes_in_words(gpu.memory_free)} of {bytes_in_words(gpu.memory)}"
    if busy_with([gpu.device]) is not None:
        return Check("devices", True, waits_for(what))
    problem = f"{what} has only {free} free: another program uses it; end that, or choose another GPU."
    return answered("devices", problem if gpu.memory_free < GPU_BYTES else None, f"{what} has {free} free.")
