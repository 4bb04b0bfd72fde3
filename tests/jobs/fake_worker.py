"""A worker that does everything but train: it runs until its folder holds a file named "enough", or it is stopped.

`python fake_worker.py [--deaf] RUN_FOLDER`; with `--deaf` it does not hear that it is to stop, as one that hangs.
"""

import sys
import time
from pathlib import Path

from cxr.jobs import stop, worker
from cxr.jobs.folder import StoredJob
from cxr.jobs.recorder import Recorder

stop.BEAT_SECONDS = 0.1


def train(job: StoredJob, devices: str, recorder: Recorder) -> str:
    recorder.say(f"running on {devices}")
    while not (job.folder / "enough").exists():
        if "--deaf" not in sys.argv:
            recorder.say("still here")
        time.sleep(0.05)
    return "It had enough."


if __name__ == "__main__":
    worker._train = train
    sys.exit(worker.run(Path(sys.argv[-1])))
