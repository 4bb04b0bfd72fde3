"""A real worker that knows the tiny backbone of the tests.

`python tiny_worker.py [--slow SECONDS] RUN_FOLDER`; it then waits for so long after each step.
"""

import sys
import time
from pathlib import Path

from cxr.jobs import recorder, stop, worker

stop.BEAT_SECONDS = 0.2


def register() -> None:
    """Make the backbone known."""
    from keras import layers

    from cxr.model import backbones

    def build(x, weights):  # type: ignore[no-untyped-def]
        for filters in (8, 16, 16):
            x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
        return x

    backbones.BACKBONES["tiny"] = backbones.Backbone(build, *backbones.LITE)


def main() -> int:
    train = worker._train
    asked = recorder.Recorder.should_stop

    def knowing(*arguments):  # type: ignore[no-untyped-def]
        register()
        return train(*arguments)

    def slow(self: recorder.Recorder) -> bool:
        time.sleep(float(sys.argv[2]))
        return asked(self)

    worker._train = knowing
    if sys.argv[1] == "--slow":
        recorder.Recorder.should_stop = slow
    return worker.run(Path(sys.argv[-1]))


if __name__ == "__main__":
    sys.exit(main())
