"""Second opinions from a process of their own.

TensorFlow is half a gigabyte and a million objects, which Streamlit would search for garbage after every run of every
page. The process is started when somebody first asks, kept while somebody does, and takes all of that along when it
ends. A file of weights is loaded there, not in the app.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from cxr.model.bundle import Bundle, BundleRejected, load_bundle
from cxr.radiograph.channel import (
    Closed,
    Message,
    read_bytes,
    receive,
    receive_with_descriptor,
    send,
    shared_memory,
    write_bytes,
)
from cxr.settings import ROOT

IDLE_SECONDS: Final = 600.0
"""How long the process is kept for the next one who asks."""
ANSWER_SECONDS: Final = 120.0
"""For one answer: loading TensorFlow takes about ten seconds, Score-CAM on two slow cores a few."""
WAIT_SECONDS: Final = 20.0
"""For others, whose films would wait meanwhile: whoever waits has a turn in the line."""


class NoSecondOpinion(RuntimeError):
    """It can't be had at present, in a sentence."""


class SecondOpinions:
    """One process that computes them, one at a time; `second_opinions` are the app's."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS):
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def load(self, bundle: Bundle) -> None:
        """Have the process ready with a bundle's Keras model; errors as of `heatmap`."""
        self._ask(bundle, {}, np.empty(0, np.float32))

    def heatmap(self, bundle: Bundle, square: np.ndarray, finding: str, method: str) -> np.ndarray | None:
        """The map of `cxr.model.second_opinion.second_opinion` by one method, float32 (h, w) in 0..1, or None.

        Args:
            bundle: whose Keras model is asked.
            square: float32 (size, size), grey levels 0..255, of `model_input`.
            finding: one of the model's categories.
            method: one of `METHODS`.

        Raises:
            BundleRejected: its model must not be loaded, or is another one by now.
            NoSecondOpinion: the process failed, or ended.
        """
        given = self._ask(bundle, {"finding": finding, "method": method}, square).get("map")
        return None if given is None else np.asarray(given, np.float32)

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process; the next one who asks starts another."""
        with self._lock:
            self._end()

    def _ask(self, bundle: Bundle, wanted: Message, square: np.ndarray) -> Message:
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise NoSecondOpinion("It is computed for others at present. Try again.")
        try:
            if self._timer is not None:
                self._timer.cancel()
            used = self._sock is not None
            try:
                try:
                    message = self._exchange(bundle, wanted, square)
                except ConnectionError:
                    self._end()
                    if not used:
                        raise
                    # It ended while nobody asked.
                    message = self._exchange(bundle, wanted, square)
            except OSError as error:
                self._end()
                why = "took too long" if isinstance(error, TimeoutError) else "ended before it was done"
                raise NoSecondOpinion(f"The program that computes it {why}. Try again.") from error
            except BaseException:
                # In the middle of an answer it can't be asked for another.
                self._end()
                raise
            self._timer = threading.Timer(self._idle_seconds, self.close)
            self._timer.daemon = True
            self._timer.start()
        finally:
            self._lock.release()
        if "rejected" in message:
            raise BundleRejected(str(message["rejected"]))
        if "failed" in message:
            raise NoSecondOpinion(f"It could not be computed ({message['failed']}).")
        return message

    def _exchange(self, bundle: Bundle, wanted: Message, square: np.ndarray) -> Message:
        sock, data = self._started(), np.ascontiguousarray(square, np.float32)
        memory = shared_memory(max(1, data.nbytes))
        try:
            write_bytes(memory, data.tobytes())
            about = {"bundle": str(bundle.path.absolute()), "sha256": bundle.sha256, "shape": data.shape}
            sock.settimeout(ANSWER_SECONDS)
            send(sock, about | wanted, memory)
        finally:
            os.close(memory)
        return receive(sock)

    def _started(self) -> socket.socket:
        if self._sock is None:
            self._sock, theirs = socket.socketpair()
            with theirs:
                # A session of its own: Ctrl-C at the terminal is for the app, whose end it notices.
                self._process = subprocess.Popen(  # noqa: S603 - this very program
                    [sys.executable, "-m", __name__, str(theirs.fileno())], cwd=ROOT, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
        return self._sock

    def _end(self) -> None:
        if self._sock is not None:
            self._sock.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._sock = self._process = None


second_opinions: Final = SecondOpinions()
"""Of this process."""


def main(arguments: Sequence[str]) -> None:
    """Answer until the other side is gone. `arguments`: the number of the socket."""
    sock = socket.socket(fileno=int(arguments[0]))
    loaded: str | None = None
    while True:
        try:
            asked, memory = receive_with_descriptor(sock)
        except Closed:
            return
        try:
            shape, sha256 = asked["shape"], asked["sha256"]
            if memory is None:
                raise ValueError("no film came with it")
            try:
                square = np.frombuffer(read_bytes(memory, 4 * int(np.prod(shape))), np.float32).reshape(shape)
            finally:
                os.close(memory)
            if loaded != sha256:
                found = load_bundle(Path(asked["bundle"]))
                if found.sha256 != sha256:
                    raise BundleRejected("Another model serves by now. Reload the page.")
                # TensorFlow is imported here, and nowhere in the app.
                from cxr.model.export import load_keras
                from cxr.model.second_opinion import second_opinion

                model, categories, loaded = load_keras(found), found.card.categories, sha256
            answer: Message = {}
            if "method" in asked:
                finding, methods = asked["finding"], (asked["method"],)
                ((_, grid),) = second_opinion(model, square, finding, methods, categories)
                answer = {"map": None if grid is None else grid.tolist()}
        except BundleRejected as error:
            answer = {"rejected": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the next one gets an answer
            # Without what it says: that may be of the film.
            answer = {"failed": type(error).__name__}
        try:
            send(sock, answer)
        except OSError:
            # Nobody waits for it any more.
            return


if __name__ == "__main__":
    main(sys.argv[1:])
