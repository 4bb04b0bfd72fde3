"""Times and states in words. Plain functions, no Streamlit."""

from datetime import datetime
from typing import Final, Literal

from cxr.jobs import Job, State
from cxr.jobs.words import seconds_in_words

COLOURS: Final[dict[State, Literal["blue", "green", "primary", "red", "gray", "orange"]]] = {
    State.QUEUED: "blue",
    State.RUNNING: "green",
    State.FINISHED: "primary",
    State.FAILED: "red",
    State.CANCELLED: "gray",
    State.INTERRUPTED: "orange",
}
ICONS: Final = {
    State.QUEUED: ":material/hourglass_top:",
    State.RUNNING: ":material/play_circle:",
    State.FINISHED: ":material/check_circle:",
    State.FAILED: ":material/error:",
    State.CANCELLED: ":material/cancel:",
    State.INTERRUPTED: ":material/pause_circle:",
}


def moment(time: datetime) -> str:
    """As in "2026-05-04 13:20 UTC"."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def progress(job: Job) -> str:
    """Where a job is, in words."""
    if job.live is None or job.live.at is None:
        return "" if job.live is None else job.live.doing
    at = job.live.at
    words = f"epoch {at.epoch} of {at.epochs}, step {at.step} of {at.steps}"
    if job.state != State.RUNNING:
        return words
    if job.live.trained:
        return job.live.doing
    return words if at.seconds_left is None else f"{words}, about {seconds_in_words(at.seconds_left)} left"


def share_done(job: Job) -> float:
    """How much of the training is done, 0..1."""
    if job.state == State.FINISHED:
        return 1.0
    if job.live is None or job.live.at is None:
        return 0.0
    at = job.live.at
    return min(1.0, (at.epoch - 1 + at.step / at.steps) / at.epochs)
