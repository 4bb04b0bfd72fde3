"""The line in which films wait to be read by this process: a few at a time, each who brings films in his turn.

Whoever has films joins the line and gets a place; the place asks for a turn for every film. Turns go round by places:
one film of somebody else never waits for all five hundred of a neighbour's batch. The number of places is bounded: who
comes when all are taken is told so at once, keeps his films, and can try again.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cxr.settings import settings

TELL_SECONDS: Final = 0.5
"""How often somebody who waits is told where he stands, which is also how soon his leaving is noticed."""


class LineFull(RuntimeError):
    """All places of the line are taken; the message is one sentence for the reader."""


class _Ticket:
    """One film: `called` once it is its turn."""

    def __init__(self) -> None:
        self.called = False


class Place:
    """Of somebody in a line, by `Line.joined`. Threads may share one; then they share its turns."""

    def __init__(self, line: "Line"):
        self._line = line
        self.waiting: deque[_Ticket] = deque()

    @contextmanager
    def turn(self, tell: Callable[[int], object] = lambda before: None) -> Iterator[None]:
        """Wait until one film may be read; it is read in the context, and its end calls the next one.

        However the context is left, by an exception of the film or of `tell`, the others go on.

        Args:
            tell: called while the film waits, every half a second, with the number of other places' films that come
                before it, those that are being read among them. What it raises ends the waiting.
        """
        ticket = self._line.queue(self)
        try:
            while not ticket.called:
                before = self._line.before(self, ticket)
                if before is not None:
                    tell(before)
                    self._line.wait(ticket)
            yield
        finally:
            self._line.leave(self, ticket)


class Line:
    """A line. All of it may be used by many threads.

    Args:
        workers: how many films are read at a time.
        places: how many may be in it at a time, whether they wait or are read.
    """

    def __init__(self, workers: int, places: int):
        self._workers, self._places = workers, places
        self._changed = threading.Condition()
        # Places with films that wait, in the order of their next turn.
        self._round: deque[Place] = deque()
        self._read: dict[_Ticket, Place] = {}
        self._joined = 0

    @property
    def length(self) -> int:
        """How many films wait or are being read."""
        with self._changed:
            return len(self._read) + sum(len(place.waiting) for place in self._round)

    @contextmanager
    def joined(self, *, always: bool = False) -> Iterator[Place]:
        """A place in the line for as long as the context lasts.

        Args:
            always: also where all places are taken, and without taking one: for what works in the background.

        Raises:
            LineFull: all places are taken.
        """
        with self._changed:
            if not always and self._joined >= self._places:
                others = "1 other is" if self._places == 1 else f"{self._places} others are"
                raise LineFull(f"{others} having films read at present, and no more can wait. Try again in a moment.")
            self._joined += not always
        try:
            yield Place(self)
        finally:
            with self._changed:
                self._joined -= not always

    def queue(self, place: Place) -> _Ticket:
        """Put a film of a place at the end of its films, and the place at the end of the round if it had none."""
        ticket = _Ticket()
        with self._changed:
            if not place.waiting:
                self._round.append(place)
            place.waiting.append(ticket)
            self._call()
        return ticket

    def before(self, place: Place, ticket: _Ticket) -> int | None:
        """How many films of other places come before a film; None once it is its turn."""
        with self._changed:
            if ticket.called:
                return None
            rounds, own = place.waiting.index(ticket), self._round.index(place)
            ahead = sum(1 for other in self._read.values() if other is not place)
            for number, other in enumerate(self._round):
                if other is not place:
                    ahead += min(len(other.waiting), rounds + (number < own))
            return ahead

    def wait(self, ticket: _Ticket) -> None:
        """Return when it is the turn of a film, and after `TELL_SECONDS` in any case."""
        with self._changed:
            self._changed.wait_for(lambda: ticket.called, TELL_SECONDS)

    def leave(self, place: Place, ticket: _Ticket) -> None:
        """Take a film out, whether it was read or gave up waiting, and call the next."""
        with self._changed:
            if self._read.pop(ticket, None) is None:
                place.waiting.remove(ticket)
                if not place.waiting:
                    self._round.remove(place)
            self._call()

    def _call(self) -> None:
        """Call films as long as there is room; a place that has more goes to the end of the round."""
        while self._round and len(self._read) < self._workers:
            place = self._round.popleft()
            ticket = place.waiting.popleft()
            if place.waiting:
                self._round.append(place)
            ticket.called = True
            self._read[ticket] = place
        self._changed.notify_all()


_lines: dict[tuple[int, int, int], Line] = {}
_making = threading.Lock()


def reading_line() -> Line:
    """The line of this process and of the settings."""
    workers = settings().reading_workers or os.cpu_count() or 1
    key = (os.getpid(), workers, settings().reading_places)
    with _making:
        return _lines.setdefault(key, Line(workers, settings().reading_places))
