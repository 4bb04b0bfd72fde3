"""Messages and shared memory between the app and a process that decodes films for it.

A message is JSON, so that nothing that comes back can do more than be wrong. Files and pixels travel in memory that
both map: nothing of a film is written to a socket or, on Linux, to a disk.
"""

import fcntl
import json
import mmap
import os
import socket
import struct
import tempfile
import time
from typing import Any, Final

LENGTH: Final = struct.Struct(">I")
LONGEST_MESSAGE: Final = 2**20
IN_MEMORY: Final = hasattr(os, "memfd_create")
"""Linux. Elsewhere shared memory is a file without a name, in the folder for temporary files."""

POPULATED: Final[int] = getattr(mmap, "MAP_POPULATE", 0)

Message = dict[str, Any]


class Closed(ConnectionError):
    """The other side is gone, or says nothing that can be understood."""


def send(sock: socket.socket, message: Message, descriptor: int | None = None) -> None:
    """Send a message, and with it a file descriptor. Raises `OSError`."""
    body = json.dumps(message).encode()
    whole = LENGTH.pack(len(body)) + body
    sent = socket.send_fds(sock, [whole], [] if descriptor is None else [descriptor])
    sock.sendall(whole[sent:])


def receive(sock: socket.socket, until: float | None = None) -> Message:
    """The next message; a file descriptor that came with it is closed.

    Args:
        until: moment of the monotonic clock by which the whole message has to be there; None: as long as it takes.

    Raises:
        Closed: the other side closed the connection, or sent no message.
        TimeoutError, OSError: it was not there in time; and as of `socket.recv`.
    """
    return _message(sock, b"", until)


def receive_with_descriptor(sock: socket.socket) -> tuple[Message, int | None]:
    """The next message and the file descriptor that comes with it, if one does; errors as of `receive`."""
    start, descriptors, _, _ = socket.recv_fds(sock, LENGTH.size, 1)
    return _message(sock, start), descriptors[0] if descriptors else None


def _message(sock: socket.socket, start: bytes, until: float | None = None) -> Message:
    head = _read(sock, LENGTH.size, start, until)
    (length,) = LENGTH.unpack(head)
    if length > LONGEST_MESSAGE:
        raise Closed("the message is too long")
    try:
        message = json.loads(_read(sock, length, b"", until))
    except (ValueError, RecursionError) as error:
        raise Closed("the message is none") from error
    if not isinstance(message, dict):
        raise Closed("the message is none")
    return message


def _read(sock: socket.socket, count: int, start: bytes, until: float | None = None) -> bytes:
    parts, missing = [start], count - len(start)
    while missing:
        if until is not None:
            # What is there already is taken; what comes byte by byte is not waited for.
            if len(parts) > 1 and time.monotonic() > until:
                raise TimeoutError("the message did not end")
            sock.settimeout(max(0.001, until - time.monotonic()))
        part = sock.recv(missing)
        if not part:
            raise Closed("the connection was closed")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def shared_memory(size: int) -> int:
    """A file descriptor of new shared memory, zeroed; the caller closes it.

    Its size is sealed on Linux: who gets the descriptor can't shrink it under the other's feet, who would die of that.

    Args:
        size: bytes, at least 1.

    Raises:
        OSError: there is no memory, or no room for a temporary file.
    """
    if not IN_MEMORY:
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("film", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # Pages that are all had at once cost a fraction of those that are had when they are touched.
        os.posix_fallocate(descriptor, 0, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write_bytes(descriptor: int, data: bytes | memoryview) -> None:
    """Write to the beginning of shared memory. Raises `OSError`."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.pwrite(descriptor, rest, len(data) - len(rest)) :]


def read_bytes(descriptor: int, size: int) -> bytes:
    """The first bytes of shared memory, copied. Raises `OSError`, `MemoryError`."""
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        return file.read(size)


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """Shared memory to read and write; the mapping outlives the descriptor, which this closes. Raises `OSError`."""
    try:
        return mmap.mmap(descriptor, size, mmap.MAP_SHARED | POPULATED)
    finally:
        os.close(descriptor)
