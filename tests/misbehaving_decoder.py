"""A process that decodes films, and does what the first word of a file says: for tests of what the app makes of it."""

import ctypes
import json
import os
import socket
import sys
import time
from pathlib import Path

from cxr.radiograph import channel, child
from cxr.radiograph.film import UnreadableFilm

ASKED_FOR = {"cxr.radiograph.read", "cxr.settings", "pydantic", "scipy"}

_read = child.ACTS["read"]
_kept: list[bytearray] = []


def _act(data, request, room, max_pixels):
    word, _, rest = data.partition(b" ")
    acts = {
        b"crash": lambda: ctypes.string_at(0),
        b"abort": os.abort,
        b"exit": lambda: os._exit(0),
        b"hang": lambda: time.sleep(600),
        b"spin": _spin,
        b"eat": lambda: _kept.append(bytearray(10**10)),
        b"eat-slowly": lambda: [_kept.append(bytearray(10**6)) for _ in range(10**6)],
        b"leak": lambda: _kept.append(bytearray(b"x") * 200_000_000),
        b"break-later": lambda: child.ACTS.update(read=lambda *_: os.abort()),
        b"raise": lambda: 1 / 0,
        b"pid": lambda: _say(os.getpid()),
        b"environment": lambda: _say(sorted(os.environ)),
        b"modules": lambda: _say(sorted(ASKED_FOR & set(sys.modules))),
        b"descriptors": lambda: _say([number for number in range(16) if _is_open(number)]),
        b"open": lambda: _say(_tried(lambda: Path(rest.decode()).read_bytes())),
        b"shorten": lambda: _say(_tried(lambda: os.truncate(rest.decode(), 0))),
        b"open-up": lambda: _say(_tried(lambda: Path(rest.decode()).chmod(0o644))),
        b"drip": lambda: _drip(room._sock),
        b"boast": lambda: channel.send(room._sock, {"refusal": "no", "resident": "much"}),
        b"write": lambda: _say(_tried(lambda: Path(rest.decode()).write_bytes(b"x"))),
        b"socket": lambda: _say(_tried(socket.socket)),
        b"fork": lambda: _say(_tried(os.fork)),
        b"execute": lambda: _say(_tried(lambda: os.execv("/bin/true", ["true"]))),  # noqa: S606
        b"kill": lambda: _say(_tried(lambda: os.kill(os.getppid(), 0))),
    }
    if word == b"claim":
        claim = json.loads(rest)
        if "room" in claim:
            room(claim.pop("room"))
        return claim
    if word in acts:
        acts[word]()
        raise UnreadableFilm(f"It did {word.decode()}.")
    return _read(data, request, room, max_pixels)


def _drip(sock):
    sock.sendall(channel.LENGTH.pack(10**6))
    while True:
        sock.sendall(b" ")
        time.sleep(0.1)


def _spin():
    while True:
        pass


def _say(what):
    raise UnreadableFilm(json.dumps(what))


def _tried(what):
    try:
        what()
    except OSError as error:
        return error.strerror
    return "done"


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def main(*limits):
    child.ACTS["read"] = _act
    child.main(*limits)
