"""`progress.json`: how far a job is, as of a moment ago, and that its process still lives."""

from pathlib import Path

from pydantic import AwareDatetime

from cxr.jobs.folder import PROGRESS_FILE, read_part
from cxr.jobs.process import boot_id, boot_seconds
from cxr.jobs.spec import JobPart
from cxr.training.listener import StepMetrics
from cxr.training.run import EpochMetrics


class Live(JobPart):
    """What a job's process said last.

    Attributes:
        doing: one line.
        seconds: since it began to run, without its time in the queue and without earlier processes of the job.
        at: the last step that it told of.
        epoch: the last that is complete.
        trained: no epoch comes any more, so what `at` foretells does not count: calibration and evaluation are left.
        boot, beat: boot id of its machine, and seconds since that was started, as this was written.
        time: the same, for people.
    """

    doing: str
    seconds: float
    at: StepMetrics | None
    epoch: EpochMetrics | None
    trained: bool = False
    boot: str
    beat: float
    time: AwareDatetime

    @property
    def silent_seconds(self) -> float | None:
        """Since this was written; None where that was on another machine, or before this one was restarted."""
        try:
            here = self.boot == boot_id()
        except OSError:
            # There is no Linux here: a job whose folder is shared runs elsewhere.
            return None
        return max(0.0, boot_seconds() - self.beat) if here else None


def read_live(folder: Path) -> Live | None:
    """The last word of a job's process; None before the first, or where it can't be read."""
    return read_part(folder / PROGRESS_FILE, Live)
