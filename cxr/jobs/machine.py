"""What the machine has and how busy it is: processors, memory, disks, GPUs."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pynvml

UNNAMED: Final = "unknown"
"""Stands for the name of a GPU that does not say it."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        device: what jobs call it: "gpu" and its number in the order of PCI addresses.
        name: of the product.
        memory, memory_free: bytes.
        load: share of the last moments in which it computed, 0 to 1; None if it does not say.
    """

    device: str
    name: str
    memory: int
    memory_free: int
    load: float | None


@dataclass(frozen=True)
class Disk:
    """The disk on which a folder lies, or would: sizes in bytes; two folders on one disk have the same `device`."""

    folder: Path
    size: int
    free: int
    device: int


@dataclass(frozen=True)
class Machine:
    """A look at this machine.

    Attributes:
        cores: that this process may use.
        cpu_load: share of all processors that was busy since the last look of this process, 0 to 1.
        memory, memory_free: bytes; free is what programs could still get without swapping.
        disks: of the folders asked for, under the names that they were asked for by.
        gpus: none where there is no NVIDIA GPU or no driver.
    """

    cores: int
    cpu_load: float
    memory: int
    memory_free: int
    disks: Mapping[str, Disk]
    gpus: tuple[Gpu, ...]


def look(folders: Mapping[str, Path]) -> Machine:
    """How the machine is now.

    Args:
        folders: whose disks are wanted, by any name; a folder need not exist yet.
    """
    memory = psutil.virtual_memory()
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_load=psutil.cpu_percent() / 100,
        memory=memory.total,
        memory_free=memory.available,
        disks={name: disk(folder) for name, folder in folders.items()},
        gpus=gpus(),
    )


def disk(folder: Path) -> Disk:
    """The disk of a folder, or of the next one above that exists."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if _exists(path))
    usage = shutil.disk_usage(existing)
    return Disk(folder, usage.total, usage.free, existing.stat().st_dev)


def _exists(path: Path) -> bool:
    """Whether something is there, as far as this process may see."""
    try:
        return path.exists()
    except OSError:
        return False


def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs of this machine that answer; none without a driver."""
    with _nvml() as count:
        return tuple(gpu for gpu in map(_gpu, range(count)) if gpu is not None)


def visible_gpus() -> tuple[Gpu, ...]:
    """Those of them that `CUDA_VISIBLE_DEVICES` leaves to this process; by name (UUID) they are not told apart."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = gpus()
    if allowed is None:
        return found
    # As in CUDA, what comes behind a number that does not exist does not count.
    names = [f"gpu{number.strip()}" for number in allowed.partition("-")[0].split(",")]
    return tuple(gpu for gpu in found if gpu.device in names)


@contextmanager
def _nvml() -> Iterator[int]:
    """NVIDIA's management library, loaded; how many GPUs it knows, 0 without it."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield 0
        return
    try:
        yield _said(pynvml.nvmlDeviceGetCount) or 0
    finally:
        _said(pynvml.nvmlShutdown)


def _gpu(number: int) -> Gpu | None:
    """One GPU; None if it does not say what memory it has, as one that fell off the bus: nothing could run there."""
    handle = _said(pynvml.nvmlDeviceGetHandleByIndex, number)
    memory = None if handle is None else _said(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if memory is None:
        return None
    rates = _said(pynvml.nvmlDeviceGetUtilizationRates, handle)
    name = _said(pynvml.nvmlDeviceGetName, handle) or UNNAMED
    load = None if rates is None else rates.gpu / 100
    return Gpu(f"gpu{number}", name if isinstance(name, str) else name.decode(), memory.total, memory.free, load)


def _said(question: Callable[..., Any], *about: Any) -> Any:
    """The driver's answer; None where it has none."""
    try:
        return question(*about)
    except pynvml.NVMLError:
        return None
