"""The films of one browser session. They live in its memory, are written nowhere, and go when the session does."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

import numpy as np
import streamlit as st

from cxr.classify import Reading, Refusal, answer
from cxr.heap import give_memory_back
from cxr.model.engine import Engine
from cxr.model.verdict import Verdict, decide
from cxr.radiograph import FullDepth
from cxr.radiograph.isolated import DecoderUnavailable, decoder
from cxr.radiograph.placement import UNTOUCHED, Placement
from cxr.settings import settings
from cxr.turns import LineFull, reading_line
from cxr.ui.waiting import turn_of
from cxr.ui.words import plain

KEY: Final = "read_film_readings"
CHOSEN: Final = "chosen-film"
"""Where the session keeps the id of the film that is looked at."""

DEPTHS_KEPT: Final = 4
"""Of so many films a session keeps the pixels decoded, those that were looked at last."""

_log = logging.getLogger(__name__)

Maps = dict[str, np.ndarray | None]
"""Heatmaps of one finding by method."""


class SessionFull(RuntimeError):
    """A session holds as many films as it may; the message is one sentence for the reader."""


@dataclass(frozen=True)
class Film:
    """A file as it came: its name, its bytes, and what is known of it that its bytes do not say.

    Attributes:
        warning: a sentence that belongs with its verdict.
        labels: the categories that its data set gives it; None where it comes from none.
    """

    name: str
    data: bytes
    warning: str | None = None
    labels: tuple[str, ...] | None = None


@dataclass
class Readings:
    """The films of a session by an id made of name and content: the same file dropped twice is one film.

    Attributes:
        films: in the order in which they came.
        answers: of the films that were read so far, by the model of `model`.
        second_opinions: heatmaps by other methods, by film, then by model and finding.
        depths: the films that were looked at last, at full depth as they are seen, the latest at the end.
        placements: of the films of which the reader has said how they lie.
        model: SHA-256 of the bundle that gave the answers.
        uploader: counts up to give the user an empty uploader once its films were taken over.
    """

    films: dict[str, Film] = field(default_factory=dict)
    answers: dict[str, Reading | Refusal] = field(default_factory=dict)
    second_opinions: dict[str, dict[str, Maps]] = field(default_factory=dict)
    depths: dict[str, FullDepth] = field(default_factory=dict)
    placements: dict[str, Placement] = field(default_factory=dict)
    model: str = ""
    uploader: int = 0

    @property
    def megabytes(self) -> float:
        """What its films take, as files and as the pictures that were made of them."""
        pictures = (given.grey.nbytes for given in self.answers.values() if given.grey is not None)
        return (sum(len(film.data) for film in self.films.values()) + sum(pictures)) / 1e6

    def add(self, film: Film) -> str:
        """Take a film in, to be read by the next `read_new`; returns its id, also if it was there before.

        Raises:
            SessionFull: it would take the session past `session_megabytes`.
        """
        key = sha256(film.name.encode(errors="replace") + b"\0" + film.data).hexdigest()[:16]
        if key not in self.films:
            limit = settings().session_megabytes
            if self.megabytes + len(film.data) / 1e6 > limit:
                raise SessionFull(f"{film.name} was not taken in: a session may hold {limit} MB of films. Remove some.")
            self.films[key] = film
        elif film.labels is not None:
            self.films[key] = film
        return key

    def remove(self, keys: Iterable[str]) -> None:
        """Forget some films, all of each."""
        for key in list(keys):
            self.films.pop(key, None)
            self.answers.pop(key, None)
            self.second_opinions.pop(key, None)
            self.depths.pop(key, None)
            self.placements.pop(key, None)
        give_memory_back()

    def place(self, key: str, placement: Placement) -> None:
        """Have a film seen as the reader says; the next `read_new` reads it anew."""
        self.placements[key] = placement
        for known in (self.answers, self.second_opinions, self.depths):
            known.pop(key, None)

    def depth(self, key: str) -> FullDepth:
        """A film at full depth, to be looked at: as it was read, turned and with its grey scale the right way round."""
        found = self.depths.pop(key, None)
        if found is None:
            found = self.answers[key].placement.depth(decoder().full_depth(self.films[key].data))
        self.depths[key] = found
        for old in list(self.depths)[:-DEPTHS_KEPT]:
            del self.depths[old]
        return self.depths[key]

    def label(self, key: str) -> str:
        """The name of a film as the list shows it: films of the same name are numbered in the order of their coming."""
        name = self.films[key].name
        same = [other for other, film in self.films.items() if film.name == name]
        return name if len(same) == 1 else f"{name} ({same.index(key) + 1})"


def readings() -> Readings:
    """This session's films."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Readings()
    found: Readings = st.session_state[KEY]
    return found


