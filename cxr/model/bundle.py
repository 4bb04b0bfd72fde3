"""A model on disk: `models/<name>/` with `model.keras`, `model.onnx`, `probe.npz` and `card.json`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from cxr.model.card import Card
from cxr.model.untrusted import (
    LARGEST_CARD,
    LARGEST_INPUT,
    MOST_CATEGORIES,
    Unfit,
    check_arrays,
    check_file,
)
from cxr.settings import settings

CARD_FILE: Final = "card.json"
KERAS_FILE: Final = "model.keras"
GRAPH_FILE: Final = "model.onnx"
PROBE_FILE: Final = "probe.npz"
LOGITS: Final = "logits"
MAPS: Final = "maps"
"""Names of the outputs, in the Keras model as in the serving graph."""
FEATURES: Final = "features"
"""One more output of the serving graph, for the scope check (`cxr.model.features`). Older graphs do not have it."""
SCOPE_FILE: Final = "scope.npz"
"""The scope check, where a bundle carries one."""
ATTACHED: Final = {"comparison", "scope"}
"""Facts of the card that are attached after the model was made."""
TOLERANCE: Final = 1e-4
"""Largest difference allowed between the serving graph and the Keras model, in logits and in maps; where their largest
value exceeds 1, as a share of it (float32 carries seven digits, not seven decimals)."""


class BundleRejected(RuntimeError):
    """A bundle that must not serve; the message is one sentence that says why."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are those its card describes.

    Attributes:
        path: its folder.
        card: its card.
        sha256: of `card.json`, which holds the hashes of all other files: it identifies the bundle.
    """

    path: Path
    card: Card
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def model_sha256(self) -> str:
        """Identifies the model, whatever was attached to its bundle since: of the card with the model's own files.

        What stands in the card as it does by default does not count, so that a field that later versions add does not
        make it another model.
        """
        own = {name: self.card.files[name] for name in (KERAS_FILE, GRAPH_FILE, PROBE_FILE)}
        facts = self.card.model_copy(update={"files": own}).model_dump_json(exclude=ATTACHED, exclude_defaults=True)
        return hashlib.sha256(facts.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Probe:
    """Films and what Keras made of them when the bundle was written: what any machine's runtime has to reproduce.

    Attributes:
        films: uint8 (n, size, size).
        logits: float32 (n, k), k outputs in the order of the card's `categories`.
        maps: float32 (n, h, w, k).
        features: float32 (n, d); None in bundles whose graph does not give any.
    """

    films: np.ndarray
    logits: np.ndarray
    maps: np.ndarray
    features: np.ndarray | None = None


def bundle_path(name: str) -> Path:
    """The folder of the bundle of that name. Raises `BundleRejected` if there is none."""
    folder = settings().models_dir / name
    if Path(name).name != name or not (folder / CARD_FILE).is_file():
        known = ", ".join(bundle_names()) or "none"
        raise BundleRejected(f"There is no model named {name!r} in {settings().models_dir}; there are: {known}.")
    return folder


def bundle_names() -> list[str]:
    """Names of all bundles in the models folder."""
    return sorted(card.parent.name for card in settings().models_dir.glob(f"*/{CARD_FILE}"))


def load_bundle(path: Path) -> Bundle:
    """Read a bundle and check that every file is the one its card describes, and nothing that must not be loaded.

    Raises:
        BundleRejected: no card, a card that is not one of ours, a file missing, changed, too large, or a link.
    """
    try:
        check_file(path / CARD_FILE, LARGEST_CARD)
        text = (path / CARD_FILE).read_bytes()
        card = Card.model_validate_json(text)
    except Unfit as error:
        raise unfit(path, CARD_FILE, error) from error
    except OSError as error:
        raise BundleRejected(f"The model {path.name} has no readable {CARD_FILE}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleRejected(f"The card of the model {path.name} is not valid ({where}: {first['msg']}).") from error
    if card.input_size > LARGEST_INPUT or len(card.categories) > MOST_CATEGORIES:
        raise BundleRejected(
            f"The model {path.name} can't be used: it sees {card.input_size:,} pixels a side and has "
            f"{len(card.categories):,} outputs; at most {LARGEST_INPUT:,} and {MOST_CATEGORIES} are allowed."
        )
    if problems := card.problems():
        raise BundleRejected(f"The model {path.name} can't be used: {'; '.join(problems)}.")
    if missing := {KERAS_FILE, GRAPH_FILE, PROBE_FILE} - set(card.files):
        raise BundleRejected(f"The card of the model {path.name} does not list {', '.join(sorted(missing))}.")
    for name, expected in card.files.items():
        file = path / name
        if Path(name).name != name or not file.is_file():
            raise BundleRejected(f"The model {path.name} is incomplete: {name} is missing.")
        try:
            # Before it is read: hashing what never ends never ends.
            check_file(file)
            if file_sha256(file) != expected:
                raise BundleRejected(f"The model {path.name} was changed: {name} is not the file its card describes.")
            if file.suffix == ".npz":
                check_arrays(file)
        except Unfit as error:
            raise unfit(path, name, error) from error
    return Bundle(path, card, hashlib.sha256(text).hexdigest())


def unfit(path: Path, file: str, error: Unfit) -> BundleRejected:
    """What is said of a file that must not be loaded."""
    return BundleRejected(f"The model {path.name} can't be used: {file} {error}.")


def load_probe(path: Path) -> Probe:
    """The probe of a bundle's folder."""
    with np.load(path / PROBE_FILE, allow_pickle=False) as stored:
        features = stored[FEATURES] if FEATURES in stored.files else None
        return Probe(stored["films"], stored["logits"], stored["maps"], features)


def check_agreement(
    name: str, expected: Probe, logits: np.ndarray, maps: np.ndarray, features: np.ndarray | None = None
) -> None:
    """Raise `BundleRejected` if outputs differ from the probe's by more than `TOLERANCE` anywhere.

    Features count where the probe has them.
    """
    pairs = [(logits, expected.logits), (maps, expected.maps)]
    if expected.features is not None:
        if features is None or features.shape != expected.features.shape:
            raise BundleRejected(f"The serving graph of the model {name} does not give its Keras model's features.")
        pairs.append((features, expected.features))
    difference = np.max([np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()) for got, wanted in pairs])
    # NaN is neither above nor below; `not <=` catches it.
    if not difference <= TOLERANCE:
        raise BundleRejected(
            f"The serving graph of the model {name} differs from its Keras model by {difference:.1e} "
            f"(at most {TOLERANCE:.0e} is allowed)."
        )


def write_card(path: Path, card: Card) -> None:
    """Write `card.json`, whose presence makes a folder a bundle, in one step."""
    draft = path / f"{CARD_FILE}.draft"
    draft.write_text(json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    draft.replace(path / CARD_FILE)


def file_sha256(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
