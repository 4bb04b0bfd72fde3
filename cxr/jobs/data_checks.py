"""What the data, the parent, the disks and the memory say of a job before it is queued. Without Keras."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxr.dataset.labelled import Catalogue, UnusableDataset, open_folder, squares_file
from cxr.dataset.official import read_official_lists
from cxr.dataset.splits import SPLITS, split_hash
from cxr.jobs import machine
from cxr.jobs.check import Check, answered, waits_for
from cxr.jobs.estimate import PARAMETERS, WORKER_BYTES, checkpoint_bytes, disk_bytes, known_pace
from cxr.jobs.local import busy_with, devices_of
from cxr.jobs.spec import JobSpec
from cxr.jobs.words import bytes_in_words, seconds_in_words
from cxr.model.bundle import BundleRejected
from cxr.model.names import weights_file
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.parent import check_patients, load_parent
from cxr.training.parts import split_films, too_few
from cxr.training.training_films import GIGABYTE, TrainingFilms


@dataclass(frozen=True, eq=False)
class _Films:
    """The films of a data folder, and which of `SPLITS` each is in."""

    catalogue: Catalogue
    split: pd.Series

    def rows(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.split == name)


def data_checks(spec: JobSpec) -> list[Check]:
    """The checks that need the data, if it can be read."""
    checks, films = [_backbone(spec)], _films(spec)
    if isinstance(films, Check):
        return [*checks, films]
    checks.append(Check("data", True, f"There are {len(films.split):,} films in {spec.data}."))
    checks += [_patients(films), _parent(spec, films)]
    if spec.config.backbone in PARAMETERS:
        checks += [_disk(spec, films), _time(spec, films)]
        if spec.backend == "local":
            checks.append(_memory(spec, films))
    return checks


def _backbone(spec: JobSpec) -> Check:
    name = spec.config.backbone
    unknown = None if name in PARAMETERS else f"There is no backbone {name!r}; known are {', '.join(PARAMETERS)}."
    return answered("backbone", unknown, f"The backbone is {name}.")


def _films(spec: JobSpec) -> _Films | Check:
    try:
        catalogue = open_folder(spec.data, settings().cache_dir)
        lists = read_official_lists(spec.data) if spec.config.official_split else None
        return _Films(catalogue, split_films(catalogue, spec.config, lists))
    except UnusableDataset as error:
        return Check("data", False, str(error))
    except (OSError, ValueError) as error:
        return Check("data", False, f"The data in {spec.data} can't be read: {error}")


def _patients(films: _Films) -> Check:
    abnormal, patients = films.catalogue.abnormal, films.catalogue.metadata["patient"].to_numpy()
    counts = []
    for name in SPLITS:
        rows = films.rows(name)
        if sentence := too_few(name, abnormal[rows], patients[rows]):
            return Check("patients", False, sentence)
        counts.append(f"{len(np.unique(patients[rows])):,} {name}")
    return Check("patients", True, f"Patients: {', '.join(counts)}.")


def _parent(spec: JobSpec, films: _Films) -> Check:
    try:
        parent = load_parent(spec.config)
        if parent is None:
            return _weights(spec.config)
        metadata = films.catalogue.metadata
        check_patients(parent, split_hash(metadata["patient"], films.split), metadata.index, spec.data)
    except (BundleRejected, ValueError) as error:
        return Check("parent", False, str(error))
    return Check("parent", True, f"It starts from the model {parent.name}.")


def _weights(config: TrainingConfig) -> Check:
    if config.weights is None:
        whose = "ImageNet's" if config.imagenet else "random"
        return Check("parent", True, f"It starts from {whose} weights.")
    file = weights_file(config.backbone, config.weights)
    if not file.is_file():
        return Check("parent", False, f"There are no such weights to start from: there is no file {file}.")
    return Check("parent", True, f"It starts from the weights {file.name}.")


def _disk(spec: JobSpec, films: _Films) -> Check:
    config, cache = spec.config, settings().cache_dir
    train = TrainingFilms(films.catalogue, films.rows("train"), config, cache)
    needed = [(settings().runs_dir, disk_bytes(spec)), (cache, train.disk_bytes)]
    for name in SPLITS[1:]:
        rows = films.rows(name)
        if not squares_file(films.catalogue, rows, config.input_size, cache).is_file():
            needed.append((cache, len(rows) * config.input_size**2))
    # Folders on one disk share its room.
    sums: defaultdict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for folder, size in needed:
        device = machine.disk(folder).device
        sums[device] += size
        folders.setdefault(device, folder)
    for device, size in sums.items():
        free = machine.disk(folders[device]).free
        if free < size:
            return Check(
                "disk",
                False,
                f"The disk of {folders[device]} has {bytes_in_words(free)} free and the job needs "
                f"{bytes_in_words(size)}; make room there.",
            )
    return Check("disk", True, f"It needs at most {bytes_in_words(sum(sums.values()))} on disks, which are free.")


def _memory(spec: JobSpec, films: _Films) -> Check:
    if device := busy_with(devices_of(spec)):
        # What is free then, nobody knows.
        return Check("memory", True, waits_for(device))
    config = spec.config
    decoded = len(films.rows("train")) * config.input_size**2
    kept = decoded if decoded <= config.memory_gigabytes * GIGABYTE else 0
    # A checkpoint is put together in memory, from copies.
    needed = WORKER_BYTES + kept + 2 * checkpoint_bytes(spec)
    free = machine.look({}).memory_free
    short = (
        f"{bytes_in_words(free)} of memory are free and the job needs at least {bytes_in_words(needed)}; end other "
        "programs, or lower memory_gigabytes."
    )
    return answered("memory", short if free < needed else None, f"{bytes_in_words(free)} of memory are free.")


def _time(spec: JobSpec, films: _Films) -> Check:
    pace = known_pace(spec)
    if pace is None:
        return Check("time", True, "How long it takes is not known before its first steps.")
    seconds = spec.config.epochs * len(films.rows("train")) / pace.films_per_second
    return Check(
        "time",
        True,
        f"It takes about {seconds_in_words(seconds)}, and the validations, at the {pace.films_per_second:.1f} films/s "
        f"of the job {pace.job_id} on this machine.",
    )