def take_in(session: Readings, films: Iterable[Film]) -> list[str]:
    """Take films in and say so of those that a full session has no room for; returns the ids of the others."""
    taken = []
    for film in films:
        try:
            taken.append(session.add(film))
        except SessionFull as error:
            st.toast(plain(str(error)), icon=":material/block:", duration="infinite")
    return taken


def read_new(session: Readings, engine: Engine) -> None:
    """Read the films that have no answer yet, with progress; all of them anew when another model serves.

    The films wait for their turn among those of others, and the page says how many are before them. Where no more can
    wait, it says so, and the next run tries again. An answer is kept as soon as it is there, so a rerun in the middle
    of a long batch goes on where it was. Of small files that become large pictures, those that the session has no room
    for are refused.
    """
    if session.model != engine.bundle.sha256:
        if session.answers:
            st.toast(f"Another model serves now: {plain(engine.bundle.name)}. Your films are read anew.")
        session.answers.clear()
        # Which way round a grey scale is, the next model may see otherwise.
        session.depths.clear()
        session.model = engine.bundle.sha256
    new = [key for key in session.films if key not in session.answers]
    if not new:
        return
    progress = st.progress(0.0)
    try:
        with reading_line().joined() as place:
            for number, key in enumerate(new):
                counted = f"film {number + 1} of {len(new)}"
                with turn_of(place, progress, number / len(new), counted, f"Reading {counted}"):
                    session.answers[key] = _answer(engine, session, key)
    except (LineFull, DecoderUnavailable) as full:
        count = len([key for key in new if key not in session.answers])
        waits = "Your film is kept here." if count == 1 else f"Your {count} films are kept here."
        why = f"Films can't be read at present: {full.strerror}." if isinstance(full, DecoderUnavailable) else str(full)
        st.warning(f"{why} {waits}", icon=":material/hourglass_top:")
        st.button("Try again", icon=":material/refresh:", width="stretch")
    progress.empty()
    give_memory_back()


def _answer(engine: Engine, session: Readings, key: str) -> Reading | Refusal:
    film, limit = session.films[key], settings().session_megabytes
    if session.megabytes > limit:
        return Refusal(
            film.name, f"It was not read: a session may hold {limit} MB of films. Remove some, and add it again."
        )
    try:
        given = answer(engine, film.name, film.data, placement=session.placements.get(key, UNTOUCHED))
    except DecoderUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one film, the others have to be read
        # Without what it says: that may be of the patient.
        _log.error("Reading a film failed: %s", type(error).__name__)
        return Refusal(film.name, f"Reading it failed ({type(error).__name__}).")
    if film.warning is not None and isinstance(given, Reading):
        return replace(given, warnings=(film.warning, *given.warnings))
    return given


def verdicts(session: Readings, engine: Engine, point: str) -> dict[str, Verdict | None]:
    """The verdict on every film at an operating point, most probably abnormal first; refused films (None) last."""
    chosen = engine.bundle.card.operating_point(point)
    decided = {
        key: decide(given.prediction.probabilities, chosen) if isinstance(given, Reading) else None
        for key, given in session.answers.items()
    }
    return dict(sorted(decided.items(), key=lambda item: -item[1].abnormal_probability if item[1] else 1.0))
