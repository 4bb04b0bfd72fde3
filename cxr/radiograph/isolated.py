"""Films decoded in processes of their own: what a file does to a decoder, it does not do to the app.

The app reads files of strangers through `decoder()` alone. The processes have limits of memory and of time, are
confined (see `confinement`), and are replaced when they have read many films or grew. Training, evaluation and scripts
call the readers themselves: they read data sets that somebody chose, thousands of films at a time in processes of their
own, and what crashes there is a job.
"""

import atexit
import errno
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Final

import numpy as np

from cxr.metrics import decoder_replaced
from cxr.radiograph.box import Box
from cxr.radiograph.channel import Message
from cxr.radiograph.decoding_process import Answer, Broken, DecodingProcess, Limits
from cxr.radiograph.deidentified_dicom import SUFFIXES, Cleaned
from cxr.radiograph.film import Facts, Radiograph, UnreadableFilm
from cxr.radiograph.full_depth import FullDepth
from cxr.radiograph.header import Header
from cxr.settings import settings

LOG: Final = logging.getLogger(__name__)
CHILD: Final = "cxr.radiograph.child"
MOST_FILMS: Final = 500
"""That a process reads before another one takes its place."""
MOST_GROWTH: Final = 128 * 1024**2
"""Bytes that a process may hold between films more than at its start."""
CONFINEMENT: Final = {
    "memory": "taking any amount of memory",
    "parent": "outliving the program",
    "files": "opening files",
    "calls": "reaching the network and other processes",
}
"""What a process is kept from, where the system can do that."""
UNDECODABLE: Final = "The image can't be decoded: it is damaged."


class DecoderUnavailable(OSError):
    """No process can be started to decode films. No film is to blame; as with a disk that fails, try it later."""

    def __init__(self, why: str):
        super().__init__(errno.EAGAIN, f"no process can be started to decode it ({why})")


class Decoder:
    """Some processes that decode; threads that ask at once wait for a free one. `decoder()` has the app's."""

    def __init__(self, limits: Limits, processes: int, module: str = CHILD):
        """Start the first process in the background.

        Args:
            processes: how many films are decoded at a time.
            module: whose `main` they run.
        """
        self.limits = limits
        self._module = module
        self._turns = threading.Semaphore(processes)
        # From the right those that are ready, from the left those that still start.
        self._idle: deque[Future[DecodingProcess]] = deque()
        self._closed = False
        self._told = False
        self._orders: queue.SimpleQueue[Future[DecodingProcess] | None] = queue.SimpleQueue()
        # A process dies with the thread that started it, and those that ask come and go.
        threading.Thread(target=self._start_processes, name="decoders", daemon=True).start()
        self._idle.append(self._order())

    def read(self, data: bytes | memoryview) -> Radiograph:
        """What `read_radiograph` makes of a file.

        Args:
            data: the whole file.

        Raises:
            UnreadableFilm: as of `read_radiograph`; and where decoding crashes, or takes too much memory or time.
            DecoderUnavailable: no process can be started.
        """
        answer = self._ask("read", data)
        with _sound():
            message = answer.message
            pixels = answer.array(np.float32, _shape(message))
            return Radiograph(pixels, _facts(message), tuple(map(str, message["warnings"])))

    def full_depth(self, data: bytes | memoryview) -> FullDepth:
        """What `full_depth` makes of a file; arguments and errors as of `read`."""
        answer = self._ask("full_depth", data)
        with _sound():
            message = answer.message
            points = int(message["points"])
            first, last = map(float, message["reach"])
            return FullDepth(
                levels=answer.array(np.uint16, _shape(message), 4 * points),
                low=float(message["low"]),
                high=float(message["high"]),
                curve=answer.array(np.float32, (points,)) if points else None,
                reach=(first, last),
                padded=bool(message["padded"]),
                zero=float(message["zero"]),
                step=float(message["step"]),
                facts=_facts(message),
                id=sha256(data).hexdigest(),
            )

    def thumbnail(self, data: bytes | memoryview, side: int) -> bytes:
        """What `thumbnail` makes of a PNG or JPEG file; errors as of `read`."""
        answer = self._ask("thumbnail", data, side=side)
        with _sound():
            return answer.memory.tobytes()

    def header(self, data: bytes | memoryview) -> Header:
        """What `header` makes of a DICOM file; errors as of `read`."""
        answer = self._ask("header", data)
        with _sound():
            return Header(**answer.message["header"])

    def is_whole(self, data: bytes | memoryview) -> bool:
        """What `is_whole` makes of a DICOM file; errors as of `read`."""
        return bool(self._ask("is_whole", data).message.get("whole"))

    def deidentified(self, data: bytes | memoryview, key: bytes, blank: tuple[Box, ...] = ()) -> Cleaned:
        """What `deidentified` makes of a file; errors as of `read`."""
        boxes = [(box.top, box.left, box.height, box.width) for box in blank]
        answer = self._ask("deidentified", data, key=key.hex(), blank=boxes)
        with _sound():
            said, suffix = answer.message["burned_in"], str(answer.message["suffix"])
            if suffix not in SUFFIXES:
                raise ValueError("no kind of file that is written")
            recognisable = bool(answer.message["recognisable"])
            return Cleaned(answer.memory.tobytes(), suffix, None if said is None else str(said), recognisable)

    def held(self) -> tuple[str, ...]:
        """What of its confinement holds, of "memory", "parent", "files", "calls"; raises `DecoderUnavailable`."""
        with self._turns:
            process = self._take()
            self._idle.append(_done(process))
            return process.held

    def pids(self) -> list[int]:
        """Of the processes that wait for a film; for measurements and tests. Raises `DecoderUnavailable`."""
        self.held()
        return [waiting.result().pid for waiting in list(self._idle)]

    @property
    def busy(self) -> bool:
        """Whether every process is at work on a film at this moment."""
        if self._turns.acquire(blocking=False):
            self._turns.release()
            return False
        return True

    def close(self) -> None:
        """End all processes that are not at work; those that are end after their film."""
        self._closed = True
        while self._idle:
            with suppress(IndexError, OSError):
                self._idle.pop().result().kill()
        self._orders.put(None)

    def _ask(self, do: str, data: bytes | memoryview, **more: object) -> Answer:
        with self._turns:
            for again in (False, True):
                process = self._take(fresh=again)
                first = process.films == 0
                try:
                    answer = process.ask(do, data, **more)
                except Broken as error:
                    self._discard(process)
                    # What it read before may have broken it, or somebody ended it: the film gets a process of its own.
                    if error.reason == "killed" or not (first or error.reason == "time"):
                        failure = error
                        continue
                    if self._closed:
                        raise DecoderUnavailable("the program ends") from error
                    raise UnreadableFilm(self._sentence(error, len(data))) from error
                except BaseException:
                    # In the middle of a film it can't be asked for another.
                    self._discard(process)
                    raise
                self._give_back(process)
                return _without_failure(answer)
            raise UnreadableFilm(self._sentence(failure, len(data))) from failure

    def _sentence(self, error: Broken, size: int) -> str:
        if error.reason in ("memory", "killed"):
            return f"The image takes more memory to decode than the {self.limits.megabytes} MB that it may."
        if error.reason == "time":
            seconds = self.limits.seconds_for(size)
            return f"The image takes longer to decode than the {seconds:.1f} seconds that a file of its size may."
        return "The image can't be decoded: it makes the decoder crash."

    def _take(self, fresh: bool = False) -> DecodingProcess:
        """A process that is ready; `fresh`: and has read nothing yet."""
        while True:
            if self._closed:
                raise DecoderUnavailable("the program ends")
            try:
                waiting = self._idle.popleft() if fresh else self._idle.pop()
            except IndexError:
                waiting = self._order()
            try:
                process = waiting.result()
            except OSError as error:
                raise DecoderUnavailable(error.strerror or "unknown error") from error
            except Exception as error:
                raise DecoderUnavailable(type(error).__name__) from error
            if process.ready and (process.gone or (fresh and process.films)):
                process.kill()
                continue
            try:
                process.wait_until_ready()
            except Broken as error:
                process.kill()
                raise DecoderUnavailable("the log has its words") from error
            self._tell_what_does_not_hold(process)
            return process

    def _tell_what_does_not_hold(self, process: DecodingProcess) -> None:
        missing = [words for name, words in CONFINEMENT.items() if name not in process.held]
        if missing and not self._told:
            self._told = True
            LOG.warning(
                "This system does not keep the processes that decode films from %s.", "; nor from ".join(missing)
            )

    def _give_back(self, process: DecodingProcess) -> None:
        if self._closed:
            process.kill()
        elif process.films >= MOST_FILMS or process.resident - process.at_rest > MOST_GROWTH:
            self._discard(process)
        else:
            self._idle.append(_done(process))

    def _discard(self, process: DecodingProcess) -> None:
        """End a process, and have another one started in its place."""
        decoder_replaced()
        process.kill()
        if not self._closed:
            self._idle.appendleft(self._order())

    def _order(self) -> "Future[DecodingProcess]":
        ordered: Future[DecodingProcess] = Future()
        self._orders.put(ordered)
        return ordered

    def _start_processes(self) -> None:
        while (ordered := self._orders.get()) is not None:
            try:
                ordered.set_result(DecodingProcess(self.limits, self._module))
            except Exception as error:  # noqa: BLE001 - if this thread ended, whoever waits would wait for ever
                ordered.set_exception(error)


