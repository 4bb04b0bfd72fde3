"""Facts of the machine that a measurement was taken on."""

import os
import platform
import re
from pathlib import Path

import psutil

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
"""Those that decide how fast a graph runs."""


def machine() -> dict[str, object]:
    """The processor's name and instructions, the cores that this process may use, memory in GB, system, Python, and
    the load when this was asked: measurements on a busy machine are ratios at best."""
    text = CPUINFO.read_text() if CPUINFO.is_file() else ""
    name = re.search(r"model name\s*:\s*(.+)", text)
    flags = re.search(r"flags\s*:\s*(.+)", text)
    return {
        "cpu": name[1] if name else platform.processor() or platform.machine(),
        "instructions": [flag for flag in INSTRUCTIONS if flags and flag in flags[1].split()],
        "cores": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
