"""A real Ray cluster of several nodes on this machine, with a token, and nothing left of it afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "CXR_TEST_NODE"
TOKEN: Final = "0123456789abcdef" * 4
RAY: Final = (
    sys.executable,
    "-m",
    "ray.scripts.scripts",
    "start",
    "--node-ip-address=127.0.0.1",
    "--disable-usage-stats",
)
TRIES: Final = 3
LATE: Final = "timed out during startup"
"""What Ray says where a node takes more than 30 seconds to start: a busy machine is not a broken one."""
QUICK: Final = {
    # A dead node is to be noticed within seconds.
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_JOB_STOP_WAIT_TIME_S": "1",
    # A busy machine is not a broken one.
    "RAY_raylet_start_wait_time_s": "120",
}


class RayCluster:
    """A head without resources of its own; nodes are added. Use it as a context."""

    def __enter__(self) -> "RayCluster":
        # Not in pytest's folder: names of sockets must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-ray-", dir="/tmp"))
        self.sessions: dict[str, int] = {}
        self.port, dashboard, client = free_ports(3)
        self.address = f"http://127.0.0.1:{dashboard}"
        options = ("--head", f"--port={self.port}", f"--temp-dir={self.folder}", "--num-cpus=0")
        ports = (f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}", "--dashboard-host=127.0.0.1")
        try:
            self._start("head", *options, *ports)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in list(self.sessions):
            self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, node: str) -> None:
        """Start a node of one processor and one "films"."""
        self._start(node, f"--address=127.0.0.1:{self.port}", "--num-cpus=1", '--resources={"films": 1}')

    def kill(self, node: str) -> None:
        """End all processes of a node at once, as if its power were cut."""
        end = time.monotonic() + 20
        while found := list(self.processes(node)):
            assert time.monotonic() < end, found
            for process in found:
                with_patience(process)
            time.sleep(0.1)
        del self.sessions[node]

    def processes(self, node: str) -> Iterator[psutil.Process]:
        """The living ones: of the session in which the node was started, or with its mark in their environment."""
        for process in psutil.process_iter():
            try:
                ours = os.getsid(process.pid) == self.sessions[node] or process.environ().get(MARK) == self._mark(node)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
            except (psutil.Error, OSError):
                continue

    def node_of(self, text: str) -> str:
        """The node one of whose processes has that in its command line."""
        (found,) = {n for n in self.sessions for p in self.processes(n) if any(text in word for word in command(p))}
        return found

    def _mark(self, node: str) -> str:
        return f"{self.folder.name}-{node}"

    def _start(self, node: str, *options: str) -> None:
        (agent,) = free_ports(1)
        # Each node looks for the first free port from the same one on, if it is not told others.
        ports = (f"--dashboard-agent-listen-port={agent}", "--min-worker-port=0", "--max-worker-port=0")
        environment = {
            **os.environ,
            **QUICK,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            MARK: self._mark(node),
        }
        log = self.folder / f"{node}.txt"
        for _ in range(TRIES):
            with log.open("wb") as stream:
                started = subprocess.Popen(
                    [*RAY, *options, *ports, "--object-store-memory=80000000"],
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            self.sessions[node] = started.pid
            if started.wait(180) == 0:
                return
            assert LATE in log.read_text(), log.read_text()
            self.kill(node)
        raise AssertionError(log.read_text())


def command(process: psutil.Process) -> list[str]:
    """Its command line; empty if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def with_patience(process: psutil.Process) -> None:
    """Kill a process that may be gone already."""
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]
    finally:
        for found in sockets:
            found.close()