def _done(process: DecodingProcess) -> "Future[DecodingProcess]":
    done: Future[DecodingProcess] = Future()
    done.set_result(process)
    return done


def _without_failure(answer: Answer) -> Answer:
    message = answer.message
    if "refusal" in message:
        raise UnreadableFilm(str(message["refusal"]))
    if "failed" in message:
        LOG.error("Decoding a film failed with %s", message["failed"])
        raise UnreadableFilm(UNDECODABLE)
    return answer


@contextmanager
def _sound() -> Iterator[None]:
    """A process that was taken over may say anything; what makes no sense is a film that can't be read."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UnreadableFilm(UNDECODABLE) from error


def _shape(message: Message) -> tuple[int, int]:
    height, width = (int(side) for side in message["shape"])
    if min(height, width) < 1:
        raise ValueError("a film has pixels")
    return height, width


def _facts(message: Message) -> Facts:
    facts = dict(message["facts"])
    if facts["pixel_spacing"] is not None:
        row, column = map(float, facts["pixel_spacing"])
        facts["pixel_spacing"] = (row, column)
    return Facts(**facts)


_decoders: dict[tuple[Limits, int], Decoder] = {}
_lock = threading.Lock()


def decoder() -> Decoder:
    """The decoder of this process, by the settings. The first call starts it, without waiting for it."""
    chosen = settings()
    limits = Limits(chosen.decode_megabytes, chosen.decode_seconds, int(chosen.max_megapixels * 1e6))
    key = (limits, chosen.decoders)
    with _lock:
        if key not in _decoders:
            for other in _decoders.values():
                other.close()
            _decoders.clear()
            _decoders[key] = Decoder(*key)
        return _decoders[key]


def _close() -> None:
    for made in _decoders.values():
        made.close()


def _forget() -> None:
    """In a process that was forked: the decoder belongs to the other one."""
    global _lock
    _lock = threading.Lock()
    _decoders.clear()


atexit.register(_close)
os.register_at_fork(after_in_child=_forget)
