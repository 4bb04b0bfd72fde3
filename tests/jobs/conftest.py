"""A place of its own for jobs, and workers that are quick."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import until as waiting
from ray_cluster import TOKEN, free_ports

from cxr import jobs
from cxr.jobs import actions, cluster, estimate
from cxr.jobs.backends import BACKENDS
from cxr.jobs.folder import changing, stored_jobs, write_event
from cxr.jobs.local import LocalBackend
from cxr.jobs.ray_backend import RayBackend
from cxr.settings import ROOT, settings
from cxr.training.config import TrainingConfig

HERE = Path(__file__).parent
FAKE = HERE / "fake_worker.py"
TINY = HERE / "tiny_worker.py"
OPTIONS = {
    "backbone": "tiny",
    "imagenet": False,
    "input_size": 64,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "epochs": 3,
}


@dataclass(frozen=True)
class Place:
    """Where the jobs of a test are, and with what they are made."""

    runs: Path
    models: Path
    data: Path
    backend: LocalBackend

    def spec(self, model: str, by: str = "Ada", devices: str = "cpu", **config: object) -> jobs.JobSpec:
        return jobs.JobSpec(
            model=model,
            data=self.data,
            config=TrainingConfig.model_validate(OPTIONS | config),
            devices=devices,
            by=by,
        )

    def start(self, model: str, token: str | None = None, **options: object) -> jobs.Job:
        return jobs.start(self.spec(model, **options), token or model)

    def worker(self, *command: object) -> None:
        """Let jobs be done by that script from now on."""
        self.backend.command = (sys.executable, *map(str, command))


def until(done: Callable[[], object], seconds: float = 240) -> None:
    """Wait for something to be so: a training process takes its time to start, or to end."""
    waiting.until(done, seconds)


def ended(job_id: str, seconds: float = 240) -> jobs.Job:
    """The job, when it is over."""
    until(lambda: not jobs.job(job_id).state.alive, seconds)
    return jobs.job(job_id)


def pid_of(job_id: str) -> int:
    """The process of a job."""
    (state,) = [stored.state for stored in stored_jobs() if stored.id == job_id]
    return int(state.handle.split()[2])


@pytest.fixture
def place(changed_settings: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    """An empty place, whose jobs are done by `fake_worker.py` and are not looked at before."""
    changed_settings.setenv("CXR_RUNS_DIR", str(tmp_path / "runs"))
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    changed_settings.setenv("CXR_JOB_GRACE_SECONDS", "3")
    changed_settings.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}:{HERE}")
    settings.cache_clear()
    local = LocalBackend((sys.executable, str(FAKE)))
    changed_settings.setitem(BACKENDS, "local", lambda: local)
    changed_settings.setitem(estimate.PARAMETERS, "tiny", 40_000)
    changed_settings.setattr(actions, "preflight", lambda spec: [])
    yield Place(tmp_path / "runs", tmp_path / "models", tmp_path / "data", local)
    for stored in stored_jobs():
        if stored.state is not None and stored.state.handle is not None:
            local.kill(stored, stored.state.handle)


@pytest.fixture
def running(place: Place) -> jobs.Job:
    """A job that runs, as far as its folder says; its process does nothing."""
    place.backend.command = ("sh", "-c", "exec sleep 600")
    job = place.start("lung")
    with changing(job.folder) as stored:
        write_event(stored, jobs.State.RUNNING, "It runs on cpu.", "the job itself")
    return jobs.job(job.id)


@pytest.fixture
def training(place: Place, synthetic_data: Path, changed_settings: pytest.MonkeyPatch) -> Place:
    """A place whose jobs train a tiny model on the synthetic films, after all checks."""
    changed_settings.setattr(actions, "preflight", jobs.preflight)
    place.worker(TINY)
    return Place(place.runs, place.models, synthetic_data, place.backend)


def log_of(job: jobs.Job) -> str:
    return "\n".join(jobs.log_tail(job))


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size in memory; the test is skipped where none can be made."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(folder: Path) -> None:
    """Leave no room on the disk of a folder."""
    with (folder / f"filler-{time.monotonic_ns()}").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**14))


@pytest.fixture
def alone(place: Place, changed_settings: pytest.MonkeyPatch) -> Place:
    """A place whose jobs are for a cluster that nobody is at, with a token."""
    pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
    (port,) = free_ports(1)
    backend = RayBackend((str(FAKE),))
    changed_settings.setitem(BACKENDS, "ray", lambda: backend)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", *cluster.RAY_VARIABLES):
        changed_settings.delenv(name, raising=False)
    changed_settings.setenv("RAY_AUTH_TOKEN", TOKEN)
    changed_settings.setenv("CXR_RAY_RESOURCES", '{"films": 1}')
    changed_settings.setenv("CXR_RAY_GPUS", "0")
    use_cluster(changed_settings, f"http://127.0.0.1:{port}")
    return place


def use_cluster(patch: pytest.MonkeyPatch, address: str) -> None:
    """Let that be the cluster from now on."""
    patch.setenv("CXR_RAY_ADDRESS", address)
    settings.cache_clear()
    cluster._silent.clear()
    cluster._seen.clear()


def start_on_ray(place: Place, model: str, **options: object) -> jobs.Job:
    spec = place.spec(model, **{"devices": "auto", **options}).model_copy(update={"backend": "ray"})
    return jobs.start(spec, model)


def why_not_on_ray(place: Place) -> str | None:
    return RayBackend().problem(place.spec("m"))
