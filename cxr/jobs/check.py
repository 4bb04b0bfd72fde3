"""One question before a job is queued, and its answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One question before a job is queued.

    Attributes:
        name: what it is about, one word.
        ok: whether the job may be queued.
        sentence: what was found, or what is wrong and what to do.
    """

    name: str
    ok: bool
    sentence: str


def waits_for(device: str) -> str:
    """What to say where a job would wait for a device, "cpu" or a GPU with its name."""
    return f"{device} is busy with another job; this one waits for it."


def answered(name: str, problem: str | None, fine: str) -> Check:
    """The answer where something may stand against the job.

    Args:
        name: what it is about, one word.
        problem: what is wrong, one sentence; None if nothing is.
        fine: what to say then.
    """
    return Check(name, problem is None, problem or fine)
