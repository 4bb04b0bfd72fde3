"""What a job will take, as far as that is known: room on disks, memory, time."""

import platform
from dataclasses import dataclass
from typing import Final

from cxr.jobs.folder import StoredJob, stored_jobs
from cxr.jobs.history import read_epochs
from cxr.jobs.spec import JobSpec

PARAMETERS: Final = {
    "efficientnet_lite0": 3_413_024,
    "efficientnet_lite2": 4_869_168,
    "densenet121": 7_037_504,
    "mobilenet_v2": 2_257_984,
    "efficientnet_v2b0": 5_919_312,
    "xception": 20_861_480,
    "vgg16": 14_714_688,
}
"""Numbers of the backbones without a head, as Keras counts them."""
FLOAT: Final = 4
COPIES: Final = 5
"""What a checkpoint holds of each parameter: weight, two moments, average, weight of the best epoch."""
AT_ONCE: Final = 2
"""Checkpoints on the disk while the old one is replaced."""
BUNDLE_COPIES: Final = 2
"""What a bundle holds of each: Keras' file and the serving graph."""
WORKER_BYTES: Final = 800_000_000
"""Memory of a worker beside its films and its model; one that trained a few thousand parameters took 816 MB."""


def checkpoint_bytes(spec: JobSpec) -> int:
    """What the largest checkpoint of a job takes. Raises `KeyError` for an unknown backbone."""
    return COPIES * FLOAT * PARAMETERS[spec.config.backbone]


def disk_bytes(spec: JobSpec) -> int:
    """What a job's folder takes at most: checkpoints, and the model before it is moved to the others."""
    return AT_ONCE * checkpoint_bytes(spec) + BUNDLE_COPIES * FLOAT * PARAMETERS[spec.config.backbone]


@dataclass(frozen=True)
class Pace:
    """How fast an earlier job of this machine was.

    Attributes:
        job_id: of that job.
        films_per_second: in its last epoch, without the validation.
    """

    job_id: str
    films_per_second: float


def known_pace(spec: JobSpec) -> Pace | None:
    """How fast the latest job was that trained the same backbone at the same size on the same devices of this machine;
    None if there was none."""
    wanted = _kind(spec)
    for job in stored_jobs():
        if _kind(job.spec) == wanted and _here(job) and len(epochs := read_epochs(job.folder)):
            return Pace(job.id, float(epochs["films_per_second"].iloc[-1]))
    return None


def _kind(spec: JobSpec) -> tuple[object, ...]:
    config = spec.config
    return spec.backend, spec.devices, config.backbone, config.input_size, config.precision


def _here(job: StoredJob) -> bool:
    handle = job.state.handle if job.state is not None else None
    return handle is not None and handle.partition(" ")[0] == platform.node()
