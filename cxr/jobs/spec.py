"""What a job is to do: chosen once, never changed."""

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cxr.training.config import TrainingConfig

NAME: Final = re.compile(r"\w[\w.-]{0,63}")


class JobRefused(ValueError):
    """A job that can't be started, stopped, gone on with or deleted; the message is one sentence that says why."""


class NoSuchJob(LookupError):
    """There is no job of that id; the message is one sentence."""


class JobPart(BaseModel):
    """Base of what a job's folder keeps as JSON: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSpec(JobPart):
    """What somebody wants to be trained.

    Attributes:
        model: name of the model that it makes, in the models folder.
        data: folder in the layout of the Kaggle TFRecord release.
        config: see `TrainingConfig`.
        devices: "auto" (all GPUs of the machine, else its CPU), "cpu", or GPUs such as "gpu0" or "gpu0,gpu1".
        backend: "local" is a process of this machine, "ray" a job of a Ray cluster.
        by: who wants it.
        cloned_from: id of the job whose specification this one was made of.
    """

    model: str
    data: Path
    config: TrainingConfig
    devices: Annotated[str, Field(pattern=r"^(auto|cpu|gpu\d+(,gpu\d+)*)$")] = "auto"
    backend: Literal["local", "ray"] = "local"
    by: str
    cloned_from: str | None = None


class State(StrEnum):
    """What becomes of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def alive(self) -> bool:
        """Whether a process has it in hand."""
        return self in (State.QUEUED, State.RUNNING)

    @property
    def resumable(self) -> bool:
        """Whether it can be gone on with."""
        return self in (State.FAILED, State.CANCELLED, State.INTERRUPTED)


class Event(JobPart):
    """A change of a job's state.

    Attributes:
        state: since then.
        time: by the clock of the machine where it happened; for people, nothing is reckoned with it.
        cause: one sentence.
        who: a person, or "the job itself".
    """

    state: State
    time: AwareDatetime
    cause: str
    who: str


ITSELF: Final = "the job itself"


class StoredState(JobPart):
    """`state.json`.

    Attributes:
        events: the oldest first; the last says what the state is, as far as its process could tell.
        ticket: decides who goes first on a device; the lower.
        handle: by which the backend knows the process; None before there is one.
        devices: of this machine that it was queued for, with which "auto" was replaced; empty where a cluster chooses.
    """

    events: tuple[Event, ...] = Field(min_length=1)
    ticket: int
    handle: str | None = None
    devices: tuple[str, ...] = ()


class StoredSpec(JobPart):
    """`job.json`.

    Attributes:
        id: of the job.
        created: when.
        token: made by who asked for the job; the same one again is the same job.
        spec: what it is to do.
    """

    id: str
    created: AwareDatetime
    token: str
    spec: JobSpec


class StopRequest(JobPart):
    """`stop.json`: somebody wants the job to stop."""

    who: str
    time: datetime


class MadeModel(JobPart):
    """`made.json`: the bundle that was made, by its `Bundle.sha256`, before it was moved to the others."""

    sha256: str
