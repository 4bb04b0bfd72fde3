"""The parts of a job that need no process: causes, machine, environment, files, words."""

import errno
import os
from pathlib import Path

import numpy as np
import psutil
import pynvml
import pytest
from synthetic import SIDE

from cxr.dataset.labelled import UnusableDataset, load_labelled_films
from cxr.jobs import machine
from cxr.jobs.failure import cause_of
from cxr.jobs.folder import BALLAST_BYTES, write_ballast
from cxr.jobs.history import StepsFile, add_samples, read_samples, read_steps
from cxr.jobs.local import devices_of, environment
from cxr.jobs.machine import Gpu
from cxr.jobs.recorder import Recorder
from cxr.jobs.words import bytes_in_words, seconds_in_words
from cxr.lock import Held, held, locked
from cxr.training.listener import SamplePredictions, StepMetrics, TrainingStopped
from cxr.training.watch import TrainingDiverged


def raised(error: BaseException) -> BaseException:
    """The exception with the traceback of where it was raised, which is not in this software."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


def test_our_own_errors_are_the_cause_as_they_are(tmp_path):
    with pytest.raises(UnusableDataset) as found:
        load_labelled_films(tmp_path, SIDE, tmp_path)
    assert cause_of(found.value, [tmp_path]) == f"There are no .tfrec files in {tmp_path}."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("b'\\xff patient 7'"), "An error that was not foreseen (ValueError) ended it; log.txt says where."),
        (TrainingDiverged("not ours here"), "An error that was not foreseen (TrainingDiverged) ended it; "),
        (KeyError("x"), "An error that was not foreseen (KeyError)"),
        (MemoryError(), "The memory did not suffice (MemoryError); start again with a smaller batch_size"),
        (PermissionError(13, "Permission denied", "/x/y"), "The system refused: Permission denied (/x/y)."),
    ],
)
def test_other_errors_are_named_and_their_words_stay_in_the_log(error, said, tmp_path):
    assert cause_of(raised(error), [tmp_path]).startswith(said)


@pytest.mark.parametrize(
    "full", [OSError(errno.ENOSPC, "x", "/data/a.npz"), OSError(errno.EDQUOT, "x", "/data/a"),
             OSError(5, "Unable to write (error message = 'No space left on device')", "/data/b")],
)  # fmt: skip
def test_a_full_disk_is_found_wherever_it_shows(full, tmp_path):
    try:
        try:
            raise full
        except OSError as error:
            raise RuntimeError("while saving") from error
    except RuntimeError as error:
        assert cause_of(error, [tmp_path]).startswith("The disk of ")
    assert cause_of(raised(full), [tmp_path]) == "The disk of /data is full; make room there, then resume the job."


def test_the_machine_is_as_psutil_has_it(tmp_path):
    found = machine.look({"runs": tmp_path / "not" / "yet", "models": tmp_path})
    assert found.memory == psutil.virtual_memory().total
    assert 0 < found.memory_free <= found.memory
    assert 0 <= found.cpu_load <= 1
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.disks["runs"].device == found.disks["models"].device == tmp_path.stat().st_dev
    assert found.disks["runs"].folder == tmp_path / "not" / "yet"
    assert 0 < found.disks["runs"].free <= found.disks["runs"].size


class FakeDriver:
    """Two GPUs; the second does not tell its load."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.open = 0
        for name in ("Init", "Shutdown", "DeviceGetCount", "DeviceGetHandleByIndex", "DeviceGetMemoryInfo",
                     "DeviceGetUtilizationRates", "DeviceGetName"):  # fmt: skip
            monkeypatch.setattr(pynvml, f"nvml{name}", getattr(self, name.lower()))

    def init(self):
        self.open += 1

    def shutdown(self):
        self.open -= 1

    def devicegetcount(self):
        return 2

    def devicegethandlebyindex(self, number):
        return number

    def devicegetname(self, number):
        return ["NVIDIA H100", b"Tesla P40"][number]

    def devicegetmemoryinfo(self, number):
        return type("Memory", (), {"total": 80 + number, "free": 70 + number})

    def devicegetutilizationrates(self, number):
        if number:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return type("Rates", (), {"gpu": 37})


def test_gpus_are_what_the_driver_says(monkeypatch):
    driver = FakeDriver(monkeypatch)
    assert machine.gpus() == (Gpu("gpu0", "NVIDIA H100", 80, 70, 0.37), Gpu("gpu1", "Tesla P40", 81, 71, None))
    assert driver.open == 0


@pytest.mark.parametrize("question", ["DeviceGetHandleByIndex", "DeviceGetMemoryInfo"])
def test_a_gpu_that_is_lost_is_left_out(monkeypatch, question):
    driver = FakeDriver(monkeypatch)
    answer = getattr(driver, question.lower())
    monkeypatch.setattr(pynvml, f"nvml{question}", lambda number: lost() if number else answer(number))
    assert [gpu.device for gpu in machine.look({}).gpus] == ["gpu0"]
    assert driver.open == 0


def test_a_gpu_without_a_name_is_unknown_and_a_driver_that_fails_has_none(monkeypatch):
    FakeDriver(monkeypatch)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lost)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lost)
    assert [gpu.name for gpu in machine.gpus()] == ["unknown", "unknown"]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lost)
    assert machine.gpus() == ()


def lost(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)


def test_the_disk_of_a_folder_that_may_not_be_seen_is_that_above(tmp_path, monkeypatch):
    assert machine.disk(tmp_path / ("x" * 300)).device == tmp_path.stat().st_dev
    exists = Path.exists

    def forbidden(path: Path) -> bool:
        if path.name == "secret":
            raise PermissionError
        return exists(path)

    monkeypatch.setattr(Path, "exists", forbidden)
    assert machine.disk(tmp_path / "secret" / "runs").device == tmp_path.stat().st_dev


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert machine.gpus() == ()
    assert machine.look({}).gpus == ()


