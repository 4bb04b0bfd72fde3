"""The films of one browser session. They live in its memory, are written nowhere, and go when the session does."""

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


@dataclass
class Readings:
    """Answers by an id that is stable while the film is in the session.

    Attributes:
        answers: in the order in which the films came.
        samples: ids of the samples that were asked for.
        uploader: counts up to give the user an empty uploader.
    """

    answers: dict[str, Reading | Refusal] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    uploader: int = 0


def readings() -> Readings:
    """This session's films."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Readings()
    found: Readings = st.session_state[KEY]
    return found


def update(session: Readings, uploads: list[UploadedFile], engine: Engine) -> list[str]:
    """Read what is new, with progress, and forget what was taken away.

    An answer is kept as soon as it is there, so a rerun in the middle of a long batch goes on where it was.

    Returns:
        The ids of the films that were read just now.
    """
    model = engine.bundle.sha256
    wanted: dict[str, UploadedFile | Sample] = {f"{model}-{u.file_id}": u for u in uploads}
    wanted |= {f"{model}-{key}": sample for key, sample in session.samples.items()}
    session.answers = {key: given for key, given in session.answers.items() if key in wanted}
    new = [key for key in wanted if key not in session.answers]
    if not new:
        return new
    progress = st.progress(0.0)
    for number, key in enumerate(new):
        item = wanted[key]
        name = item.file if isinstance(item, Sample) else item.name
        progress.progress(number / len(new), f"Reading film {number + 1} of {len(new)}")
        data = item.read() if isinstance(item, Sample) else item.getvalue()
        session.answers[key] = answer(engine, name, data)
    progress.empty()
    return new


def add_sample(sample: Sample) -> None:
    """Put a shipped film among this session's films."""
    readings().samples[sha256(sample.file.encode()).hexdigest()[:8]] = sample


def clear() -> None:
    """Forget all films of this session."""
    session = readings()
    session.answers.clear()
    session.samples.clear()
    session.uploader += 1


def verdicts(session: Readings, engine: Engine, point: str) -> dict[str, Verdict | None]:
    """The verdict on every film at an operating point, most probably abnormal first; refused films (None) last."""
    chosen = engine.bundle.card.operating_point(point)
    decided = {
        key: decide(given.prediction.probabilities, chosen) if isinstance(given, Reading) else None
        for key, given in session.answers.items()
    }
    return dict(sorted(decided.items(), key=lambda item: -item[1].abnormal_probability if item[1] else 1.0))
