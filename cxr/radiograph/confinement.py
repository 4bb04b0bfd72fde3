"""What a process that decodes films takes from itself before it sees the first one.

Limits of memory, time and files hold on every Linux. The rest is asked of the kernel, and `confine` says what it got.
"""

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform == "linux"
MEGABYTE: Final = 1024**2
ADDRESS_SLACK: Final = 2048 * MEGABYTE
"""Address space beyond the limit of memory: libraries, and the shared memory with the file and the pixels."""
OPEN_FILES: Final = 16

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_MODE_FILTER: Final = 2

# include/uapi/linux/landlock.h
LANDLOCK_CREATE: Final = 444
LANDLOCK_ADD_RULE: Final = 445
LANDLOCK_RESTRICT: Final = 446
LANDLOCK_VERSION: Final = 1
LANDLOCK_PATH_BENEATH: Final = 1
LANDLOCK_RIGHTS: Final = (2**13 - 1, 2**14 - 1, 2**15 - 1)
"""All rights of the first three versions of Landlock: every one is asked for before a file is touched. The third, since
Linux 6.2, knows of making a file shorter."""
LANDLOCK_READ: Final = 2**2 | 2**3

FORBIDDEN: Final = {
    # Machine: its number (include/uapi/linux/audit.h), and the numbers of the calls below, "-" where it has none.
    "x86_64": (
        0xC000003E,
        "41 42 49 50 56 435 57 58 59 322 62 200 234 129 297 424 101 310 311 425 321 298 "
        "76 90 91 268 452 92 93 94 260 132 235 261 280 188 189 190 463 197 198 199 466",
    ),
    "aarch64": (
        0xC00000B7,
        "198 203 200 201 220 435 - - 221 281 129 130 131 138 240 424 117 270 271 425 280 241 "
        "45 - 52 53 452 - 55 - 54 - - - 88 5 6 7 463 14 15 16 466",
    ),
}
"""System calls that no decoder needs, and that fail with EPERM: socket, connect, bind, listen; clone, clone3, fork,
vfork, execve, execveat; kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal; ptrace,
process_vm_readv, process_vm_writev; io_uring_setup, bpf, perf_event_open. And those that Landlock lets by, all of it or
in its first versions: truncate; chmod, fchmod, fchmodat, fchmodat2; chown, fchown, lchown, fchownat; utime, utimes,
futimesat, utimensat; setxattr, lsetxattr, fsetxattr, setxattrat; removexattr, lremovexattr, fremovexattr,
removexattrat."""


def limit_memory(megabytes: int) -> None:
    """Let this process have no more than so many megabytes of its own (RLIMIT_DATA); it gets `MemoryError` then.

    The shared memory that the other side makes does not count. macOS knows the limit and does not hold it.
    """
    _limit(resource.RLIMIT_DATA, megabytes * MEGABYTE)
    if LINUX:
        _limit(resource.RLIMIT_AS, megabytes * MEGABYTE + ADDRESS_SLACK)


def limit_time(seconds: float) -> None:
    """Let this process have so many more seconds of processor time; after them it is ended by SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, highest = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_least(most, highest), highest))


def confine(megabytes: int) -> list[str]:
    """Take from this process what decoding does not need. All that it imports must be imported by now.

    Returns:
        What holds, of "memory", "parent", "files", "calls".
    """
    held = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A core dump would hold the film.
    _limit(resource.RLIMIT_CORE, 0)
    if LINUX:
        # Where memory is short the kernel ends this process first, not the app. In some sandboxes it isn't let.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("800")
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(PR_SET_DUMPABLE, 0)
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        held += ["memory", "parent"]
        held += [name for name, done in (("files", _no_files()), ("calls", _no_calls())) if done]
    # No file can grow, no process be started; the descriptors are those of one film.
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit_memory(megabytes)
    return held


def _limit(which: int, most: int) -> None:
    """Lower a limit for good. Where it is lower already it stays."""
    _, highest = resource.getrlimit(which)
    # Another system may refuse a limit; then films are decoded without it, and `confine` does not say that it holds.
    with contextlib.nullcontext() if LINUX else contextlib.suppress(OSError, ValueError):
        resource.setrlimit(which, (_least(most, highest),) * 2)


def _least(most: int, highest: int) -> int:
    return most if highest == resource.RLIM_INFINITY else min(most, highest)


def statm() -> int | None:
    """A descriptor for `resident`, to be had before `confine`; None where the system has none."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if LINUX else None


def resident(descriptor: int | None) -> int:
    """Bytes of memory that this process holds at present, without what it shares; 0 where the system does not say."""
    if descriptor is None:
        return 0
    pages = os.pread(descriptor, 200, 0).split()
    return (int(pages[1]) - int(pages[2])) * resource.getpagesize()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _no_files() -> bool:
    """No file can be opened any more, but those of Python's libraries to be read (Landlock, since Linux 5.13)."""
    libc = _libc()
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    if version < 1:
        return False
    rights = ctypes.c_uint64(LANDLOCK_RIGHTS[min(version, len(LANDLOCK_RIGHTS)) - 1])
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(rights), ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    try:
        libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
        for folder in filter(os.path.isdir, libraries):
            place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = ctypes.create_string_buffer(struct.pack("=Qi", LANDLOCK_READ, place))
                libc.syscall(LANDLOCK_ADD_RULE, rules, LANDLOCK_PATH_BENEATH, rule, 0)
            finally:
                os.close(place)
        return bool(libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _no_calls() -> bool:
    """No network, no program, no signal to others (seccomp, by a filter in classic BPF)."""
    if platform.machine() not in FORBIDDEN:
        return False
    architecture, numbers = FORBIDDEN[platform.machine()]
    calls = [int(number) for number in numbers.split() if number != "-"]

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    denied, allowed, killed = 0x00050001, 0x7FFF0000, 0x80000000
    program = [
        line(load, 4), line(equal, architecture, 1, 0), line(give, killed),
        # Numbers with this bit are those of the x32 interface, under which every call has a second one.
        line(load, 0), line(at_least, 0x40000000, 0, 1), line(give, killed),
        *(part for call in calls for part in (line(equal, call, 0, 1), line(give, denied))),
        line(give, allowed),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    return bool(_libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) == 0)
