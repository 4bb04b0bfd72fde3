"""One process that decodes films, from the side of the app: started, asked, ended."""

import contextlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from cxr.radiograph.channel import Closed, Message, mapped, receive, send, shared_memory, write_bytes

PROGRAM: Final = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main({arguments})"
ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""All that a process gets of the app's environment, which may hold passwords."""
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
MEGABYTE: Final = 1024**2
START_SECONDS: Final = 60.0
PATIENCE: Final = 4.0
"""Seconds on the clock for each of processor time: where many films are decoded at once each of them gets a share."""
SMALL_FILE_SECONDS: Final = 4.0
BYTES_A_SECOND: Final = 100_000
"""Slower than this no codec reads a film, but damage has made one compute for seconds over a few hundred bytes."""
LARGEST_CURVE: Final = 4 * 2**16
MOST_KEPT: Final = 64 * MEGABYTE
"""Bytes of shared memory that a process keeps for the next film."""
NOTHING: Final = np.empty(0, np.uint8)


@dataclass(frozen=True)
class Limits:
    """What a process may take for a film.

    Attributes:
        megabytes: of memory of its own, without the shared one for the file and the result.
        seconds: of processor time for a large file; on the clock `PATIENCE` times that.
        max_pixels: of the film.
    """

    megabytes: int
    seconds: float
    max_pixels: int

    def seconds_for(self, size: int) -> float:
        """Seconds of processor time for a file of so many bytes."""
        return min(self.seconds, SMALL_FILE_SECONDS + size / BYTES_A_SECOND)


class Broken(RuntimeError):
    """A process that can't be used any more, and why.

    Attributes:
        reason: "killed": by somebody else, such as the kernel where memory is short.
    """

    def __init__(self, reason: Literal["memory", "time", "crash", "killed"]):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Answer:
    """What a process gave back.

    Attributes:
        message: in its words.
        memory: uint8 (bytes,), with what is large.
    """

    message: Message
    memory: np.ndarray

    def array(self, kind: type[np.generic], shape: tuple[int, ...], offset: int = 0) -> np.ndarray:
        """A part of the memory, not copied. Raises `ValueError` where it is smaller."""
        end = offset + np.dtype(kind).itemsize * int(np.prod(shape))
        return self.memory[offset:end].view(kind).reshape(shape)


class DecodingProcess:
    """A process that decodes. It dies with the thread that makes this object, so that has to be a lasting one."""

    def __init__(self, limits: Limits, module: str):
        """Start it, without waiting for it. Raises `OSError`."""
        self.limits = limits
        self.films = 0
        self.held: tuple[str, ...] = ()
        self.at_rest = 0
        self.resident = 0
        self.peak = 0
        self.ready = False
        self._file: int | None = None
        self._file_size = 0
        self._kept: mmap.mmap | None = None
        self._user: Callable[[], np.ndarray | None] = lambda: None
        self._sock, theirs = socket.socketpair()
        arguments = f"{theirs.fileno()}, {limits.megabytes}, {limits.max_pixels}"
        command = [
            sys.executable, "-I", "-c", PROGRAM.format(module=module, arguments=arguments), json.dumps(sys.path),
        ]  # fmt: skip
        kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        try:
            # A session of its own: Ctrl-C at the terminal is for the app. Its errors show until it is confined.
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                command, env=kept | ONE_THREAD, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        except OSError:
            self._sock.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether it ended by itself."""
        return self._process.poll() is not None

    def wait_until_ready(self) -> None:
        """Wait until it has started. Raises `Broken`."""
        if self.ready:
            return
        message = self._receive(time.monotonic() + START_SECONDS)
        self.held = tuple(message.get("held", ()))
        self.at_rest = self.resident = int(message.get("resident", 0))
        self.ready = True

    def ask(self, do: str, data: bytes | memoryview, **more: object) -> Answer:
        """Let it decode a file.

        Args:
            do: one of the child's `ACTS`.
            data: the whole file.
            more: what the act needs besides.

        Raises:
            Broken: it died, or took too much; it must be killed.
            OSError: there is no memory to share.
        """
        self.wait_until_ready()
        seconds = self.limits.seconds_for(len(data))
        until = time.monotonic() + PATIENCE * seconds
        self.films += 1
        with self._or_broken():
            self._sock.settimeout(PATIENCE * seconds)
            send(self._sock, {"do": do, "size": len(data), "seconds": seconds, **more}, self._file_of(data))
        message, memory = self._receive(until), NOTHING
        if "room" in message:
            memory = self._give_room(message["room"])
            message = self._receive(until)
            if "room" in message:
                raise Broken("crash")
        if message.get("failed") == "memory":
            raise Broken("memory")
        if self._file_size > MOST_KEPT:
            self._forget_file()
        try:
            self.resident, self.peak = int(message.get("resident", 0)), int(message.get("peak", 0))
        except (TypeError, ValueError, OverflowError) as error:
            raise Broken("crash") from error
        return Answer(message, memory)

    def kill(self) -> None:
        """End it, and wait until it is no more."""
        self._sock.close()
        self._forget_file()
        self._process.kill()
        self._process.wait()

    def _file_of(self, data: bytes | memoryview) -> int:
        """A descriptor of shared memory that begins with `data`; that of the last film where it is large enough."""
        if self._file is None or self._file_size < len(data):
            self._forget_file()
            # Room for a film somewhat larger.
            size = max(MEGABYTE, len(data) * 5 // 4)
            self._file, self._file_size = shared_memory(size), size
        write_bytes(self._file, data)
        return self._file

    def _forget_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._file_size = None, 0

    def _give_room(self, size: object) -> np.ndarray:
        """Shared memory for a result: that of the one before where nobody holds that any more.

        New memory costs as much as decoding a small film, for the time in which the system finds its pages.
        """
        if not isinstance(size, int) or not 1 <= size <= 4 * self.limits.max_pixels + LARGEST_CURVE:
            raise Broken("crash")
        if self._kept is not None and self._user() is None and len(self._kept) >= size:
            with self._or_broken():
                send(self._sock, {})
            memory = self._kept
        else:
            descriptor = shared_memory(size)
            with self._or_broken():
                try:
                    send(self._sock, {"size": size}, descriptor)
                except OSError:
                    os.close(descriptor)
                    raise
            memory = mapped(descriptor, size)
            self._kept = memory if size <= MOST_KEPT else None
        room = np.frombuffer(memory, np.uint8, size)
        # Every part of it that somebody holds holds it too.
        self._user = weakref.ref(room)
        return room

    def _receive(self, until: float) -> Message:
        with self._or_broken():
            return receive(self._sock, until)

    @contextlib.contextmanager
    def _or_broken(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise Broken("time") from error
        except (Closed, ConnectionError, BrokenPipeError) as error:
            raise Broken(self._cause()) from error

    def _cause(self) -> Literal["time", "crash", "killed"]:
        """Why it died."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            # It hung up and lives: no decoder does that of itself.
            return "crash"
        return "time" if code == -signal.SIGXCPU else "killed" if code == -signal.SIGKILL else "crash"