@pytest.mark.parametrize(
    ("visible", "devices"),
    [(None, ("gpu0", "gpu1")), ("1", ("gpu1",)), ("", ("cpu",)), ("-1", ("cpu",)), ("0,-1,1", ("gpu0",))],
)
def test_auto_is_all_gpus_that_this_process_may_see_else_the_cpu(monkeypatch, place, visible, devices):
    FakeDriver(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_of(place.spec("lung", devices="auto")) == devices
    assert devices_of(place.spec("lung", devices="gpu1,gpu0,gpu1")) == ("gpu0", "gpu1")


def test_a_worker_sees_its_devices_and_keeps_what_was_set():
    made = environment(("gpu0", "gpu2"), {"MALLOC_TRIM_THRESHOLD_": "1", "PYTHONPATH": "/lib", "CXR_DATA": "/data"})
    assert made["CUDA_VISIBLE_DEVICES"] == "0,2"
    assert made["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert (made["MALLOC_TRIM_THRESHOLD_"], made["MALLOC_MMAP_THRESHOLD_"]) == ("1", "4294967295")
    assert made["PYTHONPATH"].endswith(":/lib")
    assert made["CXR_DATA"] == "/data"
    assert environment(("cpu",), {})["CUDA_VISIBLE_DEVICES"] == "-1"


def at(epoch: int, step: int, loss: float) -> StepMetrics:
    return StepMetrics(
        epoch=epoch, step=step, epochs=3, steps=10, loss=loss, learning_rate=1e-3, films_per_second=9, waiting=0.25
    )


def test_steps_are_kept_up_to_where_the_next_process_goes_on(tmp_path):
    file = StepsFile(tmp_path, (1, 1))
    for metrics in (at(1, 1, 0.9), at(1, 5, 0.8), at(1, 10, 0.7), at(2, 3, 0.6), at(2, 8, 0.5)):
        file.append(metrics)
    with (tmp_path / "steps.csv").open("a") as torn:
        torn.write("2,9,10,0.4,1e-3,9,0.2")
    assert read_steps(tmp_path)["loss"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    StepsFile(tmp_path, (2, 4)).append(at(2, 5, 0.55))
    table = read_steps(tmp_path)
    assert table["loss"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.55]
    assert table["place"].tolist() == [0.1, 0.5, 1.0, 1.3, 1.5]


@pytest.mark.parametrize(
    "content", [b"", b"epoch,st", b"epoch,step,steps,loss,learning_rate,films_per_second,waiting\n", b"\xff\n1,2\n,,\n"]
)
def test_a_torn_file_of_steps_is_an_empty_curve(tmp_path, content):
    (tmp_path / "steps.csv").write_bytes(content)
    table = read_steps(tmp_path)
    assert len(table) == 0
    assert table.columns.tolist()[-1] == "place"


def test_a_row_that_was_written_twice_counts_once_and_the_last_one_does(tmp_path):
    file = StepsFile(tmp_path, (1, 1))
    for metrics in (at(1, 2, 0.9), at(1, 1, 0.8), at(1, 2, 0.7)):
        file.append(metrics)
    assert read_steps(tmp_path)["loss"].tolist() == [0.8, 0.7]


def test_a_stop_that_comes_while_a_step_is_told_waits_for_the_next_checkpoint(tmp_path, capsys):
    """Between two parts of the work it is heeded at once."""
    recorder = Recorder(tmp_path, lambda: True)
    recorder.step(at(1, 1, 0.9).model_copy(update={"epoch_seconds": 3600.0, "seconds_left": 7200.0}))
    assert "an epoch takes about 60 min; training ends in about 2 h 0 min" in capsys.readouterr().out
    with pytest.raises(TrainingStopped):
        recorder.say("train: 7 films of 3 patients")


def test_samples_of_epochs_that_are_made_again_are_replaced(tmp_path):
    assert read_samples(tmp_path) is None
    labels = np.eye(2, 15, dtype=np.uint8)
    for epoch, level in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.4)):
        said = SamplePredictions(("a", "b"), labels, np.full((2, 15), level, np.float32))
        add_samples(tmp_path, epoch, said)
    kept = read_samples(tmp_path)
    assert kept.epochs == (1, 2)
    assert kept.probabilities[:, 0, 0].tolist() == [0.1, 0.4]
    np.testing.assert_array_equal(kept.labels, labels)
    (tmp_path / "samples.json").write_text('{"image_ids": ["a"')
    assert read_samples(tmp_path) is None


def test_the_ballast_takes_its_room_and_is_made_once(tmp_path):
    write_ballast(tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_blocks * 512 >= BALLAST_BYTES
    before = file.stat().st_mtime_ns
    write_ballast(tmp_path)
    assert file.stat().st_mtime_ns == before


def test_a_lock_keeps_others_out_in_the_same_process_too(tmp_path):
    file: Path = tmp_path / "lock"
    assert not held(file)
    with locked(file):
        assert held(file)
        with pytest.raises(Held), locked(file, wait=False):
            pass
    assert not held(file)
    with locked(file, wait=False):
        pass


def test_sizes_and_durations_are_for_people():
    assert [bytes_in_words(size) for size in (3e6, 3.44e9, 2e12)] == ["3 MB", "3.4 GB", "2.0 TB"]
    durations = [seconds_in_words(s) for s in (40, 99.6, 720, 12000, 200_000)]
    assert durations == ["40 s", "2 min", "12 min", "3 h 20 min", "2.3 days"]
