"""What the machine has and how busy it is: processors, memory, disks, GPUs."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml


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
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return Disk(folder, usage.total, usage.free, existing.stat().st_dev)


def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs of this machine; none without a driver."""
    with _nvml() as there:
        return tuple(_gpu(number) for number in range(pynvml.nvmlDeviceGetCount())) if there else ()


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
def _nvml() -> Iterator[bool]:
    """NVIDIA's management library, loaded; whether there is one."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def _gpu(number: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        load = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    except pynvml.NVMLError:
        load = None
    name = pynvml.nvmlDeviceGetName(handle)
    return Gpu(f"gpu{number}", name if isinstance(name, str) else name.decode(), memory.total, memory.free, load)
