"""What stands against a job is said before it is queued, a sentence each."""

import shutil
from dataclasses import replace

import pytest
from conftest import Place, until

from cxr import jobs
from cxr.jobs import data_checks, estimate, machine
from cxr.jobs.folder import changing, stored_job, write_event
from cxr.jobs.machine import Disk, Gpu
from cxr.jobs.spec import State
from cxr.model.names import DOWNLOADED, SHIPPED, weights_file
from cxr.settings import ROOT, settings
from cxr.training.run import EpochMetrics

GIB = 2**30


@pytest.fixture
def at(place: Place, synthetic_data) -> Place:
    return replace(place, data=synthetic_data)


def said(spec: jobs.JobSpec) -> dict[str, jobs.Check]:
    return {check.name: check for check in jobs.preflight(spec)}


def test_nothing_stands_against_a_job_that_can_run(at):
    checks = jobs.preflight(at.spec("lung"))
    assert [check.name for check in checks] == [
        "name", "devices", "backbone", "data", "patients", "parent", "disk", "time", "memory",
    ]  # fmt: skip
    assert all(check.ok for check in checks), checks
    found = {check.name: check.sentence for check in checks}
    assert "360 films" in found["data"]
    assert found["patients"] == "Patients: 108 train, 14 validation, 22 calibration, 36 test."
    assert found["time"] == "How long it takes is not known before its first steps."
    assert all(check.sentence.endswith(".") for check in checks)


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a b", "a/b", "x" * 65])
def test_a_name_that_is_no_name_is_refused(at, name):
    assert "can't be called" in said(at.spec(name))["name"].sentence


def test_a_name_that_is_taken_is_refused(at):
    (at.models / "lung").mkdir(parents=True)
    assert "lung in" in said(at.spec("lung"))["name"].sentence
    assert jobs.free_name("lung") == "lung-2"


def test_data_that_is_missing_damaged_or_too_small_is_refused(at, tmp_path):
    missing = at.spec("lung").model_copy(update={"data": tmp_path / "nowhere"})
    assert "There are no .tfrec files in" in said(missing)["data"].sentence
    damaged = tmp_path / "damaged"
    shutil.copytree(at.data, damaged)
    shard = min(damaged.iterdir())
    shard.write_bytes(shard.read_bytes()[:-10])
    check = said(at.spec("lung").model_copy(update={"data": damaged}))["data"]
    assert not check.ok
    assert shard.name in check.sentence
    few = {"train_fraction": 0.96, "validation_fraction": 0.02, "calibration_fraction": 0.01, "test_fraction": 0.01}
    assert "at least 5 patients" in said(at.spec("lung", **few))["patients"].sentence
    assert "official split" in said(at.spec("lung", official_split=True))["data"].sentence


def test_weights_that_are_missing_are_refused(at):
    assert said(at.spec("lung"))["parent"].sentence == "It starts from random weights."
    missing = said(at.spec("lung", weights="chest"))["parent"]
    assert not missing.ok
    assert "no such weights to start from" in missing.sentence
    file = weights_file(at.spec("lung").config.backbone, "chest")
    file.parent.mkdir(parents=True)
    file.touch()
    assert said(at.spec("lung", weights="chest"))["parent"].sentence == f"It starts from the weights {file.name}."


def test_a_parent_that_is_missing_or_does_not_fit_is_refused(at, imported_bundle):
    assert "no model named 'nobody'" in said(at.spec("lung", parent="nobody"))["parent"].sentence
    shutil.copytree(imported_bundle.path, at.models / "imported")
    backbone = imported_bundle.card.backbone
    fits = said(at.spec("lung", parent="imported", backbone=backbone))["parent"]
    assert (fits.ok, fits.sentence) == (True, "It starts from the model imported.")
    wrong = said(at.spec("lung", parent="imported"))["parent"]
    assert not wrong.ok
    assert f"--backbone {backbone}" in wrong.sentence
    shutil.copytree(ROOT / "models" / "default", at.models / "shipped")
    other = said(at.spec("lung", parent="shipped", backbone="efficientnet_lite0"))["parent"]
    assert not other.ok
    assert "its test patients would train this one" in other.sentence


def test_a_disk_without_room_is_named_and_folders_on_one_disk_share_it(at, changed_settings, tmp_path, monkeypatch):
    changed_settings.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    settings.cache_clear()
    spec = at.spec("lung", backbone="vgg16")
    needed = 12 * 4 * 14_714_688
    squares = (28 + 44 + 72) * 64 * 64
    for free, ok in ((needed + squares, True), (needed + squares - 1, False)):
        monkeypatch.setattr(machine, "disk", lambda folder, free=free: Disk(folder, free, free, 7))
        check = said(spec)["disk"]
        assert check.ok is ok, check
    assert check.sentence.startswith(f"The disk of {at.runs} has 707 MB free and the job needs 707 MB")


def test_training_films_that_are_kept_on_disk_need_it(at, changed_settings, tmp_path, monkeypatch):
    changed_settings.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    settings.cache_clear()
    needed, held_out, train = 12 * 4 * 14_714_688, (28 + 44 + 72) * 64 * 64, 216 * 64 * 64
    for gigabytes, more in (
        ({"memory_gigabytes": 0.0}, train),
        ({}, 0),
        ({"memory_gigabytes": 0.0, "disk_gigabytes": 0.0}, 0),
    ):
        for missing in (0, 1):
            free = needed + held_out + more - missing
            monkeypatch.setattr(machine, "disk", lambda folder, free=free: Disk(folder, free, free, 7))
            assert said(at.spec("lung", backbone="vgg16", **gigabytes))["disk"].ok is not bool(missing)


