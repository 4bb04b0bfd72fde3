"""The films of one browser session. They live in its memory, are written nowhere, and go when the session does."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cxr.classify import Reading, Refusal, answer
from cxr.model.engine import Engine
from cxr.model.verdict import Verdict, decide
from cxr.samples import Sample

KEY: Final = "read_film_readings"


@dataclass(frozen=True)
class Film:
    """A file as it came: its name and its bytes."""

    name: str
    data: bytes


@dataclass
class Readings:
    """The films of a session by an id made of name and content: the same file dropped twice is one film.

    Attributes:
        films: in the order in which they came.
        answers: of the films that were read so far, by the model of `model`.
        model: SHA-256 of the bundle that gave the answers.
        uploader: counts up to give the user an empty uploader once its films were taken over.
    """

    films: dict[str, Film] = field(default_factory=dict)
    answers: dict[str, Reading | Refusal] = field(default_factory=dict)
    model: str = ""
    uploader: int = 0

    def add(self, film: Film) -> None:
        """Take a film in; it is read by the next `read_new`."""
        self.films.setdefault(sha256(film.name.encode(errors="replace") + b"\0" + film.data).hexdigest()[:16], film)

    def remove(self, keys: Iterable[str]) -> None:
        """Forget some films, all of each."""
        for key in list(keys):
            self.films.pop(key, None)
            self.answers.pop(key, None)


def readings() -> Readings:
    """This session's films."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Readings()
    found: Readings = st.session_state[KEY]
    return found


def take_in(session: Readings, uploads: list[UploadedFile]) -> None:
    """Take over what lies in the uploader, which is then replaced by an empty one."""
    for upload in uploads:
        session.add(Film(upload.name, upload.getvalue()))
    session.uploader += bool(uploads)


def add_sample(sample: Sample) -> None:
    """Put a shipped film among this session's films."""
    readings().add(Film(sample.file, sample.read()))


def read_new(session: Readings, engine: Engine) -> list[str]:
    """Read the films that have no answer yet, with progress; all of them anew when another model serves.

    An answer is kept as soon as it is there, so a rerun in the middle of a long batch goes on where it was.

    Returns:
        The ids of the films that were read just now.
    """
    if session.model != engine.bundle.sha256:
        session.answers.clear()
        session.model = engine.bundle.sha256
    new = [key for key in session.films if key not in session.answers]
    if not new:
        return new
    progress = st.progress(0.0)
    for number, key in enumerate(new):
        progress.progress(number / len(new), f"Reading film {number + 1} of {len(new)}")
        film = session.films[key]
        session.answers[key] = answer(engine, film.name, film.data)
    progress.empty()
    return new


def verdicts(session: Readings, engine: Engine, point: str) -> dict[str, Verdict | None]:
    """The verdict on every film at an operating point, most probably abnormal first; refused films (None) last."""
    chosen = engine.bundle.card.operating_point(point)
    decided = {
        key: decide(given.prediction.probabilities, chosen) if isinstance(given, Reading) else None
        for key, given in session.answers.items()
    }
    return dict(sorted(decided.items(), key=lambda item: -item[1].abnormal_probability if item[1] else 1.0))
