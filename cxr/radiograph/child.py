"""The process that decodes films for the app: one after another, confined, with no setting or secret of the app."""

import codecs
import contextlib
import mmap
import os
import resource
import socket
from dataclasses import asdict
from typing import Final

import numpy as np
from PIL import Image
from pydicom.charset import python_encoding

from cxr.radiograph.box import Box
from cxr.radiograph.channel import Message, mapped, read_bytes, receive_with_descriptor, send
from cxr.radiograph.confinement import confine, limit_time, resident, statm
from cxr.radiograph.deidentified import deidentified
from cxr.radiograph.film import UnreadableFilm
from cxr.radiograph.full_depth import full_depth
from cxr.radiograph.header import header, is_whole
from cxr.radiograph.read import read_radiograph
from cxr.radiograph.thumbnail import thumbnail

LONGEST_SENTENCE: Final = 500


def main(descriptor: int, megabytes: int, max_pixels: int) -> None:
    """Answer until the other side hangs up.

    Args:
        descriptor: of a connected stream socket to the app.
        megabytes: of memory for this process.
        max_pixels: larger films are refused from their header.
    """
    sock = socket.socket(fileno=descriptor)
    _warm()
    memory = statm()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    held = confine(megabytes)
    # A codec may write there what it likes, the patient's name too.
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    send(sock, {"held": held, "resident": resident(memory)})
    room = _Room(sock)
    while True:
        try:
            request, file = receive_with_descriptor(sock)
        except ConnectionError:
            return
        limit_time(request["seconds"])
        answer = _answer(room, request, file, max_pixels)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        send(sock, answer | {"resident": resident(memory), "peak": usage.ru_maxrss})


def _warm() -> None:
    """Import what Python and Pillow import at first use: no file can be opened later."""
    Image.preinit()
    for names in python_encoding.values():
        for name in [names] if isinstance(names, str) else names:
            with contextlib.suppress(LookupError):
                codecs.lookup(name)


class _Room:
    """Shared memory for results; the app says whether it may be the same as the last time."""

    def __init__(self, sock: socket.socket):
        self._sock = sock
        self._last: mmap.mmap | None = None

    def __call__(self, size: int) -> memoryview:
        send(self._sock, {"room": size})
        message, descriptor = receive_with_descriptor(self._sock)
        if descriptor is not None:
            self._last = mapped(descriptor, message["size"])
        if self._last is None:
            raise ValueError("there is no room")
        return memoryview(self._last)[:size]


def _answer(room: _Room, request: Message, file: int | None, max_pixels: int) -> Message:
    try:
        if file is None:
            raise ValueError("there is no file")
        try:
            data = read_bytes(file, request["size"])
        finally:
            os.close(file)
        return ACTS[request["do"]](data, request, room, max_pixels)
    except UnreadableFilm as error:
        return {"failed": "memory"} if _ran_out(error) else {"refusal": str(error)[:LONGEST_SENTENCE]}
    except MemoryError:
        return {"failed": "memory"}
    except Exception as error:  # noqa: BLE001 - whatever a file does to a decoder, the app is told that it is no film
        return {"failed": "memory" if _ran_out(error) else type(error).__name__}


def _ran_out(error: BaseException | None) -> bool:
    """Whether memory ran out, which readers take for damage."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _read(data: bytes, _request: Message, room: _Room, max_pixels: int) -> Message:
    shape: list[int] = []

    def pixels(wanted: tuple[int, int]) -> np.ndarray:
        shape[:] = wanted
        return np.frombuffer(room(4 * wanted[0] * wanted[1]), np.float32).reshape(wanted)

    film = read_radiograph(data, max_pixels, pixels)
    return {"shape": shape, "facts": asdict(film.facts), "warnings": film.warnings}


def _full_depth(data: bytes, _request: Message, room: _Room, max_pixels: int) -> Message:
    depth = full_depth(data, max_pixels)
    points = 0 if depth.curve is None else len(depth.curve)
    # The curve first: it is of larger numbers.
    memory = room(4 * points + 2 * depth.levels.size)
    if depth.curve is not None:
        np.frombuffer(memory, np.float32, points)[:] = depth.curve
    np.frombuffer(memory, np.uint16, offset=4 * points).reshape(depth.levels.shape)[:] = depth.levels
    whole = {name: getattr(depth, name) for name in ("low", "high", "reach", "padded", "zero", "step")}
    return whole | {"shape": depth.levels.shape, "points": points, "facts": asdict(depth.facts)}


def _thumbnail(data: bytes, request: Message, room: _Room, max_pixels: int) -> Message:
    picture = thumbnail(data, request["side"], max_pixels)
    room(len(picture))[:] = picture
    return {}


def _header(data: bytes, _request: Message, _room: _Room, _max_pixels: int) -> Message:
    return {"header": asdict(header(data))}


def _is_whole(data: bytes, _request: Message, _room: _Room, _max_pixels: int) -> Message:
    return {"whole": is_whole(data)}


def _deidentified(data: bytes, request: Message, room: _Room, max_pixels: int) -> Message:
    blank = tuple(Box(*box) for box in request["blank"])
    cleaned = deidentified(data, bytes.fromhex(request["key"]), blank, max_pixels)
    room(len(cleaned.data))[:] = cleaned.data
    return {"suffix": cleaned.suffix, "burned_in": cleaned.burned_in, "recognisable": cleaned.recognisable}


ACTS: Final = {
    "read": _read,
    "full_depth": _full_depth,
    "thumbnail": _thumbnail,
    "header": _header,
    "is_whole": _is_whole,
    "deidentified": _deidentified,
}