def test_memory_is_not_missed_by_a_job_that_waits_for_another(at, monkeypatch):
    monkeypatch.setattr(data_checks, "WORKER_BYTES", 10**15)
    at.backend.command = ("sh", "-c", "exec sleep 600")
    other = at.start("other")
    check = said(at.spec("lung"))["memory"]
    assert (check.ok, check.sentence) == (True, "cpu is busy with another job; this one waits for it.")
    stored = stored_job(other.folder)
    at.backend.kill(stored, stored.state.handle)
    until(lambda: not said(at.spec("lung"))["memory"].ok)


def test_the_registry_s_names_are_no_model_s(at):
    for name in ("registry.json", "registry.json.old"):
        assert not said(at.spec(name))["name"].ok
    assert said(at.spec("registry"))["name"].ok


def test_memory_that_does_not_suffice_is_told(at, monkeypatch):
    monkeypatch.setattr(data_checks, "WORKER_BYTES", 10**15)
    check = said(at.spec("lung"))["memory"]
    assert not check.ok
    assert "1000.0 TB" in check.sentence


def test_an_unknown_backbone_is_refused_with_the_known(at):
    check = said(at.spec("lung", backbone="resnet"))["backbone"]
    assert not check.ok
    assert "'resnet'; known are efficientnet_lite0" in check.sentence


def test_gpus_are_there_free_and_share_a_batch(at, monkeypatch):
    two = tuple(Gpu(f"gpu{n}", "H100", 80 * GIB, free * GIB, 0.0) for n, free in ((0, 79), (1, 1)))
    assert said(at.spec("lung", devices="gpu3"))["devices"].sentence == "This machine has no gpu3; its GPUs: none."
    monkeypatch.setattr(machine, "gpus", lambda: two)
    assert said(at.spec("lung", devices="gpu0"))["devices"].sentence == "gpu0 (H100) has 84.8 GB of 85.9 GB free."
    full = said(at.spec("lung", devices="gpu1"))["devices"]
    assert not full.ok
    assert "gpu1 (H100) has only 1.1 GB of 85.9 GB free" in full.sentence
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    odd = said(at.spec("lung", devices="auto", batch_size=15))["batch"]
    assert (odd.ok, odd.sentence) == (False, "batch_size (=15) must be a multiple of the 2 GPUs.")
    # One that a job has now will be free when that ends.
    at.backend.command = ("sh", "-c", "exec sleep 600")
    at.start("other", devices="gpu1")
    assert "busy with another job" in said(at.spec("lung", devices="gpu1"))["devices"].sentence


def test_the_time_is_that_of_an_earlier_job_of_the_same_kind(at):
    at.backend.command = ("sh", "-c", "exec sleep 600")
    job = at.start("earlier")
    epochs = [
        EpochMetrics(number=n, loss=1, macro_auroc=None, abnormal_auroc=0.5, seconds=1, learning_rate=0,
                     films_per_second=speed, waiting=0)
        for n, speed in ((1, 1.0), (2, 0.5))
    ]  # fmt: skip
    lines = [",".join(EpochMetrics.model_fields)]
    lines += [",".join("" if v is None else str(v) for v in epoch.model_dump().values()) for epoch in epochs]
    (job.folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    # 216 films three times, at half a film a second.
    sentence = said(at.spec("lung"))["time"].sentence
    assert sentence.startswith(f"It takes about 22 min, and the validations, at the 0.5 films/s of the job {job.id}")
    for other in ({"input_size": 96}, {"backbone": "mobilenet_v2"}, {"precision": "float32"}):
        assert "not known" in said(at.spec("lung", **other))["time"].sentence


def test_start_refuses_with_what_stands_against_it_and_leaves_nothing(at, monkeypatch):
    monkeypatch.setattr("cxr.jobs.actions.preflight", jobs.preflight)
    with pytest.raises(jobs.JobRefused, match=r"no backbone 'resnet'.* no model named 'nobody'"):
        at.start("lung", backbone="resnet", parent="nobody")
    assert jobs.jobs() == []
    assert not list(at.runs.glob("[!.]*"))


def test_the_same_token_again_is_the_same_job_whatever_stands_against_another(at, monkeypatch):
    monkeypatch.setattr("cxr.jobs.actions.preflight", jobs.preflight)
    at.backend.command = ("sh", "-c", "exec sleep 600")
    first = at.start("lung", "token")
    with changing(first.folder) as stored:
        write_event(stored, State.FAILED, "It was to fail.", "the test")
    again = at.start("lung", "token")
    assert (again.id, again.state) == (first.id, State.FAILED)


def test_runs_that_can_not_be_written_are_told(at, changed_settings, tmp_path):
    (tmp_path / "file").write_text("")
    changed_settings.setenv("CXR_RUNS_DIR", str(tmp_path / "file"))
    settings.cache_clear()
    with pytest.raises(jobs.JobRefused, match="can't be written to: File exists"):
        at.start("lung")


def test_the_numbers_of_parameters_are_those_of_the_backbones(place):
    import keras

    from cxr.model.backbones import BACKBONES

    assert set(estimate.PARAMETERS) == {*SHIPPED, *DOWNLOADED, "tiny"}
    # The others take long to build.
    for name in ("efficientnet_lite0", "mobilenet_v2", "vgg16"):
        film = keras.Input((96, 96, 3))
        assert keras.Model(film, BACKBONES[name].build(film, None)).count_params() == estimate.PARAMETERS[name]
