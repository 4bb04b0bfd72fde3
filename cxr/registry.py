"""Which model serves, and how it came to: one file that any process may read, and that is replaced in one step.

Import of this module is light, for every film that is read asks it. What it takes to become the serving model is in
`cxr.gate`, and the acts themselves are in `cxr.promotion`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from cxr.files import replace_file
from cxr.lock import locked
from cxr.model.bundle import Bundle, BundleRejected, bundle_names, bundle_path, load_bundle
from cxr.model.card import CardPart, Estimate
from cxr.settings import settings

REGISTRY_FILE: Final = "registry.json"
LOCK_FILE: Final = ".registry.lock"
FIRST: Final = "default"
"""Name of the bundle that serves until another is promoted."""

Action = Literal["promote", "override", "roll back"]
""""override" is a promotion in spite of a gate that was not passed."""


class RegistryDamaged(BundleRejected):
    """Nobody can tell which model serves; the message is one sentence that says why."""


class Model(CardPart):
    """A bundle by its name, and what was in it: its `Bundle.model_sha256`.

    `sha256` is None where nobody has vouched for what is in it: the first model, one that the operator set, and a
    serving model that could not be loaded any more when another took its place.
    """

    name: str
    sha256: str | None = None


class Check(CardPart):
    """One question of the gate.

    Attributes:
        name: what was asked.
        passed: the answer; also true where the films are too few to say and the question does not have to be answered.
        said: one sentence with the numbers and the 95% interval.
        difference: candidate less champion, paired over patients; None where it is no such question or too few to say.
        margin: how much worse the candidate may be.
    """

    name: str
    passed: bool
    said: str
    difference: Estimate | None = None
    margin: float | None = None


class GateReport(CardPart):
    """A candidate against the model that serves.

    Attributes:
        basis: in words, the films on which they were compared; empty where there were none.
        films, patients: how many these are.
        checks: all have to be passed.
        by_source: the same comparison on the films of one source each; for the reader, it decides nothing.
    """

    candidate: Model
    champion: Model
    basis: str
    films: int
    patients: int
    checks: tuple[Check, ...]
    by_source: tuple[Check, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        return not self.failed


class Entry(CardPart):
    """One change of the serving model.

    Attributes:
        when: UTC, ISO 8601.
        who, why: as the person gave them.
        gate: what the gate said; None for a roll back, which has none.
    """

    when: str
    who: Annotated[str, Field(min_length=1)]
    action: Action
    why: Annotated[str, Field(min_length=1)]
    from_model: Model
    to_model: Model
    gate: GateReport | None = None


class Registry(CardPart):
    """What `registry.json` holds: every change, the latest last. The latest says which model serves."""

    format_version: Literal[1] = 1
    history: Annotated[tuple[Entry, ...], Field(min_length=1)]


def history() -> tuple[Entry, ...]:
    """Every change of the serving model, the latest last; empty before the first.

    Raises:
        RegistryDamaged: the file can't be read.
    """
    file = _file()
    try:
        return Registry.model_validate_json(file.read_bytes()).history
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise RegistryDamaged(
            f"The record of the serving model, {file}, is damaged; put back a copy of it, or set CXR_MODEL to the name "
            "of the model that shall serve."
        ) from error


def serving() -> Model:
    """The model that serves: the one that the operator set, else the one that was promoted last, else `FIRST`.

    Raises:
        RegistryDamaged: it is not set, and the record can't be read.
    """
    if (chosen := settings().model) is not None:
        return Model(name=chosen)
    return changes[-1].to_model if (changes := history()) else Model(name=FIRST)


def serving_name() -> str:
    """Name of the bundle that serves; raises as `serving`."""
    return serving().name


def serving_bundle() -> Bundle:
    """The bundle that serves.

    Raises:
        BundleRejected: there is none of that name, it can't be used, or it is not what was promoted.
    """
    model = serving()
    bundle = load_bundle(bundle_path(model.name))
    check_same(model, bundle)
    return bundle


def chosen_bundle(name: str | None) -> Bundle:
    """The bundle of that name; without one the bundle that serves. Raises `BundleRejected` as `serving_bundle`."""
    return serving_bundle() if name is None else load_bundle(bundle_path(name))


def check_same(model: Model, bundle: Bundle) -> None:
    """Raise `BundleRejected` if a bundle is not what was promoted, but another model that took its folder since."""
    if model.sha256 not in (None, bundle.model_sha256):
        raise BundleRejected(
            f"The model {model.name} was replaced since it was promoted, without passing the gate: promote it anew, or "
            "roll back."
        )


def candidates() -> list[str]:
    """Names of the bundles that do not serve. Raises as `serving`."""
    name = serving_name()
    return [other for other in bundle_names() if other != name]


def earlier() -> tuple[Model, ...]:
    """The models that served before this one, the nearest first: what rolling back goes along.

    A promotion puts a model on top of those before it, and rolling back takes models off the top. So rolling back twice
    goes back two promotions, and never to the model that was rolled back from.

    Raises:
        RegistryDamaged: as `history`.
    """
    stack: list[Model] = []
    for entry in history():
        if not stack:
            stack.append(entry.from_model)
        if entry.action != "roll back":
            stack.append(entry.to_model)
            continue
        while len(stack) > 1 and stack[-1] != entry.to_model:
            stack.pop()
    return tuple(reversed(stack[:-1]))


@contextmanager
def changing() -> Iterator[None]:
    """Within it nobody else, in whatever process, changes which model serves. Who reads needs no lock.

    Raises:
        OSError: the models folder can't be written.
    """
    with locked(settings().models_dir / LOCK_FILE):
        yield


def record(entry: Entry) -> None:
    """Add a change, from when on its model serves. Only within `changing`.

    Raises:
        RegistryDamaged: what is there can't be read, so it is not replaced.
        OSError: it can't be written; the record is then as it was.
    """
    file = _file()
    kept = Registry(history=(*history(), entry))
    for draft in file.parent.glob(f".{file.name}.*.draft"):
        # Of a process that was killed while it wrote; nobody else writes now.
        draft.unlink(missing_ok=True)
    replace_file(file, (kept.model_dump_json(indent=1) + "\n").encode())


def _file() -> Path:
    return settings().models_dir / REGISTRY_FILE
