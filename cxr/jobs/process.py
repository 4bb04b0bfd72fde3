"""Which process is meant, beyond doubt: numbers of processes come again, clocks are set, machines restart."""

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PROC: Final = Path("/proc")
BOOT_ID: Final = PROC / "sys" / "kernel" / "random" / "boot_id"
STATE, START = 0, 19
"""Places of the state and the start time in /proc/PID/stat, behind the name (proc(5), fields 3 and 22)."""
DEAD: Final = "ZX"


@dataclass(frozen=True)
class Process:
    """One process of one machine.

    Attributes:
        host: name of the machine.
        boot: the kernel's name for the time since it was started.
        pid: number of the process.
        start: when it was started, in the kernel's ticks since the machine was: no clock that anybody sets.
    """

    host: str
    boot: str
    pid: int
    start: int

    def __str__(self) -> str:
        return f"{self.host} {self.boot} {self.pid} {self.start}"

    @classmethod
    def parsed(cls, text: str) -> Self:
        """The process that `str` gave that text for. Raises `ValueError` for any other text."""
        host, boot, pid, start = text.split(" ")
        return cls(host, boot, int(pid), int(start))


def process(pid: int) -> Process | None:
    """The living process of that number on this machine; None if there is none, or it has ended (a zombie)."""
    try:
        # The name, in brackets, may hold anything.
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].decode().split()
        boot = boot_id()
    except OSError:
        return None
    return None if fields[STATE] in DEAD else Process(platform.node(), boot, pid, int(fields[START]))


def boot_id() -> str:
    """The kernel's name for the time since this machine was started. Raises `OSError` where there is no Linux."""
    return BOOT_ID.read_text().strip()


def boot_seconds() -> float:
    """Seconds since this machine was started, sleep included: the same for all its processes, and nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
