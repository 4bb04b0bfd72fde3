"""A Ray cluster, by its job API. Ray is imported when a cluster is first asked, so that the app does without it."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from cxr.settings import settings

TIMEOUT_SECONDS: Final = (3.0, 15.0)
"""For a connection, and for an answer. Ray's client would wait for ever."""
FRESH_SECONDS: Final = 1.0
"""For so long an answer about a job is taken as true; a page asks several times for each job."""
SULK_SECONDS: Final = 5.0
"""For so long a cluster that did not answer is not asked again, or each job of a page would wait for it."""
PENDING, RUNNING, FAILED, STOPPED, MISSING = "PENDING", "RUNNING", "FAILED", "STOPPED", "MISSING"
"""What a submission may be; there is also "SUCCEEDED". The last is ours: the cluster does not know it."""
RAY_VARIABLES: Final = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")

Answer = TypeVar("Answer")


class NoAnswer(RuntimeError):
    """The cluster can't be asked, so nobody knows how its jobs are; the message is one sentence."""


@dataclass(frozen=True)
class Submission:
    """What the cluster says of a job that was sent to it.

    Attributes:
        status: see `PENDING` and the others.
        message, error: Ray's words, and its name for the kind of error.
    """

    status: str
    message: str = ""
    error: str = ""


@dataclass(frozen=True)
class Needs:
    """What a node has to have free for a job.

    Attributes:
        cpus, gpus: how many.
        resources: names and amounts of those that the cluster's operator made up.
    """

    cpus: float
    gpus: int
    resources: Mapping[str, float]

    def __str__(self) -> str:
        amounts = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items() if amount)


@dataclass(frozen=True)
class Cluster:
    """The cluster at an address, asked with a token, if there is one. Every method may raise `NoAnswer`."""

    address: str
    token: str | None

    def check(self) -> None:
        """Ask anything that needs the token."""
        self._ask(lambda client: client.list_jobs())

    def submit(self, name: str, entrypoint: str, needs: Needs, metadata: dict[str, str]) -> None:
        """Send a job.

        Args:
            name: new for each job of the cluster.
            entrypoint: shell command.
            needs: of the node on which it runs.
            metadata: for people who look at the cluster.
        """
        self._ask(
            lambda client: client.submit_job(
                entrypoint=entrypoint,
                submission_id=name,
                metadata=metadata,
                entrypoint_num_cpus=needs.cpus,
                entrypoint_num_gpus=needs.gpus,
                entrypoint_resources=dict(needs.resources),
            )
        )

    def look(self, name: str) -> Submission:
        """How a job is, or was up to `FRESH_SECONDS` ago."""
        now = time.monotonic()
        known = _seen.get((self.address, name))
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        found = self._ask(lambda client: _submission(client, name))
        for key in [key for key, (then, _) in _seen.copy().items() if now - then > FRESH_SECONDS]:
            _seen.pop(key, None)
        _seen[self.address, name] = (now, found)
        return found

    def stop(self, name: str) -> None:
        """Let a job's process get SIGTERM, and SIGKILL a few seconds later."""
        self._ask(lambda client: client.stop_job(name))
        _seen.pop((self.address, name), None)

    def log(self, name: str) -> str:
        """What a job has written that went nowhere else."""
        return self._ask(lambda client: str(client.get_job_logs(name)))

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        until, sentence = _silent.get(self.address, (0.0, ""))
        if time.monotonic() < until:
            raise NoAnswer(sentence)
        try:
            from ray.exceptions import RayError
        except ImportError as error:
            raise NoAnswer(
                "The Ray cluster can't be asked without the package ray; pip install -r requirements-ray.txt."
            ) from error
        try:
            return question(_client(self.address, self.token))
        except OSError as error:
            sentence = f"The Ray cluster {self.address} can't be reached, so nobody knows how its jobs are."
            _silent[self.address] = (time.monotonic() + SULK_SECONDS, sentence)
            raise NoAnswer(sentence) from error
        except RayError as error:
            what = "refuses the token" if self.token else "wants a token"
            raise NoAnswer(
                f"The Ray cluster {self.address} {what}; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's."
            ) from error
        except (RuntimeError, KeyError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise NoAnswer(f"The Ray cluster {self.address} gives no answer that is one: {first}") from error


_seen: dict[tuple[str, str], tuple[float, Submission]] = {}
_silent: dict[str, tuple[float, str]] = {}


def cluster() -> Cluster:
    """The cluster of the settings.

    Raises:
        NoAnswer: there is none, or it would be reached over a network without a token.
    """
    address = settings().ray_address
    if address is None:
        raise NoAnswer("There is no Ray cluster; set CXR_RAY_ADDRESS to the address of one, such as http://head:8265.")
    for name in RAY_VARIABLES:
        if os.environ.get(name, address) != address:
            # Ray's client takes it in place of any other address.
            raise NoAnswer(f"The variable {name} names another Ray cluster than CXR_RAY_ADDRESS; unset it.")
    token = _token()
    if token is None and not _loopback(address):
        raise NoAnswer(
            f"The Ray cluster {address} is not asked without a token; start it with RAY_AUTH_MODE=token, and set "
            "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to its token here."
        )
    return Cluster(address, token)


def _token() -> str | None:
    """The token, from where Ray looks for it, in Ray's order; None without one.

    It is read here because Ray reads it once for a whole process, and only if RAY_AUTH_MODE is set there too.
    """
    if said := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return said
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(file).read_text().strip() or None
    except OSError:
        return None


def _loopback(address: str) -> bool:
    """Whether only programs of this machine can be at an address."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(maxsize=4)
def _client(address: str, token: str | None) -> Any:
    """Ray's client, after a first question; what it raises is not kept."""
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": TIMEOUT_SECONDS, **options})

    return Client(address, headers={"Authorization": f"Bearer {token}"} if token else None)


def _submission(client: Any, name: str) -> Submission:
    try:
        found = client.get_job_info(name)
    except RuntimeError as error:
        # Ray has no exception of its own for it.
        if "status code 404" in str(error):
            return Submission(MISSING)
        raise
    return Submission(str(found.status.value), found.message or "", str(found.error_type or ""))
